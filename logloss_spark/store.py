"""`Store`: states that are kept by units, such as days, and what is due to be evaluated again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal
from uuid import uuid4

import pandas as pd
import pyarrow.compute as pc
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from logloss_spark.checks import named, one_of
from logloss_spark.errors import SpecError
from logloss_spark.gates.rules import VERDICTS
from logloss_spark.io.caching import cache_or_collect
from logloss_spark.io.files import Table, files_of, files_of_source, table_and_files
from logloss_spark.io.local import LocalTable
from logloss_spark.io.names import quoted
from logloss_spark.io.session import active_session
from logloss_spark.io.source import Source, read_table
from logloss_spark.io.units import Key, Unit, fingerprint, keys_table, units_of
from logloss_spark.report.gate_documents import ROW, rows_of_document
from logloss_spark.roles import By, grouping_sets
from logloss_spark.state import State
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.lake_store import LakeTables
from logloss_spark.states.parquet_store import ParquetTables
from logloss_spark.states.schema import TOTAL
from logloss_spark.states.slices import slice_types
from logloss_spark.states.small import release
from logloss_spark.states.state import CheckedState, merged, new_source
from logloss_spark.states.store import Change, Run, Snapshot, StoredUnit, Tables, Verdict
from logloss_spark.states.units import UNIT, NewUnit, by_unit, counts_by_unit, keys_of_units
from logloss_spark.statistics.reporting import Reading
from logloss_spark.tables.stamps import STAMPS, stamped
from logloss_spark.version import __version__
from logloss_spark.wording import did_you_mean

StoreFormat = Literal["parquet", "delta", "iceberg"]

FORMATS: Mapping[str, Callable[[SparkSession, str], Tables]] = {
    "parquet": ParquetTables.at,
    "delta": LakeTables.in_delta,
    "iceberg": LakeTables.in_iceberg,
}
"""How states are kept in each format."""

Reason = Literal["new", "changed", "vanished", "another config", "labels", "asked for"]
"""Why a unit is due: it was never stored; its files changed; it is gone; it was evaluated in another way; it is old
enough for another look at its labels; or all units are asked for."""

RUN_COLUMNS = ("run_id", "run_time", "run_date", "units", "rows", "seconds", "config", "package_version", "verdict")
"""The columns of `Store.runs`."""


@dataclass(frozen=True)
class Due:
    """A unit that is to be evaluated: its key, why, and the unit as it is now; None if it is gone.

    `age` is the age at which its labels are looked at, in days; None where labels do not come late.
    """

    key: Key
    reason: Reason
    unit: Unit | None
    age: int | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is about to do: the units that are due, by what columns, and what the store held when it began.

    `config` is the fingerprint of how it evaluates.
    """

    run_id: str
    began: datetime
    base: Snapshot
    columns: tuple[str, ...]
    due: tuple[Due, ...]
    config: str = ""
    run_date: str | None = None

    @property
    def keys(self) -> list[Key]:
        """The keys of the units that are evaluated."""
        return [due.key for due in self.due if due.unit is not None]


class Store:
    """States that are kept by units, such as days. Metrics of any slice and window come from them; no row is read.

    `logloss-spark evaluate` with a section [store] evaluates the units that are due, and publishes their states and
    metrics in one step: what a run has published is there whole, or not at all.

    Parameters
    ----------
    path : str
        The folder of the store. With Delta it may also be a table's name, such as `db.states`; with Iceberg it must be.
    format : "parquet", "delta" or "iceberg"

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
    >>> store = ls.Store(folder)
    >>> _ = store.put(ls.evaluate(df, label="label", prediction="p", by="day").state, unit="day")
    >>> store.state("day = 'b'").metrics().first().n
    1
    """

    def __init__(self, path: str, *, format: StoreFormat = "parquet") -> None:
        one_of("format", format, tuple(FORMATS))
        self._tables = FORMATS[format](active_session(), path)

    def live(self, version: int | None = None) -> Snapshot:
        """Return what is stored, now or at an older version: the live units, all runs, and their verdicts.

        Raises SpecError if there was no such version, and DataError if the log was edited.
        """
        return self._tables.live(version)

    def state(self, where: str | None = None, *, version: int | None = None) -> State:
        """Return the sum of the states of all units, or of the slices that meet a condition.

        Parameters
        ----------
        where : str, optional
            A condition in SQL on the slice columns, of which the unit columns are some. If it asks for unit columns
            alone, the states of other units are not read.
        version : int, optional
            An older version of the store.

        Raises
        ------
        SpecError
            Nothing is stored, `where` is no condition on the slice columns, or there was no such version.
        DataError
            Files of the store are missing.
        """
        return self.state_of(self.live(version), where)

    def state_of(self, snapshot: Snapshot, where: str | None = None) -> State:
        """Return the sum of the states that are live in a snapshot."""
        wanted = list(snapshot.units.values())
        if not wanted:
            raise SpecError("a store must hold states to be read, and it holds none: evaluate with [store] first")
        meeting = units_that_meet(snapshot, wanted, where) if where else None
        read = wanted if meeting is None else meeting or wanted[:1]
        checked = [
            CheckedState(table, conventions_in(snapshot, units), frozenset(unit.source for unit in units))
            for units, table in self._tables.states(snapshot, read)
        ]
        state = State.from_checked(checked[0] if len(checked) == 1 else merged(checked))
        return state.where(where) if where and not meeting else state

    def metrics(self, version: int | None = None) -> DataFrame:
        """Return the stored metrics of the live units, by unit and by slices within it.

        Each row tells where it comes from: `run_id`, `run_time`, `run_date`, `package_version`, and the fingerprints of
        how the run evaluated (`config`) and of the unit's files (`source`). `maturity` is the share of rows whose label
        has arrived, and `age` that of the unit in days when its labels were looked at; null if they do not come late.
        """
        return self._tables.metrics(self.live(version))

    def runs(self) -> pd.DataFrame:
        """Return the runs, the latest first: when, units, rows, duration, and the worst verdict on one of its days."""
        snapshot = self.live()
        words: dict[str, str] = {}
        for verdict in snapshot.verdicts.values():
            said = words.get(verdict.run_id, verdict.verdict)
            words[verdict.run_id] = min(said, verdict.verdict, key=VERDICTS.index)
        rows = [
            (
                run.run_id,
                pd.Timestamp(run.time),
                run.run_date,
                run.units,
                run.rows,
                run.seconds,
                run.config,
                run.package,
                words.get(run.run_id, ""),
            )
            for run in reversed(list(snapshot.runs.values()))
        ]
        return pd.DataFrame(rows, columns=list(RUN_COLUMNS))

    def verdicts(self) -> pd.DataFrame:
        """Return the verdicts of gates, the latest run first: one row for each rule and slice, the worst slices first.

        A rule has its 100 worst slices; the row of a rule that matched no slice has none. The columns are those of the
        JSON document of a gate.
        """
        verdicts = list(self.live().verdicts.values())
        rows = [row for verdict in reversed(verdicts) for row in rows_of_document(verdict.document)]
        return pd.DataFrame(rows, columns=list(ROW))

    def due(self, source: Source | Table, *, unit: str | Sequence[str] | None = None) -> tuple[Due, ...]:
        """Return the units of a table that are to be evaluated: those that are new, changed or gone.

        Parameters
        ----------
        source : Source, DataFrame, path, or list of paths
        unit : str or list of str, optional
            The unit columns; by default those of the store.

        Raises
        ------
        SpecError
            The table has no such columns, or it does not consist of files.
        """
        snapshot = self.live()
        columns = unit_columns(unit) if unit else snapshot.columns
        if not columns:
            raise SpecError('a store that is empty has no unit columns: name them, as in due(source, unit="dt")')
        return due_of(units_in(source, columns), snapshot)

    def put(self, state: State, unit: str | Sequence[str], *, by: By = ()) -> Snapshot:
        """Store the states of the units in a state, in the place of those that are there, with their metrics.

        Parameters
        ----------
        state : State
            That of an evaluation, whose slice columns include the unit columns.
        unit : str or list of str
            The unit columns.
        by : str, list of one str, or list of lists of str
            Grouping sets of the metrics within each unit.

        Returns
        -------
        Snapshot, what the store then holds

        Raises
        ------
        SpecError
            The state has no such slice columns.
        BusyError
            Another run has stored one of these units meanwhile.
        """
        columns = unit_columns(unit)
        for name in columns:
            if name not in state.slices:
                raise SpecError(
                    f"unit must name slice columns of the state, got {name!r}; {did_you_mean(name, state.slices)}"
                )
        due = [Due(key, "asked for", Unit(key, "", 0)) for key in keys_of_units(state.checked, columns)]
        plan = self.plan(due, columns, config=fingerprint(state.conventions.fingerprint()))
        sets = within_units(columns, grouping_sets(by))
        return self.publish(plan, state, state.measured(sets, Reading()))

    def plan(
        self,
        due: Sequence[Due],
        columns: tuple[str, ...],
        *,
        base: Snapshot | None = None,
        config: str = "",
        run_date: str | None = None,
    ) -> Plan:
        """Return the plan of a run that evaluates these units, under a name of its own."""
        began = datetime.now(UTC)
        run_id = f"{began:%Y%m%dT%H%M%S}_{uuid4().hex[:8]}"
        return Plan(
            run_id=run_id,
            began=began,
            base=self.live() if base is None else base,
            columns=columns,
            due=tuple(due),
            config=config,
            run_date=run_date,
        )

    def publish(self, plan: Plan, state: State | None, metrics: DataFrame | LocalTable | None) -> Snapshot:
        """Publish what a run has evaluated: the states and the metrics of its units, in one step.

        Parameters
        ----------
        plan : Plan
        state : State, or None if all units that are due are gone
            Its slice columns include the unit columns.
        metrics : DataFrame, LocalTable, or None
            Metrics by grouping sets that include the unit columns.

        Raises
        ------
        BusyError
            Another run has published one of these units since the plan was made.
        """
        if state is not None:
            check_stamps(state.slices)
        new = [
            NewUnit(due.key, f"{plan.run_id}/{index}", new_source(), due.unit.fingerprint, due.age)
            for index, due in enumerate(plan.due)
            if due.unit is not None
        ]
        removed = tuple(due.key for due in plan.due if due.unit is None)
        if state is None or metrics is None or not new:
            change = Change(run=run_of(plan, rows=0), columns=plan.columns, units=(), removed=removed)
            return self._tables.publish(change, plan.base, None, None)
        states = by_unit(state.checked, plan.columns, new)
        cached = states if isinstance(states, LocalTable) else cache_or_collect(states)
        try:
            units = stored_units(plan, new, cached)
            of_run = {
                "run_id": plan.run_id,
                "run_time": plan.began,
                "run_date": None if plan.run_date is None else date.fromisoformat(plan.run_date),
                "config": plan.config,
                "package_version": __version__,
            }
            of_units = stamped(metrics, plan.columns, of_run, new)
            run = run_of(
                plan,
                rows=sum(unit.rows for unit in units),
                units=len(units),
                conventions=state.conventions.fingerprint(),
                schema=cached.schema.jsonValue(),
                metrics_schema=of_units.schema.jsonValue(),
            )
            change = Change(run=run, columns=plan.columns, units=units, removed=removed)
            return self._tables.publish(change, plan.base, cached, of_units)
        finally:
            release(cached)

    def judge(self, verdicts: Sequence[Verdict]) -> Snapshot:
        """Publish what a gate said of the days of a run, in one step."""
        return self._tables.judge(verdicts)

    def clean(self, days: float = 30) -> list[str]:
        """Delete what no version of the last days needs, and return the runs whose tables were deleted.

        Folders that something has written to within a day are kept: a run may be about to publish them.
        """
        return self._tables.clean(days)


def unit_columns(unit: str | Sequence[str]) -> tuple[str, ...]:
    """The unit columns, as a tuple."""
    return (unit,) if isinstance(unit, str) else named("unit", unit)


def check_stamps(slices: Sequence[str]) -> None:
    """Raise SpecError where a slice column has the name of a column that a store adds."""
    for name in slices:
        if name.casefold() in (*STAMPS, UNIT):
            raise SpecError(
                f"a slice column of a store must not have the name of a column that it adds, got {name!r}: rename it"
            )


def within_units(columns: Sequence[str], sets: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The grouping sets of metrics by units: the unit columns alone, and with each grouping set.

    Examples
    --------
    >>> within_units(["dt"], [["country"], ["dt", "device"]])
    (('dt',), ('dt', 'country'), ('dt', 'device'))
    """
    return grouping_sets([list(columns), *(list(dict.fromkeys([*columns, *names])) for names in sets)])


def units_in(source: Source | Table, columns: Sequence[str]) -> tuple[Unit, ...]:
    """Return the units of a table, however it is given."""
    if isinstance(source, Source):
        table = read_table(active_session(), source)
        return units_of(table, files_of_source(table, source) if source.where is None else None, columns)
    table, files = table_and_files(source)
    return units_of(table, files if files is not None else files_of(table), columns)


def due_of(
    units: Sequence[Unit],
    snapshot: Snapshot,
    config: str | None = None,
    *,
    full: bool = False,
    age_of: Callable[[Key], int | None] = lambda _: None,
) -> tuple[Due, ...]:
    """The units that are due.

    Parameters
    ----------
    units : sequence of Unit
        The units of the table as they are now.
    snapshot : Snapshot
        What is stored.
    config : str, optional
        The fingerprint of how they would be evaluated: those that were evaluated in another way are due.
    full : bool
        Whether all of them are due.
    age_of : callable
        Returns the age at which the labels of a unit are looked at: units that were younger are due.
    """
    now = [Due(unit.key, "asked for", unit, age_of(unit.key)) for unit in units]
    reasons = [reason_of(due, snapshot, config, full=full) for due in now]
    there = {unit.key for unit in units}
    return (
        *(replace(due, reason=reason) for due, reason in zip(now, reasons, strict=True) if reason),
        *(Due(key, "vanished", None) for key in snapshot.units if key not in there),
    )


def reason_of(due: Due, snapshot: Snapshot, config: str | None, *, full: bool) -> Reason | None:
    """Why a unit is due; None if it is not."""
    stored = snapshot.units.get(due.key)
    if stored is None:
        return "new"
    if config is not None and snapshot.runs[stored.run_id].config != config:
        return "another config"
    if due.unit is None or stored.fingerprint != due.unit.fingerprint:
        return "changed"
    if due.age is not None and (stored.age is None or stored.age < due.age):
        return "labels"
    return "asked for" if full else None


def conventions_in(snapshot: Snapshot, units: Sequence[StoredUnit]) -> Conventions:
    """The conventions of units whose tables are alike."""
    return Conventions.from_fingerprint(snapshot.runs[units[0].run_id].conventions)


def units_that_meet(snapshot: Snapshot, units: Sequence[StoredUnit], where: str) -> list[StoredUnit] | None:
    """Return the units that meet a condition; None if it asks for more than their keys. Spark decides."""
    conventions, run = conventions_in(snapshot, units[-1:]), snapshot.runs[units[-1].run_id]
    types = slice_types(StructType.fromJson(dict(run.schema)), conventions)
    texts = [f"text {index}" for index in range(len(snapshot.columns))]
    typed = [quoted(text).cast(types[name]).alias(name) for text, name in zip(texts, snapshot.columns, strict=True)]
    keys = keys_table(active_session(), texts, [unit.key for unit in units])
    try:
        met = keys.select(F.struct(*map(quoted, texts)).alias("of the unit"), *typed).where(where)
        found = {tuple(row) for row in met.select("`of the unit`.*").collect()}
    except PySparkException:
        return None
    return [unit for unit in units if unit.key in found]


def run_of(plan: Plan, **found: Any) -> Run:
    """The run of a plan, which ends now; `found` is what it has read and written."""
    read = [(due.key, due.unit.fingerprint) for due in plan.due if due.unit is not None]
    written: dict[str, Any] = {"units": 0, "conventions": "", "schema": {}, "metrics_schema": {}} | found
    return Run(
        run_id=plan.run_id,
        time=plan.began.isoformat(timespec="seconds"),
        run_date=plan.run_date,
        seconds=round((datetime.now(UTC) - plan.began).total_seconds(), 3),
        config=plan.config,
        source=fingerprint(repr(read)),
        package=__version__,
        **written,
    )


def stored_units(plan: Plan, new: Sequence[NewUnit], states: DataFrame | LocalTable) -> tuple[StoredUnit, ...]:
    """The units as they are stored: how many rows each was made from, and how many its state has."""
    if isinstance(states, LocalTable):
        totals = states.rows.filter(pc.equal(states.rows["part"], TOTAL)).select([UNIT, "n"])
    else:
        totals = states.where(F.col("part") == TOTAL).select(UNIT, "n").toArrow()
    sums, rows = counts_by_unit(states), dict(zip(totals[UNIT].to_pylist(), totals["n"].to_pylist(), strict=True))
    return tuple(
        StoredUnit(
            id=unit.id,
            key=unit.key,
            run_id=plan.run_id,
            rows=rows[unit.id],
            sums=sums[unit.id],
            source=unit.source,
            fingerprint=unit.fingerprint,
            age=unit.age,
        )
        for unit in new
    )
