"""Recognise tables that are nothing but Parquet files, so that Python workers can read the files themselves.

Only public questions are asked of a DataFrame, so that classic sessions and Spark Connect are alike. Where a doubt
remains, the answer is the reason, and Spark must read the table.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from itertools import pairwise
from os import PathLike, fspath
from typing import Any, cast
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession, is_remote
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from logloss_spark.errors import SpecError
from logloss_spark.io.catalog import catalog_root, check_partitions
from logloss_spark.io.doubts import DoubtError, doubtful
from logloss_spark.io.names import quoted
from logloss_spark.io.partitions import partition_fields, partition_texts, partition_values, partitions_that_meet
from logloss_spark.io.places import is_on_this_disk, literal, overlap, without_scheme
from logloss_spark.io.session import active_session
from logloss_spark.io.source import Source, check_not_lakes, exact_path, unreadable
from logloss_spark.io.spark_errors import from_spark
from logloss_spark.wording import visible

CASE = "spark.sql.caseSensitive"

PLAIN = {
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.parquet.binaryAsString": "false",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.enableVectorizedReader": "true",
    "spark.sql.parquet.int96AsTimestamp": "true",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96TimestampConversion": "false",
    "spark.sql.sources.validatePartitionColumns": "true",
}
"""Settings that change which rows or values Spark reads, and how they must be for workers to read the same."""

BY_ID = "spark.sql.parquet.fieldId.read.enabled"
"""The setting by which Spark finds columns by their ids."""

FIELD_ID = "parquet.field.id"
"""What Spark calls the id of a column of Parquet in the metadata of its schema."""

SCHEMES = ("s3", "s3a", "s3n", "gs", "abfs", "abfss", "hdfs", "viewfs")
"""The schemes of addresses that workers can open, besides paths on local disk."""


STEP = re.compile(r"[\s:+-]*(?:\*\(\d+\) )?([A-Z]\w+)")
"""A line of Spark's plan, which begins with the name of a step."""

READING = ("AdaptiveSparkPlan", "ColumnarToRow", "FileScan", "Project")
"""The steps of a plan that reads files and chooses columns."""

MANY = 1000
"""Files of a table whose listing takes Spark a noticeable time."""


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
    names : what each column of the schema is called in the files, where columns were renamed; else empty
    case_sensitive : whether the names of columns in a file must match to the letter
    """

    schema: StructType
    partitions: tuple[str, ...]
    files: tuple[File, ...]
    names: tuple[str, ...] = ()
    case_sensitive: bool = False


Table = DataFrame | str | PathLike[str] | Sequence[str | PathLike[str]]
"""A table as a user gives it: a DataFrame, or the path or the paths of Parquet files."""


def files_of(df: DataFrame, paths: Sequence[str] = (), table: str | None = None) -> FileTable | str:
    """Return the files of a table that is nothing but Parquet files, or the reason why it may be more.

    Parameters
    ----------
    df : DataFrame
        A table that was read from a path, from several, or from the catalog, and whose columns were at most renamed.
    paths : sequence of str
        How the paths that it was read from may have been written. Others are tried, too.
    table : str, optional
        The name that it may have in the catalog. That of its folder is tried, too.

    Returns
    -------
    FileTable, or str
    """
    try:
        with doubtful("Spark itself cannot read it"):
            check_plain(df)
            files = addresses_of(df)
            known = recognised(df, files, paths)
            if known is not None:
                root, names = known
                return file_table(df, files, [root], names)
            root, names = catalog_root(df, files, table)
            found = file_table(df, files, [root], names)
            for i, column in enumerate(found.partitions):
                check_partitions(df, column, [(file.path, file.values[i]) for file in found.files])
            return found
    except DoubtError as doubt:
        return str(doubt)


def files_of_source(df: DataFrame, source: Source, names: Sequence[str] = ()) -> FileTable | str:
    """Return the files of the table of a source, or the reason why it may be more.

    Parameters
    ----------
    df : DataFrame
        The table as `read_table` returns it for the source without its `where`, with columns at most renamed.
    source : Source
        Its `where` may ask for partition columns alone: Spark decides it on a small table of their values.
    names : sequence of str, optional
        What its columns were called before they were renamed.
    """
    if source.path and source.format == "parquet" and not source.options and not source.schema:
        table = files_of_paths(df, [source.path], names)
    else:
        table = files_of(df, [source.path] if source.path else [], source.table)
    if isinstance(table, str) or source.where is None:
        return table
    fields = [table.schema[name] for name in table.partitions]
    try:
        kept = partitions_that_meet(df.sparkSession, fields, (file.values for file in table.files), source.where)
    except DoubtError as doubt:
        return str(doubt)
    if not kept:
        return "no partition meets its condition"
    return replace(table, files=tuple(file for file in table.files if file.values in kept))


def files_of_paths(df: DataFrame, paths: Sequence[str], names: Sequence[str] = ()) -> FileTable | str:
    """Return the files of a table that is known to be what Spark reads from these paths, or why it may be more.

    Parameters
    ----------
    df : DataFrame
    paths : sequence of str
    names : sequence of str, optional
        What its columns were called before they were renamed.
    """
    try:
        with doubtful("Spark itself cannot read it"):
            check_plain(df)
            files = addresses_of(df)
            roots = [root_of(path, files) for path in paths]
            if any(overlap(one, other) for one, other in pairwise(sorted(f"{root}/" for root in roots))):
                raise DoubtError("its paths overlap, and Spark reads a file as often as its path is given")
            check_not_lakes(df.sparkSession, roots)
            return file_table(df, files, roots, tuple(names))
    except DoubtError as doubt:
        return str(doubt)


def listed_again(spark: SparkSession, table: FileTable) -> FileTable:
    """Return a table of the same files with their sizes and times of change as they are now.

    Raises DoubtError where one is gone, or they cannot be listed.
    """
    paths = [file.path for file in table.files]
    sizes = sizes_of(spark, paths, paths)
    now = (replace(file, size=sizes[file.path][0], modified=sizes[file.path][1]) for file in table.files)
    return replace(table, files=tuple(now))


def table_and_files(table: Table) -> tuple[DataFrame, FileTable | str | None]:
    """Return a table as a DataFrame; if it was given by its paths, with what `read_paths` says of its files."""
    if isinstance(table, str | PathLike):
        return read_paths(fspath(table))
    if isinstance(table, list | tuple):
        return read_paths([fspath(path) for path in table])
    return cast(DataFrame, table), None  # whoever gets it checks that it is one


def read_paths(paths: str | Sequence[str]) -> tuple[DataFrame, FileTable | str]:
    """Read the Parquet files of a path, or of several, with the active session.

    Returns
    -------
    the table, and its files or the reason why workers cannot read them

    Raises
    ------
    SpecError
        No session is active, there is no path, or one is a table of another format.
    DataError
        A path does not exist or holds no Parquet.
    """
    spark = active_session()
    texts = [paths] if isinstance(paths, str) else list(paths)
    if not texts:
        raise SpecError("a table must be a DataFrame, a path or a list of paths, got an empty list")
    try:
        df = spark.read.parquet(*[exact_path(spark, text) for text in texts])
        _ = df.schema  # over Connect nothing is looked at before
    except Exception as error:
        if not from_spark(error):
            raise
        raise unreadable(Source(path=", ".join(texts)), error) from error
    return df, files_of_paths(df, texts)


def check_plain(df: DataFrame) -> None:
    """Raise DoubtError where a table, or the session that reads it, has what workers do not know of."""
    if df.isStreaming:
        raise DoubtError("it is a stream")
    if df.storageLevel.useMemory or df.storageLevel.useDisk:
        raise DoubtError("it is cached, and its files may have changed since")
    settings = settings_of(df.sparkSession, [*PLAIN, BY_ID])
    for key, value in PLAIN.items():
        if settings.get(key, value).lower() != value.lower():
            raise DoubtError(f"{key} is {settings[key]}")
    # Delta's session extension switches this on; it matters where a schema has such ids.
    if settings.get(BY_ID) == "true" and FIELD_ID in df.schema.json():
        raise DoubtError("its columns are found by their ids in the files")
    names = [name.lower() for name in df.columns]
    if len(set(names)) < len(names):
        raise DoubtError("two of its columns have the same name")
    for field in df.schema.fields:
        if "EXISTS_DEFAULT" in field.metadata:
            raise DoubtError(f"column '{visible(field.name)}' has a default value for files that lack it")
        if isinstance(field.dataType, StringType) and field.dataType != StringType():
            raise DoubtError(f"column '{visible(field.name)}' has a collation")


def settings_of(spark: SparkSession, keys: Sequence[str]) -> Mapping[str, str]:
    """Return those of some settings that have a value, which a client of Connect learns with one question for all."""
    if is_remote():
        return spark.conf.getAll
    # To list all settings of a classic session takes a call to the JVM for each, and ten times as long.
    found = {key: spark.conf.get(key, None) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def addresses_of(df: DataFrame) -> list[str]:
    """Return the addresses of a table's files as a worker opens them: nothing in them is escaped."""
    files = sorted(without_scheme(unquote(uri)) for uri in df.inputFiles())
    if not files:
        raise DoubtError("Spark names no files of it")
    for file in files:
        scheme = file.partition(":")[0]
        if not file.startswith("/") and scheme not in SCHEMES:
            raise DoubtError(f"workers cannot open files of {scheme}:")
        if scheme.startswith("s3") and "@" in file.split("/")[2]:
            raise DoubtError("its address holds credentials, which workers take from their environment alone")
    return files


def recognised(df: DataFrame, files: Sequence[str], paths: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    """Return the root that a table was read from, and the names of its columns there if they are others.

    Spark tells whether the table is the same as one that is read from this root and not changed. It compares the path
    as it was written, the options, and each step of the query, but not the names of columns: so columns are matched by
    their position. It does not compare how often each of several paths was given: so there must be one.

    Returns
    -------
    None if no such table is the same
    """
    readings = list(possible_readings(files, paths))
    for number, (root, text) in enumerate(readings):
        if is_same(df, text, df.schema):
            return root, ()
        if number == 0:
            check_steps(df)
    with doubtful("its files are no Parquet"):
        schema = df.sparkSession.read.parquet(literal(readings[0][1])).schema
    renamed = schema.names != df.columns
    if renamed and [field.dataType for field in schema] == [field.dataType for field in df.schema]:
        for root, text in readings:
            if is_same(df, text, schema):
                return root, tuple(schema.names)
    return None


def check_steps(df: DataFrame) -> None:
    """Raise DoubtError where Spark plans more for a table than to read files and to choose columns.

    This proves nothing, but it spares most tables that are more than their files a long search.
    """
    with redirect_stdout(StringIO()) as printed:
        df.explain()
    steps = [found[1] for line in printed.getvalue().splitlines() if (found := STEP.match(line))]
    more = [step for step in steps if step not in READING]
    if more:
        raise DoubtError(f"Spark does not know it as its files alone: something was done to it, such as a {more[0]}")


def is_same(df: DataFrame, path: str, schema: StructType) -> bool:
    """Whether a table is what Spark reads from a path with a schema, but for the names of columns."""
    try:
        read = df.sparkSession.read.schema(schema).parquet(literal(path))
        if df.sameSemantics(read):
            return True
        # Spark 4.0 tells a table whose columns are renamed from the table itself.
        names = zip(schema.names, df.columns, strict=True)
        columns = [quoted(old) if old == new else quoted(old).alias(new) for old, new in names]
        return schema.names != df.columns and df.sameSemantics(read.select(*columns))
    except Exception as error:
        if not from_spark(error):
            raise
        return False


def possible_readings(files: Sequence[str], paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return the roots that files may have been read from, each with the paths that may have been written for it.

    Spark lists the files anew for each of them, so few are tried where there are many files.
    """
    roots = ["/".join(posixpath.commonprefix([posixpath.dirname(file).split("/") for file in files]))]
    while "=" in posixpath.basename(roots[-1]):
        roots.append(posixpath.dirname(roots[-1]))
    for root in [*roots, *files] if len(files) == 1 else roots:
        for text in [
            *(path for path in paths if names_root(path, root)),
            *spellings(root)[: 2 if len(files) > MANY else None],
        ]:
            yield root, text


def spellings(root: str) -> list[str]:
    """Return how the path of a root may have been written, the most likely first."""
    if not root.startswith("/"):
        return [root, f"{root}/"]
    inside = posixpath.relpath(root, os.getcwd())
    relative = [] if inside.startswith("..") else [inside, f"{inside}/"]
    return [root, *relative, f"{root}/", f"file:{root}", f"file://{root}"]


def names_root(path: str, root: str) -> bool:
    """Whether a path, which may be a relative one, can be that of a root."""
    if path.partition("://")[0] in SCHEMES:
        return root == path.rstrip("/")
    plain = re.sub(r"^(\.\./)+", "", posixpath.normpath(without_scheme(path)))
    return root == plain or (not plain.startswith("/") and root.endswith(f"/{plain}"))


def root_of(path: str, files: Iterable[str]) -> str:
    """Return the whole address of a path that some files were read from."""
    places = set(files)
    above = places
    while above := {posixpath.dirname(place) for place in above} - places:
        places = places | above
    found = [place for place in places if names_root(path, place)]
    if len(found) != 1:
        raise DoubtError(f"{visible(path)} is a pattern, or may stand for several folders")
    return found[0]


def file_table(df: DataFrame, files: Sequence[str], roots: Sequence[str], names: tuple[str, ...]) -> FileTable:
    """Return the files of a table that was read from some roots, with their sizes and partition values."""
    case_sensitive = df.sparkSession.conf.get(CASE, "false") == "true"
    texts = partition_texts(files, roots)
    fields = partition_fields(df, names, texts, case_sensitive=case_sensitive)
    values = [partition_values(df, field, {pairs[i][1] for pairs in texts.values()}) for i, field in enumerate(fields)]
    sizes = sizes_of(df.sparkSession, files, roots)
    listed = tuple(
        File(
            path=file,
            size=sizes[file][0],
            modified=sizes[file][1],
            values=tuple(known[text] for known, (_, text) in zip(values, texts[posixpath.dirname(file)], strict=True)),
        )
        for file in files
        if sizes[file][0]  # Spark passes over files without any bytes
    )
    partitions = tuple(field.name for field in fields)
    return FileTable(schema=df.schema, partitions=partitions, files=listed, names=names, case_sensitive=case_sensitive)


def sizes_of(spark: SparkSession, files: Sequence[str], roots: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the size and the time of change of each file: asked of this machine's disk, or of Spark's listing."""
    if is_on_this_disk(files[0]):
        try:
            found = {file: os.stat(file) for file in files}
        except OSError as error:
            raise DoubtError(f"its files cannot be listed: {error.strerror}") from error
        return {file: (status.st_size, status.st_mtime_ns) for file, status in found.items()}
    with doubtful("its files cannot be listed"):
        listing = spark.read.format("binaryFile").option("recursiveFileLookup", True).load([*map(literal, roots)])
        rows = listing.select("path", "length", F.unix_millis("modificationTime").alias("modified")).collect()
    sizes = {without_scheme(row["path"]): (row["length"], row["modified"] * 1_000_000) for row in rows}
    if not sizes.keys() >= set(files):
        raise DoubtError("not all of its files can be listed")
    return sizes
