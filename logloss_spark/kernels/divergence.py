"""Kullback-Leibler divergence of one row, in nats. It keeps its digits where both distributions nearly agree."""

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.cross_entropy import class_losses_from_logits
from logloss_spark.kernels.sums import Array, compensated_sum, sum_with_error, two_product, two_sum

# The series is used if |b - a| < (a + b) / 5, that is 2/3 < b/a < 3/2; there 12 terms suffice for the last bit.
# Otherwise b - a - a ln(b/a) cancels so little that it stays within 20 ulp.
_SERIES_RADIUS = 0.2
_SERIES_TERMS = 12

# b/a can reach 2**±1074, where it overflows or loses bits as a subnormal. Beyond this ratio, ln b - ln a is used: there
# nothing cancels.
_FAR_RATIO = 2.0**1000

# Rows are scaled until their largest entry has this binary exponent. Products are then split into a double and its
# rounding error: the errors of a share of 5e-324 do not underflow, and the largest entry's square does not overflow.
_TOP_EXPONENT = 256

Indices = tuple[npt.NDArray[np.intp], ...]


def _scaled(q: Array, p: Array) -> tuple[Array, Array]:
    """The rows times powers of two, which is exact and does not change the divergence of normalised rows."""
    q_exponent, p_exponent = (np.frexp(x.max(axis=1, keepdims=True, initial=0.0))[1] for x in (q, p))
    # Rows that nearly agree must get the same factor, even if only one of them reaches the next power of two.
    p_exponent = np.where(np.abs(p_exponent - q_exponent) <= 1, q_exponent, p_exponent)
    return np.ldexp(q, _TOP_EXPONENT - q_exponent), np.ldexp(p, _TOP_EXPONENT - p_exponent)


def _log_ratio(a: Array, b: Array) -> Array:
    """ln(b/a)."""
    ratio = b / a
    within = (ratio > 1.0 / _FAR_RATIO) & (ratio < _FAR_RATIO)
    return np.where(within, np.log(ratio), np.log(b) - np.log(a))


def _bregman(a: Array, b: Array, difference: Array, log_ratio: Array | None = None) -> Array:
    """Bregman divergence of x ln x: a ln(a/b) - a + b, never negative.

    It is a * phi((b - a) / a), where phi(t) = t - log1p(t). With s = (b - a)/(a + b), ln(b/a) = 2 atanh(s), hence
    phi = s * (t - 2 s^2 (1/3 + s^2/5 + s^4/7 + ...)), in which nothing cancels.

    Parameters
    ----------
    a, b : arrays of one shape, not negative
    difference : b - a, which the caller knows to more digits than subtracting `a` from `b` would give
    log_ratio : ln(b/a), if the caller knows it
    """
    s = difference / (a + b)
    return _by_series(a, b, difference, s, _series(s), _far(s), log_ratio)


def _bregmans(a: Array, b: Array, difference: Array) -> tuple[Array, Array]:
    """`_bregman` from a to b and from b to a, which share one series."""
    s = difference / (a + b)
    series, far = _series(s), _far(s)
    return _by_series(a, b, difference, s, series, far), _by_series(b, a, -difference, -s, series, far)


def _series(s: Array) -> Array:
    """2 s^2 (1/3 + s^2/5 + s^4/7 + ...)."""
    s_squared = s * s
    series = np.full_like(s, 1.0 / (2 * _SERIES_TERMS + 1))
    for power in range(_SERIES_TERMS - 2, -1, -1):
        series *= s_squared
        series += 1.0 / (2 * power + 3)
    series *= 2.0 * s_squared
    return series


def _far(s: Array) -> Indices:
    """The indices of the entries for which the series is too short."""
    return np.nonzero(~(np.abs(s) < _SERIES_RADIUS))


def _by_series(
    a: Array, b: Array, difference: Array, s: Array, series: Array, far: Indices, log_ratio: Array | None = None
) -> Array:
    """`_bregman` from its series, or from ln(b/a) where the series is too short."""
    found = a * series
    np.subtract(difference, found, out=found)
    found *= s
    if far[0].size:
        of_far = a[far]
        found[far] = difference[far] - of_far * (_log_ratio(of_far, b[far]) if log_ratio is None else log_ratio[far])
    if not a.all():  # at a = 0 the limit is b, even if b is 0
        found[a == 0.0] = b[a == 0.0]
    return found


def binary_kl(q: Array, p: Array) -> Array:
    """KL(q || p) of two binary distributions, given by the probabilities of the positive class.

    It is q ln(q/p) + (1 - q) ln((1 - q)/(1 - p)), computed as the sum of two terms that are never negative.
    Cross-entropy minus entropy would have no digit left at q/p - 1 = 1e-8.

    Parameters
    ----------
    q : array of shape (n,), in [0, 1], the reference
    p : array of shape (n,), in [0, 1]

    Returns
    -------
    array of shape (n,), nats, in [0, inf]; infinite where `q` is positive and `p` is 0

    Examples
    --------
    >>> binary_kl(np.array([0.5, 0.5, 0.5, 0.0]), np.array([0.5, 0.5 + 1e-9, 1.0, 0.5])).round(22).tolist()
    [0.0, 2e-18, inf, 0.6931471805599453]

    References
    ----------
    Kullback, Leibler, On information and sufficiency, Ann. Math. Statist. 22 (1951). Banerjee et al., Clustering
    with Bregman divergences, JMLR 6 (2005), for the non-negative terms.
    """
    q, p = np.asarray(q, dtype=np.float64), np.asarray(p, dtype=np.float64)
    with np.errstate(all="ignore"):
        difference = p - q
        # (1 - p) - (1 - q) is computed as q - p, so that the rounding of 1 - p and 1 - q does not enter.
        return _bregman(q, p, difference) + _bregman(1.0 - q, 1.0 - p, -difference)


def binary_kl_both_ways(q: Array, p: Array) -> tuple[Array, Array]:
    """KL(q || p) and KL(p || q) of two binary distributions: as `binary_kl` twice, in half the time.

    Parameters
    ----------
    q, p : arrays of shape (n,), in [0, 1]

    Returns
    -------
    two arrays of shape (n,), nats, in [0, inf]

    Examples
    --------
    >>> forth, back = binary_kl_both_ways(np.array([0.5, 0.5]), np.array([0.25, 0.0]))
    >>> forth.round(4).tolist(), back.round(4).tolist()
    ([0.1438, inf], [0.1308, 0.6931])
    """
    q, p = np.asarray(q, dtype=np.float64), np.asarray(p, dtype=np.float64)
    with np.errstate(all="ignore"):
        difference = p - q
        of_one, of_other = _bregmans(q, p, difference), _bregmans(1.0 - q, 1.0 - p, -difference)
        return of_one[0] + of_other[0], of_one[1] + of_other[1]


def kl(q: Array, p: Array) -> Array:
    """KL(q || p) of two distributions over K classes. Both are normalised first, so they may have any sums.

    With Q and P the sums of a row, it is sum_k (q_k/Q) ln(q_k P / (p_k Q)), computed as terms that are never negative.
    They need the differences p_k Q - q_k P, which are computed in twice the working precision: otherwise the rounding
    of Q, P and the products would be as large as the differences.

    Parameters
    ----------
    q : array of shape (n, K), not negative, the reference
    p : array of shape (n, K), not negative

    Returns
    -------
    array of shape (n,), nats, in [0, inf]; infinite where `q` is positive and `p` is 0

    Examples
    --------
    >>> q = np.array([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5], [0.5, 0.5, 0.0]])
    >>> p = np.array([[2.0, 3.0, 5.0], [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])
    >>> kl(q, p).round(4).tolist()
    [0.0, inf, 0.6931]

    References
    ----------
    Kullback, Leibler, On information and sufficiency, Ann. Math. Statist. 22 (1951). Banerjee et al., Clustering
    with Bregman divergences, JMLR 6 (2005), for the non-negative terms.
    """
    with np.errstate(all="ignore"):
        q, p = _scaled(np.asarray(q, dtype=np.float64), np.asarray(p, dtype=np.float64))
        excess, excess_error = two_sum(p, -q)
        q_total, q_total_error = (part[:, np.newaxis] for part in two_sum(*sum_with_error(q)))
        total_excess, total_excess_error = sum_with_error(excess)
        total_excess, total_excess_error = (
            part[:, np.newaxis] for part in two_sum(total_excess, total_excess_error + compensated_sum(excess_error))
        )
        # p_k Q - q_k P is computed as (p_k - q_k) Q - q_k (P - Q): its errors are relative to the excess, not to p_k.
        gained, gained_error = two_product(excess, q_total)
        owed, owed_error = two_product(q, total_excess)
        difference, difference_error = two_sum(gained, -owed)
        # Equal errors cancel exactly only if they are subtracted from each other before anything else is added.
        small = (gained_error - owed_error) + (excess * q_total_error - q * total_excess_error) + excess_error * q_total
        difference = difference + (difference_error + small)
        p_total = compensated_sum(p)[:, np.newaxis]
        q, p = q * p_total, p * q_total
        terms = _bregman(q, p, difference)
        return compensated_sum(terms) / (q_total * p_total)[:, 0]


def kl_from_logits(z: Array, v: Array) -> Array:
    """KL of two distributions given by their logits: `z` are those of the reference.

    It is sum_k of a_k ln(a_k/b_k) - a_k + b_k, where a and b are the softmax of `z` and `v`, computed as terms that are
    never negative. The logarithms come from the logits, so a probability that is too small for a double does not count
    as 0. A ratio is known to the rounding of the surprisals: for logits that are 1e-8 apart, 7 digits of the divergence
    are right.

    Parameters
    ----------
    z, v : arrays of shape (n,), the logit of the positive one of two classes; or (n, K), K at least 1, one per class
        Any float. +inf, once in a row, makes a class certain; -inf makes it impossible.

    Returns
    -------
    array of shape (n,), nats, in [0, inf]; infinite only where a logit is

    Examples
    --------
    >>> kl_from_logits(np.array([0.0, 0.0, 0.0]), np.array([1.0, -800.0, np.inf])).round(4).tolist()
    [0.1201, 399.3069, inf]
    >>> kl_from_logits(np.array([[0.0, 0.0, 0.0]]), np.array([[5.0, 5.0, 5.0]])).tolist()
    [0.0]
    """
    of_q, of_p = class_losses_from_logits(z), class_losses_from_logits(v)
    with np.errstate(all="ignore"):
        q, p, log_ratio = np.exp(-of_q), np.exp(-of_p), of_q - of_p
        difference = np.where(log_ratio < 0.0, q * np.expm1(log_ratio), -p * np.expm1(-log_ratio))
        return compensated_sum(_bregman(q, p, difference, log_ratio))
