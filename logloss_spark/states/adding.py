"""Rows of one or more states, summed into one."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import SOURCE, TOTAL, columns_of, totals
from logloss_spark.states.slices import slice_columns


def added(parts: DataFrame, conventions: Conventions) -> DataFrame:
    """Rows of one or more states, whose slice columns have their places for names, summed into one state."""
    inner = [slice_name(place) for place in range(len(conventions.slices))]
    summed = parts.groupBy(*inner, "part", "place").agg(*totals(conventions))
    named = [F.col(key).alias(name) for key, name in zip(inner, slice_columns(conventions).values(), strict=True)]
    return summed.select(
        *named, "part", "place", *columns_of(conventions), F.lit(conventions.fingerprint()).alias("fingerprint")
    )


def known_as(spark: SparkSession, source: int) -> DataFrame:
    """The two rows that every state has, even one of no rows: which evaluation it is, and a total of nothing."""
    return spark.range(1).selectExpr(
        f"inline(array(named_struct('part', '{SOURCE}', 'place', {source}L, 'n', 1L), "
        f"named_struct('part', '{TOTAL}', 'place', CAST(NULL AS BIGINT), 'n', 0L)))"
    )
