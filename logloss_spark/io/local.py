"""A small table on the driver: Arrow columns, from which a DataFrame is made only when somebody asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    StructType,
)

INTEGERS = (ByteType, ShortType, IntegerType, LongType)

ALIKE = (*INTEGERS, StringType, BooleanType, DateType, DecimalType, FloatType, DoubleType, BinaryType)
"""Types whose columns Arrow turns into the pandas columns that `DataFrame.toPandas` gives. Timestamps also take a time
zone."""


@dataclass(frozen=True, eq=False)
class LocalTable:
    """A small table on the driver.

    Attributes
    ----------
    rows : pyarrow.Table
    schema : StructType
        The types of the columns in Spark.
    spark : SparkSession
        The session in which a DataFrame of the rows is made.
    """

    rows: pa.Table
    schema: StructType
    spark: SparkSession

    @cached_property
    def table(self) -> DataFrame:
        """The rows as a DataFrame, which is made once."""
        made: DataFrame = self.spark.createDataFrame(self.rows, self.schema)
        return made

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as `DataFrame.toPandas` returns them; converted once, so copy it before you edit it."""
        alike = all(is_alike(field.dataType) for field in self.schema)
        frame: pd.DataFrame = self.rows.to_pandas(date_as_object=True) if alike else self.table.toPandas()
        return frame

    def without(self, names: Sequence[str]) -> "LocalTable":
        """The table without some of its columns."""
        kept = StructType([field for field in self.schema if field.name not in names])
        return LocalTable(self.rows.select(kept.names), kept, self.spark)


def as_dataframe(found: DataFrame | LocalTable) -> DataFrame:
    """A table that is in Spark or on the driver, as a DataFrame."""
    return found.table if isinstance(found, LocalTable) else found


def is_alike(type_: DataType) -> bool:
    """Whether Arrow and PySpark make the same pandas column of this type."""
    if isinstance(type_, ArrayType):
        return is_alike(type_.elementType)
    if isinstance(type_, StructType):
        return all(is_alike(field.dataType) for field in type_)
    return isinstance(type_, ALIKE)
