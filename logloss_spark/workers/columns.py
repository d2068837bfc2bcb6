"""Ship a function of Arrow arrays to the workers, as a function of columns."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyspark.sql.functions as F
from pyspark.sql import Column
from pyspark.sql.pandas.functions import pandas_udf

from logloss_spark.io.session import equip_workers

ArrowFunction = Callable[..., pa.Array]

VECTOR = pa.struct(
    {"type": pa.int8(), "size": pa.int32(), "indices": pa.list_(pa.int32()), "values": pa.list_(pa.float64())}
)
"""The type of an ML vector in Arrow."""


def vectorised(function: ArrowFunction, type_: str, *, nulls: bool = False) -> Any:
    """Make a function of columns from a function of Arrow arrays: an Arrow UDF, or on Spark 4.0 a Pandas UDF.

    Parameters
    ----------
    function : callable
        Gets an Arrow array for each column, batch by batch, and returns one of the same length. It runs in a worker, so
        it must import what it needs at the top of its module.
    type_ : str
        The type of the result, as DDL.
    nulls : bool
        Whether the function must tell a null from a NaN. In a Pandas UDF they look alike, so a text beside each column
        says which is which. What is returned then takes columns on Spark 4.0, and cannot be registered for SQL.
    """
    equip_workers()
    arrow_udf = getattr(F, "arrow_udf", None)
    if arrow_udf is not None:

        def on_arrow(*columns: pa.Array) -> pa.Array:
            return function(*columns)

        return arrow_udf(on_arrow, type_)

    def on_pandas(*columns: pd.Series) -> pd.Series:
        return function(*map(arrow_array, columns)).to_pandas()

    def on_pandas_and_texts(*columns: pd.Series) -> pd.Series:
        half = len(columns) // 2
        return function(*map(arrow_array, columns[:half], columns[half:])).to_pandas()

    if not nulls:
        return pandas_udf(on_pandas, type_)  # type: ignore[call-overload]  # the stubs know no variadic function
    of_texts = pandas_udf(on_pandas_and_texts, type_)  # type: ignore[call-overload]
    return lambda *columns: of_texts(*columns, *map(text_of_nulls, columns))


def text_of_nulls(column: Column | str) -> Column:
    """A column of any type as text where it is null or holds a null, and null elsewhere."""
    text = F.coalesce((F.col(column) if isinstance(column, str) else column).cast("string"), F.lit("null"))
    return F.when(text.contains("null"), text)


def arrow_array(column: pd.Series | pd.DataFrame, text: pd.Series | None = None) -> pa.Array:
    """The Arrow array that pandas made a column of; without its `text_of_nulls` a NaN becomes null."""
    if isinstance(column, pd.DataFrame):  # pandas makes one of a struct, and ML vectors are the structs that we take
        fields = [pa.array(column[field.name], field.type, from_pandas=True) for field in VECTOR]
        return pa.StructArray.from_arrays(fields, fields=list(VECTOR), mask=pa.array(column["type"].isna()))
    if text is None:
        return pa.Array.from_pandas(column)
    null = text.notna().to_numpy()
    if column.dtype.kind == "f":
        return pa.array(column, mask=null, from_pandas=False)
    return pa.array([*map(with_nulls, column, text)] if null.any() else column, from_pandas=False)


def with_nulls(value: Any, text: str | None) -> Any:
    """A value of a column; of an array of numbers those entries are None that are null in its text."""
    if text is None or not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    return [None if word == "null" else entry for word, entry in zip(text[1:-1].split(", "), value, strict=True)]
