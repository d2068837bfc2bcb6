"""Tables in and out: reading what a config names, and writing results so that a job that fails leaves none.

Only DataFrames are used, no file system of the JVM's, so that all of it works over Spark Connect, too.
"""

import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from urllib.parse import unquote
from uuid import uuid4

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession, is_remote
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField, StructType

from logloss_spark.errors import DataError, LogLossError, SpecError, did_you_mean
from logloss_spark.io.spark_errors import from_spark, said, translated

GLOB = "{}[]*?\\"
"""The signs that Hadoop reads as a pattern in a path that is read, and as themselves in one that is written."""

MODES = {"errorifexists": "error", "overwrite": "overwrite"}
"""Spark's words for what to do where something is; its Connect client knows the first one by its short form only."""


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
        One of them. A path may be a pattern, as Spark reads it.
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
            names = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise SpecError(f"{source} cannot be read as {format} with the options {names}: {said(error)}") from error
        kind = DataError if type(known) is LogLossError else type(known)
        raise kind(f"{source} cannot be read: {known}") from error
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


def check_outputs(
    spark: SparkSession, outputs: Mapping[str, str], *, mode: str, apart_from: Collection[str] = ()
) -> None:
    """Refuse outputs that could not be written, or would destroy what is read: before any row is read.

    Parameters
    ----------
    outputs : mapping from the name of an output to its path
    mode : "errorifexists" or "overwrite"
    apart_from : collection of str
        The folders of what is read, from `folders`.

    Raises
    ------
    SpecError
        A path that exists and may not be overwritten, or that shares a folder with another output or with the input.
    """
    places = {}
    for name, path in outputs.items():
        place = missing(spark, path) if mode == "errorifexists" else located(spark, path)
        if place is None:
            raise SpecError(
                f"an output must not exist where mode is errorifexists, and {name} does: {path}; "
                'take it away, name another path, or set mode = "overwrite"'
            )
        places[name] = place
    for name, other in combinations(places, 2):
        if overlap(places[name], places[other]):
            raise SpecError(
                f"outputs must not lie inside each other, and {name} and {other} do: {outputs[name]}, {outputs[other]}"
            )
    for name, place in places.items():
        shared = [folder for folder in apart_from if overlap(place, folder)]
        if shared:
            raise SpecError(
                "an output must not lie inside what is read, nor around it, "
                f"and {name} does: {outputs[name]} and {min(shared)}; name a path apart from it"
            )


def write_tables(
    spark: SparkSession,
    tables: Mapping[str, DataFrame],
    outputs: Mapping[str, str],
    *,
    format: str,
    mode: str,
    partition_by: Sequence[str] = (),
) -> None:
    """Write tables one after the other; when one fails, take back those that were written before it.

    Only what was not there before can be taken back, and only on this machine: Spark has no word for "delete" on
    other file systems, and `overwrite` has destroyed what was there. The error names what remains.

    Parameters
    ----------
    tables : mapping from the name of an output to its table
        In the order of writing: first those that read rows again, which may yet fail.
    outputs : mapping from names to paths
        A table whose name is not in here is not written.
    format, mode :
        Of Spark's writer.

    Raises
    ------
    LogLossError
        Of the kind that fits, when a table cannot be written.
    """
    written: list[str] = []
    for name in [name for name in tables if name in outputs]:
        try:
            tables[name].write.format(format).mode(MODES[mode]).partitionBy(*partition_by).save(outputs[name])
            written.append(name)
        except BaseException as error:
            left = written
            if mode == "errorifexists" and on_this_machine(spark):
                # What another job put there meanwhile is not ours.
                begun = written if "[PATH_ALREADY_EXISTS]" in str(error) else [*written, name]
                left = [earlier for earlier in begun if not removed(located(spark, outputs[earlier]))]
            if not from_spark(error):
                raise
            known = translated(error)
            remains = f"; already written: {', '.join(outputs[earlier] for earlier in left)}" if left else ""
            raise type(known)(f"{name} cannot be written to {outputs[name]}: {known}{remains}") from error


def located(spark: SparkSession, path: str) -> str:
    """The whole address of a path, as Spark completes it; on a machine's own disk, with its links followed.

    Spark has no word for this, but it says the whole address of what it does not find: it is asked for something
    that cannot be there.
    """
    nothing = f".{uuid4().hex}"
    address = missing(spark, f"{path.rstrip('/')}/{nothing}")
    assert address is not None
    return on_disk(address.removesuffix(nothing).rstrip("/"))


def missing(spark: SparkSession, path: str) -> str | None:
    """The whole address of a path where there is nothing; None where there is something."""
    literal = re.sub(f"([{re.escape(GLOB)}])", r"\\\1", path)
    try:
        _ = spark.read.format("binaryFile").load(literal).schema  # a format whose schema asks for no file's content
    except Exception as error:
        found = re.search(r"\[PATH_NOT_FOUND\][^:]*: (.+?)\.(?: SQLSTATE|\n|$)", str(error))
        if found:
            return on_disk(re.sub(r"\\(.)", r"\1", found[1]))
        if not from_spark(error):
            raise
        known = translated(error)
        kind = type(known) if type(known) is not LogLossError else SpecError
        raise kind(f"{path} cannot be reached: {known}") from error
    return None


def folders(spark: SparkSession, table: DataFrame, *, path: str | None = None, name: str | None = None) -> set[str]:
    """The whole addresses of where a table is read from, by its path or by its name in the catalog.

    Where a path is a pattern, and where a name is that of a view, these are the folders of the files.
    """
    if path and not any(sign in GLOB for sign in path):
        return {located(spark, path)}
    found = {file.rpartition("/")[0] for file in table.inputFiles()}
    if name:  # a table that is empty has no files, but a place
        described = spark.sql(f"DESCRIBE TABLE EXTENDED {name}").where("col_name = 'Location'")
        found |= {row["data_type"] for row in described.collect()}
    return {on_disk(unquote(address)) for address in found}


def on_disk(address: str) -> str:
    """An address, with its links followed where it is on a disk of this machine's."""
    local = re.sub(r"^file:/*", "/", address)
    return os.path.realpath(local) if local.startswith("/") else address


def overlap(place: str, other: str) -> bool:
    """Whether two addresses are the same, or one lies inside the other."""
    place, other = place.rstrip("/") + "/", other.rstrip("/") + "/"
    return place.startswith(other) or other.startswith(place)


def on_this_machine(spark: SparkSession) -> bool:
    """Whether Spark runs in this machine, so that its files are ours."""
    server_is_ours = not is_remote() or os.environ.get("SPARK_REMOTE", "").startswith("local")
    return server_is_ours and (spark.conf.get("spark.master", "") or "").startswith("local")


def removed(place: str) -> bool:
    """Take away what is at an address on this machine's disk; whether that was done."""
    if place.startswith("/"):
        shutil.rmtree(place, ignore_errors=True)
    return place.startswith("/") and not os.path.exists(place)
