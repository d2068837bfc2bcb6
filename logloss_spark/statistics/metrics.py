"""The metrics of an evaluation, computed from the sums of a state and nothing else. NumPy only.

To add a metric, return it from `metrics_of` and add its entry to `statistics.catalogue`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.cross_entropy import binary_entropy
from logloss_spark.kernels.divergence import binary_kl, kl
from logloss_spark.kernels.grid import HALF, coarse_bin_of_thin
from logloss_spark.kernels.sums import Array, compensated_sum, ratio_of_sums
from logloss_spark.statistics.calibration import (
    Cells,
    ClassCells,
    Scores,
    adaptive_calibration_error,
    binned_decomposition,
    calibration_errors,
    corp_decomposition,
    corp_of_rows,
    cox,
    cross_entropies,
    expectation_tests,
    grouped,
    pooled,
    quadratic_scores,
    variance,
)
from logloss_spark.statistics.catalogue import METRICS, complete
from logloss_spark.statistics.intervals import (
    bootstrap_error,
    centred_square,
    difference_of_sums,
    errors_reached,
    few,
    square_of_terms,
    standard_error,
    true_weight,
    with_interval,
)
from logloss_spark.statistics.ranking import (
    ONE_VS_REST,
    area_under_curve,
    one_vs_rest,
    ranking,
    ranking_of_rows,
    squared_influence_of_auc,
)
from logloss_spark.statistics.reporting import Reading

LN2 = float(np.log(2.0))


@dataclass(frozen=True)
class Sums:
    """The sums of n slices, as arrays by their names in `states.schema`. A sum that a slice does not have is 0.

    A sum that a state keeps in two columns is the nearest double here, and `<name>_low` is the rest.

    Attributes
    ----------
    moments, clipped, zero : arrays of shape (n,)
    classes : arrays of shape (n, K); binary forecasts have the counts only
    ranks : arrays of shape (n, 5)
    buckets, bucket_classes : arrays of shape (n, 64, thin bins) and (n, 64, K); (n, 0, ...) without clusters
    thin : the indices of the thin bins of `buckets`
    ranked, pooled : the scores of the rows, if ranking and CORP are computed from them; None if from the cells
    """

    moments: Mapping[str, Array]
    classes: Mapping[str, Array]
    cells: Cells
    ranks: Mapping[str, Array]
    class_cells: ClassCells
    clipped: Mapping[str, Array]
    zero: Mapping[str, Array]
    buckets: Mapping[str, Array]
    bucket_classes: Mapping[str, Array]
    thin: npt.NDArray[np.int64]
    scalar: bool
    soft_labels: bool
    clustered: bool
    shift: float
    cap: float
    least_loss: float = 0.0
    weight_exponent: int = 0
    ranked: Scores | None = None
    pooled: Scores | None = None

    def by_bucket(self, name: str) -> Array:
        """A sum by bucket of clusters, (n, 64)."""
        return np.asarray(self.buckets[name].sum(axis=2))

    @property
    def filled_buckets(self) -> Array:
        """How many buckets hold rows."""
        return np.asarray(np.count_nonzero(self.by_bucket("w"), axis=1), dtype=np.float64)

    @property
    def n_eff(self) -> Array:
        """The effective number of rows."""
        return np.asarray(self.moments["w"] ** 2 / self.moments["w2"])


def metrics_of(sums: Sums, reading: Reading) -> dict[str, Array]:
    """Every column of `METRICS` for n slices; NaN where a metric is not defined.

    Returns
    -------
    dict of arrays of shape (n,), or (n, K) and (n, 5) for metrics that are lists per class and per k

    Raises
    ------
    AssertionError
        The catalogue lacks a metric that is computed here, or has one that is not.
    """
    m = sums.moments
    with np.errstate(all="ignore"):
        loss, brier_score = mean_of(m, m, "wl"), mean_of(m, m, "wb")
        labels, predictions = class_means(sums)
        minority, n_eff = sums.classes["n"].min(axis=1), sums.n_eff
        found = {
            "weight": true_weight(m["w"], sums.weight_exponent),
            "n_eff": n_eff,
            "minority": minority,
            "few": few(minority, m["n"], n_eff, sums.filled_buckets if sums.clustered else None),
            "buckets": sums.filled_buckets,
            "log_loss_bits": loss / LN2,
            "perplexity": np.exp(loss),
            "label_entropy": entropy_against(labels, labels),
            "prediction_entropy": m["wh"] / m["w"],
            "overconfidence": (m["wl"] - m["wh"]) / m["w"],
            "kl_marginal": binary_kl(labels[:, 1], predictions[:, 1]) if sums.scalar else kl(labels, predictions),
            **loss_metrics(sums, loss, reading),
            **brier_metrics(sums, brier_score, reading),
            **relative_to_baseline(sums, loss, labels, reading),
            **mean_metrics(sums, labels, predictions, reading),
            **calibration_metrics(sums, reading),
            **decompositions(sums, loss, brier_score, reading),
            **ranking_metrics(sums, reading),
            **accuracies(sums),
            **share_of_loss("clipped", sums.clipped, sums),
            **share_of_loss("zero", sums.zero, sums),
        }
    return complete(found, METRICS, scalar=sums.scalar, n=len(loss))


def class_means(sums: Sums) -> tuple[Array, Array]:
    """Mean label and mean prediction of each class, (n, K)."""
    if sums.scalar:
        labels, predictions = (mean_of(sums.moments, sums.moments, name) for name in ("wy", "wp"))
        return np.stack([1.0 - labels, labels], axis=1), np.stack([1.0 - predictions, predictions], axis=1)
    weight = {name: sums.moments[name][:, np.newaxis] for name in ("w", "w_low")}
    return mean_of(sums.classes, weight, "wy"), mean_of(sums.classes, weight, "wp")


def mean_of(sums: Mapping[str, Array], weight: Mapping[str, Array], name: str) -> Array:
    """The mean of a sum that is kept in two columns, rounded once."""
    return ratio_of_sums(sums[name], sums[f"{name}_low"], weight["w"], weight["w_low"])


def entropy_against(labels: Array, shares: Array) -> Array:
    """-sum over classes of labels * ln shares, 0 ln 0 = 0: the loss of forecasting the shares to everyone."""
    terms = np.where(labels == 0.0, 0.0, -labels * np.log(shares))
    return compensated_sum(terms)


def estimated(
    sums: Sums, reading: Reading, name: str, estimate: Array, squares: Array, of_bucket: Array
) -> dict[str, Array]:
    """An estimate with its error and interval.

    Parameters
    ----------
    estimate : (n,) or (n, K)
    squares : the same shape, the sum of the squared influences of its rows
    of_bucket : (n, 64) or (n, 64, K), the sum of the influences of each bucket; used if there are clusters
    """
    units = (sums.filled_buckets if sums.clustered else sums.moments["n"]).reshape(-1, *[1] * (estimate.ndim - 1))
    squares = np.sum(of_bucket**2, axis=1) if sums.clustered else squares
    n_eff = sums.n_eff.reshape(units.shape)
    quantile = errors_reached(reading, n_eff, units if sums.clustered else None)
    return with_interval(name, estimate, standard_error(squares, units), quantile)


def loss_metrics(sums: Sums, loss: Array, reading: Reading) -> dict[str, Array]:
    """The mean loss with its interval. The lower end is not below the least loss that there can be."""
    weight = sums.moments["w"]
    squares = squared_deviation_of_loss(sums, loss) / weight**2
    interval = estimated(sums, reading, "log_loss", loss, squares, excess_by_bucket(sums, "wl", loss))
    return interval | {"log_loss_low": np.maximum(interval["log_loss_low"], sums.least_loss)}


def excess_by_bucket(sums: Sums, name: str, mean: Array) -> Array:
    """The influences on a mean, summed by bucket: (sum of w x - mean * sum of w) / W."""
    expected = mean[:, np.newaxis] * sums.by_bucket("w")
    return difference_of_sums(sums.by_bucket(name), expected) / sums.moments["w"][:, np.newaxis]


def squared_deviation_of_loss(sums: Sums, loss: Array) -> Array:
    """Sum of w^2 (l - L)^2.

    Squares about 0 keep the digits of small losses; squares about ln K keep them for forecasts near the class shares.
    """
    m = sums.moments
    about_zero = m["w2ll"], m["w2l"], loss
    about_chance = m["w2dd"], m["w2d"], loss - sums.shift
    near_chance = m["w2dd"] < m["w2ll"]
    square, product, mean = (np.where(near_chance, *pair) for pair in zip(about_chance, about_zero, strict=True))
    return centred_square(square, product, m["w2"], mean)


def brier_metrics(sums: Sums, mean: Array, reading: Reading) -> dict[str, Array]:
    """The mean Brier score with its interval."""
    m = sums.moments
    squares = centred_square(m["w2bb"], m["w2b"], m["w2"], mean) / m["w"] ** 2
    return estimated(sums, reading, "brier", mean, squares, excess_by_bucket(sums, "wb", mean))


def relative_to_baseline(sums: Sums, loss: Array, labels: Array, reading: Reading) -> dict[str, Array]:
    """normalized_entropy and information_gain, over the slice's own class shares or the given ones.

    Normalized entropy is that of He et al. 2014 (Practical lessons from predicting clicks on ads at Facebook).
    """
    given = reading.shares(labels.shape[1])
    shares = labels if given is None else np.broadcast_to(np.array(given), labels.shape)
    denominator = entropy_against(labels, shares)
    ratio = np.where(denominator > 0.0, loss / denominator, np.nan)
    squares = squared_influence_of_ratio(sums, loss, labels, shares, denominator, ratio)
    of_bucket = influence_of_ratio_by_bucket(sums, loss, labels, shares, denominator, ratio)
    return {
        name: value
        for metric, estimate in (("normalized_entropy", ratio), ("information_gain", 1.0 - ratio))
        for name, value in estimated(sums, reading, metric, estimate, squares, of_bucket).items()
    }


def influence_of_ratio_by_bucket(
    sums: Sums, loss: Array, labels: Array, shares: Array, denominator: Array, ratio: Array
) -> Array:
    """The influences on loss / denominator, summed by bucket."""
    logs = np.where(shares > 0.0, np.log(shares), 0.0)
    if sums.scalar:
        positives = sums.by_bucket("wy") - labels[:, 1:] * sums.by_bucket("w")
        of_labels = (logs[:, 1:] - logs[:, :1]) * positives
    else:
        excess = sums.bucket_classes["wy"] - labels[:, np.newaxis, :] * sums.by_bucket("w")[:, :, np.newaxis]
        of_labels = np.einsum("nbk,nk->nb", excess, logs)
    of_loss = excess_by_bucket(sums, "wl", loss)
    weight = sums.moments["w"][:, np.newaxis]
    return (of_loss + ratio[:, np.newaxis] * of_labels / weight) / denominator[:, np.newaxis]


def squared_influence_of_ratio(
    sums: Sums, loss: Array, labels: Array, shares: Array, denominator: Array, ratio: Array
) -> Array:
    """Sum of e^2 of loss / denominator, e = w[(l - L) + ratio * (g - G)] / (W * denominator), g = sum ln share_k y_k.

    With two classes g is linear in y. With more, hard labels make g constant within a class. For soft labels a state
    has no products of two classes, and the result is NaN.
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


def mean_metrics(sums: Sums, labels: Array, predictions: Array, reading: Reading) -> dict[str, Array]:
    """Mean label, mean prediction and their ratio, of the positive class or of each class."""
    m = sums.moments
    if sums.scalar:
        label, prediction, positives = labels[:, 1], predictions[:, 1], m["wy"]
        ratio = np.where(label > 0.0, prediction / label, np.nan)
        # p - C y = (p - y) - (C - 1) y, and of a scalar forecast (p - y)^2 is Brier.
        squares = centred_square(m["w2b"], m["w2uy"], m["w2yy"], ratio - 1.0)
    else:
        c = sums.classes
        label, prediction, positives = labels, predictions, c["wy"]
        ratio = np.where(label > 0.0, prediction / label, np.nan)
        squares = centred_square(c["w2pp"], c["w2py"], c["w2yy"], ratio)
    of_bucket = influence_of_calibration_by_bucket(sums, ratio)
    interval = estimated(sums, reading, "calibration_ratio", ratio, squares / positives**2, of_bucket)
    return {"label_mean": label, "prediction_mean": prediction} | interval


def influence_of_calibration_by_bucket(sums: Sums, ratio: Array) -> Array:
    """The influences on mean prediction / mean label, summed by bucket: of the positive class or of each class."""
    if sums.scalar:
        away = difference_of_sums(sums.by_bucket("wp"), ratio[:, np.newaxis] * sums.by_bucket("wy"))
        return away / sums.moments["wy"][:, np.newaxis]
    buckets = sums.bucket_classes
    away = difference_of_sums(buckets["wp"], ratio[:, np.newaxis, :] * buckets["wy"])
    return away / sums.classes["wy"][:, np.newaxis]


def calibration_metrics(sums: Sums, reading: Reading) -> dict[str, Array]:
    """Calibration errors over equal-width bins and bins of equal weight; for K classes of the top class."""
    errors = calibration_errors(sums.cells.equal_width(reading.ece_bins))
    estimate = ece_of_buckets(sums, reading)
    error = np.full(len(errors["ece"]), np.nan) if estimate is None else bootstrapped(sums, estimate, OF_ECE)
    interval = with_interval("ece", errors["ece"], error, errors_reached(reading, sums.n_eff, sums.filled_buckets))
    return (
        errors
        | interval
        | {
            "ece_low": np.maximum(interval["ece_low"], 0.0),
            "ece_adaptive": adaptive_calibration_error(sums.cells, reading.ece_bins),
        }
    )


OF_ECE = ("w", "wy", "wp")
"""The sums that `ece_of_buckets` takes, in this order."""

OF_AUC = ("w", "wy")
"""Those that `auc_of_buckets` takes."""


def ece_of_buckets(sums: Sums, reading: Reading) -> Callable[[Array], Array] | None:
    """The ece of replicates of buckets, (m, thin bins, 3) -> (m,); None where thin bins do not make up its bins."""
    coarse = coarse_bin_of_thin(reading.ece_bins)
    if coarse is None:
        return None
    bins = coarse[sums.thin]

    def ece(replicates: Array) -> Array:
        weight, labels, predictions = (grouped(replicates[..., i], bins) for i in range(len(OF_ECE)))
        return np.asarray(np.abs(labels - predictions).sum(axis=1) / weight.sum(axis=1))

    return ece


def auc_of_buckets(replicates: Array) -> Array:
    """The auc of replicates of buckets, (m, thin bins, 2) -> (m,)."""
    return area_under_curve(replicates[..., 1], replicates[..., 0] - replicates[..., 1])


def bootstrapped(sums: Sums, estimate: Callable[[Array], Array], names: Sequence[str]) -> Array:
    """The bootstrap's standard error of an estimate from these sums, (m, thin bins, names), by buckets of clusters."""
    if not sums.clustered:
        return np.full(len(sums.moments["w"]), np.nan)
    return np.array([bootstrap_error(estimate, of_slice) for of_slice in together_by_bucket(sums, names)])


def together_by_bucket(sums: Sums, names: Sequence[str]) -> Array:
    """These sums by bucket of clusters and thin bin, (n, 64, thin bins, names)."""
    return np.stack([sums.buckets[name] for name in names], axis=3)


def decompositions(sums: Sums, loss: Array, brier_score: Array, reading: Reading) -> dict[str, Array]:
    """The decompositions of log loss and Brier score, and the other metrics that only binary forecasts have."""
    if not sums.scalar:
        return {}
    cells = sums.cells
    bins, finest = cells.equal_width(reading.ece_bins), sums.pooled or cells
    pooled_labels = pooled(finest.weight, finest.labels)
    found: dict[str, Array] = {}
    for name, mean, uncertainty, scores in (
        ("log_loss", loss, binary_entropy, partial(cross_entropies, cap=sums.cap)),
        ("brier", brier_score, variance, quadratic_scores),
    ):
        parts = binned_decomposition(bins, scores(bins), uncertainty, mean)
        if sums.pooled:
            parts |= corp_of_rows(sums.pooled, uncertainty, pooled_labels, mean)
        else:
            parts |= corp_decomposition(cells, scores(cells), uncertainty, pooled_labels, mean)
        found |= {f"{name}_{part}": value for part, value in parts.items()}
    return found | expectation_tests(sums.moments) | cox(cells, sums.cap)


def ranking_metrics(sums: Sums, reading: Reading) -> dict[str, Array]:
    """How well binary forecasts rank, with the error of the AUC; for K classes the AUC of each against the rest."""
    undefined = np.full(len(sums.moments["w"]), np.nan)
    if not sums.scalar:
        few_classes = sums.class_cells.weight.shape[1] > 0
        found = one_vs_rest(sums.class_cells) if few_classes else dict.fromkeys(ONE_VS_REST, undefined)
        return found | with_interval("auc", found["auc"], undefined, undefined)
    found = ranking_of_rows(sums.ranked) if sums.ranked else ranking(sums.cells)
    if sums.clustered:
        error = bootstrapped(sums, auc_of_buckets, OF_AUC)
        quantile = errors_reached(reading, sums.n_eff, sums.filled_buckets)
    else:
        squares = np.nan if sums.soft_labels else squared_influence_of_auc(sums.ranked or sums.cells, found["auc"])
        error = standard_error(np.asarray(squares), sums.moments["n"])
        quantile = errors_reached(reading, sums.n_eff, None)
    interval = with_interval("auc", found["auc"], error, quantile)
    low, high = np.maximum(interval["auc_low"], 0.0), np.minimum(interval["auc_high"], 1.0)
    return found | interval | {"auc_low": low, "auc_high": high}


def accuracies(sums: Sums) -> dict[str, Array]:
    """The share of rows whose likeliest class happened, and for K classes of those whose class is in the first k."""
    cells, total = sums.cells, sums.moments["w"]
    if sums.scalar:
        right = np.where(cells.bins >= HALF, cells.labels, cells.weight - cells.labels)
        return {"accuracy": right.sum(axis=1) / total}
    among = np.cumsum(sums.ranks["w"], axis=1) / total[:, np.newaxis]
    return {
        "accuracy": cells.labels.sum(axis=1) / total,
        "top_k_accuracy": np.full_like(among, np.nan) if sums.soft_labels else among,
    }


def share_of_loss(name: str, part: Mapping[str, Array], sums: Sums) -> dict[str, Array]:
    """Rows, weight and share of the loss of a part of the rows; the share is 0 where they have no loss."""
    share = np.where(part["wl"] == 0.0, 0.0, part["wl"] / sums.moments["wl"])
    return {
        name: part["n"],
        f"{name}_weight": true_weight(part["w"], sums.weight_exponent),
        f"{name}_loss_share": share,
    }
