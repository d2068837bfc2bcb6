"""The sums of one part of a state for many slices, as NumPy arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array

Index = npt.NDArray[np.int64]

PLACELESS = -1
"""The place of a part that has none."""


@dataclass(frozen=True, eq=False)
class Entries:
    """Sums by slice and place: entry i has the sums of slice `row[i]` at `place[i]`.

    Attributes
    ----------
    slices : int
        The number of slices, n. A slice may have no entry.
    row : array of shape (entries,), ascending, from 0 to n - 1
    place : array of shape (entries,)
    sums : arrays of shape (entries,) by name; 0 for a sum that the part does not have
    """

    slices: int
    row: Index
    place: npt.NDArray[Any]
    sums: Mapping[str, Array]

    def of(self, wanted: Index) -> "Entries":
        """The entries of these slices, in this order; those of a negative index are none."""
        first, last = (np.searchsorted(self.row, wanted, side) for side in ("left", "right"))
        count = last - first
        start = np.cumsum(count) - count
        index = np.repeat(first - start, count) + np.arange(count.sum())
        sums = {name: values[index] for name, values in self.sums.items()}
        return Entries(len(wanted), np.repeat(np.arange(len(wanted)), count), self.place[index], sums)

    def totals(self) -> dict[str, Array]:
        """The sums of a part that has one entry in each slice at most, (n,); 0 for slices without one."""
        found = {name: np.zeros(self.slices) for name in self.sums}
        for name, total in found.items():
            total[self.row] = self.sums[name]
        return found

    def added(self) -> dict[str, Array]:
        """The sums over all places of a slice, (n,)."""
        return {name: np.asarray(np.bincount(self.row, v, self.slices), np.float64) for name, v in self.sums.items()}

    def matrices(self, names: Sequence[str], places: npt.NDArray[Any]) -> dict[str, Array]:
        """These sums as matrices of shape (n, places); `places` ascend and hold those of all entries."""
        column, filled = np.searchsorted(places, self.place), {}
        for name in names:
            filled[name] = np.zeros((self.slices, len(places)))
            filled[name][self.row, column] = self.sums[name]
        return filled


def grouped_entries(slices: int, row: Index, place: npt.NDArray[Any], sums: Mapping[str, Array]) -> Entries:
    """Add up the sums of rows that agree in slice and place."""
    if not row.size:
        return Entries(slices, row, place, sums)
    order = np.lexsort((place, row))
    row, place = row[order], place[order]
    starts = np.flatnonzero(np.append(True, (np.diff(row) != 0) | (np.diff(place) != 0)))
    with np.errstate(all="ignore"):  # infinite sums of both signs
        added = {name: np.add.reduceat(values[order], starts) for name, values in sums.items()}
    return Entries(slices, row[starts], place[starts], added)
