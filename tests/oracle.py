"""Every metric of a slice straight from its rows, as its definition reads: no moments, no grid, no engine."""

from dataclasses import dataclass
from math import fsum
from statistics import NormalDist
from typing import Any

import numpy as np
import scipy.special
import scipy.stats

Array = np.ndarray[Any, np.dtype[Any]]
CAP = -np.log(1e-15)


@dataclass(frozen=True)
class Rows:
    """Rows of one slice: labels and forecasts as a share per class, (n, K), losses and weights (n,)."""

    y: Array
    p: Array
    loss: Array
    weight: Array
    scalar: bool
    soft: bool

    def where(self, keep: Array) -> "Rows":
        return Rows(self.y[keep], self.p[keep], self.loss[keep], self.weight[keep], self.scalar, self.soft)


def rows(label: Array, score: Array, weight: Array, *, kind: str, soft: bool, cap: float = CAP) -> Rows:
    """Rows of a forecast: a score (n,) or (n, K), and labels 0..K-1 or shares."""
    scalar = score.ndim == 1
    with np.errstate(divide="ignore"):
        if scalar:
            p = score if kind == "probability" else scipy.special.expit(score)
            p_other = 1 - score if kind == "probability" else scipy.special.expit(-score)
            if kind == "probability":
                losses = np.stack([-np.log1p(-score), -np.log(score)], axis=1)
            else:
                losses = np.stack([np.logaddexp(0, score), np.logaddexp(0, -score)], axis=1)
            p, y = np.stack([p_other, p], axis=1), np.stack([1 - label, label], axis=1)
        else:
            p = score if kind == "probability" else scipy.special.softmax(score, axis=1)
            losses = -np.log(score) if kind == "probability" else -scipy.special.log_softmax(score, axis=1)
            y = label if soft else np.eye(score.shape[1])[label]
    losses = np.minimum(losses, cap) if kind == "probability" else losses
    loss = np.where(y > 0, y * np.where(y > 0, losses, 0.0), 0.0).sum(axis=1)
    return Rows(y, p, loss, weight, scalar, soft)


def mean(weight: Array, values: Array) -> float:
    return fsum(weight * values) / fsum(weight)


def means(weight: Array, values: Array) -> Array:
    return np.array([mean(weight, values[:, k]) for k in range(values.shape[1])])


def error(influence: Array) -> Any:
    """sqrt(n/(n-1) sum e^2) of influences (n,) or (n, K)."""
    n = len(influence)
    return np.sqrt(n / (n - 1) * (influence**2).sum(axis=0)) if n > 1 else np.full(influence.shape[1:], np.nan)[()]


def metrics(
    all_rows: Rows,
    *,
    bins: int = 10,
    confidence: float = 0.95,
    baseline: Array | None = None,
    eps: float = 1e-15,
    logit: bool = False,
) -> dict[str, Any]:
    """All metrics of a slice that has a row of positive weight."""
    r = all_rows.where(all_rows.weight > 0)
    w, total, n = r.weight, fsum(r.weight), len(r.weight)
    loss, brier_of_row = mean(w, r.loss), ((r.p - r.y) ** 2).sum(axis=1) / (2 if r.scalar else 1)
    brier, labels, predictions = mean(w, brier_of_row), means(w, r.y), means(w, r.p)
    found: dict[str, Any] = {"n": n, "weight": total, "n_eff": total**2 / fsum(w**2)}
    found["minority"] = int((r.y > 0).sum(axis=0).min())
    found["few"] = found["minority"] * found["n_eff"] / n < 30
    found |= {"log_loss": loss, "log_loss_bits": loss / np.log(2), "perplexity": np.exp(loss), "brier": brier}
    found["log_loss_se"] = error(w * (r.loss - loss) / total)
    found["brier_se"] = error(w * (brier_of_row - brier) / total)

    shares = labels if baseline is None else baseline
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    found["label_entropy"] = scipy.stats.entropy(labels)
    chance = -(labels * logs).sum()
    found["normalized_entropy"] = loss / chance if chance > 0 else np.nan
    found["information_gain"] = 1 - found["normalized_entropy"]
    away = (
        w * ((r.loss - loss) / chance + loss / chance**2 * ((r.y - labels) @ logs)) / total
        if chance > 0
        else w * np.nan
    )
    of_ratio = np.nan if r.soft and r.y.shape[1] > 2 else error(away)
    found["normalized_entropy_se"] = found["information_gain_se"] = of_ratio

    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(labels > 0, predictions / labels, np.nan)
        of_calibration = error(w[:, np.newaxis] * (r.p - ratio * r.y) / (total * labels))
    per_class = {
        "label_mean": labels,
        "prediction_mean": predictions,
        "calibration_ratio": ratio,
        "calibration_ratio_se": of_calibration,
    }
    found |= {name: values[1] for name, values in per_class.items()} if r.scalar else per_class

    found["prediction_entropy"] = mean(w, scipy.special.entr(r.p).sum(axis=1))
    found["overconfidence"] = loss - found["prediction_entropy"]
    # scipy's entropy(p, q) normalises both, as the definition does.
    found["kl_marginal"] = scipy.stats.entropy(labels, predictions)

    reach = NormalDist().inv_cdf(0.5 + confidence / 2)
    for name in ("log_loss", "brier", "normalized_entropy", "information_gain", "calibration_ratio"):
        found[f"{name}_low"] = found[name] - reach * found[f"{name}_se"]
        found[f"{name}_high"] = found[name] + reach * found[f"{name}_se"]
    found["log_loss_low"] = max(found["log_loss_low"], 0.0) if n > 1 else np.nan

    of_bin = reliability(all_rows, bins)
    gaps = np.array([abs(b["label_mean"] - b["prediction_mean"]) for b in of_bin.values()])
    found["ece"] = fsum(gaps * [b["weight"] for b in of_bin.values()]) / total
    found["mce"] = gaps.max()

    happened = np.where(r.y > 0, r.p, 1.0).min(axis=1)
    rare = {"clipped": (happened < eps) & (not logit), "zero": np.isinf(r.loss) if logit else happened == 0}
    for name, them in rare.items():
        found[name] = int(them.sum())
        found[f"{name}_weight"] = fsum(w[them])
        found[f"{name}_loss_share"] = fsum((w * r.loss)[them]) / fsum(w * r.loss) if them.any() else 0.0
    return found


def reliability(all_rows: Rows, bins: int) -> dict[int, dict[str, float]]:
    """The reliability table of a slice, by bin: of several classes for the top one, of equals the first."""
    r = all_rows.where(all_rows.weight > 0)
    at = np.arange(len(r.weight)), np.ones(len(r.weight), int) if r.scalar else r.p.argmax(axis=1)
    score, label = r.p[at], r.y[at]
    bin_ = np.searchsorted(np.arange(1, bins) / bins, score, side="right")
    table = {}
    for b in np.unique(bin_):
        here = bin_ == b
        w = r.weight[here]
        table[int(b)] = {
            "n": int(here.sum()),
            "weight": fsum(w),
            "prediction_mean": mean(w, score[here]),
            "label_mean": mean(w, label[here]),
            "log_loss": mean(w, r.loss[here]),
        }
    return table
