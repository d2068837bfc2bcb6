"""Tails of the normal, Student's t, F and chi-square distributions, and quantiles of the first two. NumPy only."""

import math
from statistics import NormalDist

import numpy as np

from logloss_spark.kernels.sums import Array

_STEPS = 300
"""Terms of the continued fraction: 60 suffice for up to 1,000 degrees of freedom, and all beyond converge faster."""

_TINY = 1e-300


def normal_quantile(confidence: float) -> float:
    """The normal quantile of a two-sided interval.

    Examples
    --------
    >>> round(normal_quantile(0.95), 6)
    1.959964
    """
    return NormalDist().inv_cdf(0.5 + confidence / 2.0)


def normal_p_value(z: Array) -> Array:
    """The two-sided p-value of a standard normal statistic: erfc(|z| / sqrt 2), whose tail keeps its digits.

    Parameters
    ----------
    z : array of any shape, any float

    Returns
    -------
    array of the same shape, in [0, 1]; NaN where `z` is

    Examples
    --------
    >>> normal_p_value(np.array([0.0, 1.959964, -40.0])).round(6).tolist()
    [1.0, 0.05, 0.0]
    """
    z = np.asarray(z, dtype=np.float64)
    return np.array([math.erfc(abs(value) / math.sqrt(2.0)) for value in z.ravel().tolist()]).reshape(z.shape)


def student_p_value(t: Array, df: Array) -> Array:
    """The two-sided p-value of a statistic that follows Student's t: I_x(df/2, 1/2) at x = df / (df + t^2).

    Parameters
    ----------
    t : array, any float
    df : array that broadcasts with `t`, degrees of freedom, > 0

    Returns
    -------
    array of the broadcast shape, in [0, 1]; NaN where `t` is, or where there is no degree of freedom

    Examples
    --------
    >>> student_p_value(np.array([0.0, 2.0, -12.7062047]), np.array([9.0, 9.0, 1.0])).round(6).tolist()
    [1.0, 0.076553, 0.05]

    References
    ----------
    Abramowitz, Stegun, Handbook of Mathematical Functions (1964), 26.5.27 and 26.7.1.
    """
    t = np.asarray(t, dtype=np.float64)
    return f_p_value(t * t, np.ones_like(t), df)


def f_p_value(f: Array, df: Array, df_of_denominator: Array) -> Array:
    """The probability that a variable that follows the F distribution is larger: I_x(d2/2, d1/2), x = d2/(d2 + d1 f).

    Parameters
    ----------
    f : array, at least 0
    df, df_of_denominator : arrays that broadcast with `f`, degrees of freedom d1 and d2, > 0, not necessarily whole

    Returns
    -------
    array of the broadcast shape, in [0, 1]; NaN where `f` is, or where there is no degree of freedom

    Examples
    --------
    >>> f_p_value(np.array([0.0, 1.0, 4.0]), np.array(3.0), np.array(20.0)).round(6).tolist()
    [1.0, 0.413252, 0.022077]

    References
    ----------
    Abramowitz, Stegun, Handbook of Mathematical Functions (1964), 26.6.2.
    """
    f, first, second = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (f, df, df_of_denominator)))
    with np.errstate(all="ignore"):
        product = first * f
        near, far = product / (second + product), second / (second + product)
        a, b = second / 2.0, first / 2.0
        # The continued fraction is made for x below the mean of the distribution; beyond, the other tail is taken.
        is_tail = far < (a + 1.0) / (a + b + 2.0)
        ratio = _beta_ratio(
            np.where(is_tail, far, near), np.where(is_tail, near, far), np.where(is_tail, a, b), np.where(is_tail, b, a)
        )
        found = np.where(is_tail, ratio, 1.0 - ratio)
        defined = (first > 0) & (second > 0)
        return np.where(np.isinf(f), 0.0, np.where(defined, np.clip(found, 0.0, 1.0), np.nan))


def chi_square_p_value(x: Array, df: Array) -> Array:
    """The probability that a chi-square of `df` degrees of freedom is larger: Q(df/2, x/2), with the tail's digits.

    Parameters
    ----------
    x : array, at least 0
    df : array that broadcasts with `x`, degrees of freedom, > 0, not necessarily whole

    Returns
    -------
    array of the broadcast shape, in [0, 1]; NaN where `x` is, or where there is no degree of freedom

    Examples
    --------
    >>> chi_square_p_value(np.array([0.0, 3.841459, 30.143527]), np.array([1.0, 1.0, 19.0])).round(6).tolist()
    [1.0, 0.05, 0.05]
    """
    x, df = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(df, dtype=np.float64))
    pairs = zip(x.ravel().tolist(), df.ravel().tolist(), strict=True)
    return np.array([_upper_gamma_ratio(degrees / 2.0, value / 2.0) for value, degrees in pairs]).reshape(x.shape)


def student_quantile(confidence: float, df: Array) -> Array:
    """The quantile of Student's t for a two-sided interval.

    Parameters
    ----------
    confidence : float in (0, 1)
    df : array, degrees of freedom

    Returns
    -------
    array of the shape of `df`; NaN where there is no degree of freedom

    Examples
    --------
    >>> student_quantile(0.95, np.array([1.0, 9.0, 63.0])).round(4).tolist()
    [12.7062, 2.2622, 1.9983]
    """
    distinct, place = np.unique(np.asarray(df, dtype=np.float64), return_inverse=True)
    quantiles = np.full(len(distinct), np.nan)
    quantiles[distinct > 0] = _quantiles(confidence, distinct[distinct > 0])
    return quantiles[place].reshape(np.shape(df))


def _quantiles(confidence: float, df: Array) -> Array:
    # Newton in ln t: the p-value falls as a power of t for few degrees of freedom, so that steps in t would not arrive.
    alpha, t = 1.0 - confidence, np.full(len(df), normal_quantile(confidence))
    log_beta = np.array([math.lgamma((d + 1.0) / 2.0) - math.lgamma(d / 2.0) for d in df.tolist()])
    moving = np.arange(len(df))
    for _ in range(100):
        d, at = df[moving], t[moving]
        p = student_p_value(at, d)
        density = np.exp(log_beta[moving] - (d + 1.0) / 2.0 * np.log1p(at * at / d)) / np.sqrt(d * math.pi)
        step = np.log(p / alpha) * p / (2.0 * density * at)
        t[moving] = at * np.exp(np.clip(step, -2.0, 2.0))
        moving = moving[~(np.abs(step) < 1e-15)]
        if not moving.size:
            break
    return t


def _upper_gamma_ratio(a: float, x: float) -> float:
    """The regularised incomplete gamma function Q(a, x), by its series up to x = a + 1, then by its continued fraction.

    References
    ----------
    Abramowitz, Stegun, Handbook of Mathematical Functions (1964), 6.5.29 and 6.5.31 (in its even form).
    """
    if not (0.0 < a < math.inf and x >= 0.0):
        return math.nan
    if x == 0.0 or x == math.inf:
        return float(x == 0.0)
    density = _gamma_density(a, x)
    if x < a + 1.0:
        term = total = 1.0
        n = 0
        while term > 1e-17 * total:
            n += 1
            term *= x / (a + n)
            total += term
        return 1.0 - density * total
    b = x + 1.0 - a
    c, d = math.inf, 1.0 / b
    fraction = d
    for n in range(1, 100_000):
        step = n * (a - n)
        b += 2.0
        d = 1.0 / (b + step * d)
        c = b + step / c
        factor = c * d
        fraction *= factor
        if abs(factor - 1.0) < 1e-16:
            break
    return density * a * fraction


def _gamma_density(a: float, x: float) -> float:
    """x^a e^-x / Gamma(a + 1), by how far x is from a: the logarithms of its factors would cancel.

    References
    ----------
    Loader, Fast and accurate computation of binomial probabilities (2000).
    """
    away = x - a
    deviance = away - a * (math.log1p(away / a) if abs(away) < a / 2.0 else math.log(x / a))
    return math.exp(-deviance - _error_of_stirling(a)) / math.sqrt(2.0 * math.pi * a)


def _error_of_stirling(a: float) -> float:
    """ln Gamma(a + 1) less Stirling's approximation, (a + 1/2) ln a - a + ln(2 pi)/2."""
    if a < 16.0:
        return math.log(math.gamma(a + 1.0)) - (a + 0.5) * math.log(a) + a - 0.5 * math.log(2.0 * math.pi)
    square = a * a
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / a


def _beta_ratio(x: Array, complement: Array, a: Array, b: Array) -> Array:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method).

    `complement` is 1 - x, which the caller knows to more digits.
    """
    log_beta = np.array(
        [math.lgamma(p) + math.lgamma(q) - math.lgamma(p + q) if p > 0 and q > 0 else math.nan
         for p, q in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)]
    ).reshape(a.shape)  # fmt: skip
    front = np.exp(a * np.log(x) + b * np.log(complement) - log_beta) / a
    c, d = np.ones_like(x), _reciprocal(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = _reciprocal(1.0 + term * d)
            c = 1.0 + term / c
            c = np.where(np.abs(c) < _TINY, _TINY, c)
            factor = c * d
            fraction = fraction * factor
        if np.all(np.isnan(factor) | (np.abs(factor - 1.0) < 1e-15)):
            break
    return np.where(x == 0.0, 0.0, front * fraction)


def _reciprocal(x: Array) -> Array:
    return 1.0 / np.where(np.abs(x) < _TINY, _TINY, x)
