"""Tables of made-up losses by three columns, and their cells, for tests of the search for bad slices."""

import numpy as np

from logloss_spark.kernels.cross_entropy import binary_from_logit
from logloss_spark.statistics.slice_sums import Buckets, FinestSlices
from logloss_spark.statistics.worst_slices import Search, worst_slices

SIZES = (8, 3, 6)
SHIFT = np.log(2.0)
ROWS = 20_000


def table(rng, rows=ROWS, sizes=SIZES):
    """Values of columns, (columns, rows), common and rare ones, and labels whose logits are known."""
    shares = [1.0 / np.arange(1, size + 1) for size in sizes]
    values = np.stack([rng.choice(len(share), rows, p=share / share.sum()) for share in shares])
    z = rng.normal(-2.6, 1.2, rows)
    return values, z, (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(float)


def planted(rng, *bad):
    """A table whose forecasts are right but in bad slices, each {column: value} with what is added to its logits."""
    values, z, y = table(rng)
    forecast = z.copy()
    for slice_, away in bad:
        forecast[members(values, slice_)] += away
    return values, binary_from_logit(y, forecast)


def members(values, slice_):
    """Which rows a slice holds."""
    return np.all([values[column] == value for column, value in slice_.items()], axis=0)


def cells_of(values, loss, weight=None, bucket=None):
    """The cells of a table, as a state has them."""
    w = np.ones(len(loss)) if weight is None else weight
    d = loss - SHIFT
    distinct, cell = np.unique(values, axis=1, return_inverse=True)
    cell = cell.ravel()

    def summed(terms):
        return np.bincount(cell, terms, distinct.shape[1]).astype(float)

    with np.errstate(all="ignore"):
        terms = {"n": w > 0, "w": w, "w_low": 0 * w, "wl": w * loss, "wl_low": 0 * w, "w2": w**2, "w2l": w**2 * loss}
        terms |= {"w2ll": (w * loss) ** 2, "w2d": w**2 * d, "w2dd": (w * d) ** 2}
    sums = {name: summed(term) for name, term in terms.items()}
    if bucket is None:
        return FinestSlices(distinct, sums, SHIFT)
    place, of_place = np.unique(cell * 64 + bucket, return_inverse=True)
    w, wl = (np.bincount(of_place, terms[name]) for name in ("w", "wl"))
    return FinestSlices(distinct, sums, SHIFT, Buckets(place // 64, place % 64, w, wl))


def named(cells, **search):
    """The slices that a search names, each as {column: value}."""
    return [dict(zip(*key, strict=True)) for key in worst_slices(cells, Search(**search)).keys]
