"""Add the run date of a job to the tables that it writes."""

from collections.abc import Collection, Mapping
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.state import State

RUN_DATE = "run_date"


def with_run_date(
    tables: Mapping[str, DataFrame | State], outputs: Collection[str], run_date: str | None
) -> dict[str, DataFrame]:
    """Return the tables that are written, with the run date as their last column.

    A table that has a column of this name keeps its own. A state gets one more slice, so that the days of a sum of
    states can be told apart.

    Parameters
    ----------
    tables : mapping from the names of outputs to tables or states
    outputs : collection of str
        The tables that are written; the others are left out.
    run_date : str, as 2026-01-31, or None
        Without one the tables stay as they are.
    """
    return {name: dated(table, run_date) for name, table in tables.items() if name in outputs}


def dated(rows: DataFrame | State, run_date: str | None) -> DataFrame:
    """Return a table, or the table of a state, with the run date, unless there is none or it has one already."""
    table = rows.table if isinstance(rows, State) else rows
    if run_date is None or RUN_DATE in map(str.casefold, table.columns):
        return table
    value = F.lit(date.fromisoformat(run_date))
    return rows.with_slice(RUN_DATE, value).table if isinstance(rows, State) else rows.withColumn(RUN_DATE, value)
