"""Cells of a state, as NumPy makes them from rows: the reference of what is fitted to cells."""

import numpy as np
import pandas as pd

from logloss_spark.kernels.grid import HALF, VERSION, bin_of_probability
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import Entries, grouped_entries
from logloss_spark.states.schema import BUCKET
from logloss_spark.statistics.recalibration import of_buckets, of_cells, recalibrated
from logloss_spark.tables.recalibration import CellsOfSlices

CONVENTIONS = Conventions("cross_entropy", "probability", (0, 1), True, False, "eps", 1e-15, VERSION, ("fold",))
CAP = CONVENTIONS.cap

TABLES = {
    "538_march_madness_in_game_men.csv.gz": ("prob1", "prob1_outcome"),
    "538_mlb_games.csv.gz": ("prob1", "prob1_outcome"),
    "538_governors_elections.csv.gz": ("probwin", "probwin_outcome"),
    "538_college_football_playoff.csv.gz": ("madeplayoff", "madeplayoff_outcome"),
    "538_raw_forecasts_2021.csv.gz": ("prob", "outcome"),
    "aviation_icing_prob.csv": ("frcst", "obs"),
    "scoringutils_example_binary.csv": ("predicted", "observed"),
}
"""Published tables of binary forecasts: their forecast and their label."""


def published(shared, name):
    """The forecasts and labels of a published table."""
    frame = pd.read_csv(shared / "pred" / name, low_memory=False)[list(TABLES[name])].set_axis(["p", "y"], axis=1)
    frame = frame[frame.p.notna() & frame.y.isin([0, 1])].astype(float)
    return frame.p.to_numpy() / (100 if name.startswith("aviation") else 1), frame.y.to_numpy()


def simulated(rng, rows):
    """Forecasts that are too extreme and too high, and labels."""
    z = rng.normal(-2, 1.5, rows)
    y = rng.random(rows) < 1 / (1 + np.exp(-0.7 * z + 0.3))
    return 1 / (1 + np.exp(-z)), y.astype(float)


def losses(p, y):
    """The loss of each row."""
    with np.errstate(divide="ignore"):
        return np.minimum(-np.log(np.where(y == 1, p, 1 - p)), CAP)


def cells_of(p, y, w=None, fold=None):
    """The entries of the part `cell`, by fold if there is one."""
    w = np.ones(len(p)) if w is None else w
    fold = np.zeros(len(p), dtype=int) if fold is None else fold
    bins = bin_of_probability(p)
    sums = {"n": np.ones(len(p)), "w": w, "w2": w * w, "wy": w * y, "w2y": w * w * y, "wl": w * losses(p, y)}
    sums["wp"] = w * np.where(bins >= HALF, 1 - p, p)
    return grouped_entries(int(fold.max()) + 1, fold, bins, sums)


def score_sums(p, y, w=None):
    """The score sums of the cells of some rows."""
    cells = cells_of(p, y, w)
    return of_cells(cells.place, cells.sums, CAP)


def slices_of(p, y, fold):
    """The slices of a state without clusters, sliced by fold."""
    cells, nothing = cells_of(p, y, fold=fold), np.zeros(0, dtype=int)
    buckets = Entries(cells.slices, nothing, nothing, {name: np.zeros(0) for name in BUCKET})
    sums = of_cells(cells.place, cells.sums, CAP), of_buckets(nothing, buckets.sums, CAP)
    return CellsOfSlices(cells, buckets, *sums, clustered=False)


def fall_on(curve, p, y):
    """By how much the loss of each row falls."""
    q, other = recalibrated(curve, p, 1 - p)
    return losses(p, y) + np.log(np.where(y == 1, q, other))
