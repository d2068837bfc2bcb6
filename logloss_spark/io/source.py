"""Read the tables that a config names."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import DataType, StructField, StructType

from logloss_spark.errors import DataError, LogLossError, SpecError
from logloss_spark.io.names import quoted
from logloss_spark.io.places import exists, is_pattern, literal, missing
from logloss_spark.io.secrets import redacted, secrets_in
from logloss_spark.io.spark_errors import from_spark, said, translated
from logloss_spark.wording import did_you_mean

TEXT_FORMATS = ("csv", "json", "text", "xml")
"""Formats whose files hold no types: a schema says what their columns are read as."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where rows come from: a path in a format of Spark's, or a table of the catalog, and which of its rows.

    Parameters
    ----------
    path : str
        A path, unless `table` is given. It may be a pattern, as Spark reads it, unless a file or folder has this name.
    table : str
        A table of the catalog, unless `path` is given.
    format : str
        The format of the files at the path, one that Spark reads.
    options : dict from name to value
        Options of Spark's reader, such as `mergeSchema`.
    schema : dict from column to type in SQL
        Types of columns of a path where Spark would find others: a partition `store=001` is read as 1 unless it is
        a string. The values of partitions and of text are read as these types, all others are cast.
    where : str, optional
        A condition in SQL; rows that fail it are not read.
    """

    path: str | None = None
    table: str | None = None
    format: str = "parquet"
    options: dict[str, str | bool | int | float] = field(default_factory=dict)
    schema: dict[str, str] = field(default_factory=dict)
    where: str | None = None

    @property
    def name(self) -> str:
        """The table's name, or the path."""
        return self.table or self.path or ""


def read_table(spark: SparkSession, source: Source) -> DataFrame:
    """Return the table of a source. Nothing but its schema is read.

    Raises
    ------
    MissingInputError, DataError
        A path or a table that is not there, or cannot be read.
    SpecError
        `schema` or `where` is not valid SQL or names a column that is not there; Spark does not know the format, or
        does not take one of the options.
    """
    exact = replace(source, path=exact_path(spark, source.path)) if source.path else source
    reader = spark.read.format(source.format).options(**source.options)
    try:
        found = reader.table(source.table) if source.table else reader.load(exact.path)
        found = typed(spark, found, exact) if source.schema else found
        _ = found.schema  # over Connect nothing is looked at before
    except Exception as error:
        if not from_spark(error):
            raise
        raise unreadable(source, error) from error
    if exact.path and source.format == "parquet":
        check_not_lakes(spark, [exact.path])
    return found if source.where is None else filtered(found, source.where)


def check_not_lakes(spark: SparkSession, paths: Sequence[str]) -> None:
    """Raise SpecError if a path of Parquet is that of a Delta or Hudi table: its folder holds replaced files, too."""
    for path in paths:
        for kind, mark in (("Delta", "_delta_log"), ("Hudi", ".hoodie")):
            if exists(spark, f"{path}/{mark}"):
                raise SpecError(
                    f"a path of Parquet must be that of plain files, and {path} is a {kind} table: read it with "
                    f'format = "{kind.lower()}" in a config, or with spark.read.format in code'
                )


def exact_path(spark: SparkSession, path: str) -> str:
    """Return a path as Spark reads it: a pattern, unless there is something of this very name."""
    return literal(path) if is_pattern(path) and missing(spark, path) is None else path


def unreadable(source: Source, error: Exception) -> LogLossError:
    """Return the error that says why Spark cannot read a source, and names it once. Secrets in options are hidden."""
    hidden = list(secrets_in({"options": source.options}))
    known = translated(error)
    if type(known) is LogLossError and source.options:
        names = ", ".join(f"{name}={redacted(str(value), hidden)!r}" for name, value in source.options.items())
        why = redacted(said(error), hidden)
        return SpecError(f"{source.name} cannot be read as {source.format} with the options {names}: {why}")
    kind = DataError if type(known) is LogLossError else type(known)
    named = source.name.strip("./") in str(known)
    return kind(redacted(str(known) if named else f"{source.name} cannot be read: {known}", hidden))


def typed(spark: SparkSession, found: DataFrame, source: Source) -> DataFrame:
    """Return the table of a path with the types that `schema` names; Spark reads it again where it found others."""
    if source.path is None:
        raise SpecError("schema must belong to a path, got a table of the catalog: leave schema out")
    for name in source.schema:
        if name not in found.columns:
            raise SpecError(f"schema must name columns of the table, got {name!r}; {did_you_mean(name, found.columns)}")
    types = {name: type_in_sql(name, text) for name, text in source.schema.items()}
    reader = spark.read.format(source.format)
    files = reader.options(**{**source.options, "recursiveFileLookup": True})
    in_text = source.format in TEXT_FORMATS
    stored = set() if in_text else set(files.load(source.path).columns)  # all columns but those of partitions
    fields = [
        StructField(field.name, types.get(field.name, field.dataType)) if field.name not in stored else field
        for field in found.schema.fields
    ]
    if not stored.issuperset(types):
        reader = spark.read.format(source.format).options(**source.options)
        found = reader.schema(StructType(fields)).load(source.path)
    cast = {name: quoted(name).cast(type_) for name, type_ in types.items() if name in stored}
    return found.withColumns(cast) if cast else found


def type_in_sql(name: str, text: str) -> DataType:
    """Return the type that a text names in SQL; raise SpecError where it names none."""
    try:
        return DataType.fromDDL(text)
    except PySparkException as error:
        raise SpecError(
            f"schema must give types as SQL writes them, such as string, bigint or date, got {text!r} for {name!r}"
        ) from error


def filtered(table: DataFrame, where: str) -> DataFrame:
    """Return the rows for which a condition in SQL holds; raise SpecError where Spark does not take it as one."""
    try:
        kept = table.where(where)
        _ = kept.select("*").schema  # over Connect a filter is taken to have the schema of its table, unseen
    except PySparkException as error:
        raise SpecError(f"where must be a condition in SQL over the columns, got {where!r}: {said(error)}") from error
    return kept
