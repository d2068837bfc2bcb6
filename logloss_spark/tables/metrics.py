"""The table of metrics of a state."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial, reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, LongType, StringType, StructField

from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.status import STATUSES
from logloss_spark.roles import slices_of
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import Entries
from logloss_spark.states.slices import check_names, check_slices, inner_names, map_slices, rolled_up
from logloss_spark.states.small import rolled_up_here
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import METRICS, by_column, columns_of_loss
from logloss_spark.statistics.metrics import metrics_of
from logloss_spark.statistics.reporting import Reading
from logloss_spark.tables.local import table_of_results, whole_numbers
from logloss_spark.tables.pivot import (
    PIECE,
    arrow_metric,
    in_reading_order,
    one_row_per_slice,
    parts_in,
    parts_of,
    spark_type,
    sums_of,
)

OF_COLUMN = by_column(METRICS)


def metrics_table(state: CheckedState, by: tuple[tuple[str, ...], ...], reading: Reading) -> DataFrame | LocalTable:
    """What `State.metrics` returns, computed where the state is."""
    if state.local:
        return metrics_here(state.local, state.conventions, by, reading)
    return metrics_in_spark(state, by, reading)


def metrics_in_spark(
    state: CheckedState,
    by: tuple[tuple[str, ...], ...],
    reading: Reading,
    *,
    scores: DataFrame | None = None,
    of_rows: Collection[str] = (),
    then: Sequence[Callable[[DataFrame], DataFrame]] = (),
) -> DataFrame:
    """The metrics of a large state.

    `scores` are those of `exact.scores_of`, from which the metrics named in `of_rows` ("auc", "calibration") are
    computed. `then` are further steps on the table, before its slices get their own names.
    """
    conventions = state.conventions
    check_metrics(conventions, by, reading)
    wide = one_row_per_slice(rolled_up(state.table, conventions, by), conventions, slices_of(by), scores)
    kept = [*inner_names(by).values(), "grouping_id", "slice", "rows", *STATUSES, "n"]
    fields = fields_of_metrics(conventions)
    measure = partial(metrics_of_batch, conventions=conventions, reading=reading, of_rows=of_rows)
    table = map_slices(wide, measure, kept=kept, fields=fields, piece=PIECE)
    table = reduce(lambda table, step: step(table), then, table)
    return in_reading_order(table, inner_names(by), ["rows", "n", *(field.name for field in fields)])


def metrics_of_batch(
    batch: pa.RecordBatch, *, conventions: Conventions, reading: Reading, of_rows: Collection[str]
) -> list[pa.Array]:
    """The metrics of a batch of `one_row_per_slice`."""
    parts = parts_in(batch, parts_of(conventions, scores=bool(of_rows)))
    return list(metrics_of_parts(parts, conventions, reading, of_rows).values())


def metrics_of_parts(
    parts: Mapping[str, Entries], conventions: Conventions, reading: Reading, of_rows: Collection[str]
) -> dict[str, pa.Array]:
    """The metrics of some slices, by their columns."""
    found = metrics_of(sums_of(parts, conventions, of_rows), reading)
    columns = columns_of_loss(METRICS, conventions.loss)
    return {column: arrow_metric(OF_COLUMN[name], found[name]) for name, column in columns.items()}


def metrics_here(
    state: LocalTable,
    conventions: Conventions,
    by: tuple[tuple[str, ...], ...],
    reading: Reading,
    of_rows: Collection[str] = (),
) -> LocalTable:
    """The metrics of a small state, computed on the driver. The metrics named in `of_rows` come from `with_scores`."""
    check_metrics(conventions, by, reading)
    rolled = rolled_up_here(state, conventions, by, parts_of(conventions, scores=bool(of_rows)))
    pieces = [measured_here(parts, conventions, reading, of_rows) for parts in rolled.pieces(PIECE)]
    types = types_of_metrics(conventions)
    return table_of_results(state, conventions, slices_of(by), rolled.keys, pa.concat_tables(pieces), types)


def measured_here(
    parts: Mapping[str, Entries], conventions: Conventions, reading: Reading, of_rows: Collection[str] = ()
) -> pa.Table:
    """The metrics of some slices and their counts of rows, computed on the driver."""
    counts = {status: parts[status].totals()["n"] for status in STATUSES}
    rows = {"rows": np.sum(list(counts.values()), axis=0), "n": parts["moments"].totals()["n"]}
    whole = {name: whole_numbers(values) for name, values in (rows | counts).items()}
    return pa.table(whole | metrics_of_parts(parts, conventions, reading, of_rows))


def types_of_metrics(conventions: Conventions) -> dict[str, DataType]:
    """The columns of a table of metrics except for the slices, in order, with their types."""
    return {
        "slice": StringType(),
        **dict.fromkeys(("rows", "n"), LongType()),
        **{field.name: field.dataType for field in fields_of_metrics(conventions)},
        **dict.fromkeys(("grouping_id", *STATUSES), LongType()),
    }


OF_CELLS = ("cell", "rank", "class_cell")
"""The parts of a state from which the metrics come that `WITHOUT_CELLS` does not name."""


def without_cells(state: CheckedState) -> CheckedState:
    """A large state without what the metrics of `WITHOUT_CELLS` do not need; metrics of cells are then null or 0."""
    if state.local:
        return state
    return CheckedState(state.table.where(~F.col("part").isin(*OF_CELLS)), state.conventions, state.sources)


def check_metrics(conventions: Conventions, by: tuple[tuple[str, ...], ...], reading: Reading) -> None:
    """Raise SpecError unless the state has these slices, and their names and the reading fit the metrics."""
    reading.check(clustered=conventions.buckets > 0)
    check_slices(conventions, by)
    check_names(slices_of(by), columns_of_loss(METRICS, conventions.loss).values())
    reading.shares(len(conventions.classes))


def fields_of_metrics(conventions: Conventions) -> list[StructField]:
    """The columns of the metrics that a state of these conventions has."""
    columns = columns_of_loss(METRICS, conventions.loss)
    return [
        StructField(column, spark_type(OF_COLUMN[name], scalar=conventions.scalar)) for name, column in columns.items()
    ]
