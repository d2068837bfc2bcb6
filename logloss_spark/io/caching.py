"""Tables that are computed once, though several results are read off them."""

import warnings

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

HELD_ROWS = 1_000_000
"""A state up to this many rows is brought to the driver and back where Spark refuses to cache it (some 200 MB)."""

HELD_PARTITIONS = 32
"""A state is small. Cached as it comes from a shuffle, each table read off it would start 200 tasks."""


def cache_or_collect(state: DataFrame) -> DataFrame:
    """Return a state that is computed once: cached, or where Spark refuses that brought to the driver and back."""
    try:
        return state.coalesce(HELD_PARTITIONS).persist()
    except PySparkException:
        table = state.limit(HELD_ROWS + 1).toArrow()
        if table.num_rows <= HELD_ROWS:
            return state.sparkSession.createDataFrame(table, state.schema)
    warnings.warn(
        f"this Spark refuses to cache, and the state has more than {HELD_ROWS:,} rows: each result reads the table "
        "again; write .state to storage and read metrics off that",
        stacklevel=3,
    )
    return state
