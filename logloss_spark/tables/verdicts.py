"""P-values that are adjusted for the number of slices."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def with_adjusted(table: DataFrame, p_value: str, adjusted: str, family: Sequence[str]) -> DataFrame:
    """Add a column: a p-value that is adjusted over the rows that agree in the columns of `family`.

    Of the rows whose adjusted p-value is at most q, a share of at most q is false discoveries on average. Null p-values
    stay null and do not count (Benjamini, Hochberg, J. R. Statist. Soc. B 57, 1995).
    """
    alike = Window.partitionBy(*family)
    ranked = table.withColumn("rank", F.row_number().over(alike.orderBy(F.asc_nulls_last(p_value))))
    bound = F.col(p_value) * F.count(p_value).over(alike) / F.col("rank")
    from_here_on = alike.orderBy(F.desc("rank")).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    lowest = F.least(F.min("bound").over(from_here_on), F.lit(1.0))
    found = ranked.withColumn("bound", bound).withColumn(adjusted, F.when(F.col(p_value).isNotNull(), lowest))
    return found.drop("rank", "bound")
