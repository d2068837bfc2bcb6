"""Rows of a table scored by an engine, back as NumPy arrays in the order in which they came."""

from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark.roles import Roles
from logloss_spark.rows.arrow import numbers
from logloss_spark.rows.batches import Preparation, made_ready
from logloss_spark.rows.inputs import Rows, rows_of
from logloss_spark.rows.terms import scored, with_loss
from logloss_spark.scoring import Scoring
from logloss_spark.states.summing import terms_of

Array = np.ndarray[Any, np.dtype[Any]]
SCORES = {"scored": scored, "losses": with_loss}


def numbered(columns: dict[str, Any]) -> pa.Table:
    """Columns as an Arrow table, which unlike pandas tells NaN from null, with the number of each row as `row`."""
    table = pa.table({name: arrow(values) for name, values in columns.items()})
    return table.append_column("row", pa.array(range(len(table)), pa.int64()))


def arrow(values: Any) -> pa.Array:
    """Values as an Arrow array; a matrix becomes lists."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
        return pa.ListArray.from_arrays(offsets, pa.array(values.ravel(), from_pandas=False))
    return values if isinstance(values, pa.Array) else pa.array(values, from_pandas=False)


def scored_rows(
    spark: SparkSession,
    columns: dict[str, Any],
    *,
    what: str = "scored",
    engine: Any = ("pandas", "native"),
    **asked: Any,
) -> dict[str, dict[str, Array]]:
    """What the engines make of each row, by engine and then by column: one Spark job for both.

    The rows come from disk: those of a local table would be computed by Spark's optimizer, and not by the code that
    it generates.
    """
    with TemporaryDirectory() as folder:
        pq.write_table(numbered(columns), f"{folder}/rows.parquet")
        df = spark.read.parquet(folder)
        found = {"arrow": of_workers(df, f"{folder}/rows.parquet", **asked)} if "arrow" in engine else {}
        in_spark = [name for name in engine if name != "arrow"]
        return found | collected({name: scored_table(df, what, engine=name, **asked) for name in in_spark})


def of_workers(df: DataFrame, path: str, **asked: Any) -> dict[str, Array]:
    """What workers make of the rows of a file; terms of rows that cannot be scored are 0."""
    rows = ready(df, **asked)
    preparation = Preparation(roles=rows.roles, scoring=rows.scoring, form=rows.form, predictions=rows.predictions)
    (batch,) = pq.read_table(path).combine_chunks().to_batches()
    made = made_ready(batch, preparation)
    (status,) = made.statuses
    terms = terms_of(made.where(status == 0), preparation)
    found = {name: np.zeros((len(status), *values.shape[1:]), values.dtype) for name, values in terms.items()}
    for name, values in terms.items():
        found[name][status == 0] = values
    return found | {"status": status}


def ready(df: DataFrame, *, engine: Any = "pandas", **asked: Any) -> Rows:
    """A table made ready, from the arguments of `evaluate`; its roles are the columns of their names."""
    roles = {"label": "label", "prediction": "prediction"} | {
        role: asked.pop(role) for role in ("label", "prediction", "weight", "cluster", "by") if role in asked
    }
    return rows_of(df, Roles(**roles), Scoring(**asked), engine=engine)


def scored_table(df: DataFrame, what: str = "scored", **asked: Any) -> DataFrame:
    """A table with a column `row`, scored: `slice_0` is that column."""
    return SCORES[what](ready(df, **{"by": "row"} | asked))


def collected(tables: dict[str, DataFrame]) -> dict[str, dict[str, Array]]:
    """Tables by name as arrays, in the order of their rows, in one job."""
    common = [name for name in next(iter(tables.values())).columns if name not in ("label", "prediction", "weight")]
    together = None
    for name, table in tables.items():
        named = table.select(F.lit(name).alias("table"), *common)
        together = named if together is None else together.unionByName(named)
    assert together is not None
    found = together.toArrow()
    arrays = {}
    for name in tables:
        part = found.filter(pa.compute.equal(found["table"], name)).sort_by("slice_0")
        arrays[name] = {column: as_numpy(part[column]) for column in common}
    return arrays


def as_numpy(column: pa.ChunkedArray) -> Array:
    """A column as NumPy: lists become a matrix, whose rows are NaN where a list is shorter or longer than most."""
    values = column.combine_chunks()
    if pa.types.is_list(values.type):
        return numbers(values, int(np.bincount(values.value_lengths().fill_null(0)).argmax()))
    return values.to_numpy(zero_copy_only=False)


def ulps(found: Array, wanted: Array) -> Array:
    """How far numbers are apart, in units of the last place of `wanted`; equal infinities are 0 apart."""
    with np.errstate(invalid="ignore"):
        return np.where(found == wanted, 0.0, np.abs(found - wanted) / np.spacing(np.abs(wanted)))
