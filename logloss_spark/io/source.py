"""Tables that a config names, read by Spark."""

from collections.abc import Mapping

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField, StructType

from logloss_spark.errors import DataError, LogLossError, SpecError
from logloss_spark.io.places import is_pattern, literal, missing
from logloss_spark.io.secrets import redacted, secrets_in
from logloss_spark.io.spark_errors import from_spark, said, translated
from logloss_spark.wording import did_you_mean

TEXT_FORMATS = ("csv", "json", "text", "xml")
"""Formats whose files hold no types: a schema says what their columns are read as."""


def read_table(
    spark: SparkSession,
    *,
    path: str | None = None,
    table: str | None = None,
    format: str = "parquet",
    options: Mapping[str, str | bool | int | float] | None = None,
    schema: Mapping[str, str] | None = None,
    where: str | None = None,
) -> DataFrame:
    """A table to read, by its path or by its name in the catalog.

    Parameters
    ----------
    path, table : str
        One of them. A path may be a pattern, as Spark reads it, unless there is something of this very name.
    format, options :
        Of Spark's reader.
    schema : mapping from column to type in SQL, optional
        Types of columns of a path, where Spark would find others: a partition `store=001` is read as 1 unless it is
        a string. The values of partitions and of text are read as these types, all others are cast.
    where : str, optional
        A condition in SQL; rows that fail it are not read.

    Returns
    -------
    DataFrame, of which nothing but the schema has been read

    Raises
    ------
    DataError
        A path or a table that is not there, or cannot be read.
    SpecError
        A type that is none, or of a column that is not there; a format that Spark does not know, an option it does not
        take, or a condition that is none.
    """
    source, given = table or path, dict(options or {})
    hidden = list(secrets_in({"options": given}))
    if path and is_pattern(path) and missing(spark, path) is None:
        path = literal(path)
    reader = spark.read.format(format).options(**given)
    try:
        found = reader.table(table) if table else reader.load(path)
        found = typed(spark, found, schema, path=path, format=format, options=given) if schema else found
        _ = found.schema  # over Connect nothing is looked at before
    except Exception as error:
        if not from_spark(error):
            raise
        known = translated(error)
        if type(known) is LogLossError and given:
            names = ", ".join(f"{name}={redacted(str(value), hidden)!r}" for name, value in given.items())
            why = redacted(said(error), hidden)
            raise SpecError(f"{source} cannot be read as {format} with the options {names}: {why}") from error
        kind = DataError if type(known) is LogLossError else type(known)
        raise kind(redacted(f"{source} cannot be read: {known}", hidden)) from error
    return found if where is None else filtered(found, where)


def typed(
    spark: SparkSession,
    found: DataFrame,
    schema: Mapping[str, str],
    *,
    path: str | None,
    format: str,
    options: Mapping[str, str | bool | int | float],
) -> DataFrame:
    """The table at a path with these types of columns; it is read again where Spark would find others."""
    if path is None:
        raise SpecError("schema gives types to columns of a path, got a table of the catalog: its own types count")
    for name in schema:
        if name not in found.columns:
            raise SpecError(f"schema names columns of the table, got {name!r}; {did_you_mean(name, found.columns)}")
    types = {name: type_in_sql(name, text) for name, text in schema.items()}
    files = spark.read.format(format).options(**{**options, "recursiveFileLookup": True})
    stored = set() if format in TEXT_FORMATS else set(files.load(path).columns)  # all but those of partitions
    fields = [
        StructField(field.name, types.get(field.name, field.dataType)) if field.name not in stored else field
        for field in found.schema.fields
    ]
    if not stored.issuperset(types):
        found = spark.read.format(format).options(**options).schema(StructType(fields)).load(path)
    cast = {name: F.col(f"`{name.replace('`', '``')}`").cast(type_) for name, type_ in types.items() if name in stored}
    return found.withColumns(cast) if cast else found


def type_in_sql(name: str, text: str) -> DataType:
    """The type that a text names in SQL; SpecError where it names none."""
    try:
        return DataType.fromDDL(text)
    except PySparkException as error:
        raise SpecError(
            f"schema gives types as SQL writes them, such as string, bigint, double or date, got {text!r} for {name!r}"
        ) from error


def filtered(table: DataFrame, where: str) -> DataFrame:
    """The rows of a table for which a condition in SQL holds; SpecError where it is none."""
    try:
        kept = table.where(where)
        _ = kept.select("*").schema  # over Connect a filter is taken to have the schema of its table, unseen
    except PySparkException as error:
        raise SpecError(f"where is a condition in SQL over the columns, and {where!r} is not: {said(error)}") from error
    return kept
