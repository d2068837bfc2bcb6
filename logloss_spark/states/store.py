"""Tables of states that are kept: which units are stored, where each comes from, and how one run replaces some of them.

A store is a history of runs. A run replaces the states of some units, and takes others away, in one step: readers see
all of it or nothing. What is live at a version of the store is what its runs up to this version have left.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from pyspark.sql import DataFrame

from logloss_spark.errors import BusyError, DataError, LogLossError, SpecError
from logloss_spark.io.local import LocalTable
from logloss_spark.io.spark_errors import from_spark, translated
from logloss_spark.io.units import Key, in_words
from logloss_spark.wording import counted, shortened

Table = DataFrame | LocalTable
"""A table that is in Spark or on the driver."""

TRIES = 20
"""How often a run that was overtaken by runs on other units tries to publish after them."""

STORE_VERSION = 1
"""The version of what a store's log says."""


@dataclass(frozen=True, kw_only=True)
class StoredUnit:
    """A unit whose state is stored.

    Attributes
    ----------
    id : the name of its rows in the table of states
    key : the values of the unit columns, as texts
    run_id : the run that stored it
    rows : the rows that were read for it
    sums : the rows of its state
    source : the id of its evaluation
    fingerprint : what its files were
    age : the step of its label window in days, None without one
    """

    id: str
    key: Key
    run_id: str
    rows: int
    sums: int
    source: int
    fingerprint: str
    age: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that stored states.

    Attributes
    ----------
    run_id : its name
    time : when it began, in UTC, as 2026-11-27T06:00:00Z
    run_date : the date that it was run for, None where it was not told
    seconds : how long it took until it published
    config : the fingerprint of what it was configured to evaluate
    source : the fingerprint of the units that it read
    package : the version of this package
    conventions : those of its states, as JSON
    schema, metrics_schema : the columns of the tables that it wrote, as JSON
    rows, units : how many rows it read, and how many units it stored
    """

    run_id: str
    time: str
    run_date: str | None
    seconds: float
    config: str
    source: str
    package: str
    conventions: str
    schema: Mapping[str, Any]
    metrics_schema: Mapping[str, Any]
    rows: int
    units: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a gate said of a day of a run, or of a run without days: one word, and the whole document."""

    run_id: str
    verdict: str
    document: Mapping[str, Any]

    @property
    def subject(self) -> tuple[str, str | None]:
        """The run and the day that it is on; None where no unit column holds dates."""
        return self.run_id, self.document.get("judged")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a store holds at a version: the live units by their keys, its runs, and the last verdict on each day of one.

    `columns` are the unit columns; none where nothing is stored. `by_age` has the last state of each unit that is live
    for every age of its labels: younger states stay readable as long as the store keeps what was replaced.
    `at` is what Delta or Iceberg calls this version.
    """

    version: int = 0
    columns: tuple[str, ...] = ()
    units: Mapping[Key, StoredUnit] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    verdicts: Mapping[tuple[str, str | None], Verdict] = field(default_factory=dict)
    by_age: Mapping[tuple[Key, int | None], StoredUnit] = field(default_factory=dict)
    at: int | None = None

    @property
    def last_run(self) -> Run | None:
        """The run that published last."""
        return next(reversed(list(self.runs.values())), None)

    def after(self, change: "Change") -> "Snapshot":
        """The next version: that after a change."""
        left = {key: unit for key, unit in self.units.items() if key not in set(change.removed)}
        put = {unit.key: unit for unit in change.units}
        return replace(
            self,
            version=self.version + 1,
            columns=change.columns,
            units=left | put,
            runs={**self.runs, change.run.run_id: change.run},
            by_age={key: unit for key, unit in self.by_age.items() if key[0] not in set(change.removed)}
            | {(unit.key, unit.age): unit for unit in change.units},
        )

    def judged(self, verdicts: Sequence[Verdict]) -> "Snapshot":
        """The next version: that with more verdicts."""
        new = {verdict.subject: verdict for verdict in verdicts}
        kept = {subject: verdict for subject, verdict in self.verdicts.items() if subject not in new}
        return replace(self, version=self.version + 1, verdicts=kept | new)

    def last_of(self, units: Iterable[StoredUnit]) -> str:
        """The run that stored one of some units last."""
        found = {unit.run_id for unit in units}
        return next(run_id for run_id in reversed(list(self.runs)) if run_id in found)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a run publishes: itself, the units that it replaces, and the keys of those that it takes away."""

    run: Run
    columns: tuple[str, ...]
    units: tuple[StoredUnit, ...]
    removed: tuple[Key, ...] = ()

    @property
    def keys(self) -> frozenset[Key]:
        """The keys of all units that it touches."""
        return frozenset([*(unit.key for unit in self.units), *self.removed])


class Tables(Protocol):
    """Where a store is kept: the seam between a store and a format."""

    def live(self, version: int | None = None) -> Snapshot:
        """Return what is stored, now or at an older version; raise SpecError where there was no such version."""

    def publish(self, change: Change, base: Snapshot, states: Table | None, metrics: Table | None) -> Snapshot:
        """Publish a change that was made from the snapshot `base`, with its tables; raise BusyError if it comes late.

        The tables are None if the change stores no unit. Their column `unit_id` names the unit of each row.
        """

    def judge(self, verdicts: Sequence[Verdict]) -> Snapshot:
        """Publish verdicts on the days of a run, in one step."""

    def states(
        self, snapshot: Snapshot, units: Sequence[StoredUnit]
    ) -> list[tuple[list[StoredUnit], DataFrame | LocalTable]]:
        """Return the rows of the states of units: one table for all whose conventions and columns are the same.

        Raises DataError if a unit has other rows than were stored.
        """

    def metrics(self, snapshot: Snapshot) -> DataFrame:
        """Return the metrics of the live units."""

    def clean(self, days: float) -> list[str]:
        """Delete what no version of the last days needs, and return the runs whose tables were deleted."""


def check_rebase(change: Change, base: Snapshot, now: Snapshot) -> None:
    """Raise BusyError if a run that published since `base` touched what a change touches, or took other columns."""
    mine = change.keys
    theirs = {key for key in mine if now.units.get(key) != base.units.get(key)}
    if theirs or (now.columns and now.columns != change.columns):
        stored = [now.units[key] for key in theirs if key in now.units]
        winner = now.runs[stored[0].run_id] if stored else now.last_run
        assert winner is not None
        names = [in_words(key, change.columns) for key in sorted(theirs, key=str)]
        what = shortened(names) if names else "units by other columns"
        raise BusyError(
            f"of two runs that store the same units one wins, and run {winner.run_id} of {winner.time} has published "
            f"{what} as version {now.version}: nothing of this run was published; run again"
        )


def at_version(documents: Sequence[Mapping[str, Any]], version: int | None) -> Snapshot:
    """The snapshot at a version, by default the newest; raise SpecError where there was none."""
    if version is not None and not 0 <= version <= len(documents):
        raise SpecError(f"version must be one of the store's, 0 to {len(documents)}, got {version}")
    *_, snapshot = history(documents[:version])
    return snapshot


def units_alike(snapshot: Snapshot, units: Sequence[StoredUnit]) -> list[list[StoredUnit]]:
    """The units in groups whose states have the same conventions and columns."""
    alike: dict[tuple[str, str], list[StoredUnit]] = {}
    for unit in units:
        run = snapshot.runs[unit.run_id]
        alike.setdefault((run.conventions, repr(run.schema)), []).append(unit)
    return list(alike.values())


def check_rows(snapshot: Snapshot, units: Sequence[StoredUnit], found: Mapping[str, int]) -> None:
    """Raise DataError unless each unit has as many rows as its run has written; `found` maps ids to rows."""
    wrong = [unit for unit in units if found.get(unit.id, 0) != unit.sums]
    if wrong:
        unit = wrong[0]
        more = f", and {counted(len(wrong) - 1, 'unit')} more" if len(wrong) > 1 else ""
        raise DataError(
            f"the state of {in_words(unit.key, snapshot.columns)} must have the {unit.sums:,} rows that run "
            f"{unit.run_id} wrote, got {found.get(unit.id, 0):,}{more}: files are missing, or were edited; "
            "evaluate it again with --full"
        )


def busy(name: str) -> BusyError:
    """The error that ends a run to which others were always faster."""
    return BusyError(f"the store {name} is busy: {TRIES} other runs were faster; run again")


def unwritten(name: str, error: Exception) -> LogLossError:
    """The error that says why Spark, or the disk, did not take what a run publishes."""
    known = translated(error) if from_spark(error) else LogLossError(str(error))
    return type(known)(f"the store {name} cannot be written to: {known}; nothing was published")


def as_document(change: Change) -> dict[str, Any]:
    """A change as JSON holds it."""
    return {
        "version": STORE_VERSION,
        "run": asdict(change.run),
        "columns": list(change.columns),
        "units": [asdict(unit) | {"key": list(unit.key)} for unit in change.units],
        "removed": [list(key) for key in change.removed],
    }


def history(documents: Iterable[Mapping[str, Any]]) -> Iterator[Snapshot]:
    """The snapshots of a store: the empty one, and one after each document; raise DataError where one was edited."""
    snapshot = Snapshot()
    yield snapshot
    for number, document in enumerate(documents, start=1):
        if document.get("version") != STORE_VERSION:
            raise SpecError(
                f"a store must be of version {STORE_VERSION}, got {document.get('version')!r} in entry {number}: "
                "another release of logloss_spark wrote it, read it with that one"
            )
        try:
            snapshot = (
                snapshot.judged([Verdict(**verdict) for verdict in document["judged"]])
                if "judged" in document
                else snapshot.after(change_of(document))
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"entry {number} of a store was edited ({error}): restore it") from error
        yield snapshot


def change_of(document: Mapping[str, Any]) -> Change:
    """The change that a document holds."""
    return Change(
        run=Run(**document["run"]),
        columns=tuple(document["columns"]),
        units=tuple(StoredUnit(**unit | {"key": tuple(unit["key"])}) for unit in document["units"]),
        removed=tuple(map(tuple, document["removed"])),
    )
