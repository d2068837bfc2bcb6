"""Where a reliability diagram would lie if the forecasts were calibrated. NumPy only."""

import numpy as np

from logloss_spark.kernels.grid import THIN_BIN, THIN_BINS
from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.calibration import Cells, pooled

REPLICATES = 1000
"""Simulated tables. The ends of a 95 % band are then the 25th values from either end."""

_SEED = 1


def consistency_band(
    cells: Cells, confidence: float, residuals: Array | None = None, *, replicates: int = REPLICATES
) -> tuple[Array, Array]:
    """The band that the isotonic (CORP) line keeps to, point by point, if forecasts are calibrated.

    It is simulated. In each replicate the rows of a cell happen with the cell's mean prediction, and the line is fitted
    anew; the band holds the middle share `confidence` of the lines at each cell. A cell counts as its effective number
    of rows, at least one. The seed is fixed, so the same cells have the same band.

    Rows of a cluster stray together. With clusters each replicate gives every bucket of them one sign, with which its
    residuals count in all thin bins: the wild bootstrap. Within a thin bin cells stray as independent rows do, by the
    root of the bin's design effect further.

    Parameters
    ----------
    cells : of one slice, (1, bins), none of them empty
    confidence : float in (0, 1)
    residuals : array of shape (buckets, THIN_BINS), optional
        The sum of w (y - p) of each bucket of clusters and thin bin; without it rows are independent.
    replicates : int

    Returns
    -------
    the lower and the upper end of the band at each cell, (bins,) in [0, 1]

    References
    ----------
    Dimitriadis, Gneiting, Jordan, Stable reliability diagrams for probabilistic classifiers, PNAS 118 (2021), section
    "Uncertainty quantification": consistency bands by resampling. Bröcker, Smith, Increasing the reliability of
    reliability diagrams, Weather and Forecasting 22 (2007), for bars that are consistent with calibration. Cameron,
    Gelbach, Miller, Bootstrap-based improvements for inference with clustered errors, Review of Economics and
    Statistics 90 (2008), for the wild bootstrap of clusters.
    """
    share = (cells.predictions / (cells.predictions + cells.of_other))[0]
    rows = np.maximum(np.rint((cells.weight**2 / cells.squares)[0]), 1.0).astype(np.int64)
    rng = np.random.default_rng(_SEED)
    happened = rng.binomial(rows, share, (replicates, len(rows))) / rows
    if residuals is not None:
        signs = rng.choice([-1.0, 1.0], (replicates, len(residuals)))
        happened = share + with_clusters(cells, share, happened - share, residuals, signs)
    lines = pooled(np.broadcast_to(cells.weight, happened.shape), happened * cells.weight)
    outside = (1.0 - confidence) / 2.0
    low, high = np.clip(np.quantile(lines, [outside, 1.0 - outside], axis=0), 0.0, 1.0)
    return low, high


def with_clusters(cells: Cells, share: Array, away: Array, residuals: Array, signs: Array) -> Array:
    """How far the label means of cells are from their mean predictions, with clusters.

    Parameters
    ----------
    share : array of shape (bins,), the mean predictions
    away : array of shape (replicates, bins), how far the label means of independent rows are from them
    residuals : array of shape (buckets, THIN_BINS), as in `consistency_band`
    signs : array of shape (replicates, buckets), the signs of the buckets
    """
    thin = THIN_BIN[cells.bins]
    is_in = (thin[:, np.newaxis] == np.arange(THIN_BINS)).astype(np.float64)
    of_rows = (cells.squares[0] * share * (1.0 - share)) @ is_in
    effect = np.divide((residuals**2).sum(axis=0), of_rows, out=np.ones(THIN_BINS), where=of_rows > 0.0)
    own = away * np.sqrt(np.maximum(effect, 1.0))[thin]
    missing = signs @ residuals - (own * cells.weight) @ is_in
    weight = (cells.weight @ is_in)[0, thin]
    return np.asarray(own + missing[:, thin] / weight)
