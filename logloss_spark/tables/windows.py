"""The table of metrics of a state by windows of days."""

from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StructField, StructType

from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.status import STATUSES
from logloss_spark.roles import slices_of
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.slices import check_names, inner_names, map_slices, slice_columns
from logloss_spark.states.state import CheckedState
from logloss_spark.states.windows import (
    WITHIN,
    Windows,
    by_day,
    check_windows,
    days_in_window,
    windows_here,
    windows_in_spark,
)
from logloss_spark.statistics.reporting import Reading
from logloss_spark.tables.local import table_of_results
from logloss_spark.tables.metrics import (
    check_metrics,
    fields_of_metrics,
    measured_here,
    metrics_of_batch,
    types_of_metrics,
)
from logloss_spark.tables.pivot import PIECE, in_reading_order, one_row_per_slice, parts_of

OF_WINDOW = ("window", "days")
"""Columns that the table has beside those of a table of metrics and its day."""


def windows_table(
    state: CheckedState, windows: Windows, by: tuple[tuple[str, ...], ...], reading: Reading
) -> DataFrame | LocalTable:
    """What `windows` returns: on the driver if the state is small by day and slice, else lazily in Spark."""
    check_windows(windows, by, state.sums.schema, state.conventions)
    check_metrics(state.conventions, by, reading)
    check_names([windows.over, *slices_of(by)], OF_WINDOW)
    own = by_day(state, windows, by)
    if own.local:
        return windows_table_here(own.local, own.conventions, windows, by, reading)
    return windows_table_in_spark(own, windows, by, reading)


def windows_table_here(
    state: LocalTable,
    conventions: Conventions,
    windows: Windows,
    by: tuple[tuple[str, ...], ...],
    reading: Reading,
) -> LocalTable:
    """The table, computed on the driver: the slices in order, each by size and by day."""
    here = windows_here(state, conventions, windows, by, parts_of(conventions))
    pieces = list(here.pieces(PIECE))
    measured = pa.concat_tables([measured_here(piece.parts, conventions, reading) for piece in pieces])
    window = np.concatenate([np.full(len(piece.end), piece.size) for piece in pieces])
    group, end, days = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("group", "end", "days"))
    order = pa.array(np.lexsort((end, window, group)))
    keys, types = here.rolled.keys.take(pa.array(group)), types_of_metrics(conventions)
    table = table_of_results(state, conventions, slices_of(by), keys, measured, types)
    stamps = [here.days.values.take(pa.array(end)), pa.array(window, pa.int32()), pa.array(days, pa.int32())]
    fields = fields_of_windows(windows, state.schema, conventions)
    arrays = [*stamps, *table.rows.columns]
    schema = StructType([*fields, *table.schema])
    return LocalTable(pa.table(arrays, names=schema.names).take(order), schema, state.spark)


def windows_table_in_spark(
    state: CheckedState, windows: Windows, by: tuple[tuple[str, ...], ...], reading: Reading
) -> DataFrame:
    """The table of a large state."""
    conventions = state.conventions
    wide = one_row_per_slice(
        windows_in_spark(state, windows, by),
        conventions,
        slices_of(by),
        within=WITHIN,
        beside=[days_in_window()],
    )
    kept = [*WITHIN, "days", *inner_names(by).values(), "grouping_id", "slice", "rows", *STATUSES, "n"]
    fields = fields_of_metrics(conventions)
    measure = partial(metrics_of_batch, conventions=conventions, reading=reading, of_rows=())
    table = map_slices(wide, measure, kept=kept, fields=fields, piece=PIECE)
    over, window, days = fields_of_windows(windows, state.sums.schema, conventions)
    stamps = [
        F.date_from_unix_date(F.col("end").cast("int")).cast(over.dataType).alias(over.name),
        *(F.col(field.name).cast(field.dataType).alias(field.name) for field in (window, days)),
    ]
    return in_reading_order(table, inner_names(by), ["rows", "n", *(field.name for field in fields)], stamps)


def fields_of_windows(windows: Windows, schema: StructType, conventions: Conventions) -> list[StructField]:
    """The columns that name a window: its last day, its size, and on how many days the slice has rows."""
    day = schema[slice_columns(conventions)[windows.over]].dataType
    return [StructField(windows.over, day), *(StructField(name, IntegerType()) for name in OF_WINDOW)]
