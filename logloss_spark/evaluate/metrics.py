"""Metrics: functions of a state's sums, and of nothing else. NumPy only; arrays of one entry per slice."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from logloss_spark.errors import SpecError
from logloss_spark.evaluate.calibration import calibration_errors
from logloss_spark.evaluate.intervals import FEW, centred_square, square_of_terms, standard_error, with_interval
from logloss_spark.kernels.divergence import binary_kl, kl
from logloss_spark.kernels.grid import coarse_edges
from logloss_spark.kernels.sums import Array, compensated_sum
from logloss_spark.spec import between

LN2 = float(np.log(2.0))
INTERVALS = ("log_loss", "brier", "normalized_entropy", "information_gain", "calibration_ratio")
"""The metrics that come with `_se`, `_low` and `_high`."""

PER_CLASS = ("label_mean", "prediction_mean", "calibration_ratio")
"""Where there are K classes these are arrays, one entry per class; so are the error and interval of the last."""

LEADING = ("weight", "n_eff", "minority", "few")
CENTRAL = tuple(
    name
    for metric in (
        "log_loss",
        "log_loss_bits",
        "perplexity",
        "label_entropy",
        "normalized_entropy",
        "information_gain",
        "label_mean",
        "prediction_mean",
        "calibration_ratio",
        "prediction_entropy",
        "overconfidence",
        "kl_marginal",
        "brier",
        "ece",
        "mce",
    )
    for name in ([metric, f"{metric}_se", f"{metric}_low", f"{metric}_high"] if metric in INTERVALS else [metric])
)
TRAILING = ("clipped", "clipped_weight", "clipped_loss_share", "zero", "zero_weight", "zero_loss_share")
COUNTS = ("minority", "clipped", "zero")
"""Metrics that count rows."""


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """How metrics are read off a state; none of it changes the state.

    Parameters
    ----------
    confidence : float in (0, 1)
        The coverage that the intervals aim at.
    ece_bins : int that divides 200
        The number of equal-width bins of ece, mce and the reliability table.
    baseline : float or tuple of float, optional
        The shares of the classes that normalized_entropy compares with, in (0, 1); of two the positive one suffices.
    """

    confidence: float = 0.95
    ece_bins: int = 10
    baseline: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        between("confidence", self.confidence, 0.0, 1.0)
        if isinstance(self.ece_bins, bool) or not isinstance(self.ece_bins, int):
            raise SpecError(f"ece_bins is a whole number that divides 200, and {self.ece_bins!r} came")
        try:
            coarse_edges(self.ece_bins)
        except ValueError as error:
            raise SpecError(f"ece_bins: {error}") from None

    def shares(self, classes: int) -> tuple[float, ...] | None:
        """The baseline as one share per class, or None where a slice's own shares serve.

        Raises SpecError where it has another length, or is no distribution.
        """
        if self.baseline is None:
            return None
        given = self.baseline if isinstance(self.baseline, tuple) else (1.0 - self.baseline, self.baseline)
        if len(given) != classes:
            raise SpecError(f"baseline gives a share to each of {classes} classes, and {len(given)} came")
        numbers = all(isinstance(share, (int, float)) for share in given)
        if not numbers or any(not 0.0 < share < 1.0 for share in given) or abs(sum(given) - 1.0) > 1e-9:
            raise SpecError(f"baseline holds shares between 0 and 1 that sum to 1, not {list(given)}")
        return given


@dataclass(frozen=True)
class Sums:
    """The sums of n slices, as arrays by the names of `evaluate.state`.

    `moments` are of shape (n,); `classes` (n, K), of which binary forecasts have only the counts; `cells`
    (n, ece_bins); `clipped` and `zero` (n,). What a slice does not have is 0.
    """

    moments: Mapping[str, Array]
    classes: Mapping[str, Array]
    cells: Mapping[str, Array]
    clipped: Mapping[str, Array]
    zero: Mapping[str, Array]
    scalar: bool
    soft_labels: bool
    shift: float


def metrics_of(sums: Sums, reporting: Reporting) -> dict[str, Array]:
    """Every metric of every slice; NaN where it is not defined.

    Returns
    -------
    dict of arrays of shape (n,), or (n, K) for those of `PER_CLASS` where the forecast is one per class
    """
    m = sums.moments
    with np.errstate(all="ignore"):
        loss = m["wl"] / m["w"]
        labels, predictions = class_means(sums)
        minority = sums.classes["n"].min(axis=1)
        ece, mce = calibration_errors(sums.cells["w"], sums.cells["wy"], sums.cells["wp"])
        found = {
            "weight": m["w"],
            "n_eff": m["w"] ** 2 / m["w2"],
            "minority": minority,
            "few": np.where(minority < FEW, 1.0, 0.0),
            "log_loss_bits": loss / LN2,
            "perplexity": np.exp(loss),
            "label_entropy": entropy_against(labels, labels),
            "prediction_entropy": m["wh"] / m["w"],
            "overconfidence": (m["wl"] - m["wh"]) / m["w"],
            "kl_marginal": binary_kl(labels[:, 1], predictions[:, 1]) if sums.scalar else kl(labels, predictions),
            "ece": ece,
            "mce": mce,
            **log_loss(sums, loss, reporting),
            **brier(sums, reporting),
            **relative_to_baseline(sums, loss, labels, reporting),
            **means(sums, labels, predictions, reporting),
            **share_of_loss("clipped", sums.clipped, m["wl"]),
            **share_of_loss("zero", sums.zero, m["wl"]),
        }
    return {name: found[name] for name in (*LEADING, *CENTRAL, *TRAILING)}


def class_means(sums: Sums) -> tuple[Array, Array]:
    """Mean label and mean prediction of each class, (n, K)."""
    if sums.scalar:
        labels, predictions = (sums.moments[name] / sums.moments["w"] for name in ("wy", "wp"))
        return np.stack([1.0 - labels, labels], axis=1), np.stack([1.0 - predictions, predictions], axis=1)
    weight = sums.moments["w"][:, np.newaxis]
    return sums.classes["wy"] / weight, sums.classes["wp"] / weight


def entropy_against(labels: Array, shares: Array) -> Array:
    """-sum over classes of labels * ln shares, 0 ln 0 = 0: the loss of forecasting the shares to everyone."""
    terms = np.where(labels == 0.0, 0.0, -labels * np.log(shares))
    return compensated_sum(terms)


def log_loss(sums: Sums, loss: Array, reporting: Reporting) -> dict[str, Array]:
    """The mean loss with its interval, which ends at 0 where it would go below."""
    error = error_of(sums, squared_deviation_of_loss(sums, loss) / sums.moments["w"] ** 2)
    interval = with_interval("log_loss", loss, error, reporting.confidence)
    return interval | {"log_loss_low": np.maximum(interval["log_loss_low"], 0.0)}


def squared_deviation_of_loss(sums: Sums, loss: Array) -> Array:
    """Sum of w^2 (l - L)^2.

    Squares around 0 keep the digits of small losses, those around ln K the digits of forecasts that know little.
    """
    m = sums.moments
    about_zero = m["w2ll"], m["w2l"], loss
    about_chance = m["w2dd"], m["w2d"], loss - sums.shift
    near_chance = m["w2dd"] < m["w2ll"]
    square, product, mean = (np.where(near_chance, *pair) for pair in zip(about_chance, about_zero, strict=True))
    return centred_square(square, product, m["w2"], mean)


def brier(sums: Sums, reporting: Reporting) -> dict[str, Array]:
    """The mean Brier score with its interval."""
    m = sums.moments
    mean = m["wb"] / m["w"]
    error = error_of(sums, centred_square(m["w2bb"], m["w2b"], m["w2"], mean) / m["w"] ** 2)
    return with_interval("brier", mean, error, reporting.confidence)


def relative_to_baseline(sums: Sums, loss: Array, labels: Array, reporting: Reporting) -> dict[str, Array]:
    """normalized_entropy and information_gain, over the slice's own class shares or the given ones.

    Normalized entropy is that of He et al. 2014 (Practical lessons from predicting clicks on ads at Facebook).
    """
    given = reporting.shares(labels.shape[1])
    shares = labels if given is None else np.broadcast_to(np.array(given), labels.shape)
    denominator = entropy_against(labels, shares)
    ratio = np.where(denominator > 0.0, loss / denominator, np.nan)
    error = error_of(sums, squared_influence_of_ratio(sums, loss, labels, shares, denominator, ratio))
    normalized = with_interval("normalized_entropy", ratio, error, reporting.confidence)
    return normalized | with_interval("information_gain", 1.0 - ratio, error, reporting.confidence)


def squared_influence_of_ratio(
    sums: Sums, loss: Array, labels: Array, shares: Array, denominator: Array, ratio: Array
) -> Array:
    """Sum of e^2 of loss / denominator, e = w[(l - L) + ratio * (g - G)] / (W * denominator), g = sum ln share_k y_k.

    With two classes g is linear in y. With more, hard labels make it constant within a class; of soft labels the state
    lacks the products of two classes, and the answer is NaN.
    """
    m = sums.moments
    logs = np.where(shares > 0.0, np.log(shares), 0.0)
    losses = squared_deviation_of_loss(sums, loss)
    if labels.shape[1] == 2:
        of_class = m if sums.scalar else {name: sums.classes[name][:, 1] for name in ("w2y", "w2yy", "w2ly")}
        slope, mean = logs[:, 1] - logs[:, 0], labels[:, 1]
        squares = slope**2 * centred_square(of_class["w2yy"], of_class["w2y"], m["w2"], mean)
        products = slope * (of_class["w2ly"] - loss * of_class["w2y"] - mean * (m["w2l"] - loss * m["w2"]))
    elif sums.soft_labels:
        return np.full(loss.shape, np.nan)
    else:
        away = logs - np.sum(labels * logs, axis=1, keepdims=True)
        squares = np.sum(away**2 * sums.classes["w2y"], axis=1)
        products = np.sum(away * (sums.classes["w2ly"] - loss[:, np.newaxis] * sums.classes["w2y"]), axis=1)
    return square_of_terms(losses, 2.0 * ratio * products, ratio**2 * squares) / (m["w"] * denominator) ** 2


def means(sums: Sums, labels: Array, predictions: Array, reporting: Reporting) -> dict[str, Array]:
    """Mean label, mean prediction and their ratio, of the positive class or of each class."""
    m = sums.moments
    if sums.scalar:
        label, prediction, positives = labels[:, 1], predictions[:, 1], m["wy"]
        ratio = np.where(label > 0.0, prediction / label, np.nan)
        # p - C y = (p - y) - (C - 1) y, and of a scalar forecast (p - y)^2 is Brier.
        squares = centred_square(m["w2b"], m["w2uy"], m["w2yy"], ratio - 1.0)
        error = error_of(sums, squares / positives**2)
    else:
        c = sums.classes
        label, prediction = labels, predictions
        ratio = np.where(label > 0.0, prediction / label, np.nan)
        squares = centred_square(c["w2pp"], c["w2py"], c["w2yy"], ratio)
        error = standard_error(squares / c["wy"] ** 2, m["n"][:, np.newaxis])
    interval = with_interval("calibration_ratio", ratio, error, reporting.confidence)
    return {"label_mean": label, "prediction_mean": prediction} | interval


def share_of_loss(name: str, part: Mapping[str, Array], loss: Array) -> dict[str, Array]:
    """Rows, weight and share of the loss of a part of the rows; the share is 0 where they have no loss."""
    share = np.where(part["wl"] == 0.0, 0.0, part["wl"] / loss)
    return {name: part["n"], f"{name}_weight": part["w"], f"{name}_loss_share": share}


def error_of(sums: Sums, squares: Array) -> Array:
    """The standard error of an estimate whose squared influences sum to `squares`; NaN where that is infinite."""
    return np.where(np.isfinite(squares), standard_error(squares, sums.moments["n"]), np.nan)
