"""Do two samples share one distribution over categories: tests of homogeneity for weighted and clustered rows.

A divergence of two samples is near sum_g (c_g - r_g)^2 / p_g where they differ little. Where they differ by chance
alone this is a sum of chi-squares, whose weights are the eigenvalues of D^-1 V: D has the common shares p on its
diagonal, and V is the covariance of the difference c - r. Its mean and variance are those of a chi-square times a
constant (Rao & Scott 1984), or where V comes from the spread of buckets of clusters of an F (Thomas & Rao 1987).
NumPy only; arrays have one row per slice.

References
----------
Rao, Scott, On chi-squared tests for multiway contingency tables with cell proportions estimated from survey data, Ann.
Statist. 12 (1984). Thomas, Rao, Small-sample comparisons of level and power for simple goodness-of-fit statistics under
cluster sampling, J. Am. Statist. Assoc. 82 (1987).
"""

from dataclasses import dataclass

import numpy as np

from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.distributions import chi_square_p_value, f_p_value
from logloss_spark.statistics.intervals import NOISE, difference_of_sums


@dataclass(frozen=True)
class Chance:
    """The distribution of a divergence by chance alone, each (n,).

    `mean` is its expectation, `df` the degrees of freedom of divergence / mean * df, and `df_of_mean` the degrees of
    freedom with which the mean is known: infinite if rows are independent.
    """

    mean: Array
    df: Array
    df_of_mean: Array


def chance_of_rows(row_sizes: Array, shares: Array) -> Chance:
    """The distribution by chance of a divergence between samples of independent rows.

    Parameters
    ----------
    row_sizes : (n, G), the sum over both samples of the variance that a row of a category brings, w^2/W^2 times the
        rows, over the category's share: 1/n + 1/m without weights
    shares : (n, G), the common shares of the categories, 0 for one that no row is in

    Examples
    --------
    >>> chance = chance_of_rows(np.full((1, 4), 1 / 100 + 1 / 50), np.array([[0.4, 0.3, 0.2, 0.1]]))
    >>> chance.mean.round(3).tolist(), chance.df.round(3).tolist()
    ([0.09], [3.0])
    """
    with np.errstate(all="ignore"):
        sizes = np.where(shares > 0.0, row_sizes, 0.0)
        # D^-1/2 V D^-1/2 is P T P: T has the sizes on its diagonal, P projects sqrt(shares) out.
        typical = (sizes * shares).sum(axis=1)
        mean = sizes.sum(axis=1) - typical
        square = (sizes**2).sum(axis=1) - 2.0 * (sizes**2 * shares).sum(axis=1) + typical**2
        return Chance(mean, mean**2 / square, np.full(mean.shape, np.inf))


def chance_of_buckets(influences: Array, shares: Array, buckets: Array) -> Chance:
    """The distribution by chance of a divergence between samples whose rows depend on each other by clusters.

    Parameters
    ----------
    influences : (n, B, G), the contribution of the rows of each bucket, in both samples, to the difference of the
        shares c - r. A cluster has one bucket in both samples, so its common part cancels
    shares : (n, G), as in `chance_of_rows`
    buckets : (n,), the number of buckets that hold rows, in the sample that fills fewer
    """
    with np.errstate(all="ignore"):
        scaled = influences / np.sqrt(np.where(shares > 0.0, shares, np.inf))[:, np.newaxis, :]
        products = scaled @ np.swapaxes(scaled, 1, 2)
        stretch = np.where(buckets > 1, buckets / (buckets - 1.0), np.nan)
        mean = np.trace(products, axis1=1, axis2=2)
        df = mean**2 / (products**2).sum(axis=(1, 2))
        return Chance(stretch * mean, df, df * (buckets - 1.0))


def p_value(divergence: Array, chance: Chance) -> Array:
    """The probability that chance alone makes as large a divergence, (n,).

    If chance has no spread, p is 1 for a divergence of 0 and NaN for any other.
    """
    with np.errstate(all="ignore"):
        ratio = divergence / chance.mean
        independent = chi_square_p_value(ratio * chance.df, chance.df)
        clustered = f_p_value(ratio, chance.df, chance.df_of_mean)
        found = np.where(np.isinf(chance.df_of_mean), independent, clustered)
        return np.where(chance.mean > 0.0, found, np.where(divergence <= NOISE, chance.mean + 1.0, np.nan))


def influences_of_buckets(sums: Array, totals: Array, weight: Array) -> Array:
    """The contribution of each bucket to the shares of one sample, (n, B, G).

    Parameters
    ----------
    sums : (n, B, G), weight of a bucket's rows by category
    totals : (n, B), weight of a bucket's rows
    weight : (n,), of all rows
    """
    with np.errstate(all="ignore"):
        shares = sums.sum(axis=1) / weight[:, np.newaxis]
        expected = shares[:, np.newaxis, :] * totals[:, :, np.newaxis]
        return difference_of_sums(sums, expected) / weight[:, np.newaxis, np.newaxis]
