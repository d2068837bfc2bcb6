"""P-values of many slices, adjusted for being many."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def with_adjusted(table: DataFrame, p_value: str, adjusted: str, family: Sequence[str]) -> DataFrame:
    """The table with a further column, a p-value that is adjusted over the rows that agree in the columns of `family`.

    Rows that are called out where it is at most q are false discoveries to a share of at most q, on average. Null
    p-values stay null and count for nothing (Benjamini, Hochberg, J. R. Statist. Soc. B 57, 1995).
    """
    alike = Window.partitionBy(*family)
    ranked = table.withColumn("rank", F.row_number().over(alike.orderBy(F.asc_nulls_last(p_value))))
    bound = F.col(p_value) * F.count(p_value).over(alike) / F.col("rank")
    from_here_on = alike.orderBy(F.desc("rank")).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    lowest = F.least(F.min("bound").over(from_here_on), F.lit(1.0))
    found = ranked.withColumn("bound", bound).withColumn(adjusted, F.when(F.col(p_value).isNotNull(), lowest))
    return found.drop("rank", "bound")
