"""Where a reliability diagram would lie if the forecasts were calibrated. NumPy only."""

import numpy as np

from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.calibration import Cells, pooled

REPLICATES = 1000
"""Simulated tables. The ends of a 95 % band are then the 25th values from either end."""

_SEED = 1


def consistency_band(cells: Cells, confidence: float, replicates: int = REPLICATES) -> tuple[Array, Array]:
    """The band that the isotonic (CORP) line keeps to, point by point, if forecasts are calibrated.

    It is simulated. In each replicate the rows of a cell happen with the cell's mean prediction, and the line is fitted
    anew; the band holds the middle share `confidence` of the lines at each cell. A cell counts as its effective number
    of rows, at least one. Rows are independent: clusters would widen the band. The seed is fixed, so the same cells
    have the same band.

    Parameters
    ----------
    cells : of one slice, (1, bins), none of them empty
    confidence : float in (0, 1)
    replicates : int

    Returns
    -------
    the lower and the upper end of the band at each cell, (bins,) in [0, 1]

    References
    ----------
    Dimitriadis, Gneiting, Jordan, Stable reliability diagrams for probabilistic classifiers, PNAS 118 (2021), section
    "Uncertainty quantification": consistency bands by resampling. Bröcker, Smith, Increasing the reliability of
    reliability diagrams, Weather and Forecasting 22 (2007), for bars that are consistent with calibration.
    """
    share = (cells.predictions / (cells.predictions + cells.of_other))[0]
    rows = np.maximum(np.rint((cells.weight**2 / cells.squares)[0]), 1.0).astype(np.int64)
    drawn = np.random.default_rng(_SEED).binomial(rows, share, (replicates, len(rows)))
    lines = pooled(np.broadcast_to(cells.weight, drawn.shape), drawn / rows * cells.weight)
    outside = (1.0 - confidence) / 2.0
    low, high = np.quantile(lines, [outside, 1.0 - outside], axis=0)
    return low, high
