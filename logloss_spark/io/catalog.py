"""Recognise partitioned Parquet tables of the catalog.

The catalog may have a partition anywhere. So Spark is asked which files it reads for some values of a partition column,
until no two values can be mistaken for each other.
"""

import posixpath
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark.io.doubts import DoubtError
from logloss_spark.io.names import in_backquotes
from logloss_spark.io.places import without_scheme
from logloss_spark.io.spark_errors import from_spark


def catalog_root(df: DataFrame, files: Sequence[str], table: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the folder of a table of the catalog, and the names of its columns there if they are others.

    Parameters
    ----------
    df : DataFrame
    files : sequence of str
        The addresses of its files. Where nobody knows its name it is tried whether it is that of their folder.
    table : str, optional
        Its name.

    Raises
    ------
    DoubtError
        No table of these names is the same, or it is no plain Parquet.
    """
    spark = df.sparkSession
    for name in possible_names(files, table):
        try:
            found = spark.table(name)
            if df.sameSemantics(found):
                return plain_location(spark, name), () if found.columns == df.columns else tuple(found.columns)
        except Exception as error:
            if not from_spark(error):
                raise
    raise DoubtError(
        "Spark does not know it as its files alone: something was done to it, or it was not read from one plain path"
    )


def possible_names(files: Sequence[str], table: str | None) -> Iterator[str]:
    """Return the names that a table may have in the catalog: the one that is known, or that of its folder."""
    if table:
        yield table
    folder = "/".join(posixpath.commonprefix([posixpath.dirname(file).split("/") for file in files]))
    while "=" in posixpath.basename(folder):
        folder = posixpath.dirname(folder)
    name = in_backquotes(posixpath.basename(folder))
    above = posixpath.basename(posixpath.dirname(folder))
    if above.endswith(".db"):
        yield f"{in_backquotes(above.removesuffix('.db'))}.{name}"
    yield name


def plain_location(spark: SparkSession, table: str) -> str:
    """Return the folder of a Parquet table of the catalog; DoubtError if it has buckets, options or padded texts."""
    rows = spark.sql(f"DESCRIBE TABLE EXTENDED {table}").collect()
    details = {row["col_name"]: row["data_type"] for row in rows}
    storage = details.get("Storage Properties", "[serialization.format=1]")
    if details.get("Provider", "").lower() != "parquet" or storage != "[serialization.format=1]":
        raise DoubtError("its table in the catalog is no plain Parquet")
    if any(name.startswith("Bucket") or name == "Num Buckets" for name in details):
        raise DoubtError("its table in the catalog has buckets")
    if any(row["data_type"].startswith(("char(", "varchar(")) for row in rows):
        raise DoubtError("its table in the catalog has texts of limited lengths")
    return without_scheme(unquote(details["Location"])).rstrip("/")


def check_partitions(df: DataFrame, column: str, files: Sequence[tuple[str, Any]]) -> None:
    """Raise DoubtError unless Spark reads each value of a partition column from the files that are thought to have it.

    The values are numbered from one. For each binary digit Spark is asked for the files of the values whose number has
    it. A file with another value than is thought would be missing from an answer, or be in one too many. Last it is
    asked for the files of all other values.

    Parameters
    ----------
    df : DataFrame
    column : str
    files : sequence of pairs of a file's address and its value
    """
    numbers = {value: number for number, value in enumerate(dict.fromkeys(value for _, value in files), start=1)}
    questions = [
        {value for value, number in numbers.items() if number >> digit & 1}
        for digit in range(len(numbers).bit_length())
    ]
    for values in questions:
        if files_with(has_one_of(column, values), df) != {file for file, value in files if value in values}:
            raise DoubtError(f"the catalog has partitions by {column} in folders of other names")
    if files_with(~has_one_of(column, numbers), df):
        raise DoubtError(f"the catalog has partitions by {column} in folders of other names")


def has_one_of(column: str, values: Collection[Any]) -> Column:
    """Whether a column has one of some values, null among them; never null itself."""
    found = F.col(in_backquotes(column))
    known = F.coalesce(found.isin([value for value in values if value is not None]), F.lit(False))
    return known | found.isNull() if None in values else known


def files_with(condition: Column, df: DataFrame) -> set[str]:
    """Return the files that Spark reads for a condition over partition columns."""
    return {without_scheme(unquote(uri)) for uri in df.where(condition).inputFiles()}
