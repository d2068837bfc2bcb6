"""The number of the slice that each row of a batch belongs to, and the values of the slices that were seen."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from logloss_spark.states.groups import Ids

MOST_CODES = 1 << 20
"""The most combinations of a batch's values that are looked up in a table. More are found by sorting the rows."""

FEW_CODES = 64
"""So few combinations get their numbers sooner than it takes to find which of them a batch has."""

ALL = np.zeros(1, dtype=np.int64)
"""The indices of a column of one value; any number of rows has them."""

NAN = ("NaN",)
"""What stands for NaN, which equals nothing, among the values of a column."""


class SliceIds:
    """Slices by number, in the order in which they were seen.

    Parameters
    ----------
    types : sequence of Arrow types, one per slice column
    """

    def __init__(self, types: Sequence[pa.DataType]) -> None:
        self.types = tuple(types)
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._values: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return len(self._values)

    def of(self, columns: Sequence[pa.Array], rows: int) -> Ids:
        """The number of each row's slice.

        Parameters
        ----------
        columns : the slice columns of a batch, Arrow arrays
        rows : how many rows it has
        """
        if not rows:
            return np.empty(0, dtype=np.int64)
        coded = [encoded(column) for column in columns]
        several = [(indices, len(values)) for indices, values in coded if len(values) > 1]
        code, _ = several[0] if several else (np.broadcast_to(ALL, rows), 1)
        for indices, count in several[1:]:
            code = code * count + indices
        combinations = math.prod(len(values) for _, values in coded)
        if combinations <= MOST_CODES:
            present = np.arange(combinations)
            if combinations > FEW_CODES:
                seen = np.zeros(combinations, dtype=bool)
                seen[code] = True
                present = np.flatnonzero(seen)
            number = np.zeros(combinations, dtype=np.int64)
            number[present] = self._numbers_of(present, coded)
            return number.take(code)
        present, place = np.unique(code, return_inverse=True)
        return self._numbers_of(present, coded).take(place)

    def _numbers_of(self, codes: Ids, coded: Sequence[tuple[Ids, list[Any]]]) -> Ids:
        """The numbers of the slices that codes of a batch stand for; slices that were never seen get new ones."""
        places = np.unravel_index(codes, [max(len(values), 1) for _, values in coded]) if coded else ()
        values = [[of_column[place] for place in at] for at, (_, of_column) in zip(places, coded, strict=True)]
        keys = list(zip(*values, strict=True)) if coded else [()] * len(codes)
        found = np.empty(len(keys), dtype=np.int64)
        for at, key in enumerate(keys):
            number = self._numbers.setdefault(key, len(self._values))
            if number == len(self._values):
                self._values.append(key)
            found[at] = number
        return found

    def columns(self) -> list[pa.Array]:
        """The values of all slices, per slice column."""
        return [as_array([plain(key[index]) for key in self._values], type_) for index, type_ in enumerate(self.types)]


def encoded(values: pa.Array) -> tuple[Ids, list[Any]]:
    """A column as indices into its distinct values, which are equal where Spark groups them together."""
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode("encode")
    known = [grouped_as(value) for value in raw_values(values.dictionary)]
    indices = values.indices
    if len(known) == 1 and not indices.null_count:
        return ALL, known
    if indices.null_count:
        indices = indices.fill_null(len(known))
        known.append(None)
    return indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False), known


def raw_values(values: pa.Array) -> list[Any]:
    """Values as Python objects that keep all there is: times as integers."""
    if pa.types.is_string(values.type):
        return list(values.view(pa.binary()).to_pylist())  # Spark's strings need not be UTF-8
    if pa.types.is_timestamp(values.type):
        return list(values.cast(pa.int64()).to_pylist())
    if pa.types.is_date32(values.type):
        return list(values.cast(pa.int32()).to_pylist())
    return list(values.to_pylist())


def as_array(values: list[Any], type_: pa.DataType) -> pa.Array:
    """An Arrow array of what `raw_values` returned."""
    return pa.array(values, pa.binary()).view(type_) if pa.types.is_string(type_) else pa.array(values, type_)


def grouped_as(value: Any) -> Any:
    """The value that stands for all that Spark groups with it: one NaN, and 0.0 for -0.0."""
    if isinstance(value, float):
        return NAN if value != value else value + 0.0
    return value


def plain(value: Any) -> Any:
    """The value that `grouped_as` made."""
    return math.nan if value == NAN else value
