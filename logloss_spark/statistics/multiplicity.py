"""P-values and verdicts that look at many slices together. NumPy only."""

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array


def adjusted_p_values(p: Array, family: npt.NDArray[np.int64]) -> Array:
    """P-values that are adjusted over the rows of one family; NaN stays NaN and does not count.

    Of the rows whose adjusted p-value is at most q, a share of at most q is false discoveries on average (Benjamini,
    Hochberg, J. R. Statist. Soc. B 57, 1995).

    Parameters
    ----------
    p : array of shape (n,)
    family : array of shape (n,), the number of each row's family

    Examples
    --------
    >>> adjusted_p_values(np.array([0.01, 0.02, 0.9, np.nan, 0.02]), np.array([0, 0, 0, 0, 1])).tolist()
    [0.03, 0.03, 0.9, nan, 0.02]
    """
    adjusted = np.full(len(p), np.nan)
    for one in np.unique(family):
        known = np.flatnonzero((family == one) & ~np.isnan(p))
        ascending = known[np.argsort(p[known], kind="stable")]
        bound = p[ascending] * len(known) / np.arange(1, len(known) + 1)
        adjusted[ascending] = np.minimum(np.minimum.accumulate(bound[::-1])[::-1], 1.0)
    return adjusted


def family_wise_p_values(p: Array) -> Array:
    """P-values that are adjusted over all rows; NaN stays NaN and does not count.

    Where nothing is to be found, the chance that any adjusted p-value is at most q is at most q, however the rows
    depend on each other; and so is the chance of a single false discovery beside true ones (Holm, Scand. J. Statist. 6,
    1979).

    Parameters
    ----------
    p : array of shape (n,)

    Examples
    --------
    >>> family_wise_p_values(np.array([0.01, 0.02, 0.9, np.nan])).tolist()
    [0.03, 0.04, 0.9, nan]
    """
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    ascending = known[np.argsort(p[known], kind="stable")]
    bound = p[ascending] * np.arange(len(known), 0, -1)
    adjusted[ascending] = np.minimum(np.maximum.accumulate(bound), 1.0)
    return adjusted
