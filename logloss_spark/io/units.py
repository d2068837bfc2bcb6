"""The units of a table: groups of rows with the same values of some columns, such as its days, and their files.

A unit is known by its key, the values of the columns as texts, as Spark casts them. Its fingerprint changes when one of
the files that hold its rows changes, comes or goes.
"""

import hashlib
import posixpath
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import reduce
from typing import Any
from urllib.parse import unquote

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import AtomicType, BinaryType

from logloss_spark.errors import SpecError
from logloss_spark.io.files import File, FileTable
from logloss_spark.io.names import in_backquotes, quoted
from logloss_spark.io.places import exists, without_scheme
from logloss_spark.io.spark_errors import said
from logloss_spark.wording import did_you_mean, visible

Key = tuple[str | None, ...]
"""The values of the unit columns, as texts."""

Mark = tuple[Any, ...]
"""What tells whether a file is still the same: its address first, then its size, and when it changed, in ms."""

FROM_FILES = (
    "struct(_metadata.file_path AS path, _metadata.file_size AS size, "
    "unix_millis(_metadata.file_modification_time) AS modified)"
)

OF_ICEBERG = "struct(_file AS path, NULL AS size, NULL AS modified)"

DEEPEST = 11
"""Folders above a file that may be that of its table: those of ten partition columns."""

ORIGINS = (
    (FROM_FILES, "_metadata.row_index"),
    (FROM_FILES, "NULL"),
    (OF_ICEBERG, "_pos"),
)
"""How Spark says from which file a row comes, and the number of the row there: of Parquet and Delta, of files without
such numbers, and of Iceberg, whose files never change."""

MILLISECOND = 1_000_000
"""In nanoseconds: Spark tells the time of a file's change in milliseconds."""


@dataclass(frozen=True)
class Unit:
    """A unit of a table: its key, the fingerprint of its files, and how many there are."""

    key: Key
    fingerprint: str
    files: int


def units_of(table: DataFrame, files: FileTable | str | None, columns: Sequence[str]) -> tuple[Unit, ...]:
    """Return the units of a table, in the order of their keys.

    Parameters
    ----------
    table : DataFrame
    files : FileTable, or anything else
        Its files, if they are known: units that are partitions are then found without a job.
    columns : sequence of str
        The unit columns.

    Raises
    ------
    SpecError
        The table has no such column, or a column cannot tell units apart, or the table does not consist of files.
    """
    check_unit_columns(table, columns)
    if isinstance(files, FileTable) and set(columns) <= set(files.partitions) and all(map(is_plain, files.files)):
        indexes = [files.partitions.index(name) for name in columns]
        return grouped(
            (key_of(file, indexes), (file.path, file.size, file.modified // MILLISECOND)) for file in files.files
        )
    return grouped(files_by_unit(table, columns))


def fingerprint_of(files: FileTable | str | None) -> str | None:
    """The fingerprint of all files of a table; None if they are not known."""
    if not isinstance(files, FileTable):
        return None
    return fingerprint(repr(sorted((file.path, file.size, file.modified // MILLISECOND) for file in files.files)))


def check_unit_columns(table: DataFrame, columns: Sequence[str]) -> None:
    """Raise SpecError where a table has no such unit columns, or their values have no text."""
    for name in columns:
        if name not in table.columns:
            raise SpecError(f"unit must name columns of the table, got {name!r}; {did_you_mean(name, table.columns)}")
        type_ = table.schema[name].dataType
        if not isinstance(type_, AtomicType) or isinstance(type_, BinaryType):
            raise SpecError(
                f"a unit column must hold texts, numbers, dates, times or booleans, got {name!r} of "
                f"{type_.simpleString()}: name another"
            )


def grouped(files: Iterable[tuple[Key, Mark]]) -> tuple[Unit, ...]:
    """The units of files, each given with the key of its unit."""
    found: dict[Key, list[Mark]] = {}
    for key, mark in files:
        found.setdefault(key, []).append(mark)
    return tuple(
        Unit(key, fingerprint(repr(sorted(found[key]))), len(found[key])) for key in sorted(found, key=in_order)
    )


def fingerprint(text: str) -> str:
    """A fingerprint of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def in_order(key: Key) -> list[tuple[bool, str]]:
    """Keys sort by their texts; null comes first."""
    return [(value is not None, value or "") for value in key]


def is_plain(file: File) -> bool:
    """Whether Python writes the partition values of a file as Spark does."""
    return all(value is None or type(value) in (str, int, bool, date) for value in file.values)


def key_of(file: File, indexes: Sequence[int]) -> Key:
    """The key of the unit of a file, from its partition values with these indexes."""
    return tuple(text_of(file.values[index]) for index in indexes)


def text_of(value: Any) -> str | None:
    """A value as Spark casts it to text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else str(value)


def key_columns(columns: Sequence[str]) -> list[Column]:
    """The unit columns of a table as texts."""
    return [quoted(name).cast("string") for name in columns]


def files_by_unit(table: DataFrame, columns: Sequence[str]) -> list[tuple[Key, Mark]]:
    """Return the files in which each unit has rows: Spark knows for every row from which file it comes.

    Of Delta and Iceberg a mark also says which rows of its file count: deletion vectors and delete files take rows from
    a file that stays as it was.
    """
    keys = [key.alias(f"unit_{index}") for index, key in enumerate(key_columns(columns))]
    names = [f"unit_{index}" for index in range(len(columns))]
    reasons = []
    for file, row in ORIGINS:
        try:
            rows = table.select(*keys, F.expr(file).alias("file"), F.expr(row).alias("row"))
            _ = rows.schema  # over Connect nothing is looked at before
            counted = rows.groupBy(*names, "file").agg(F.count("row"), F.bit_xor(F.xxhash64("row"))).collect()
        except PySparkException as error:
            reasons.append(said(error))
            continue
        numbered = file == OF_ICEBERG or (
            bool(counted) and in_delta(table.sparkSession, address_of(counted[0]["file"])[0])
        )
        return [
            (tuple(of[: len(keys)]), address_of(of["file"]) + (tuple(of[len(keys) + 1 :]) if numbered else ()))
            for of in counted
        ]
    raise SpecError(
        "a store needs an input that consists of files, or whose unit columns are partitions, and Spark names no "
        f"files of this one: {reasons[0]}"
    )


def in_delta(spark: SparkSession, file: str) -> bool:
    """Whether a file is in the folder of a Delta table, or in one of its partitions."""
    folder = file
    for _ in range(DEEPEST):
        folder = posixpath.dirname(folder)
        if folder in ("", "/") or folder.endswith(":"):
            return False
        if exists(spark, f"{folder}/_delta_log"):
            return True
    return False


def address_of(file: Row) -> Mark:
    """The address of a file, its size and when it changed, as far as they are known."""
    return without_scheme(unquote(file["path"])), file["size"], file["modified"]


def only_units(table: DataFrame, columns: Sequence[str], keys: Collection[Key]) -> DataFrame:
    """Return the rows of these units. Spark reads only their partitions, if the unit columns are partition columns."""
    texts = key_columns(columns)
    kept = table.where(reduce(Column.__and__, [among(text, [key[i] for key in keys]) for i, text in enumerate(texts)]))
    if len(columns) == 1:
        return kept
    names = [f"unit {index}" for index in range(len(columns))]
    wanted = keys_table(table.sparkSession, names, keys)
    same = reduce(Column.__and__, [text.eqNullSafe(quoted(name)) for text, name in zip(texts, names, strict=True)])
    return kept.join(F.broadcast(wanted), same, "left_semi")


def among(text: Column, values: Iterable[str | None]) -> Column:
    """Whether a text is one of these values, of which one may be null."""
    distinct = set(values)
    known = text.isin(sorted(value for value in distinct if value is not None))
    return F.coalesce(known, F.lit(False)) | text.isNull() if None in distinct else known


def keys_table(spark: SparkSession, names: Sequence[str], keys: Iterable[Key]) -> DataFrame:
    """A small table of keys, one row each."""
    types = ", ".join(f"{in_backquotes(name)} string" for name in names)
    made: DataFrame = spark.createDataFrame([tuple(key) for key in keys], types)
    return made


def files_of_units(files: FileTable, columns: Sequence[str], keys: Collection[Key]) -> FileTable | str:
    """Return the files of these units; why not, where a unit column is no partition column."""
    if not set(columns) <= set(files.partitions):
        return f"its unit {visible(columns[0])} is no partition"
    indexes, wanted = [files.partitions.index(name) for name in columns], set(keys)
    return replace(files, files=tuple(file for file in files.files if key_of(file, indexes) in wanted))


def in_words(key: Key, columns: Sequence[str]) -> str:
    """A unit in words.

    Examples
    --------
    >>> in_words(("2026-11-01", None), ["dt", "country"])
    'dt=2026-11-01/country=null'
    """
    return "/".join(f"{name}={'null' if value is None else value}" for name, value in zip(columns, key, strict=True))
