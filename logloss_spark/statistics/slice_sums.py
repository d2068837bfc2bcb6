"""Slices by all combinations of columns, and the sums of their rows. NumPy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.hashing import splitmix64
from logloss_spark.kernels.sums import Array, ratio_of_sums

Index = npt.NDArray[np.int64]


Key = tuple[tuple[int, ...], tuple[int, ...]]
"""A slice: the indices of its columns, and the index of the value of each."""


SUMMED = ("n", "w", "w_low", "wl", "wl_low", "w2", "w2l", "w2ll", "w2d", "w2dd")
"""The moments of a state that a search needs; `states.schema` says what they are."""


IN_FULL = tuple(name for name in SUMMED if not name.endswith("_low"))
"""Those of them that are no rests of others."""


OTHER = -1
"""The value of a column that is in no slice: one of few rows."""


MOST_SETS = 2_000
"""A search goes only so deep that it has at most this many sets of columns: pairs of 62 columns, or triples of 22."""


MOST_SLICES = 100_000
"""A search looks at no more slices than this, the largest. Their tests take some seconds."""


DENSE = 1 << 20
"""Up to this many combinations of values are counted as they are; more are numbered by those that occur."""


@dataclass(frozen=True, eq=False)
class Buckets:
    """The sums of the buckets of clusters: entry i has the sums of a `bucket` in a `cell`, each of shape (m,)."""

    cell: Index
    bucket: Index
    w: Array
    wl: Array

    COUNT = 64


@dataclass(frozen=True, eq=False)
class FinestSlices:
    """The sums of n cells, the finest slices of a state. All slices are unions of them.

    Attributes
    ----------
    values : integer array of shape (columns, n)
        The index of each cell's value in each column, or `OTHER`.
    sums : arrays of shape (n,) by the names of `SUMMED`
    shift : float
        The c in d = l - c.
    buckets : Buckets, or None where rows are independent
    """

    values: Index
    sums: Mapping[str, Array]
    shift: float
    buckets: Buckets | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """Slices that are looked at, m of them.

    Attributes
    ----------
    sets : the sets of columns, each the indices of its columns
    set_, number : integer arrays of shape (m,)
        The set of each slice, and its number among the slices of that set, as `slices_of` counts them.
    cell : integer array of shape (m,)
        A cell of each slice.
    rows : array of shape (m,)
        A hash of the cells of each slice. Two slices have the same one if they hold the same rows.
    sums : arrays of shape (m,) by the names of `SUMMED`
    """

    sets: Sequence[tuple[int, ...]]
    set_: Index
    number: Index
    cell: Index
    rows: npt.NDArray[np.uint64]
    sums: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.set_)

    def of(self, wanted: npt.NDArray[Any]) -> "Candidates":
        """These slices alone."""
        sums = {name: values[wanted] for name, values in self.sums.items()}
        return Candidates(self.sets, self.set_[wanted], self.number[wanted], self.cell[wanted], self.rows[wanted], sums)

    def key(self, cells: FinestSlices, at: int) -> Key:
        """The columns and the values of a slice."""
        columns = self.sets[self.set_[at]]
        return columns, tuple(cells.values[list(columns), self.cell[at]].tolist())

    def members(self, cells: FinestSlices, at: int) -> npt.NDArray[np.bool_]:
        """Which cells a slice holds, (n,)."""
        return np.asarray(slices_of(cells, self.sets[self.set_[at]])[0] == self.number[at])


def deepest(columns: int, wanted: int) -> int:
    """The most columns that slices combine: as many as wanted, and fewer beyond `MOST_SETS`.

    Examples
    --------
    >>> deepest(3, 2), deepest(3, 9), deepest(40, 3)
    (2, 3, 2)
    """
    depth = min(wanted, columns)
    while depth > 1 and sum(comb(columns, size) for size in range(1, depth + 1)) > MOST_SETS:
        depth -= 1
    return depth


def slices_of(cells: FinestSlices, columns: Sequence[int]) -> tuple[Index, int]:
    """The number of each cell's slice by these columns, -1 where a value is `OTHER`, and how many numbers there are."""
    number, count = np.zeros(cells.values.shape[1], dtype=np.int64), 1
    known = np.all(cells.values[list(columns)] >= 0, axis=0)
    for column in columns:
        size = int(cells.values[column].max(initial=OTHER)) + 1
        number, count = number * size + cells.values[column], count * size
        if count > DENSE:
            found, number = np.unique(np.where(known, number, -1), return_inverse=True)
            number, count = number - int(found[0] < 0), len(found)
    return np.where(known, number, -1), count


def added(cells: FinestSlices, number: Index, count: int) -> dict[str, Array]:
    """The sums of slices, (count,), from the number of each cell's; -1 is in none."""
    inside = number >= 0
    return {
        name: np.bincount(number[inside], values[inside], count).astype(np.float64)
        for name, values in cells.sums.items()
    }


def large_enough(cells: FinestSlices, depth: int, min_rows: int) -> tuple[Candidates, int]:
    """The slices of enough rows, those of fewest columns first, and how many rows are enough.

    Beyond `MOST_SLICES` the largest are kept: what is looked at must not depend on losses.
    """
    sets = [columns for size in range(1, depth + 1) for columns in combinations(range(len(cells.values)), size)]
    total = {name: values.sum() for name, values in cells.sums.items()}
    hashes = splitmix64(np.arange(1, cells.values.shape[1] + 1, dtype=np.uint64))
    least, found = min_rows, [no_slices(sets)]
    for at, columns in enumerate(sets):
        number, count = slices_of(cells, columns)
        inside = np.flatnonzero(number >= 0)
        sums = added(cells, number, count)
        outside = {name: total[name] - values for name, values in sums.items()}
        kept = np.flatnonzero((effective_rows(sums) >= least) & (effective_rows(outside) >= min_rows))
        cell, rows = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.uint64)
        cell[number[inside]] = inside
        np.add.at(rows, number[inside], hashes[inside])
        of_set = Candidates(sets, np.full(count, at), np.arange(count), cell, rows, sums).of(kept)
        found.append(of_set)
        if sum(map(len, found)) > MOST_SLICES:
            sizes = np.concatenate([effective_rows(slices.sums) for slices in found])
            least = int(np.partition(sizes, -MOST_SLICES - 1)[-MOST_SLICES - 1]) + 1
            found = [slices.of(np.flatnonzero(effective_rows(slices.sums) >= least)) for slices in found]
    return together(found), least


def effective_rows(sums: Mapping[str, Array]) -> Array:
    """The effective number of rows, at most their number; 0 where there are none."""
    with np.errstate(all="ignore"):
        weight = sums["w"] + sums["w_low"]
        return np.where(sums["n"] > 0.0, np.minimum(weight * weight / sums["w2"], sums["n"]), 0.0)


def no_slices(sets: Sequence[tuple[int, ...]]) -> Candidates:
    """No slice at all."""
    none = np.zeros(0, dtype=np.int64)
    return Candidates(sets, none, none, none, np.zeros(0, dtype=np.uint64), {name: np.zeros(0) for name in SUMMED})


def together(found: Sequence[Candidates]) -> Candidates:
    """The slices of several sets, one after the other."""
    return Candidates(
        found[0].sets,
        set_=np.concatenate([slices.set_ for slices in found]),
        number=np.concatenate([slices.number for slices in found]),
        cell=np.concatenate([slices.cell for slices in found]),
        rows=np.concatenate([slices.rows for slices in found]),
        sums={name: np.concatenate([slices.sums[name] for slices in found]) for name in SUMMED},
    )


def mean_loss(sums: Mapping[str, Array]) -> Array:
    """The mean loss, rounded once."""
    return ratio_of_sums(sums["wl"], sums["wl_low"], sums["w"], sums["w_low"])
