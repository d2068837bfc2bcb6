"""Metrics as a store keeps them: each row of a unit, and where it comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DataType,
    DateType,
    DoubleType,
    IntegerType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from logloss_spark.io.local import LocalTable, as_dataframe
from logloss_spark.io.names import quoted
from logloss_spark.io.units import key_columns
from logloss_spark.states.units import UNIT, NewUnit, indexes_of_units
from logloss_spark.workers.parquet import arrow_type

OF_RUN: Mapping[str, DataType] = {
    "run_id": StringType(),
    "run_time": TimestampType(),
    "run_date": DateType(),
    "config": StringType(),
    "package_version": StringType(),
}
"""Columns that are the same for all rows of a run."""

OF_UNIT: Mapping[str, DataType] = {"source": StringType(), "age": IntegerType(), UNIT: StringType()}
"""Columns that are the same for all rows of a unit."""

STAMPS = (*OF_RUN, "source", "age", "maturity")
"""The columns that readers of stored metrics see beside the metrics."""


def stamped(
    metrics: DataFrame | LocalTable, columns: Sequence[str], run: Mapping[str, Any], units: Sequence[NewUnit]
) -> DataFrame | LocalTable:
    """Add to each row of metrics its unit, and where it comes from; rows of no unit are left out.

    Parameters
    ----------
    metrics : DataFrame or LocalTable
        Metrics by grouping sets that include the unit columns.
    columns : sequence of str
        The unit columns.
    run : mapping from each column of `OF_RUN` to its value
    units : sequence of NewUnit
    """
    here = stamped_here(metrics, columns, run, units) if isinstance(metrics, LocalTable) else None
    return stamped_in_spark(as_dataframe(metrics), columns, run, units) if here is None else here


def stamped_here(
    metrics: LocalTable, columns: Sequence[str], run: Mapping[str, Any], units: Sequence[NewUnit]
) -> LocalTable | None:
    """The stamped metrics on the driver; None where Spark must write the keys."""
    rows = metrics.rows.filter(pc.not_equal(metrics.rows["slice"], "all"))
    unit = indexes_of_units(rows, metrics.schema, columns, units)
    if unit is None:
        return None
    rows, kept = rows.filter(pa.array(unit >= 0)), [units[index] for index in unit if index >= 0]
    labelled = pc.subtract(rows["rows"], rows["unlabelled"]).cast(pa.float64())
    added = {name: pa.array([run[name]] * len(kept), arrow_type(type_)) for name, type_ in OF_RUN.items()}
    added["source"] = pa.array([each.fingerprint for each in kept], pa.string())
    added["age"] = pa.array([each.age for each in kept], pa.int32())
    share = pc.divide(labelled, rows["rows"].cast(pa.float64()))
    added["maturity"] = pc.if_else(pc.is_nan(share), None, share)  # 0 / 0, of a unit without rows
    added[UNIT] = pa.array([each.id for each in kept], pa.string())
    for name, values in added.items():
        rows = rows.append_column(name, values)
    types = {**OF_RUN, "source": StringType(), "age": IntegerType(), "maturity": DoubleType(), UNIT: StringType()}
    fields = [*metrics.schema, *(StructField(name, type_) for name, type_ in types.items())]
    return LocalTable(rows, StructType(fields), metrics.spark)


def stamped_in_spark(
    metrics: DataFrame, columns: Sequence[str], run: Mapping[str, Any], units: Sequence[NewUnit]
) -> DataFrame:
    """The stamped metrics of a large table."""
    texts = [f"text {index}" for index in range(len(columns))]
    fields = [StructField(text, StringType()) for text in texts]
    known = metrics.sparkSession.createDataFrame(
        [(*unit.key, unit.fingerprint, unit.age, unit.id) for unit in units],
        StructType([*fields, *(StructField(name, type_) for name, type_ in OF_UNIT.items())]),
    )
    same = [key.eqNullSafe(quoted(text)) for key, text in zip(key_columns(columns), texts, strict=True)]
    of_units = metrics.where(F.col("slice") != "all").join(F.broadcast(known), same, "inner")
    of_run = {name: F.lit(run[name]).cast(type_).alias(name) for name, type_ in OF_RUN.items()}
    added: list[Any] = [
        *of_run.values(),
        "source",
        "age",
        F.expr("try_divide(rows - unlabelled, rows)").alias("maturity"),
        UNIT,
    ]
    return of_units.select(*map(quoted, metrics.columns), *added)
