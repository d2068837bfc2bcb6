"""Windows of days over a state: which days each window holds, and the sums of its days, in NumPy and in Spark.

A window is named by its size and its last day, which is a day of the state. On the driver the sums of a window are put
together from sums of 1, 2, 4, ... days, so that nothing is subtracted and no digit is lost; Spark copies each row of
the state into the windows that its day belongs to.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DateType, StringType, StructType

from logloss_spark.checks import at_least_one, column_name, distinct
from logloss_spark.errors import DataError, SpecError
from logloss_spark.io.local import LocalTable
from logloss_spark.io.names import quoted
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.roles import slices_of
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import PLACELESS, Entries, Index
from logloss_spark.states.schema import WHOLE, columns_of
from logloss_spark.states.slices import by_sets, check_slices, inner_names, slice_columns
from logloss_spark.states.small import RolledUp, collected, places_of, rolled_up_here
from logloss_spark.states.state import CheckedState, coarser

Number = TypeVar("Number", np.float64, np.int64)

SMALL_DAYS = 1_000_000
"""A state of at most this many rows by day and slice comes to the driver for its windows: some 260 MB. Spark would copy
each row into as many windows as their sizes say, 36 for a day, a week and four weeks."""

WITHIN = ("window", "end")
"""Columns of the windows in Spark: the number of days, and the last one as days since 1970."""


@dataclass(frozen=True)
class Windows:
    """The windows of a state: their sizes in days, and the slice column of the day.

    Raises
    ------
    SpecError
        `over` is not the name of a column, or the sizes are not distinct whole numbers of 1 or more.
    """

    over: str
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        column_name("over", self.over)
        for size in self.sizes:
            at_least_one("the size of a window, in days,", size)
        distinct("the sizes of windows", self.sizes)
        if not self.sizes:
            raise SpecError("windows need one size or more, in days, got none: give some, as in sizes=[1, 7, 28]")


@dataclass(frozen=True, eq=False)
class Days:
    """The days of a state, ascending.

    Attributes
    ----------
    values : pyarrow.Array
        The values of the slice column.
    numbers : array of shape (n,)
        Days since 1970.
    """

    values: pa.Array
    numbers: Index

    def first_of(self, size: int) -> Index:
        """The index of the first day of the window of this size that ends on each day."""
        return np.searchsorted(self.numbers, self.numbers - size + 1)


@dataclass(frozen=True, eq=False)
class WindowSums:
    """The sums of some windows of one size, one for each slice and last day.

    Attributes
    ----------
    size : int
    group, end : arrays of shape (n,)
        The index of the slice, and that of the last day.
    days : array of shape (n,)
        How many days of the window the slice has rows on.
    parts : Entries by the name of their part
    """

    size: int
    group: Index
    end: Index
    days: Index
    parts: Mapping[str, Entries]


def check_windows(windows: Windows, by: Sequence[Sequence[str]], schema: StructType, conventions: Conventions) -> None:
    """Raise SpecError unless a state has these slices, and `over` is a slice column of days that `by` does not name."""
    check_slices(conventions, [[windows.over], *by])
    if windows.over in slices_of(by):
        raise SpecError(f"by must not name {windows.over!r}, which windows go over: leave it out of by")
    type_ = schema[slice_columns(conventions)[windows.over]].dataType
    if not is_of_days(type_):
        raise SpecError(
            f"windows go over a slice column of dates, or of texts as 2026-01-31, and {windows.over!r} is of type "
            f"{type_.simpleString()}: evaluate by a column of dates, such as F.to_date({windows.over!r})"
        )


def is_of_days(type_: DataType) -> bool:
    """Whether a column of a type may hold days."""
    return isinstance(type_, DateType) or type_ == StringType()


def days_of(column: pa.ChunkedArray | pa.Array, over: str) -> tuple[Days, Index]:
    """The distinct days of a column, and the index of each row's day; -1 for null.

    Raises DataError where a text is not a date as 2026-01-31.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = whole.dictionary_encode()
    values = encoded.dictionary
    if pa.types.is_date32(values.type):
        numbers = values.cast(pa.int32()).to_numpy().astype(np.int64)
    else:
        numbers = np.array([day_number(text, over) for text in values.to_pylist()], dtype=np.int64)
    order = np.argsort(numbers)
    rank = np.append(np.argsort(order), -1)  # the last entry is that of null
    days = Days(values.take(pa.array(order)), numbers[order])
    return days, rank[encoded.indices.fill_null(-1).to_numpy().astype(np.int64)]


def day_number(text: str, over: str) -> int:
    """The days since 1970 of a date as 2026-01-31; DataError for any other text."""
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise DataError(
            f"texts that windows go over must be dates as 2026-01-31, and {over!r} has {text!r}: "
            "leave it out with state.where(...), or evaluate by a column of dates"
        )
    return (day - datetime.date(1970, 1, 1)).days


def by_day(state: CheckedState, windows: Windows, by: Sequence[Sequence[str]]) -> CheckedState:
    """The state by the day and the slices of `by` alone; on the driver, if it is small enough then."""
    if state.local:
        return state
    needed = (windows.over, *slices_of(by))
    own = state if set(needed) == set(state.conventions.slices) else coarser(state, needed)
    local = collected(own.table.drop("fingerprint"), own.conventions, SMALL_DAYS)
    return replace(own, sums=local) if local else own


def windows_here(
    state: LocalTable,
    conventions: Conventions,
    windows: Windows,
    by: Sequence[Sequence[str]],
    parts: Mapping[str, Sequence[str]],
) -> "WindowsHere":
    """The sums of a state on the driver by window, for the global row and these grouping sets.

    `parts` names the columns of sums that are needed of each part.

    Raises DataError where a text that windows go over is not a date.
    """
    days, day = days_of(state.rows[slice_columns(conventions)[windows.over]], windows.over)
    kept = np.flatnonzero(day >= 0)
    rows, day = state.rows.take(pa.array(kept)), day[kept]
    place = places_of(rows["place"])
    stride = int(place.max(initial=PLACELESS)) - PLACELESS + 1
    # The day becomes part of the place, so that rows are grouped by slice and day at once.
    at, of_day = rows.schema.get_field_index("place"), pa.array(day * stride + place - PLACELESS)
    of_days = replace(state, rows=rows.set_column(at, "place", of_day))
    return WindowsHere(days, windows.sizes, rolled_up_here(of_days, conventions, by, parts), stride)


@dataclass(frozen=True, eq=False)
class WindowsHere:
    """A state on the driver, rolled up to grouping sets by day.

    Attributes
    ----------
    days : the days of the state
    sizes : the sizes of the windows
    rolled : the sums by slice and day; the place of an entry is stride * index of the day + place
    stride : the number of places
    """

    days: Days
    sizes: tuple[int, ...]
    rolled: RolledUp
    stride: int

    def pieces(self, size: int) -> Iterator[WindowSums]:
        """The sums of about `size` windows at a time, without those on whose days their slice has no rows."""
        groups, ends = self.rolled.keys.num_rows, np.arange(len(self.days.numbers))
        for last in (ends[start : start + size] for start in range(0, len(ends), size)):
            some = max(size // len(last), 1)
            for group in (np.arange(start, min(start + some, groups)) for start in range(0, groups, some)):
                yield from self._windows(group, last)
        if not groups:
            none = np.empty(0, dtype=np.int64)
            yield WindowSums(self.sizes[0], none, none, none, next(self.rolled.pieces(1)))

    def _windows(self, group: Index, end: Index) -> Iterator[WindowSums]:
        """The sums of the windows of these slices that end on these days, which are consecutive."""
        firsts = {size: self.days.first_of(size)[end] for size in self.sizes}
        start = min(int(first[0]) for first in firsts.values())
        dense = {
            part: self._by_day(entries.of(group), start, int(end[-1]) + 1)
            for part, entries in self.rolled.parts.items()
        }
        present = np.any([sums["n"].any(axis=2) for name, (_, sums) in dense.items() if name in STATUSES], axis=0)
        for size, first in firsts.items():
            ranges = first - start, end - start
            days = sums_of_ranges(present.astype(np.int64), *ranges)
            held = np.flatnonzero(days.T)
            parts = {part: entries_of_windows(places, sums, ranges) for part, (places, sums) in dense.items()}
            yield WindowSums(
                size,
                np.repeat(group, len(end))[held],
                np.tile(end, len(group))[held],
                days.T.ravel()[held],
                {part: entries.of(held) for part, entries in parts.items()},
            )

    def _by_day(self, entries: Entries, start: int, stop: int) -> tuple[Index, dict[str, Array]]:
        """Entries on the days from `start` to before `stop`: their places, and sums of shape (days, slices, places)."""
        day, place = np.divmod(entries.place, self.stride)
        inside = np.flatnonzero((day >= start) & (day < stop))
        places, column = np.unique(place[inside] + PLACELESS, return_inverse=True)
        dense = {name: np.zeros((stop - start, entries.slices, len(places))) for name in entries.sums}
        for name, sums in dense.items():
            sums[day[inside] - start, entries.row[inside], column] = entries.sums[name][inside]
        return places, dense


def entries_of_windows(places: Index, sums: Mapping[str, Array], ranges: tuple[Index, Index]) -> Entries:
    """Sums by day, slice and place as entries of windows: all windows of the first slice, then those of the next."""
    windows = len(ranges[0]) * next(iter(sums.values())).shape[1]
    added = {name: sums_of_ranges(values, *ranges).swapaxes(0, 1).ravel() for name, values in sums.items()}
    return Entries(windows, np.repeat(np.arange(windows), len(places)), np.tile(places, windows), added)


def sums_of_ranges(values: npt.NDArray[Number], first: Index, last: Index) -> npt.NDArray[Number]:
    """The sums of values[first[i]] to values[last[i]] along the first axis.

    Blocks of 1, 2, 4, ... values are added up once, and each sum is put together from them. Nothing is subtracted, as
    a running total would, so small values keep their digits beside large ones.

    Examples
    --------
    >>> sums_of_ranges(np.array([1e20, 1.0, 2.0, 3.0]), np.array([0, 1, 1]), np.array([0, 1, 3]))
    array([1.e+20, 1.e+00, 6.e+00])
    """
    found = np.zeros((len(first), *values.shape[1:]), dtype=values.dtype)
    length, at, size = last - first + 1, first.copy(), 1
    while length.size and size <= length.max():
        has = np.flatnonzero(length & size)
        with np.errstate(all="ignore"):  # infinite sums of both signs
            found[has] += values[at[has]]
            at[has] += size
            values = values[:-size] + values[size:]
        size *= 2
    return found


def windows_in_spark(state: CheckedState, windows: Windows, by: Sequence[Sequence[str]]) -> DataFrame:
    """The sums of a large state by window, for the global row and these grouping sets: see `slices.rolled_up`.

    `WITHIN` are columns beside the slices. The place of a status is the day, so that days can be counted.

    Raises DataError where a text that windows go over is not a date; a job that reads the days finds it.
    """
    conventions = state.conventions
    columns = slice_columns(conventions)
    over = quoted(columns[windows.over])
    is_text = isinstance(state.sums.schema[columns[windows.over]].dataType, StringType)
    readable = F.make_valid_utf8(over) if is_text else over
    own = state.table.where(~F.col("part").isin(*WHOLE) & over.isNotNull())
    days, _ = days_of(
        own.select(readable.alias("day")).distinct().toArrow()["day"],
        windows.over,
    )
    ends = state.table.sparkSession.createDataFrame(pa.table({"end": days.numbers}), "end bigint")
    day = F.unix_date(over.cast("date")).cast("bigint")
    rows = own.select(
        *[quoted(columns[name]).alias(key) for name, key in inner_names(by).items()],
        "model", "target", "part",
        F.when(F.col("part").isin(*STATUSES), day).otherwise(F.col("place")).alias("place"),
        *columns_of(conventions),
        day.alias("day"),
        F.expr(f"explode(array({', '.join(map(str, windows.sizes))})) AS window"),
    )  # fmt: skip
    of_windows = rows.withColumn("end", F.expr("explode(sequence(day, day + window - 1))")).join(
        F.broadcast(ends), "end"
    )
    return by_sets(of_windows, conventions, by, WITHIN)


def days_in_window() -> Column:
    """How many days of a window a slice has rows on, from the rows of `windows_in_spark`."""
    return F.expr(f"size(collect_set(if(part IN {STATUSES} AND n > 0, place, NULL))) AS days")
