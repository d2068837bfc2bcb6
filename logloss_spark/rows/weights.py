"""Weights so large or small that sums of their squares leave the range of a double: they count in other units."""

import math
from dataclasses import replace

from pyspark.sql import functions as F

from logloss_spark.rows.inputs import Rows

LEAST, LARGEST = 2.0**-900, 2.0**900
"""Between these a sum of weights, or of their squares, is safe: so are its products with losses and counts."""

MOST = 1000
"""The largest power of two that weights are divided or multiplied by; it brings any weight into the middle."""

SMALLEST = 5e-324
"""The smallest positive double: what a positive weight stays at least, as a weight of zero is no weight."""


def in_range(*sums: float | None) -> bool:
    """Whether sums of positive weights, or of their squares, are safe; what has no rows is."""
    return all(total is None or LEAST < total < LARGEST for total in sums)


def exponent_of(rows: Rows) -> int:
    """The power of two next above the largest weight, 0 where there is none. Reads the weights."""
    weight = F.col("weight")
    largest = F.max(F.when((weight > 0) & (weight < F.lit(math.inf)), weight))
    found = rows.table.agg(largest.alias("weight")).first()
    exponent = 0 if found is None or found["weight"] is None else math.frexp(found["weight"])[1]
    return max(-MOST, min(MOST, exponent))


def in_units(rows: Rows, exponent: int) -> Rows:
    """The rows with their weights in units of this power of two, which is exact but for a weight that is lost in it."""
    weight = F.col("weight")
    scaled = weight * 2.0**-exponent
    lost = (scaled == 0.0) & (weight != 0.0)
    table = rows.table.withColumn("weight", F.when(lost, F.signum(weight) * SMALLEST).otherwise(scaled))
    return replace(rows, table=table, weight_exponent=rows.weight_exponent + exponent)
