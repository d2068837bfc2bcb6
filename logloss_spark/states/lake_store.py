"""A store in one table of Delta or Iceberg, in which each run is one commit.

Rows of the table are of three kinds, `state`, `metrics` and `log`:

    kind, unit_id    the partitions; the rows of a unit that is replaced go with its name
    number, entry    of the log: what a run changed, or what a gate said of it, as JSON
    state, metrics   structs of the columns that runs have written; new ones come with the first run that has them

A commit takes the rows of the units that it replaces, and the log, and puts in the new ones. So the state, the metrics
and the log of a version are always of the same runs, and one of two commits that were made from the same version fails.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from logloss_spark.errors import DataError, SpecError
from logloss_spark.io.lake_tables import DeltaTable, IcebergTable, LakeTable, is_refusal
from logloss_spark.io.local import LocalTable, as_dataframe
from logloss_spark.io.names import quoted
from logloss_spark.io.spark_errors import from_spark
from logloss_spark.states.small import SMALL_STATE
from logloss_spark.states.store import (
    STORE_VERSION,
    TRIES,
    Change,
    Snapshot,
    StoredUnit,
    Table,
    Verdict,
    as_document,
    at_version,
    busy,
    check_rebase,
    check_rows,
    units_alike,
    unwritten,
)
from logloss_spark.states.units import UNIT, counts_by_unit

COLUMNS = f"kind STRING, {UNIT} STRING, number BIGINT, entry STRING"
PARTITIONS = ("kind", UNIT)

STATE, METRICS, LOG = "state", "metrics", "log"
"""The kinds of rows. The two first are also the names of the structs; rows of the log have the last one for a unit."""

NOTE = "entry"
"""What the note of a commit calls the number of its entry in the log."""


@dataclass(frozen=True)
class LakeTables:
    """A store in a table of Delta or Iceberg."""

    table: LakeTable

    @staticmethod
    def in_delta(spark: SparkSession, path: str) -> "LakeTables":
        """The store in the Delta table at a path, or of a name such as `db.states`."""
        return LakeTables(DeltaTable.at(spark, path))

    @staticmethod
    def in_iceberg(spark: SparkSession, path: str) -> "LakeTables":
        """The store in the Iceberg table of a name such as `lake.db.states`."""
        return LakeTables(IcebergTable.at(spark, path))

    def live(self, version: int | None = None) -> Snapshot:
        """Return what is stored, now or at an older version."""
        at, entries = self.look()
        snapshot = snapshot_of(entries, at, version)
        return snapshot if snapshot.version == len(entries) else replace(snapshot, at=self.version_of(snapshot.version))

    def look(self) -> tuple[int | None, list[str]]:
        """Return the newest version of the table, by its own number, and the entries of the log there."""
        at = self.table.newest() if self.table.exists() else None
        if at is None:
            return None, []
        log = self.table.read(at).where(F.col("kind") == LOG).select("number", "entry").orderBy("number").collect()
        for place, row in enumerate(log, start=1):
            if row["number"] != place:
                raise DataError(f"the log of a store must have all of its entries, and {place} is missing: restore it")
        return at, [row["entry"] for row in log]

    def version_of(self, number: int) -> int | None:
        """Return the table's own number of its last version whose log ends with this entry."""
        found, last = dict[int, int](), 0
        for version, note in self.table.commits():
            named = re.search(rf"\b{NOTE}=(\d+)", note or "")
            last = int(named[1]) if named else last  # what others commit, as to make files larger, changes no row
            found[last] = version
        if number and number not in found:
            raise SpecError(f"version {number} of the store was cleaned: the oldest that is kept is {min(found)}")
        return found.get(number)

    def publish(self, change: Change, base: Snapshot, states: Table | None, metrics: Table | None) -> Snapshot:
        """Publish a change with its tables; where another run was faster and touched other units, after that one."""
        tables = {STATE: states, METRICS: metrics}
        rows = [of_kind(kind, as_dataframe(table)) for kind, table in tables.items() if table is not None]
        return self.enter(change.run.run_id, as_document(change), rows, (change, base))

    def judge(self, verdicts: Sequence[Verdict]) -> Snapshot:
        """Publish verdicts. They touch no unit, so they never come too late."""
        document = {"version": STORE_VERSION, "judged": list(map(asdict, verdicts))}
        return self.enter(f"{verdicts[0].run_id}_judged", document, [], None)

    def enter(
        self,
        writer: str,
        document: Mapping[str, Any],
        rows: Sequence[DataFrame],
        made: tuple[Change, Snapshot] | None,
    ) -> Snapshot:
        """Commit rows and a document, in the place of what a change replaces that was made from a snapshot."""
        if not self.table.exists():
            self.table.create(COLUMNS, PARTITIONS)
        time = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps({"writer": writer, "time": time} | dict(document), allow_nan=False)
        for _ in range(TRIES):
            at, entries = self.look()
            now = snapshot_of(entries, at)
            if made:
                check_rebase(*made, now)
            ids = [LOG, *(ids_touched(made[0], now) if made else ())]
            note = {NOTE: str(len(entries) + 1), "writer": writer}
            together = reduce(joined, [self.log([*entries, text]), *rows])
            try:
                self.table.replace(together, ids, at, note)
            except Exception as error:
                if not from_spark(error):
                    raise
                if not is_refusal(error):
                    raise unwritten(self.table.name, error) from error
            at, published = self.look()
            if text in published[len(entries) :]:
                return snapshot_of(published, at)
        raise busy(self.table.name)

    def log(self, entries: Sequence[str]) -> DataFrame:
        """The rows of the log."""
        rows = [(LOG, LOG, number, entry) for number, entry in enumerate(entries, start=1)]
        made: DataFrame = self.table.spark.createDataFrame(rows, COLUMNS)
        return made

    def states(
        self, snapshot: Snapshot, units: Sequence[StoredUnit]
    ) -> list[tuple[list[StoredUnit], DataFrame | LocalTable]]:
        """Return the rows of the states of units: on the driver if they are few, else in Spark."""
        found, read = [], Counter[str]()
        for at, there in self.by_version(snapshot, units).items():
            for members in units_alike(snapshot, there):
                table, counts = self.rows_of(snapshot, members, at)
                read += counts
                found.append((members, table))
        check_rows(snapshot, units, read)
        return found

    def by_version(self, snapshot: Snapshot, units: Sequence[StoredUnit]) -> dict[int | None, list[StoredUnit]]:
        """The units by the version that has their rows: a unit that was replaced is in that of its run."""
        found: dict[int | None, list[StoredUnit]] = {}
        writers = [] if all(is_live(snapshot, unit) for unit in units) else [writer_of(text) for text in self.look()[1]]
        for unit in units:
            at = snapshot.at if is_live(snapshot, unit) else self.version_of(writers.index(unit.run_id) + 1)
            found.setdefault(at, []).append(unit)
        return found

    def rows_of(
        self, snapshot: Snapshot, units: Sequence[StoredUnit], at: int | None
    ) -> tuple[DataFrame | LocalTable, Counter[str]]:
        """Return the rows of units whose states have the same columns, and how many each unit has."""
        schema = StructType.fromJson(dict(snapshot.runs[units[0].run_id].schema))
        columns = StructType([field for field in schema if field.name != UNIT])
        of_units = self.rows(at, STATE).where(F.col(UNIT).isin([unit.id for unit in units]))
        table = of_units.select(UNIT, *(of_struct(STATE, field) for field in columns))
        if sum(unit.sums for unit in units) <= SMALL_STATE:
            local = LocalTable(table.toArrow(), table.schema, self.table.spark)
            return local.without([UNIT]), counts_by_unit(local)
        return table.drop(UNIT), counts_by_unit(table)

    def rows(self, at: int | None, kind: str) -> DataFrame:
        """Return the rows of a kind in a version of the table."""
        assert at is not None
        return self.table.read(at).where(F.col("kind") == kind)

    def metrics(self, snapshot: Snapshot) -> DataFrame:
        """Return the metrics of the live units; columns that older runs did not have are null there."""
        if not snapshot.units:
            raise SpecError("a store must hold metrics to be read, and it is empty: evaluate first")
        return self.rows(snapshot.at, METRICS).select(f"{METRICS}.*")

    def clean(self, days: float) -> list[str]:
        """Let the format delete the files that no version of the last days needs. It does not say whose they were.

        Where no version is older, it is not asked: it would list all files.
        """
        since = datetime.now(UTC) - timedelta(days=days)
        if any(datetime.fromisoformat(json.loads(entry)["time"]) < since for entry in self.look()[1]):
            self.table.clean(days)
        return []


def snapshot_of(entries: Sequence[str], at: int | None, version: int | None = None) -> Snapshot:
    """The snapshot after these entries, or after the first ones, in a version of the table."""
    return replace(at_version([json.loads(entry) for entry in entries], version), at=at)


def is_live(snapshot: Snapshot, unit: StoredUnit) -> bool:
    """Whether a unit is live, or was replaced."""
    return snapshot.units.get(unit.key) == unit


def writer_of(entry: str) -> str:
    """Who wrote an entry: a run, or a gate that judged one."""
    return str(json.loads(entry)["writer"])


def of_kind(kind: str, table: DataFrame) -> DataFrame:
    """The rows of a table that a run wrote, as rows of the store's table, where every column may be null."""
    fields = [StructField(field.name, field.dataType) for field in table.schema if field.name != UNIT]
    columns = F.struct(*(quoted(field.name) for field in fields)).cast(StructType(fields))
    return table.select(F.lit(kind).alias("kind"), UNIT, columns.alias(kind))


def of_struct(kind: str, field: StructField) -> Column:
    """A column that a run wrote, of the type that it had: Iceberg keeps short integers as longer ones."""
    return F.col(kind).getField(field.name).cast(field.dataType).alias(field.name)


def joined(one: DataFrame, other: DataFrame) -> DataFrame:
    """The rows of two tables, with the columns of both."""
    return one.unionByName(other, allowMissingColumns=True)


def ids_touched(change: Change, now: Snapshot) -> list[str]:
    """The names of the rows that a change writes, and of those that it replaces."""
    stored = [now.units[key].id for key in sorted(change.keys, key=str) if key in now.units]
    return [*(unit.id for unit in change.units), *stored]
