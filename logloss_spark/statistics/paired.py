"""Two models on the same rows: the metrics of a challenger, from sums over rows that both models score. NumPy only.

The difference of two mean losses is the mean of d = (challenger's loss - baseline's loss), so that what is easy or
hard for both models cancels row by row. Its error is that of a weighted mean: with e = w (d - D) / W, the square root
of n/(n-1) sum e^2. Where rows depend on each other by clusters it is the root of B/(B-1) times the sum over B buckets
of (sum of e in the bucket)^2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array, ratio_of_sums
from logloss_spark.statistics.any_time import any_time_p_value
from logloss_spark.statistics.catalogue import PAIRED, complete
from logloss_spark.statistics.distributions import normal_p_value, student_p_value
from logloss_spark.statistics.intervals import (
    centred_square,
    difference_of_sums,
    errors_reached,
    ratio,
    standard_error,
    with_interval,
)
from logloss_spark.statistics.power import detectable
from logloss_spark.statistics.reporting import Coverage

MEANS = {"baseline_log_loss": "wa", "challenger_log_loss": "wb"}
SHARES = {"better_share": "w_better", "worse_share": "w_worse", "tie_share": "w_tie", "kl": "wk", "kl_reverse": "wr"}
"""The sums that metrics are means of, by metric; those of `MEANS` are kept in two columns, so that no digit is lost."""


@dataclass(frozen=True)
class BucketSums:
    """Sums over the rows of each bucket of clusters that holds any, one slice after the other.

    `count` is the number of these buckets in each of n slices, (n,). `weight` and `difference` are the sums of w and
    w d of all buckets, (sum of counts,).
    """

    count: npt.NDArray[np.int64]
    weight: Array
    difference: Array


def paired_metrics(sums: Mapping[str, Array], buckets: BucketSums | None, coverage: Coverage) -> dict[str, Array]:
    """Every column of `PAIRED` for n slices and challengers; NaN where a metric is not defined.

    Parameters
    ----------
    sums : arrays of shape (n,) by the names of the columns of a state's pairs, and `n`
    buckets : sums by bucket of clusters, or None where rows are independent
    coverage : what the interval of the difference aims at
    """
    weight = sums["w"] + sums["w_low"]
    n_eff = ratio(weight * weight, sums["w2"])
    with np.errstate(all="ignore"):
        difference = sums["wd"] / weight
        if buckets is None:
            filled, independent = None, sums["n"]
            squares = centred_square(sums["w2dd"], sums["w2d"], sums["w2"], difference)
        else:
            filled = independent = buckets.count.astype(np.float64)
            squares = squares_of_buckets(buckets, difference)
        error = standard_error(squares / weight**2, independent)
        # Without any spread a difference of 0 is certain, and nothing can be said about any other.
        statistic = np.where(error > 0.0, difference / error, np.where(difference == 0.0, error, np.nan))
        computed = {
            "weight": weight,
            **{
                metric: ratio_of_sums(sums[name], sums[f"{name}_low"], sums["w"], sums["w_low"])
                for metric, name in MEANS.items()
            },
            **{metric: sums[name] / weight for metric, name in SHARES.items()},
            **with_interval("difference", difference, error, errors_reached(coverage, n_eff, filled)),
            "detectable": detectable(error, coverage, n_eff, filled),
            "p_value": p_value_of(statistic, coverage, n_eff, filled),
        }
    return complete(computed, PAIRED, scalar=True, n=len(weight))


def p_value_of(statistic: Array, coverage: Coverage, n_eff: Array, buckets: Array | None) -> Array:
    """The two-sided p-value of a difference in standard errors, which goes with the interval of `coverage`."""
    if coverage.intervals == "any_time":
        return any_time_p_value(statistic, n_eff, coverage.confidence)
    return normal_p_value(statistic) if buckets is None else student_p_value(statistic, buckets - 1.0)


def squares_of_buckets(buckets: BucketSums, difference: Array) -> Array:
    """The sum over the buckets of each slice of (sum of w (d - D))^2, (n,)."""
    slices = len(buckets.count)
    slice_of_bucket = np.repeat(np.arange(slices), buckets.count)
    away = difference_of_sums(buckets.difference, buckets.weight * difference[slice_of_bucket])
    return np.bincount(slice_of_bucket, weights=away**2, minlength=slices).astype(np.float64)
