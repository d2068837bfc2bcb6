"""Intervals that hold at every look: asymptotic confidence sequences for windows that grow and are looked at every day.

The half width is se sqrt(2 (n r + 1) / (n r) ln(sqrt(n r + 1) / alpha)), r being the square of rho, of Waudby-Smith,
Arbour, Sinha, Kennedy & Ramdas, Time-uniform central limit theory and asymptotic confidence sequences (Annals of
Statistics 2024, arXiv 2103.06476), theorem 2.2. With a probability of at least 1 - alpha no look ever misses, once n is
large. `rho` must be the same at every look, so it follows from alpha alone. NumPy only.
"""

import math

import numpy as np

from logloss_spark.kernels.sums import Array

TIGHTEST = 1_000
"""Rows at which intervals are as narrow as they can be: at 95 % they are 1.55 times as wide as fixed ones, at a million
rows 1.98 times. Tuned for fewer rows they would gain little, and tuned for more they would be wide at first."""


def squared_rho(alpha: float, rows: float = TIGHTEST) -> float:
    """The square of rho with which the interval of this many rows is narrowest.

    With u = n r + 1 the width has its minimum where u - ln u = 1 - 2 ln alpha, which is Lambert's W of the paper's
    section 2.4. The left side is convex, so Newton's steps from above reach u without passing it.

    Examples
    --------
    >>> round(1000 * squared_rho(0.05), 4)
    8.212
    """
    target = 1.0 - 2.0 * math.log(alpha)
    u, step = 2.0 * target, math.inf
    while step > 1e-14 * u:
        step = (u - math.log(u) - target) / (1.0 - 1.0 / u)
        u -= step
    return (u - 1.0) / rows


def any_time_quantile(confidence: float, rows: Array) -> Array:
    """The number of standard errors that the interval of each number of rows reaches; NaN for no rows.

    With weights `rows` are effective rows, (sum of weights)^2 / sum of squared weights.

    Examples
    --------
    >>> any_time_quantile(0.95, np.array([100.0, 1e3, 1e6])).round(3)
    array([3.823, 3.035, 3.874])
    """
    alpha = 1.0 - confidence
    with np.errstate(all="ignore"):
        time = rows * squared_rho(alpha)
        return np.asarray(np.sqrt((1.0 + 1.0 / time) * (np.log1p(time) - 2.0 * math.log(alpha))))


def any_time_p_value(z: Array, rows: Array, confidence: float) -> Array:
    """The smallest alpha whose interval, with the rho of this confidence, does not hold 0, `z` errors away; at most 1.

    It is at most 1 - confidence exactly where the interval of this confidence does not hold 0.

    Examples
    --------
    >>> n = np.array([500.0])
    >>> any_time_p_value(any_time_quantile(0.95, n), n, 0.95).round(6)
    array([0.05])
    """
    with np.errstate(all="ignore"):
        time = rows * squared_rho(1.0 - confidence)
        logarithm = 0.5 * np.log1p(time) - 0.5 * z * z * time / (1.0 + time)
        return np.asarray(np.exp(np.minimum(logarithm, 0.0)))
