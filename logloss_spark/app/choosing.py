"""The metrics that a config keeps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame

from logloss_spark.checks import one_of
from logloss_spark.io.local import LocalTable
from logloss_spark.report.frames import Ranked, plain
from logloss_spark.statistics.catalogue import METRICS, by_column, columns_of_loss


def check_chosen(chosen: Sequence[str] | None, loss: str) -> None:
    """Raise SpecError where a config keeps a metric that an evaluation of this loss does not have."""
    for name in chosen or ():
        one_of("an entry of metrics", name, tuple(columns_of_loss(METRICS, loss).values()))


def chosen_metrics(table: DataFrame | LocalTable, chosen: Sequence[str] | None) -> DataFrame | LocalTable:
    """Return a table of metrics with the chosen ones alone; with all where none are chosen."""
    if isinstance(table, LocalTable):
        return table.without(left_out(table.schema.names, chosen))
    return table.drop(*left_out(table.columns, chosen))


def records_of(slices: Ranked, chosen: Sequence[str] | None = None) -> tuple[Mapping[Any, Any], ...]:
    """Return collected slices as records, with the chosen metrics alone; with all where none are chosen."""
    frame = slices.frame.drop(columns=left_out(slices.frame.columns, chosen))
    return tuple(map(plain, frame.to_dict("records")))


def left_out(columns: Iterable[str], chosen: Sequence[str] | None) -> list[str]:
    """The columns that are metrics, of whatever loss, and not chosen."""
    known = {*by_column(METRICS), *columns_of_loss(METRICS, "another").values()}
    return [] if chosen is None else [name for name in columns if name in known and name not in chosen]
