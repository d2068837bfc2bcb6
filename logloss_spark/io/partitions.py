"""The values of partition columns, as Spark reads them from the paths of files."""

import json
import posixpath
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from logloss_spark.io.doubts import DoubtError, doubtful
from logloss_spark.io.names import quoted
from logloss_spark.io.places import QUERY
from logloss_spark.wording import visible

NULL = "__HIVE_DEFAULT_PARTITION__"
"""The text of a path that stands for a partition column's null."""

CALLS = re.compile(r"([\w.`]+)\s*\(")
"""A name in SQL that is followed by a parenthesis."""

SAFE_CALLS = {"add_months", "and", "between", "cast", "ceil", "coalesce", "concat", "current_date", "date", "date_add",
    "date_format", "date_sub", "date_trunc", "datediff", "day", "dayofweek", "floor", "hour", "if", "in", "isnull",
    "last_day", "length", "lower", "make_date", "month", "not", "now", "nullif", "or", "quarter", "regexp_like",
    "substring", "timestamp", "to_date", "to_timestamp", "trim", "trunc", "try_cast", "upper", "weekofyear", "when",
    "where", "year"}  # fmt: skip
"""What may stand before a parenthesis in a condition that is decided once for all rows of a file."""

INTEGERS: dict[type[DataType], int] = {ByteType: 7, ShortType: 15, IntegerType: 31, LongType: 63}
"""The bits of integers, without that of the sign."""


def partition_texts(files: Sequence[str], roots: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the names and the texts of the partition values in the path of each folder, as escaped there."""
    bases = sorted((root.rstrip("/") for root in roots), key=len, reverse=True)
    texts = {}
    for folder in {posixpath.dirname(file) for file in files}:
        base = next((base for base in bases if f"{folder}/".startswith(f"{base}/")), folder)
        steps = [step.partition("=") for step in folder[len(base) :].strip("/").split("/") if step]
        if not all(name and value for name, _, value in steps):
            raise DoubtError(f"{visible(folder)} is no folder of a partition")
        texts[folder] = [(unescaped(name), value) for name, _, value in steps]
    return texts


def partition_fields(
    df: DataFrame, names: tuple[str, ...], texts: dict[str, list[tuple[str, str]]], *, case_sensitive: bool
) -> list[StructField]:
    """Return the fields of a table that its folders name."""
    found = {tuple(name if case_sensitive else name.lower() for name, _ in pairs) for pairs in texts.values()}
    columns = [name if case_sensitive else name.lower() for name in names or df.columns]
    if len(found) > 1:
        raise DoubtError("its folders do not all name the same partition columns")
    (keys,) = found
    if not set(keys) <= set(columns) or len(set(keys)) < len(keys):
        raise DoubtError("its folders name a column that it does not have")
    return [df.schema.fields[columns.index(key)] for key in keys]


def unescaped(text: str) -> str:
    """Return what a text in a path stands for: `%3A` is a colon."""
    if re.search("%(?![0-9a-fA-F]{2})", text):
        raise DoubtError(f"'{visible(text)}' in a path is not escaped as Spark does")
    return re.sub("%(..)", lambda found: chr(int(found[1], 16)), text)


def partition_values(df: DataFrame, field: StructField, texts: set[str]) -> dict[str, Any]:
    """Return the values of a partition column by their texts in paths, as Spark reads them."""
    values = {NULL: None} | {text: parsed(text, field.dataType) for text in texts - {NULL}}
    asked = [text for text in sorted(texts - {NULL}) if values[text] is None]
    if asked:
        values |= cast_by_spark(df.sparkSession, field.dataType, asked)
    if isinstance(field.dataType, TimestampType) and asked:
        # Values depend on the time zone that the session had when the table was read.
        column = quoted(field.name)
        if not df.where(column.isNotNull() & ~column.isin([values[text] for text in asked])).isEmpty():
            raise DoubtError(f"partition column '{visible(field.name)}' was read in another time zone")
    return values


def parsed(text: str, type_: DataType) -> Any:
    """Return the value of a text if there is but one way to read it, else None."""
    if isinstance(type_, StringType):
        return unescaped(text)
    if type(type_) in INTEGERS and re.fullmatch("[+-]?[0-9]{1,19}", text):
        if not -(1 << INTEGERS[type(type_)]) <= int(text) < 1 << INTEGERS[type(type_)]:
            raise DoubtError(f"partition value {text} is no {type_.simpleString()}")
        return int(text)
    if isinstance(type_, DateType) and re.fullmatch("[12][0-9]{3}-[0-9]{2}-[0-9]{2}", text):
        with suppress(ValueError):
            return date.fromisoformat(text)
    return None


def cast_by_spark(spark: SparkSession, type_: DataType, texts: Sequence[str]) -> dict[str, Any]:
    """Return the values of texts as Spark casts them.

    Raises
    ------
    DoubtError
        Spark reads a partition of such a value in another way than by a cast, or refuses it.
    """
    if not isinstance(type_, DoubleType | DateType | TimestampType | TimestampNTZType | DecimalType | BooleanType):
        raise DoubtError(f"not all partition values are {type_.simpleString()}")
    plain = [unescaped(text) if isinstance(type_, TimestampType | TimestampNTZType) else text for text in texts]
    cast = F.transform(F.from_json(F.lit(json.dumps(plain)), "array<string>"), lambda text: text.try_cast(type_))
    array = spark.sql("SELECT 1").select(cast.alias("values")).toArrow()["values"].combine_chunks().flatten()
    if isinstance(type_, TimestampType):
        array = array.cast(pa.timestamp("us", tz="UTC"))
    values = dict(zip(texts, array.to_pylist(), strict=True))
    for text, value in values.items():
        if value is None or not is_exact(text, value):
            raise DoubtError(f"partition value '{visible(text)}' is no {type_.simpleString()}")
    return values


def is_exact(text: str, value: Any) -> bool:
    """Whether Spark reads a partition's text as the value that a cast gives; it knows fewer words, and never rounds."""
    if isinstance(value, bool):
        return text.lower() in ("true", "false")
    return not isinstance(value, Decimal) or Decimal(text) == value


def partitions_that_meet(
    spark: SparkSession, fields: Sequence[StructField], values: Iterable[tuple[Any, ...]], where: str
) -> set[tuple[Any, ...]]:
    """Return the values of partitions for which a condition in SQL holds.

    Spark decides it on a small table of the values.

    Raises
    ------
    DoubtError
        The condition asks for more than the partition columns, or may differ from row to row.
    """
    calls = {name.lower() for name in CALLS.findall(where)}
    if QUERY.search(where) or not calls <= SAFE_CALLS:
        raise DoubtError("its condition may ask for more than partition columns")
    distinct = list(dict.fromkeys(values))
    number = "number of the partition"
    schema = StructType([StructField(number, LongType()), *fields])
    partitions = spark.createDataFrame([(i, *values) for i, values in enumerate(distinct)], schema)
    with doubtful("its condition asks for more than partition columns"):
        return {distinct[row[0]] for row in partitions.where(where).select(quoted(number)).collect()}
