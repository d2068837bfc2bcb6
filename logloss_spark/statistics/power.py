"""What a sample can find: the smallest difference that it detects, and the rows that a difference needs. NumPy only."""

import math

import numpy as np

from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.intervals import errors_reached, quantile_of
from logloss_spark.statistics.reporting import Coverage

POWER = 0.8
"""The customary power: a true difference of the detectable size is found in four of five samples."""


def detectable(
    error: Array, coverage: Coverage, n_eff: Array, buckets: Array | None = None, power: float = POWER
) -> Array:
    """The smallest true difference whose interval excludes 0 with a probability of `power`.

    It is the sum of two quantiles in standard errors: that of the interval, and that below which `power` of all samples
    lie. Both are normal, or Student's t if there are clusters.

    Parameters
    ----------
    error : array of shape (n,), the standard error of each difference
    coverage : what the intervals aim at
    n_eff : array of shape (n,), the effective number of rows, which any-time intervals depend on
    buckets : array of shape (n,), how many buckets of clusters hold rows; None where rows are independent
    power : float in (0.5, 1)

    Returns
    -------
    array of shape (n,), at least 0; NaN where the standard error is

    Examples
    --------
    >>> detectable(np.array([0.01]), Coverage(), np.array([500.0])).round(6).tolist()
    [0.028016]

    References
    ----------
    Bloom, Minimum detectable effects: a simple way to report the statistical power of experimental designs, Evaluation
    Review 19 (1995).
    """
    reach, beyond = errors_reached(coverage, n_eff, buckets), quantile_of(2.0 * power - 1.0, buckets)
    with np.errstate(all="ignore"):
        return np.asarray((reach + beyond) * error)


def rows_for(difference: float, smallest: float, rows: float) -> int:
    """The number of rows for which a difference is the smallest detectable one.

    Standard errors fall as the root of the number of rows, so that `rows` rows which detect `smallest` tell how many
    detect `difference`. The result is at least 2, because one row has no standard error.

    Examples
    --------
    >>> rows_for(0.005, 0.02, 1000)
    16000
    """
    return max(math.ceil(rows * (smallest / difference) ** 2), 2)
