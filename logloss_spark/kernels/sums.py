"""Sums and products that keep the rounding error they make, and the array type that the kernels share."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Veltkamp's constant: it splits a double's 53 bits into two halves whose products are exact.
_SPLITTER = 2.0**27 + 1.0

HEAD = 18
"""The bits of a head: products of two heads have 36, and leave 17 for their sum."""


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Sum of two doubles together with its rounding error.

    `s + error` is exactly `a + b`. Where `s` is infinite or NaN there is no error to speak of and it is 0.

    Parameters
    ----------
    a, b : arrays that broadcast together, any float

    Returns
    -------
    s, error : arrays of the broadcast shape

    Examples
    --------
    >>> s, error = two_sum(np.array([1.0]), np.array([1e-17]))
    >>> s.tolist(), error.tolist()
    ([1.0], [1e-17])

    References
    ----------
    Knuth, The Art of Computer Programming, volume 2, section 4.2.2, theorem B.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(all="ignore"):
        s = a + b
        b_in_s = s - a
        error = (a - (s - b_in_s)) + (b - b_in_s)
        return s, np.where(np.isfinite(error), error, 0.0)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Product of two doubles together with its rounding error.

    `product + error` is exactly `a * b` as long as neither over- nor underflows: factors between 2**-480 and 2**480
    are safe. NumPy has no fused multiply-add, hence the splitting.

    Parameters
    ----------
    a, b : arrays that broadcast together, any float

    Returns
    -------
    product, error : arrays of the broadcast shape

    Examples
    --------
    >>> product, error = two_product(np.array([1.0 + 2.0**-30]), np.array([1.0 + 2.0**-30]))
    >>> product.tolist() == [1.0 + 2.0**-29], error.tolist() == [2.0**-60]
    (True, True)

    References
    ----------
    Dekker, A floating-point technique for extending the available precision, Numerische Mathematik 18 (1971).
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(all="ignore"):
        product = a * b
        a_high = _SPLITTER * a - (_SPLITTER * a - a)
        b_high = _SPLITTER * b - (_SPLITTER * b - b)
        a_low, b_low = a - a_high, b - b_high
        error = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
        return product, np.where(np.isfinite(error), error, 0.0)


def split_at_head(x: Array) -> tuple[Array, Array]:
    """Numbers as a head, of `HEAD` leading bits counted from the largest, and the rest.

    Sums of heads, and of products of two heads, are exact in any order up to 2^17 of them.

    Parameters
    ----------
    x : array of shape (n,), any float; where one is infinite, the head is NaN or infinite, and the rest NaN

    Returns
    -------
    head, rest : arrays of shape (n,); `head + rest` is exactly `x`

    Examples
    --------
    >>> head, rest = split_at_head(np.array([1.0, 2.0**-30]))
    >>> head.tolist(), rest.tolist() == [0.0, 2.0**-30]
    ([1.0, 0.0], True)
    """
    _, exponent = np.frexp(np.max(np.abs(x), initial=0.0))
    grid = np.ldexp(1.5, int(exponent) - HEAD + 52)  # adding and subtracting it rounds to the bits above
    with np.errstate(all="ignore"):
        head = x + grid
        head -= grid
        return head, x - head


def dot(x: Array, y: Array) -> float:
    """The sum of products of two arrays, in this thread: BLAS, behind `x @ y`, would start others for long arrays."""
    return float(np.einsum("i,i", x, y))


def sum_with_error(x: Array, axis: int = -1) -> tuple[Array, Array]:
    """Sum along an axis in twice the working precision, as a double and a correction.

    Vectorised over the rows and looped over the axis: made for many rows of few classes.

    Parameters
    ----------
    x : array of shape (n, K), any float
    axis : the axis that is summed

    Returns
    -------
    total, error : arrays of shape (n,); `total + error` is the sum, `total` the naive one, `error` at most a few ulp.
        Infinities add as they do in IEEE arithmetic: inf + 1 is inf, inf - inf is NaN.

    Examples
    --------
    >>> total, error = sum_with_error(np.array([[1.0, 1e-17, 1e-17]]))
    >>> total.tolist(), error.tolist()
    ([1.0], [2e-17])

    References
    ----------
    Ogita, Rump, Oishi, Accurate sum and dot product, SIAM J. Sci. Comput. 26 (2005), algorithm 4.4 (Sum2); it gives
    Neumaier's result without his comparison of magnitudes.
    """
    columns = np.ascontiguousarray(np.moveaxis(np.asarray(x, dtype=np.float64), axis, 0))
    total = np.zeros(columns.shape[1:])
    error = np.zeros(columns.shape[1:])
    with np.errstate(all="ignore"):
        for column in columns:
            # two_sum without its guard against infinities, which can wait: a total once infinite stays so.
            s = total + column
            column_in_s = s - total
            error += (total - (s - column_in_s)) + (column - column_in_s)
            total = s
        return total, np.where(np.isfinite(error), error, 0.0)


def compensated_sum(x: Array, axis: int = -1) -> Array:
    """Sum along an axis with the rounding errors added back (Neumaier's sum).

    As accurate as a sum in twice the precision that is rounded once.

    Parameters
    ----------
    x : array of shape (n, K), any float
    axis : the axis that is summed

    Returns
    -------
    array of shape (n,); an empty axis sums to 0, inf + 1 is inf, inf - inf is NaN

    Examples
    --------
    >>> compensated_sum(np.array([[1.0, 1e100, 1.0, -1e100]])).tolist()
    [2.0]

    References
    ----------
    Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, ZAMM 54 (1974).
    """
    with np.errstate(all="ignore"):
        total, error = sum_with_error(x, axis)
        return np.asarray(total + error)


def ratio_of_sums(total: Array, total_rest: Array, weight: Array, weight_rest: Array) -> Array:
    """The mean (total + total_rest) / (weight + weight_rest), rounded once.

    Parameters
    ----------
    total, total_rest, weight, weight_rest : arrays that broadcast together
        Two sums, each in two parts of which the second may be far smaller than the first.

    Returns
    -------
    array of the broadcast shape; inf where `total` is infinite, NaN for 0 / 0

    Examples
    --------
    >>> thirds = ratio_of_sums(np.array([1.0]), np.array([2.0**-60]), np.array([3.0]), np.array([3 * 2.0**-60]))
    >>> thirds.tolist() == [1 / 3]
    True
    """
    high, low = two_sum(total, total_rest)
    divisor, divisor_low = two_sum(weight, weight_rest)
    with np.errstate(all="ignore"):
        ratio = high / divisor
        product, error = two_product(ratio, divisor)
        correction = (((high - product) - error) + (low - ratio * divisor_low)) / divisor
        return np.asarray(np.where(np.isfinite(correction), ratio + correction, ratio))
