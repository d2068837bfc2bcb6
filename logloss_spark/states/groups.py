"""Groups of rows in a worker: each has a slice and a place within it, and sums that are added up batch by batch."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array

Ids = npt.NDArray[np.int64]

MOST_PLACES = 1 << 25
"""The largest table from slices and places to groups: 128 MB. Beyond, a batch looks its places up by sorting them."""


class Groups:
    """Groups that were seen, numbered as they came, with a count of rows and sums.

    Parameters
    ----------
    stride : int
        The number of places of a slice.

    Attributes
    ----------
    counts : integer array of shape (groups,)
    sums : dict of arrays of shape (groups,)
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self._known = np.empty(0, dtype=np.int32)
        self._keys: list[Ids] = []
        self._size = 0
        self._counts = np.zeros(0, dtype=np.int64)
        self._sums: dict[str, Array] = {}

    def __len__(self) -> int:
        return self._size

    @property
    def keys(self) -> Ids:
        """The key of each group: its slice times `stride`, plus its place."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self._keys])

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """The number of rows of each group."""
        return self._counts[: self._size]

    @property
    def sums(self) -> dict[str, Array]:
        """The sums of each group, by name."""
        return {name: total[: self._size] for name, total in self._sums.items()}

    def add(self, keys: Ids, addends: Iterable[tuple[str, Array]], *, slices: int) -> None:
        """Add rows to their groups.

        Parameters
        ----------
        keys : integer array of shape (n,), each row's slice times `stride`, plus its place
        addends : the name of each sum, and what each row adds to it, an array of shape (n,); the names are the same in
            each call
        slices : the number of slices that keys may name
        """
        if not len(keys):
            return
        group = self._found(keys, slices * self.stride)
        # Groups are numbered as they come, so the groups of a batch have numbers near each other if rows are sorted.
        first, end = int(group.min()), int(group.max()) + 1
        group -= first
        few = end - first <= len(keys) // 2
        self._counts[first:end] += np.bincount(group)
        for name, addend in addends:
            if name not in self._sums:
                self._sums[name] = np.zeros(len(self._counts))
            if few:  # by a third faster, but its time grows with the groups
                self._sums[name][first:end] += np.bincount(group, weights=addend)
            else:
                np.add.at(self._sums[name][first:end], group, addend)

    def _found(self, keys: Ids, places: int) -> Ids:
        """The group of each key; keys that were never seen get new groups."""
        if places > MOST_PLACES:
            return self._sorted_in(keys)
        if places > len(self._known):
            wider = np.full(min(MOST_PLACES, max(places, 2 * len(self._known))), -1, dtype=np.int32)
            wider[: len(self._known)] = self._known
            self._known = wider
        group = self._known.take(keys)
        if group.min() < 0:
            new = np.unique(keys[group < 0])
            self._known[new] = self._size + np.arange(len(new), dtype=np.int32)
            self._append(new)
            group = self._known.take(keys)
        return group.astype(np.int64)

    def _sorted_in(self, keys: Ids) -> Ids:
        """As `_found`, without a table: groups of this batch are new, and a state adds them to those of others."""
        new, group = np.unique(keys, return_inverse=True)
        before = self._size
        self._append(new)
        return np.asarray(group + before, dtype=np.int64)

    def _append(self, new: Ids) -> None:
        self._keys.append(new)
        self._size += len(new)
        if self._size > len(self._counts):
            room = max(2 * len(self._counts), self._size, 1024)
            self._counts = widened(self._counts, room)
            self._sums = {name: widened(total, room) for name, total in self._sums.items()}


def widened(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """An array with zeros after it."""
    wider = np.zeros(size, dtype=values.dtype)
    wider[: len(values)] = values
    return wider
