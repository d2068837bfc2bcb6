"""Is an estimate beyond what is allowed? Intervals, and p-values against a range of values. NumPy only."""

import numpy as np

from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.distributions import (
    normal_p_value,
    normal_quantile,
    student_p_value,
    student_quantile,
)


def upper_tail(t: Array, df: Array) -> Array:
    """The probability that a statistic is larger: of Student's t, or with infinitely many degrees of freedom normal.

    Parameters
    ----------
    t : array of shape (n,), any float
    df : array of shape (n,), degrees of freedom, or infinity

    Returns
    -------
    array of shape (n,), in [0, 1]; NaN where `t` is, or where there is no degree of freedom

    Examples
    --------
    >>> upper_tail(np.array([1.959964, -1.959964, 2.0]), np.array([np.inf, np.inf, 9.0])).round(6).tolist()
    [0.025, 0.975, 0.038276]
    """
    normal, both = np.isposinf(df), np.empty_like(t)
    both[normal] = normal_p_value(t[normal])
    both[~normal] = student_p_value(t[~normal], df[~normal])
    return np.where(t > 0.0, both / 2.0, 1.0 - both / 2.0)


def quantiles(confidence: float, df: Array) -> Array:
    """How many standard errors a two-sided interval reaches, (n,); normal where `df` is infinite."""
    normal, found = np.isposinf(df), np.full(np.shape(df), normal_quantile(confidence))
    found[~normal] = student_quantile(confidence, df[~normal])
    return found


def p_value_beyond(estimate: Array, error: Array, df: Array, low: float, high: float) -> Array:
    """The largest probability, over all true values in [low, high], of an estimate at least as far beyond this range.

    It is that of the nearer end: with d the distance from it in standard errors, negative inside the range, and r the
    range in standard errors, P(T > d) + P(T > d + r). The second term is the chance to be as far beyond the other end;
    it is 0 if that is infinite, and for a range of one value the sum is the two-sided p-value.

    Parameters
    ----------
    estimate, error, df : arrays of shape (n,)
        Degrees of freedom of Student's t, or infinity. An error of 0 means that the estimate is certain.
    low, high : float, of which one may be infinite

    Returns
    -------
    array of shape (n,), in [0, 1]; NaN where the error is

    Examples
    --------
    >>> p = p_value_beyond(np.array([1.0, 1.2]), np.full(2, 0.1), np.full(2, np.inf), -np.inf, 1.0)
    >>> p.round(4).tolist()
    [0.5, 0.0228]
    """
    with np.errstate(all="ignore"):
        away = distance_beyond(estimate, low, high)
        d, r = away / error, (high - low) / error
        p = np.minimum(upper_tail(d, df) + upper_tail(d + r, df), 1.0)
    certain = (error == 0.0) | np.isinf(estimate)
    return np.where(certain, np.where(away > 0.0, 0.0, 1.0), p)


def distance_beyond(estimate: Array, low: float, high: float) -> Array:
    """How far estimates are beyond [low, high]; negative inside, 0 at an end."""
    return np.maximum(estimate - high, low - estimate)
