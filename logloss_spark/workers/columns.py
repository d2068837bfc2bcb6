"""Ship a function of Arrow arrays to the workers, as a function of columns."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyspark.sql.functions as F
from pyspark.sql.pandas.functions import pandas_udf

from logloss_spark.io.session import equip_workers

ArrowFunction = Callable[..., pa.Array]


def vectorised(function: ArrowFunction, type_: str) -> Any:
    """Make a function of columns from a function of Arrow arrays: an Arrow UDF, or on Spark 4.0 a Pandas UDF.

    Parameters
    ----------
    function : callable
        Gets an Arrow array for each column, batch by batch, and returns one of the same length. It runs in a worker, so
        it must import what it needs at the top of its module.
    type_ : str
        The type of the result, as DDL.
    """
    equip_workers()
    arrow_udf = getattr(F, "arrow_udf", None)
    if arrow_udf is None:

        def on_pandas(*columns: pd.Series) -> pd.Series:
            return function(*[pa.Array.from_pandas(column) for column in columns]).to_pandas()

        return pandas_udf(on_pandas, type_)  # type: ignore[call-overload]  # the stubs know no variadic function

    def on_arrow(*columns: pa.Array) -> pa.Array:
        return function(*columns)

    return arrow_udf(on_arrow, type_)
