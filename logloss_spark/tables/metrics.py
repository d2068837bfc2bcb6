"""The table of metrics of a state."""

from collections.abc import Callable, Collection, Sequence
from functools import partial, reduce

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructField

from logloss_spark.kernels.status import STATUSES
from logloss_spark.roles import slices_of
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.slices import check_names, check_slices, inner_names, map_slices, rolled_up
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import METRICS, by_column, columns_of_loss
from logloss_spark.statistics.metrics import metrics_of
from logloss_spark.statistics.reporting import Reporting
from logloss_spark.tables.pivot import PIECE, arrow_metric, in_reading_order, one_row_per_slice, spark_type, sums_of

OF_COLUMN = by_column(METRICS)


def metrics_table(
    state: CheckedState,
    by: tuple[tuple[str, ...], ...],
    reporting: Reporting,
    *,
    scores: DataFrame | None = None,
    of_rows: Collection[str] = (),
    then: Sequence[Callable[[DataFrame], DataFrame]] = (),
) -> DataFrame:
    """What `State.metrics` returns.

    `scores` are those of `exact.scores_of`, from which the metrics named in `of_rows` ("auc", "calibration") are
    computed. `then` are further steps on the table, before its slices get their own names.
    """
    conventions = state.conventions
    columns = columns_of_loss(METRICS, conventions.loss)
    check_slices(conventions, by)
    check_names(slices_of(by), columns.values())
    reporting.shares(len(conventions.classes))
    wide = one_row_per_slice(rolled_up(state.table, conventions, by), conventions, slices_of(by), scores)
    kept = [*inner_names(by).values(), "grouping_id", "slice", "rows", *STATUSES, "n"]
    fields = [
        StructField(column, spark_type(OF_COLUMN[name], scalar=conventions.scalar)) for name, column in columns.items()
    ]
    measure = partial(metrics_of_batch, conventions=conventions, reporting=reporting, of_rows=of_rows)
    table = map_slices(wide, measure, kept=kept, fields=fields, piece=PIECE)
    table = reduce(lambda table, step: step(table), then, table)
    return in_reading_order(table, inner_names(by), ["rows", "n", *columns.values()])


def metrics_of_batch(
    batch: pa.RecordBatch, *, conventions: Conventions, reporting: Reporting, of_rows: Collection[str]
) -> list[pa.Array]:
    """The metrics of a batch of `one_row_per_slice`."""
    found = metrics_of(sums_of(batch, conventions, of_rows), reporting)
    return [arrow_metric(OF_COLUMN[name], found[name]) for name in columns_of_loss(METRICS, conventions.loss)]
