"""Tables of Delta and Iceberg in which one commit replaces some rows, if nothing was committed since they were read.

Both formats have commits that are there whole or not at all. What differs is how Spark asks for one, how it is told
that another writer was faster, and how an older version is read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark.errors import SpecError
from logloss_spark.io.lakes import advice_on_jars
from logloss_spark.io.names import in_backquotes
from logloss_spark.io.places import exists, located, table_details
from logloss_spark.io.source import Source
from logloss_spark.io.spark_errors import from_spark

TABLE_NAME = re.compile(r"[^/.]+(\.[^/.]+)+")
"""What names a table of the catalog, and no path: names with dots between them."""

REFUSED = re.compile(
    r"\[DELTA_CONCURRENT_\w+|\[DELTA_METADATA_CHANGED|\[DELTA_PROTOCOL_CHANGED|\b(?:Concurrent\w+|MetadataChanged"
    r"|ProtocolChanged|Validation|CommitFailed|AlreadyExists|TableAlreadyExists)Exception\b"
)
"""What both say when another commit came first."""

LEAST_HOURS = 168
"""Delta refuses to delete what younger versions need, because a job may still read them."""

OF_VERSIONS = ("versionasof", "timestampasof")
"""Options of a reader, in small letters, that name a version."""

APPLICATION = "logloss_spark"
"""The name under which Delta counts our commits."""


S = TypeVar("S", bound=Source)


class LakeTable(Protocol):
    """A table that is partitioned by `unit_id`, among others."""

    @property
    def spark(self) -> SparkSession:
        """The session that reads and writes it."""

    @property
    def name(self) -> str:
        """What SQL calls it."""

    def exists(self) -> bool:
        """Whether the table is there."""

    def create(self, columns: str, partitions: Sequence[str]) -> None:
        """Create the table with no rows, unless it is there."""

    def newest(self) -> int | None:
        """Return the table's own number of its newest version; None where nothing was committed."""

    def commits(self) -> list[tuple[int, str | None]]:
        """Return the numbers of all versions that are kept, the oldest first, each with the note of its commit."""

    def read(self, version: int) -> DataFrame:
        """Read a version of the table."""

    def replace(self, rows: DataFrame, ids: Sequence[str], base: int | None, note: Mapping[str, str]) -> None:
        """Put rows in the place of those with these ids, in one commit, if the newest version is still `base`.

        If it is not, the table stays as it is. Delta may then say nothing.
        """

    def clean(self, days: float) -> None:
        """Delete the files that no version of the last days needs."""


@dataclass(frozen=True)
class DeltaTable:
    """A table of Delta, by its whole path or by its name in the catalog."""

    spark: SparkSession
    path: str | None
    table: str | None = None

    @staticmethod
    def at(spark: SparkSession, path: str) -> "DeltaTable":
        """Return the table at a path; names with dots between them are a table's name in the catalog."""
        check_jars(spark, "delta")
        return DeltaTable(spark, None, path) if TABLE_NAME.fullmatch(path) else DeltaTable(spark, located(spark, path))

    @property
    def name(self) -> str:
        """What SQL calls it."""
        return self.table or f"delta.{in_backquotes(str(self.path))}"

    def exists(self) -> bool:
        """Whether the table is there."""
        if self.path:
            return exists(self.spark, f"{self.path}/_delta_log")
        return self.spark.catalog.tableExists(self.name)

    def create(self, columns: str, partitions: Sequence[str]) -> None:
        """Create the table with no rows, unless it is there. Column mapping lets names have any characters."""
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}) USING delta PARTITIONED BY ({', '.join(partitions)}) "
            "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
        )

    def newest(self) -> int | None:
        """Return the newest version."""
        return int(self.spark.sql(f"DESCRIBE HISTORY {self.name} LIMIT 1").select("version").collect()[0][0])

    def commits(self) -> list[tuple[int, str | None]]:
        """Return all versions that are kept, the oldest first, each with the note of its commit."""
        history = self.spark.sql(f"DESCRIBE HISTORY {self.name}").select("version", "userMetadata")
        return sorted((row["version"], row["userMetadata"]) for row in history.collect())

    def read(self, version: int) -> DataFrame:
        """Read a version of the table."""
        reader = self.spark.read.format("delta").option("versionAsOf", version)
        return reader.load(self.path) if self.path else reader.table(self.name)

    def replace(self, rows: DataFrame, ids: Sequence[str], base: int | None, note: Mapping[str, str]) -> None:
        """Put rows in the place of those with these ids, in one commit, if no commit of ours came after `base`.

        Delta refuses a commit that another one overtook while it was written. An earlier one it would not see: so the
        number of the version goes with the commit, and Delta drops one whose number is not higher than the last.
        """
        assert base is not None
        replaced = ", ".join(f"'{id_}'" for id_ in ids)
        options = {
            "replaceWhere": f"unit_id IN ({replaced})",
            "mergeSchema": "true",
            "userMetadata": note_text(note),
            "txnAppId": APPLICATION,
            "txnVersion": str(base + 1),
        }
        writer = rows.repartition("kind", "unit_id").write.format("delta").mode("overwrite").options(**options)
        if self.path:
            writer.save(self.path)
        else:
            writer.saveAsTable(self.name)

    def clean(self, days: float) -> None:
        """Delete the files that no version of the last days needs; Delta keeps those of the last week in any case."""
        self.spark.sql(f"VACUUM {self.name} RETAIN {max(24 * days, LEAST_HOURS)} HOURS")


@dataclass(frozen=True)
class IcebergTable:
    """A table of Iceberg, by its name in the catalog."""

    spark: SparkSession
    name: str

    @staticmethod
    def at(spark: SparkSession, path: str) -> "IcebergTable":
        """Return the table of a name."""
        if not TABLE_NAME.fullmatch(path):
            raise SpecError(
                f"a store in Iceberg must be a table of a catalog, such as lake.db.states, got the path {path}: "
                "name a table, or take the format delta or parquet"
            )
        check_jars(spark, "iceberg")
        return IcebergTable(spark, path)

    def exists(self) -> bool:
        """Whether the table is there."""
        return self.spark.catalog.tableExists(self.name)

    def create(self, columns: str, partitions: Sequence[str]) -> None:
        """Create the table with no rows, unless it is there; further columns may be written to it."""
        self.spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {self.name.rpartition('.')[0]}")
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}) USING iceberg "
            f"PARTITIONED BY ({', '.join(partitions)}) "
            "TBLPROPERTIES ('write.spark.accept-any-schema' = 'true')"
        )

    def newest(self) -> int | None:
        """Return the current snapshot; None where nothing was committed."""
        self.spark.sql(f"REFRESH TABLE {self.name}")  # a catalog that caches tables does not see others' commits
        rows = self.spark.sql(f"SELECT snapshot_id FROM {self.name}.refs WHERE name = 'main'").collect()
        return int(rows[0][0]) if rows else None

    def commits(self) -> list[tuple[int, str | None]]:
        """Return all snapshots that are kept, the oldest first, each with the note of its commit."""
        self.spark.sql(f"REFRESH TABLE {self.name}")
        rows = self.spark.sql(
            f"SELECT s.snapshot_id, s.summary['{APPLICATION}'] AS note FROM {self.name}.history h "
            f"JOIN {self.name}.snapshots s ON h.snapshot_id = s.snapshot_id WHERE h.is_current_ancestor "
            "ORDER BY h.made_current_at"
        )
        return [(row["snapshot_id"], row["note"]) for row in rows.collect()]

    def read(self, version: int) -> DataFrame:
        """Read a snapshot of the table."""
        return self.spark.read.option("versionAsOf", version).table(self.name)

    def replace(self, rows: DataFrame, ids: Sequence[str], base: int | None, note: Mapping[str, str]) -> None:
        """Put rows in the place of those with these ids, in one commit, if no commit after `base` touched the ids.

        Iceberg looks for such commits only if it is asked to, and told from which snapshot on.
        """
        writer = rows.writeTo(self.name).options(**{"mergeSchema": "true", "check-ordering": "false"})
        writer = writer.option("isolation-level", "serializable")
        writer = writer.option(f"snapshot-property.{APPLICATION}", note_text(note))
        if base is not None:
            writer = writer.option("validate-from-snapshot-id", str(base))
        writer.overwrite(F.col("unit_id").isin(list(ids)))

    def clean(self, days: float) -> None:
        """Delete the files that no version of the last days needs."""
        catalog, _, table = self.name.partition(".")
        since = f"current_timestamp() - make_dt_interval(0, {round(24 * days)})"
        moment = self.spark.sql(f"SELECT CAST({since} AS STRING)").collect()[0][0]
        self.spark.sql(f"CALL {catalog}.system.expire_snapshots('{table}', TIMESTAMP '{moment}')")


def pinned(spark: SparkSession, source: S) -> S:
    """Return a source whose rows stay as they are now: of Delta and Iceberg the newest version, if it names none.

    Other sources are returned as they are.
    """
    if any(name.lower() in OF_VERSIONS for name in source.options):
        return source
    table = lake_table(spark, source)
    at = table.newest() if table is not None else None
    return source if at is None else replace(source, options={**source.options, "versionAsOf": at})


def lake_table(spark: SparkSession, source: Source) -> LakeTable | None:
    """Return the table of Delta or Iceberg that a source names; None for another source."""
    if source.table:
        details = {row["col_name"]: row["data_type"] for row in table_details(spark, source.table).collect()}
        kinds: dict[str, LakeTable] = {
            "delta": DeltaTable(spark, None, source.table),
            "iceberg": IcebergTable(spark, source.table),
        }
        return kinds.get(details.get("Provider", "").lower())
    if source.path and source.format.lower() == "delta":
        return DeltaTable(spark, located(spark, source.path))
    return None


def note_text(note: Mapping[str, str]) -> str:
    """The note of a commit, as both formats keep it: `entry=3 run_id=…`."""
    return " ".join(f"{name}={value}" for name, value in note.items())


def is_refusal(error: BaseException) -> bool:
    """Whether a commit failed because another one came first."""
    return from_spark(error) and bool(REFUSED.search(str(error)))


def check_jars(spark: SparkSession, format_: str) -> None:
    """Raise SpecError where a session lacks the jars of a format, or their settings."""
    try:
        _ = spark.read.format(format_).load("/.nothing is here").schema
    except Exception as error:
        if not from_spark(error):
            raise
        advice = advice_on_jars(str(error))
        if advice:
            raise SpecError(advice) from error
