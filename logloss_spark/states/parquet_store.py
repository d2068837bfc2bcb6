"""A store in a folder of Parquet files: a log says which of the files are live.

    PATH/_log/00000000000000000017.json      what a run changed, or what a gate said of it
    PATH/_data/<run_id>/states/part-….parquet
    PATH/_data/<run_id>/metrics/part-….parquet

Both folders are hidden from Spark's plain reads, so that replaced states are not counted twice by accident. Keys of
units are in the log and in columns: no value of the data becomes a path.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from logloss_spark.errors import BusyError, DataError, SpecError
from logloss_spark.io.entries import Entry, publish, read_entries
from logloss_spark.io.local import LocalTable, as_dataframe
from logloss_spark.io.places import is_on_this_disk, literal, located
from logloss_spark.io.spark_errors import from_spark, translated
from logloss_spark.io.swap import settle
from logloss_spark.states.on_disk import arrow_schema
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
    history,
    units_alike,
    unwritten,
)
from logloss_spark.states.units import UNIT, counts_by_unit

UNTOUCHED = timedelta(days=1)
"""Folders that were changed since then may belong to a run that is about to publish: they are not cleaned."""


@dataclass(frozen=True)
class ParquetTables:
    """A store in a folder of Parquet files."""

    spark: SparkSession
    place: str

    @staticmethod
    def at(spark: SparkSession, path: str) -> "ParquetTables":
        """The store at a path."""
        return ParquetTables(spark, located(spark, path))

    @property
    def log(self) -> str:
        """The folder of the log."""
        return f"{self.place}/_log"

    def folder(self, run_id: str, table: str) -> str:
        """The folder of a table that a run wrote: "states" or "metrics"."""
        return f"{self.place}/_data/{run_id}/{table}"

    def live(self, version: int | None = None) -> Snapshot:
        """Return what is stored, now or at an older version."""
        return at_version([entry.document for entry in read_entries(self.spark, self.log)], version)

    def publish(self, change: Change, base: Snapshot, states: Table | None, metrics: Table | None) -> Snapshot:
        """Write the tables of a change, then publish it; if another run was faster on other units, publish it next."""
        run_id = change.run.run_id
        try:
            for name, table in {"states": states, "metrics": metrics}.items():
                if table is not None:
                    self.write(self.folder(run_id, name), table)
            return self.enter(run_id, as_document(change), base, change)
        except BusyError:
            if is_on_this_disk(self.place):
                shutil.rmtree(f"{self.place}/_data/{run_id}", ignore_errors=True)
            raise
        except Exception as error:
            if not from_spark(error) and not isinstance(error, OSError):
                raise
            raise unwritten(self.place, error) from error

    def write(self, folder: str, table: DataFrame | LocalTable) -> None:
        """Write a table into a folder that no entry of the log names yet: here if it is here, else by Spark."""
        if isinstance(table, LocalTable) and is_on_this_disk(folder):
            os.makedirs(folder)
            pq.write_table(table.rows.cast(arrow_schema(table.schema)), f"{folder}/part-00000.parquet")
            settle(folder)
            return
        as_dataframe(table).coalesce(1).sortWithinPartitions(UNIT).write.mode("error").parquet(folder)
        if is_on_this_disk(folder):
            settle(folder)

    def judge(self, verdicts: Sequence[Verdict]) -> Snapshot:
        """Publish verdicts. They touch no unit, so they always find a number."""
        document = {"version": STORE_VERSION, "judged": list(map(asdict, verdicts))}
        return self.enter(f"{verdicts[0].run_id}_judged", document, self.live(), None)

    def enter(self, writer: str, document: Mapping[str, Any], base: Snapshot, change: Change | None) -> Snapshot:
        """Publish a document under the next number that is free."""
        now = base
        dated = {"time": datetime.now(UTC).isoformat(timespec="seconds")} | dict(document)
        for _ in range(TRIES):
            if publish(self.spark, self.log, now.version + 1, writer, dated):
                return self.live()
            now = self.live()
            if change is not None:
                check_rebase(change, base, now)
        raise busy(self.place)

    def states(
        self, snapshot: Snapshot, units: Sequence[StoredUnit]
    ) -> list[tuple[list[StoredUnit], DataFrame | LocalTable]]:
        """Return the rows of the states of units: on the driver if they are few, else in Spark."""
        found, read = [], Counter[str]()
        for members in units_alike(snapshot, units):
            table, counts = self.rows_of(snapshot, members)
            read += counts
            found.append((members, table))
        check_rows(snapshot, units, read)
        return found

    def rows_of(self, snapshot: Snapshot, units: Sequence[StoredUnit]) -> tuple[DataFrame | LocalTable, Counter[str]]:
        """Return the rows of units whose tables are alike, and how many each unit has."""
        runs = dict.fromkeys(unit.run_id for unit in units)
        schema = StructType.fromJson(dict(snapshot.runs[units[0].run_id].schema))
        folders, ids = [self.folder(run_id, "states") for run_id in runs], [unit.id for unit in units]
        if is_on_this_disk(self.place) and sum(unit.sums for unit in units) <= SMALL_STATE:
            local = LocalTable(read_here(folders, schema, ids), schema, self.spark)
            return local.without([UNIT]), counts_by_unit(local)
        table = self.read(folders, schema).where(F.col(UNIT).isin(ids))
        return table.drop(UNIT), counts_by_unit(table)

    def read(self, folders: Sequence[str], schema: StructType) -> DataFrame:
        """Read folders with Spark; raise DataError where one is missing."""
        try:
            return self.spark.read.schema(schema).parquet(*map(literal, folders))
        except Exception as error:
            if not from_spark(error):
                raise
            raise DataError(f"a folder of the store is missing, or was cleaned: {translated(error)}") from error

    def metrics(self, snapshot: Snapshot) -> DataFrame:
        """Return the metrics of the live units; columns that older runs did not have are null there."""
        ids = [unit.id for unit in snapshot.units.values()]
        alike: dict[str, list[str]] = {}
        for run_id in dict.fromkeys(unit.run_id for unit in snapshot.units.values()):
            alike.setdefault(repr(snapshot.runs[run_id].metrics_schema), []).append(run_id)
        tables = [
            self.read(
                [self.folder(run_id, "metrics") for run_id in runs],
                StructType.fromJson(dict(snapshot.runs[runs[-1]].metrics_schema)),
            )
            for runs in alike.values()
        ]
        if not tables:
            raise SpecError(f"the store {self.place} must hold metrics to be read, and it is empty: evaluate first")
        together = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), reversed(tables))
        return together.where(F.col(UNIT).isin(ids)).drop(UNIT)

    def clean(self, days: float) -> list[str]:
        """Delete the folders of runs that no version of the last `days` days names, and return the runs.

        Only on a disk of this machine: elsewhere nothing is deleted.
        """
        data = f"{self.place}/_data"
        if not is_on_this_disk(data) or not os.path.isdir(data):
            return []
        now = datetime.now(UTC)
        needed = set(self.runs_since(now - timedelta(days=days)))
        latest = time.time() - UNTOUCHED.total_seconds()
        idle = [run for run in sorted(os.listdir(data)) if run not in needed and last_change(f"{data}/{run}") < latest]
        for run in idle:
            shutil.rmtree(f"{data}/{run}")
        return idle

    def runs_since(self, cutoff: datetime) -> Iterator[str]:
        """The runs whose states were live at a version that was the newest at `cutoff` or later."""
        entries = read_entries(self.spark, self.log)
        until = [*map(time_of, entries), datetime.max.replace(tzinfo=UTC)]
        for snapshot, end in zip(history(entry.document for entry in entries), until, strict=True):
            if end >= cutoff:
                yield from (unit.run_id for unit in snapshot.units.values())


def time_of(entry: Entry) -> datetime:
    """When an entry was published."""
    return datetime.fromisoformat(entry.document["time"])


def last_change(folder: str) -> float:
    """When something in a folder was last changed, in seconds since 1970."""
    return max(os.stat(path).st_mtime for path, _, _ in os.walk(folder))


def read_here(folders: Sequence[str], schema: StructType, ids: Sequence[str]) -> pa.Table:
    """Read the rows of units from the files of folders, with the columns that Spark's schema says."""
    target = arrow_schema(schema)
    try:
        files = [os.path.join(folder, name) for folder in folders for name in sorted(os.listdir(folder))]
        tables = [
            pq.read_table(file, columns=target.names, partitioning=None) for file in files if file.endswith(".parquet")
        ]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"a file of the store is missing or damaged, or was cleaned: {error}") from error
    rows = pa.concat_tables([target.empty_table(), *(table.cast(target) for table in tables)])
    return rows.filter(pc.is_in(rows[UNIT], pa.array(ids, pa.string())))
