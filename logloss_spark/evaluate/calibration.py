"""Do forecasts mean what they say: the calibration error from bins of the score. NumPy only."""

import numpy as np

from logloss_spark.kernels.sums import Array


def calibration_errors(weight: Array, labels: Array, predictions: Array) -> tuple[Array, Array]:
    """Expected and maximum calibration error.

    The weighted mean over bins of |mean label - mean prediction|, and its maximum (Naeini, Cooper & Hauskrecht 2015).

    Parameters
    ----------
    weight, labels, predictions : arrays of shape (n, bins)
        Sums of w, wy and wp of each slice and bin; 0 where a bin is empty.

    Returns
    -------
    ece, mce : arrays of shape (n,), in [0, 1]; NaN where a slice has no weight

    Examples
    --------
    >>> ece, mce = calibration_errors(np.array([[1.0, 3.0]]), np.array([[0.5, 3.0]]), np.array([[0.25, 2.7]]))
    >>> ece.round(4).tolist(), mce.round(4).tolist()
    ([0.1375], [0.25])
    """
    with np.errstate(all="ignore"):
        gaps = np.abs(labels - predictions)
        total = weight.sum(axis=1)
        largest = np.where(weight > 0, gaps / weight, 0.0).max(axis=1, initial=0.0)
        return gaps.sum(axis=1) / total, np.where(total > 0, largest, np.nan)
