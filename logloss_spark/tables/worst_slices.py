"""The worst slices of a state: its cells come to the driver, where all combinations of their columns are looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import StringType, StructField, StructType

from logloss_spark.errors import SpecError
from logloss_spark.io.local import LocalTable
from logloss_spark.io.names import quoted
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import Index
from logloss_spark.states.schema import BUCKET_STRIDE
from logloss_spark.states.slices import check_names, check_slices, slice_columns
from logloss_spark.states.small import Slice, as_doubles, places_of
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import WORST_SLICES, columns_of_loss
from logloss_spark.statistics.slice_sums import OTHER, SUMMED, Buckets, FinestSlices, Key
from logloss_spark.statistics.worst_slices import RankedSlices, Search, worst_slices
from logloss_spark.tables.local import whole_numbers

MOST_ROWS = 1_000_000
"""Rows of a state by the columns of a search that come to the driver: some 100 MB. Beyond, values of few rows are put
together."""

FEWER = 4
"""The factor by which the rows that a value needs rise where there are too many combinations."""


@dataclass(frozen=True, eq=False)
class Searched:
    """The slices that are worse than the rest, and what was searched.

    Attributes
    ----------
    table : LocalTable
        One row per slice, those that contribute most to the loss first: the slice columns, `slice`, the columns of
        `catalogue.WORST_SLICES`, and `grouping_id`.
    columns : tuple of str
        The columns that slices combine.
    search : Search
    looked_at, worse, max_depth, min_rows : int
        As in `statistics.worst_slices.Found`.
    is_finite : bool
        Whether the mean loss is: nothing can be compared with an infinite one.
    """

    table: LocalTable
    columns: tuple[str, ...]
    search: Search
    looked_at: int
    worse: int
    max_depth: int
    min_rows: int
    is_finite: bool

    @property
    def frame(self) -> pd.DataFrame:
        """The table as pandas; not to be edited."""
        return self.table.frame


def searched_slices(state: CheckedState, columns: Sequence[str], search: Search) -> Searched:
    """Search a state for the slices that are worse than the rest, among all combinations of these columns.

    A state on the driver needs no job; another one takes one, and a few more where it has too many combinations.

    Raises
    ------
    SpecError
        There are no columns, the state was not sliced by one, or one has the name of a column of the result.
    """
    conventions = state.conventions
    if not columns:
        raise SpecError(
            "worst slices are searched for among slice columns, got none: evaluate with search=[...], or with by"
        )
    check_slices(conventions, [columns])
    check_names(columns, columns_of_loss(WORST_SLICES, conventions.loss).values())
    local, least = (state.local, 0) if state.local else large_cells(state, columns, search.min_rows)
    names = slice_columns(conventions) if state.local else {name: slice_name(at) for at, name in enumerate(columns)}
    slices = [Slice.of(name, local, names[name]) for name in columns]
    codes = [one.code if state.local else without_rare(one.code, local, at) for at, one in enumerate(slices)]
    cells = cells_of(local.rows, np.stack(codes), conventions)
    found = worst_slices(cells, search)
    return Searched(
        table=table_of(found, slices, local, [names[name] for name in columns], conventions),
        columns=tuple(columns),
        search=search,
        looked_at=found.looked_at,
        worse=found.worse,
        max_depth=found.max_depth,
        min_rows=max(found.min_rows, least),
        is_finite=bool(np.isfinite(cells.sums["wl"]).all()),
    )


def large_cells(state: CheckedState, columns: Sequence[str], min_rows: int) -> tuple[LocalTable, int]:
    """Collect what a search needs of a large state, and how many rows a value has at least to be a slice of its own.

    Values of fewer than `min_rows` rows are put together: no slice of theirs is looked at. If that leaves too many
    combinations, so are values of more rows.
    """
    least = min_rows
    while True:
        cells = common_cells(state, columns, least).limit(MOST_ROWS + 1)
        rows = cells.toArrow()
        if rows.num_rows <= MOST_ROWS:
            return LocalTable(rows, cells.schema, state.table.sparkSession), least
        least *= FEWER


def common_cells(state: CheckedState, columns: Sequence[str], least: int) -> DataFrame:
    """The moments and buckets of a state by `slice_0`, ..., null for values of fewer rows, which `rare_0`, ... tell."""
    names = slice_columns(state.conventions)
    inner = {slice_name(at): quoted(names[name]) for at, name in enumerate(columns)}
    needed = state.table.where("part IN ('moments', 'bucket')")
    keys: list[Column] = []
    for at, column in enumerate(inner.values()):
        alike = Window.partitionBy(column)
        is_rare = F.sum(F.expr("if(part = 'moments', n, 0L)")).over(alike) < least
        # A collation may take different strings for one value: of equal ones the first stands for all.
        value = F.min(column).over(alike)
        value = F.make_valid_utf8(value) if isinstance(needed.select(column).schema[0].dataType, StringType) else value
        keys += [F.when(~is_rare, value).alias(slice_name(at)), is_rare.alias(rare_name(at))]
    bucket = F.expr(f"place - place % {BUCKET_STRIDE} AS place")
    keyed = needed.select(*keys, "part", bucket, *SUMMED)
    of_cell = [*inner, *(rare_name(at) for at in range(len(columns))), "part", "place"]
    return keyed.groupBy(*of_cell).agg(*(F.sum(name).alias(name) for name in SUMMED))


def rare_name(at: int) -> str:
    """The column that says whether a cell's value of a slice column has few rows."""
    return f"rare_{at}"


def without_rare(code: Index, cells: LocalTable, at: int) -> Index:
    """The index of each cell's value, or `OTHER` if it has few rows."""
    return np.where(cells.rows[rare_name(at)].to_numpy(), OTHER, code)


def cells_of(rows: pa.Table, codes: Index, conventions: Conventions) -> FinestSlices:
    """The cells of the rows of a state; `codes` are the indices of the values of each slice column, (columns, rows)."""
    part, n = rows["part"].to_numpy(), as_doubles(rows["n"])
    moments, bucket = np.flatnonzero((part == "moments") & (n > 0)), np.flatnonzero(part == "bucket")
    cell = np.zeros(codes.shape[1], dtype=np.int64)
    for code in codes:
        cell = np.unique(cell * (code.max(initial=OTHER) + 2) + code + 1, return_inverse=True)[1]
    present, of_moments = np.unique(cell[moments], return_inverse=True)
    first = np.unique(cell[moments], return_index=True)[1]
    return FinestSlices(
        values=codes[:, moments[first]],
        sums={name: summed(of_moments, as_doubles(rows[name])[moments], len(present)) for name in SUMMED},
        shift=conventions.shift,
        buckets=buckets_of(rows.take(pa.array(bucket)), cell[bucket], present) if conventions.buckets else None,
    )


def buckets_of(rows: pa.Table, cell: Index, present: Index) -> Buckets:
    """The sums of the buckets of clusters of cells; `present` are the cells, ascending."""
    bucket = places_of(rows["place"]) // BUCKET_STRIDE
    place, of_place = np.unique(np.searchsorted(present, cell) * Buckets.COUNT + bucket, return_inverse=True)
    w, wl = (summed(of_place, as_doubles(rows[name]), len(place)) for name in ("w", "wl"))
    return Buckets(place // Buckets.COUNT, place % Buckets.COUNT, w, wl)


def summed(group: Index, values: Array, groups: int) -> Array:
    """The sums of values by group."""
    return np.bincount(group, values, groups).astype(np.float64)


def table_of(
    found: RankedSlices, slices: Sequence[Slice], cells: LocalTable, columns: Sequence[str], conventions: Conventions
) -> LocalTable:
    """The slices that were found; the values of slice columns are those of `columns` of the cells."""
    keys = {
        one.name: one.values.take(pa.array([dict(zip(*key, strict=True)).get(at) for key in found.keys], pa.int64()))
        for at, one in enumerate(slices)
    }
    fields = [StructField(one.name, cells.schema[name].dataType) for one, name in zip(slices, columns, strict=True)]
    same_rows = [", ".join(words_of_key(key, slices) for key in further) for further in found.same_rows]
    measured = {name: pa.array(values, from_pandas=True) for name, values in found.measured.items()}
    measured |= {"n": whole_numbers(found.measured["n"]), "same_rows": pa.array(same_rows, pa.string())}
    results = {
        "slice": pa.array([words_of_key(key, slices) for key in found.keys], pa.string()),
        **{column: measured[name] for name, column in columns_of_loss(WORST_SLICES, conventions.loss).items()},
        "grouping_id": pa.array([rolled_up(key, len(slices)) for key in found.keys], pa.int64()),
    }
    fields += [StructField(name, from_arrow_type(values.type)) for name, values in results.items()]
    return LocalTable(pa.table(keys | results), StructType(fields), cells.spark)


def words_of_key(key: Key, slices: Sequence[Slice]) -> str:
    """A slice in words, as in `country=de/device=web`."""
    return "/".join(f"{slices[at].name}={slices[at].words[value]}" for at, value in zip(*key, strict=True))


def rolled_up(key: Key, columns: int) -> int:
    """Which columns a slice leaves out, as bits; the last column's bit is the lowest."""
    return sum(2 ** (columns - 1 - at) for at in range(columns) if at not in key[0])
