"""Compute a table once, even if several results are read from it."""

import warnings

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from logloss_spark.io.spark_errors import from_spark

HELD_ROWS = 1_000_000
"""If Spark refuses to cache a state of at most this many rows (some 200 MB), it goes to the driver and back."""

HELD_PARTITIONS = 32
"""Partitions of a cached state. It is small; with those of a shuffle each table of it would start 200 tasks."""


def cache(table: DataFrame) -> DataFrame | None:
    """Cache a table; None if Spark refuses to."""
    try:
        return table.coalesce(HELD_PARTITIONS).persist()
    except PySparkException:
        return None


def cache_or_collect(state: DataFrame) -> DataFrame:
    """Cache a state; if Spark refuses to, bring it to the driver and back. If it is too large for that, warn."""
    cached = cache(state)
    if cached is not None:
        return cached
    rows = state.limit(HELD_ROWS + 1).toArrow()
    if rows.num_rows <= HELD_ROWS:
        return state.sparkSession.createDataFrame(rows, state.schema)
    warnings.warn(
        f"this Spark refuses to cache, and the state has more than {HELD_ROWS:,} rows: each result reads the table "
        "again; save the state, and compute the metrics from the saved one",
        stacklevel=3,
    )
    return state


def uncache(table: DataFrame) -> None:
    """Free a cached table. If Java has ended nothing is cached, and that error must not hide the one before it."""
    try:
        table.unpersist()
    except Exception as error:
        if not from_spark(error) and not isinstance(error, OSError):
            raise
