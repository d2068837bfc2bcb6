"""Units for weights that are so large or small that sums of their squares would leave the range of a double."""

import math
from dataclasses import replace

from pyspark.sql import functions as F

from logloss_spark.rows.inputs import Rows

LEAST, LARGEST = 2.0**-900, 2.0**900
"""A sum of weights, or of their squares, is safe between these, and so are its products with losses and counts."""

MOST = 1000
"""The largest exponent of two that weights are scaled by. It brings any weight into the middle of the range."""

SMALLEST = 5e-324
"""The smallest positive double. Scaling keeps a positive weight at or above it: a weight of 0 would not count."""


def in_range(*sums: float | None) -> bool:
    """Whether sums of positive weights, or of their squares, are safe. None, the sum of no rows, is."""
    return all(total is None or LEAST < total < LARGEST for total in sums)


def exponent_of(rows: Rows) -> int:
    """Read the weights, and return the exponent of the power of two next above the largest; 0 where there is none."""
    weight = F.col("weight")
    largest = F.max(F.when((weight > 0) & (weight < F.lit(math.inf)), weight))
    found = rows.table.agg(largest.alias("weight")).first()
    exponent = 0 if found is None or found["weight"] is None else math.frexp(found["weight"])[1]
    return max(-MOST, min(MOST, exponent))


def rescaled(rows: Rows, exponent: int) -> Rows:
    """The rows with weights in units of this power of two. Exact, except for weights that would become 0."""
    weight = F.col("weight")
    scaled = weight * 2.0**-exponent
    lost = (scaled == 0.0) & (weight != 0.0)
    table = rows.table.withColumn("weight", F.when(lost, F.signum(weight) * SMALLEST).otherwise(scaled))
    return replace(rows, table=table, weight_exponent=rows.weight_exponent + exponent)
