"""What each bucket of clusters adds to the error of a metric, and the error of a metric's change. NumPy only.

A cluster, such as a user, is in the same bucket in every state. Two states that hold the same users have errors that go
up and down together, and the error of a change is computed bucket by bucket: with e_b the influence of bucket b on a
metric, (sum of the influences of its rows), that on the change is e_b,now - e_b,then, and its variance
B/(B-1) sum_b (e_b,now - e_b,then)^2. Metrics without a formula for their error are bootstrapped with the same copies of
buckets in both states, and the deviations of their replicates take the place of influences.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.intervals import REPLICATES, bootstrap_influence, standard_error
from logloss_spark.statistics.metrics import (
    OF_AUC,
    OF_ECE,
    Sums,
    auc_of_buckets,
    class_means,
    ece_of_buckets,
    entropy_against,
    excess_by_bucket,
    influence_of_calibration_by_bucket,
    influence_of_ratio_by_bucket,
    mean_of,
    together_by_bucket,
)
from logloss_spark.statistics.reporting import Reading


def influences_of(sums: Sums, reading: Reading, names: Collection[str]) -> dict[str, Array]:
    """The influences of buckets on these metrics; the root of B/(B-1) times their sum of squares is the error.

    Parameters
    ----------
    sums : Sums
        Those of n slices, with buckets of clusters.
    names : collection of str
        Keys of `INFLUENCES`.

    Returns
    -------
    dict of arrays of shape (n, 64), or (n, 400) for metrics that are bootstrapped; NaN where a metric is not defined
    """
    with np.errstate(all="ignore"):
        return {name: INFLUENCES[name](sums, reading) for name in names}


def of_loss(sums: Sums, _: Reading) -> Array:
    """Those on the mean loss."""
    return excess_by_bucket(sums, "wl", mean_of(sums.moments, sums.moments, "wl"))


def of_brier(sums: Sums, _: Reading) -> Array:
    """Those on the mean Brier score."""
    return excess_by_bucket(sums, "wb", mean_of(sums.moments, sums.moments, "wb"))


def of_normalized_entropy(sums: Sums, reading: Reading) -> Array:
    """Those on the log loss over that of the baseline."""
    loss, (labels, _) = mean_of(sums.moments, sums.moments, "wl"), class_means(sums)
    given = reading.shares(labels.shape[1])
    shares = labels if given is None else np.broadcast_to(np.array(given), labels.shape)
    denominator = entropy_against(labels, shares)
    return influence_of_ratio_by_bucket(sums, loss, labels, shares, denominator, loss / denominator)


def of_information_gain(sums: Sums, reading: Reading) -> Array:
    """Those on 1 - normalized_entropy."""
    return -of_normalized_entropy(sums, reading)


def of_calibration_ratio(sums: Sums, _: Reading) -> Array:
    """Those on mean prediction / mean label; for K classes NaN, since they have a ratio for each."""
    if not sums.scalar:
        return np.full((len(sums.moments["w"]), 1), np.nan)
    labels, predictions = class_means(sums)
    return influence_of_calibration_by_bucket(sums, predictions[:, 1] / labels[:, 1])


def of_ece(sums: Sums, reading: Reading) -> Array:
    """The deviations of the replicates of ece."""
    estimate = ece_of_buckets(sums, reading)
    if estimate is None:
        return np.full((len(sums.moments["w"]), REPLICATES), np.nan)
    return np.array([bootstrap_influence(estimate, of_slice) for of_slice in together_by_bucket(sums, OF_ECE)])


def of_auc(sums: Sums, _: Reading) -> Array:
    """The deviations of the replicates of auc; for K classes NaN, since their auc has no error."""
    if not sums.scalar:
        return np.full((len(sums.moments["w"]), REPLICATES), np.nan)
    return np.array([bootstrap_influence(auc_of_buckets, of_slice) for of_slice in together_by_bucket(sums, OF_AUC)])


INFLUENCES: Mapping[str, Callable[[Sums, Reading], Array]] = {
    "log_loss": of_loss,
    "normalized_entropy": of_normalized_entropy,
    "information_gain": of_information_gain,
    "calibration_ratio": of_calibration_ratio,
    "brier": of_brier,
    "ece": of_ece,
    "auc": of_auc,
}
"""Every metric that has an interval with clusters, with its influences by bucket."""


def error_of_difference(now: Array, then: Array, ratio: Array) -> Array:
    """The standard error of a metric now - ratio * then, of states with independent rows, from both errors; (n,)."""
    with np.errstate(all="ignore"):
        return np.asarray(np.hypot(now, ratio * then))


def paired_error_of_difference(now: Array, then: Array, filled: Array, ratio: Array) -> Array:
    """The standard error of a metric now - ratio * then, of states that may hold the same clusters.

    Parameters
    ----------
    now, then : arrays of shape (n, m), the influences of each state, from `influences_of`
    filled : array of shape (n,), how many buckets hold rows of either state
    ratio : array of shape (n,)

    Returns
    -------
    array of shape (n,)
    """
    with np.errstate(all="ignore"):
        return standard_error(np.sum((now - ratio[:, np.newaxis] * then) ** 2, axis=1), filled)
