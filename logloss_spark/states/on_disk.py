"""States in Parquet files on a disk of this machine, read without Spark."""

import json
import os
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from logloss_spark.errors import UnreadableError
from logloss_spark.io.local import LocalTable
from logloss_spark.io.places import is_on_this_disk, located
from logloss_spark.states.small import SMALL_STATE
from logloss_spark.states.state import CheckedState
from logloss_spark.states.stored import checked_here
from logloss_spark.workers.parquet import arrow_type

MOST_LOOKED_THROUGH = 2_000_000
"""Rows of a folder, at most, of which those that are wanted are found here; Spark is as fast at more of them."""

SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"
"""The key under which Spark keeps the schema of a table in each of its files."""

LAKES = ("_delta_log", ".hoodie")
"""Folders whose files need not be live."""

FORMAT = ds.ParquetFileFormat(coerce_int96_timestamp_unit="us")


def state_on_disk(spark: SparkSession, path: str, without: Collection[str] = ()) -> CheckedState | None:
    """Read and check a small state; None where Spark must read it, which also says what is wrong with a path.

    The parts `without` are neither read nor checked.

    Raises
    ------
    SpecError, DataError
        As `examine`.
    """
    files = files_in(located(spark, path))
    schema = schema_of(files)
    rows = None if schema is None else small_table(files, schema, without)
    return None if rows is None or schema is None else checked_here(LocalTable(rows, schema, spark), without)


def files_in(folder: str) -> list[str]:
    """The files of a table that is nothing but the Parquet files in a folder of this disk; none of any other.

    A folder with links is another one: they lead to places that a job must not write to.
    """
    if not is_on_this_disk(folder) or not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        found = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    shown = [name for name in sorted(found) if "=" in name or not name.startswith(("_", "."))]
    plain = all(found[name] and name.endswith(".parquet") for name in shown) and found.keys().isdisjoint(LAKES)
    return [os.path.join(folder, name) for name in shown] if plain else []


def schema_of(files: Sequence[str]) -> StructType | None:
    """The schema that Spark wrote into each file of a state; None if it is no state's, or they hold too many rows."""
    try:
        footers = [pq.read_metadata(file) for file in files]
    except (OSError, pa.ArrowException):
        return None
    schemas = {(footer.metadata or {}).get(SPARK_SCHEMA) for footer in footers}
    text = schemas.pop() if len(schemas) == 1 else None
    if text is None or sum(footer.num_rows for footer in footers) > MOST_LOOKED_THROUGH:
        return None
    schema = StructType.fromJson(json.loads(text))
    return schema if {"part", "fingerprint"} <= set(schema.names) else None


def small_table(files: Sequence[str], schema: StructType, without: Collection[str]) -> pa.Table | None:
    """The rows of the files of a state but for some parts; None if they are too many, or no such table."""
    kept = ~ds.field("part").isin(list(without)) if without else None
    try:
        rows = ds.dataset(list(files), format=FORMAT).head(SMALL_STATE + 1, filter=kept)
        return rows.cast(arrow_schema(schema)) if rows.num_rows <= SMALL_STATE else None
    except (OSError, ValueError, pa.ArrowException, UnreadableError):
        return None


def arrow_schema(schema: StructType) -> pa.Schema:
    """A schema in Arrow's types."""
    return pa.schema([(field.name, arrow_type(field.dataType)) for field in schema])
