"""The input of a job: its table, its addresses, and whether it has rows."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.sections import Input, Renaming
from logloss_spark.errors import MissingInputError, SpecError
from logloss_spark.io.caching import cache_or_collect, uncache
from logloss_spark.io.files import FileTable, files_of_source
from logloss_spark.io.local import LocalTable
from logloss_spark.io.places import folders
from logloss_spark.io.source import read_table
from logloss_spark.wording import did_you_mean


def read_input(spark: SparkSession, given: Input, columns: Renaming) -> DataFrame:
    """Return the table that a section of a config names, its columns renamed as [columns] says."""
    table = read_table(spark, given)
    return renamed(table, columns.rename) if columns.rename else table


def files_of_input(
    spark: SparkSession, table: DataFrame, given: Input, columns: Renaming, *, engine: str
) -> FileTable | str | None:
    """Return the files of a table that `read_input` returned, or the reason why workers cannot read them.

    None for an engine that does not read files.
    """
    if engine not in ("auto", "arrow"):
        return None
    if given.where is None:
        old = {new: name for name, new in columns.rename.items()}
        return files_of_source(table, given, [old.get(name, name) for name in table.columns] if old else ())
    if columns.rename:
        return "its rows are filtered and its columns are renamed"
    return files_of_source(read_table(spark, replace(given, where=None)), given)


def renamed(table: DataFrame, names: Mapping[str, str]) -> DataFrame:
    """Return a table with new names of some columns; raise SpecError where one is absent or two would be the same."""
    for name in names:
        if name not in table.columns:
            raise SpecError(
                f"[columns] rename must name columns of the table, got {name!r}; {did_you_mean(name, table.columns)}"
            )
    columns = [names.get(name, name) for name in table.columns]
    folded = [name.casefold() for name in columns]  # as Spark compares names
    for new in names.values():
        if folded.count(new.casefold()) > 1:
            raise SpecError(
                f"[columns] rename must give each column a name of its own, got {new!r} for two: choose another"
            )
    return table.toDF(*columns)


def addresses_of(spark: SparkSession, table: DataFrame, given: Input) -> set[str]:
    """Return the addresses of all that Spark reads for the table of a section."""
    return folders(spark, table, path=given.path, name=given.table, where=given.where)


def check_any(rows: int, given: Input) -> None:
    """Raise MissingInputError where a section found no rows: their writer is late, or `where` is wrong."""
    if not rows:
        met = f" for which {given.where}" if given.where else ""
        raise MissingInputError(
            f"[{given.section}] must find rows, and {given.name} has none{met}: "
            "run again when they are there, or check the filter and the run date"
        )


@contextmanager
def cached(table: DataFrame | LocalTable) -> Iterator[DataFrame | LocalTable]:
    """Let Spark compute a table once for all that is read off it within this block; one on the driver is computed."""
    if isinstance(table, LocalTable):
        yield table
        return
    computed_once = cache_or_collect(table)
    try:
        yield computed_once
    finally:
        uncache(computed_once)
