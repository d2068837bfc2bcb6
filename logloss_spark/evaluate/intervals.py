"""Standard errors and intervals from second moments. NumPy only; arrays of one entry per slice.

An estimate that is a ratio of sums has influences e_i that sum to 0; its variance is n/(n-1) sum e_i^2 when rows are
independent (the linearisation of survey statistics; Särndal, Swensson & Wretman 1992, section 5.5). The sums of
squares come from the moments of a state, so that no row is read again.
"""

import numpy as np

from logloss_spark.kernels.distributions import normal_quantile
from logloss_spark.kernels.sums import Array

FEW = 30
"""Below this many rows of the rarer class intervals do not cover what they claim."""

NOISE = 1e-12
"""A centred square below this part of what it was subtracted from is rounding, since sums agree to 1e-12."""


def centred_square(square: Array, product: Array, weight: Array, mean: Array) -> Array:
    """Sum of w^2 (x - mean)^2 from the sums of w^2 x^2, w^2 x and w^2; at least 0."""
    with np.errstate(all="ignore"):
        centred = square_of_terms(square, -2.0 * mean * product, mean * mean * weight)
        # Where all x are 0 so is their mean, but for the rounding of what it was computed from.
        return np.where(square == 0.0, 0.0, centred)


def square_of_terms(*terms: Array) -> Array:
    """A sum of squares that was multiplied out: at least 0, and exactly 0 where nothing but rounding is left."""
    with np.errstate(all="ignore"):
        total, largest = np.sum(terms, axis=0), np.max(np.abs(terms), axis=0)
        return np.where(total <= NOISE * largest, 0.0, total)


def standard_error(sum_of_squares: Array, rows: Array) -> Array:
    """sqrt(n/(n-1) sum e^2), NaN for fewer than two rows."""
    with np.errstate(all="ignore"):
        return np.where(rows > 1, np.sqrt(rows / (rows - 1.0) * sum_of_squares), np.nan)


def with_interval(name: str, estimate: Array, error: Array, confidence: float) -> dict[str, Array]:
    """An estimate, its standard error and its interval, under their four names."""
    with np.errstate(all="ignore"):
        reach = normal_quantile(confidence) * error
        return {name: estimate, f"{name}_se": error, f"{name}_low": estimate - reach, f"{name}_high": estimate + reach}
