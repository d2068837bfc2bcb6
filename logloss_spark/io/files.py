"""Tables that are nothing but Parquet files, so that Python workers can read the files themselves."""

from dataclasses import dataclass
from typing import Any

from pyspark.sql.types import StructType


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a table.

    Attributes
    ----------
    path : the file's address as a worker opens it: a path on local disk, or an address such as `s3a://bucket/key`
    size : bytes
    modified : nanoseconds since 1970, as precisely as the file system tells it
    values : one value per partition column, as a Python value of its type; None for null
    """

    path: str
    size: int
    modified: int
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FileTable:
    """A table that is nothing but its files. Plain data, which can be sent to workers.

    Attributes
    ----------
    schema : Spark's schema of the table, partition columns included
    partitions : the names of the partition columns, in the order of `File.values`
    files : the files that have any bytes
    case_sensitive : whether the names of columns in a file must match the schema's to the letter
    """

    schema: StructType
    partitions: tuple[str, ...]
    files: tuple[File, ...]
    case_sensitive: bool = False
