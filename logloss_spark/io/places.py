"""Find the whole addresses of paths and tables, links followed: a job must not write where it reads.

It asks DataFrames alone and no file system of the JVM's, so that it works over Spark Connect, too.
"""

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote
from uuid import uuid4

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession, is_remote

from logloss_spark.errors import LogLossError, SpecError
from logloss_spark.io.spark_errors import from_spark, translated

GLOB = "{}[]*?\\"
"""The signs that Hadoop reads as a pattern in a path that is read, and as themselves in one that is written."""

QUERY = re.compile(r"\b(select|from|table)\b", re.IGNORECASE)
"""A word without which a condition in SQL reads no table but its own."""

NAMES = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(?P<name>(?:`(?:[^`]|``)+`|\w+)(?:\s*\.\s*(?:`(?:[^`]|``)+`|\w+))*)"""
)
"""A name in SQL, which may have several parts; strings are passed over."""


def located(spark: SparkSession, path: str) -> str:
    """Return the whole address of a path, as Spark completes it; on a machine's own disk, with its links followed.

    Spark has no function for this, but its error for a missing path names the whole address: so ask for a path that
    cannot exist.
    """
    nothing = f".{uuid4().hex}"
    address = missing(spark, f"{path.rstrip('/')}/{nothing}", named=path)
    assert address is not None
    return on_disk(address.removesuffix(nothing).rstrip("/"))


def missing(spark: SparkSession, path: str, *, named: str | None = None) -> str | None:
    """Return the whole address of a path where there is nothing; None where there is something.

    Errors call the path `named`.
    """
    try:
        _ = spark.read.format("binaryFile").load(literal(path)).schema  # its schema asks for no file's content
    except Exception as error:
        found = re.search(r"\[PATH_NOT_FOUND\][^:]*: (.+?)\.(?: SQLSTATE|\n|$)", str(error))
        if found:
            return on_disk(re.sub(r"\\(.)", r"\1", found[1]))
        if not from_spark(error):
            raise
        known = translated(error)
        kind = type(known) if type(known) is not LogLossError else SpecError
        raise kind(f"{named or path} cannot be reached: {known}") from error
    return None


def literal(path: str) -> str:
    """Return the pattern that matches a path and nothing else."""
    return re.sub(f"([{re.escape(GLOB)}])", r"\\\1", path)


def is_pattern(path: str) -> bool:
    """Whether Hadoop would read a path as a pattern."""
    return any(sign in GLOB for sign in path)


def folders(
    spark: SparkSession, table: DataFrame, *, path: str | None = None, name: str | None = None, where: str | None = None
) -> set[str]:
    """Return the whole addresses of where a table is read from, by its path or by its name in the catalog.

    These are the folders of its files, links followed, and the table's own folder, where it has one. Tables that
    `where` reads in a subquery count, too, and so do those behind a view.
    """
    files = files_of(table)
    found = set(map(os.path.dirname, files))
    if path and (not is_pattern(path) or missing(spark, path) is None):
        place = located(spark, path)
        # A path that is one file says nothing of what lies beside it.
        found = {place} if files == {place} else found | {place}
    if name:
        found |= folders_in_sql(spark, name)
    if where and QUERY.search(where):
        found |= folders_in_sql(spark, where)
    return found


def folders_of_files(table: DataFrame) -> set[str]:
    """Return the addresses of the folders of a table's files."""
    return set(map(os.path.dirname, files_of(table)))


def files_of(table: DataFrame) -> set[str]:
    """Return the addresses of a table's files; one that is a link lies where it leads."""
    return {on_disk(unquote(file)) for file in table.inputFiles()}


def folders_in_sql(spark: SparkSession, sql: str, seen: Iterable[str] = ()) -> set[str]:
    """Return the addresses of the folders of all tables that a piece of SQL names, also of those behind views.

    Spark lists the files of a plan, but not those of its subqueries. So every name in the SQL is tried as the name of
    a table. A column that is called like a table adds a folder too many; that matters only if a job writes there.
    """
    found: set[str] = set()
    known = set(seen)
    for name in {match["name"] for match in NAMES.finditer(sql) if match["name"]} - known:
        known.add(name)
        try:
            table = spark.table(name)
            found |= folders_of_files(table)
            described = {row["col_name"]: row["data_type"] for row in table_details(spark, name).collect()}
        except PySparkException:  # no table
            continue
        if "Location" in described:  # a table that is empty has no files, but a place
            found.add(on_disk(unquote(described["Location"])))
        if "View Text" in described:
            found |= folders_in_sql(spark, described["View Text"], known)
    return found


def table_details(spark: SparkSession, name: str) -> DataFrame:
    """Return what the catalog knows of a table: nothing, if the table is named by its files."""
    by_files = re.match(r"\w+\s*\.\s*`.*/", name)
    sql = "SELECT '' AS col_name, '' AS data_type" if by_files else f"DESCRIBE TABLE EXTENDED {name}"
    return spark.sql(sql).where("col_name IN ('Location', 'View Text', 'Provider')")


def on_disk(address: str) -> str:
    """Return an address, with its links followed where it is on a disk of this machine's."""
    local = without_scheme(address)
    return os.path.realpath(local) if local.startswith("/") else address


def without_scheme(address: str) -> str:
    """Return the path that an address of a local file stands for; other addresses stay."""
    return re.sub(r"^file:/*", "/", address)


def overlap(place: str, other: str) -> bool:
    """Whether two addresses are the same, or one lies inside the other."""
    place, other = place.rstrip("/") + "/", other.rstrip("/") + "/"
    return place.startswith(other) or other.startswith(place)


def driver_is_here() -> bool:
    """Whether Spark's driver runs on this machine, so that its disk is ours."""
    return not is_remote() or os.environ.get("SPARK_REMOTE", "").startswith("local")


def is_on_this_disk(address: str) -> bool:
    """Whether an address is on a disk of this process's machine, which can be asked without Spark."""
    return address.startswith("/") and driver_is_here()


def exists(spark: SparkSession, address: str) -> bool:
    """Whether there is something at an address, without a pattern: asked of this machine's disk, else of Spark."""
    return os.path.exists(address) if is_on_this_disk(address) else missing(spark, address) is None


def on_this_machine(spark: SparkSession) -> bool:
    """Whether all of Spark runs on this machine."""
    return driver_is_here() and (spark.conf.get("spark.master", "") or "").startswith("local")
