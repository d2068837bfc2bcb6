"""The run date of a job as a column of what it writes."""

from collections.abc import Collection, Mapping
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.state import State

RUN_DATE = "run_date"


def with_run_date(
    tables: Mapping[str, DataFrame], outputs: Collection[str], run_date: str | None
) -> dict[str, DataFrame]:
    """Add the run date to tables, as their last column; a table that has a column of its name keeps that one.

    Of a state it is one more slice: in a sum of states each day can then be told from the others.

    Parameters
    ----------
    tables : mapping from the names of outputs to tables
    outputs : collection of str
        The tables that are written; the others are left out.
    run_date : str, as 2026-01-31, or None
        Without one the tables stay as they are.
    """
    written = {name: table for name, table in tables.items() if name in outputs}
    if run_date is None:
        return written
    value = F.lit(date.fromisoformat(run_date))
    for name, table in written.items():
        if RUN_DATE not in map(str.casefold, table.columns):
            is_state = name == "state"
            dated = State(table).with_slice(RUN_DATE, value).table if is_state else table.withColumn(RUN_DATE, value)
            written[name] = dated
    return written
