"""The cells of a state: the sums of its rows by bin of the score. They never grow with the rows."""

import numpy as np
import pandas as pd

from logloss_spark.kernels.grid import HALF, THIN_BINS
from logloss_spark.kernels.sums import Array
from logloss_spark.states.schema import BUCKET_STRIDE, CELL
from logloss_spark.states.slices import rolled_up
from logloss_spark.states.small import rolled_up_here
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.drift import HIGH, LOW


def cells_table(state: CheckedState) -> pd.DataFrame:
    """Return the cells of all rows of a state, one row per bin of the score that has weight, by ascending score.

    Returns
    -------
    DataFrame of at most 850 rows: `cell`, the index of the bin in the grid of scores; its edges `low` and `high`; `n`,
    its number of rows; the sums of a state, `w`, `w2`, `wy`, `w2y`, `wl`, `w2v`; and `wp` and `wq`, the sums of w p
    and of w (1 - p)
    """
    sums = ("n", *CELL)
    if state.local:
        cells = rolled_up_here(state.local, state.conventions, (), {"cell": sums}).parts["cell"]
        frame = pd.DataFrame({"place": cells.place, **{name: cells.sums[name] for name in sums}})
    else:
        rolled = rolled_up(state.table.where("part = 'cell'"), state.conventions, ())
        frame = rolled.select("place", *sums).toPandas().sort_values("place")
    frame = frame[frame["w"] > 0].reset_index(drop=True)
    place = frame.pop("place").to_numpy(dtype=np.int64)
    upper, tail = place >= HALF, frame["wp"].to_numpy()
    other = frame["w"].to_numpy() - tail
    frame = frame.astype({"n": np.int64}).assign(wp=np.where(upper, other, tail), wq=np.where(upper, tail, other))
    for name, values in (("high", HIGH[place]), ("low", LOW[place]), ("cell", place)):
        frame.insert(0, name, values)
    return frame


def cluster_residuals(state: CheckedState) -> Array | None:
    """Return the sum of w (y - p) by bucket of clusters and thin bin of the score, (buckets, THIN_BINS).

    None where rows are independent. Of K classes y and p are those of the likeliest class.
    """
    conventions, sums = state.conventions, ("w", "wy", "wp")
    if not conventions.buckets:
        return None
    if state.local:
        part = rolled_up_here(state.local, conventions, (), {"bucket": sums}).parts["bucket"]
        place, labels, predictions = part.place, part.sums["wy"], part.sums["wp"]
    else:
        rolled = rolled_up(state.table.where("part = 'bucket'"), conventions, ()).select("place", *sums).toPandas()
        place, labels, predictions = (rolled[name].to_numpy() for name in ("place", "wy", "wp"))
    place = place.astype(np.int64)
    residuals = np.zeros((conventions.buckets, THIN_BINS))
    np.add.at(residuals, (place // BUCKET_STRIDE, place % BUCKET_STRIDE), labels - predictions)
    return residuals
