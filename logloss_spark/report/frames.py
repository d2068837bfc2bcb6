"""Collect the metrics of the slices that are shown, in their order. A small table is collected once, as pandas."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StringType, StructType

from logloss_spark.errors import SpecError
from logloss_spark.io.names import quoted
from logloss_spark.wording import did_you_mean

KEPT_NUMBERS = 2_000_000
"""A table of up to this many numbers (16 MB; some 16,000 slices of a binary forecast) stays on the driver once it was
collected. From a larger one, each look collects the slices that it shows."""

NESTED = (ArrayType, MapType, StructType)
"""Types that rows cannot be sorted by."""

TIES = ("slice", "challenger")
"""Columns that decide between rows that are otherwise alike."""


@dataclass(frozen=True)
class Order:
    """The order of slices within their grouping set: by these columns, each ascending or not, nulls last."""

    by: tuple[tuple[str, bool], ...]


def order_by(schema: StructType, column: str, ascending: bool) -> Order:
    """Return the order by one column of a table; raise SpecError if it is not there, or rows cannot be sorted by it."""
    if not isinstance(column, str) or column not in schema.names:
        raise SpecError(
            f"sort_by must name a column of the metrics, got {column!r}; {did_you_mean(str(column), schema.names)}"
        )
    if isinstance(schema[column].dataType, NESTED):
        raise SpecError(f"sort_by must name a column of single values, got {column!r}, which has an entry per class")
    return Order(((column, ascending),))


@dataclass(frozen=True)
class Ranked:
    """Rows of metrics in order, the global row first, and how many rows each set of them has, shown or not.

    A set is known by its values in the columns that make it: by default its `grouping_id` alone.
    """

    frame: pd.DataFrame
    sizes: dict[tuple[Any, ...], int]
    order: Order


def ranked(
    frame: pd.DataFrame, order: Order, limit: int | None = None, sets: Sequence[str] = ("grouping_id",)
) -> Ranked:
    """Put collected metrics in order, and keep the first `limit` of each set.

    The global row comes first, then the grouping sets of fewest columns.
    """
    ascending = {"grouping_id": True} | dict(order.by) | {name: True for name in TIES if name in frame}
    sizes = Counter(frame[list(sets)].itertuples(index=False, name=None))
    widths = sorted(frame["grouping_id"].unique().tolist(), key=lambda rolled_up: (-rolled_up.bit_count(), rolled_up))

    def key(column: "pd.Series[Any]") -> "pd.Series[Any]":
        return column.map(widths.index) if column.name == "grouping_id" else column

    frame = frame.sort_values(
        list(ascending), ascending=list(ascending.values()), key=key, kind="stable", ignore_index=True
    )
    if limit is not None:
        frame = frame[frame.groupby(list(sets)).cumcount() < limit].reset_index(drop=True)
    return Ranked(frame, dict(sizes), order)


def first_of_each_set(table: DataFrame, order: Order, limit: int, sets: Sequence[str] = ("grouping_id",)) -> Ranked:
    """Collect the first rows of each set alone: all of them may be too many for the driver."""
    of_set = Window.partitionBy(*sets)
    ties = [(name, True) for name in TIES if name in table.columns]
    place, size = (free_name(name, table.columns) for name in ("place", "size"))
    numbered = readable(table).withColumns(
        {
            place: F.row_number().over(of_set.orderBy(*[sort_key(*key) for key in (*order.by, *ties)])),
            size: F.count(F.lit(1)).over(of_set),
        }
    )
    frame = numbered.where(quoted(place) <= limit).toPandas()
    keys = frame[list(sets)].itertuples(index=False, name=None)
    sizes = dict(zip(keys, frame[size].tolist(), strict=True))
    return Ranked(ranked(frame.drop(columns=[place, size]), order).frame, sizes, order)


def sort_key(name: str, ascending: bool) -> Column:
    """Return a column to sort by, with nulls last either way."""
    return quoted(name).asc_nulls_last() if ascending else quoted(name).desc_nulls_last()


def free_name(name: str, taken: Sequence[str]) -> str:
    """Return a name that no column has."""
    folded = {other.casefold() for other in taken}
    while name in folded:
        name += "_"
    return name


def readable(table: DataFrame) -> DataFrame:
    """Return a table whose strings Python can hold: bytes that are not UTF-8 become U+FFFD."""
    strings = [field.name for field in table.schema if isinstance(field.dataType, StringType)]
    return table.withColumns({name: F.make_valid_utf8(quoted(name)) for name in strings})


def kept_whole(table: DataFrame, classes: int) -> pd.DataFrame | None:
    """Collect a table of metrics, or return None where it has more than `KEPT_NUMBERS`; a list has one per class."""
    in_a_row = sum(classes if isinstance(field.dataType, ArrayType) else 1 for field in table.schema)
    most = KEPT_NUMBERS // in_a_row
    frame = readable(table).limit(most + 1).toPandas()
    return frame if len(frame) <= most else None


def has_number(row: "pd.Series[Any]", name: str) -> bool:
    """Whether a metric of a slice is there with one number, and not one per class."""
    return name in row and isinstance(row[name], float) and not math.isnan(row[name])


def has_numbers(frame: pd.DataFrame, name: str) -> bool:
    """Whether a frame has numbers in a column, one a row and not one per class."""
    return name in frame and pd.api.types.is_numeric_dtype(frame[name]) and bool(frame[name].notna().any())


def plain(record: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a record, and all that is nested in it, without the numbers that JSON does not have.

    NaN becomes null, an infinite number the string "Infinity" or "-Infinity", as Spark writes it.
    """
    return {name: json_value(entry) for name, entry in record.items()}


def json_value(x: Any) -> Any:
    """Return one value of a record as JSON has it."""
    if x is pd.NaT:
        return None
    if isinstance(x, float):
        return None if math.isnan(x) else x if math.isfinite(x) else "Infinity" if x > 0 else "-Infinity"
    if hasattr(x, "tolist"):
        return json_value(x.tolist())
    if isinstance(x, Row):
        return plain(x.asDict())
    if isinstance(x, Mapping):
        return plain(x)
    return [json_value(entry) for entry in x] if isinstance(x, list) else x
