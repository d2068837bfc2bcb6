"""Judge a day of a store by the gate of a config: after the run that stored it, before, or whenever it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from logloss_spark.app.days import baseline_of, days_of, days_of_run, earlier_runs, judged_day
from logloss_spark.app.gating import Past, Then, facts_of, judged, stored_state
from logloss_spark.errors import MissingInputError, SpecError
from logloss_spark.gates.judging import Judgement
from logloss_spark.gates.rules import VERDICTS, Against, Gate, Rule
from logloss_spark.io.local import LocalTable
from logloss_spark.io.units import key_columns
from logloss_spark.report.gate_documents import document_of
from logloss_spark.state import State, merge
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.state import CheckedState, new_source
from logloss_spark.states.store import Change, Snapshot, StoredUnit, Verdict
from logloss_spark.states.units import UNIT, NewUnit, by_unit
from logloss_spark.statistics.reporting import Reading
from logloss_spark.store import Plan, Store, run_of
from logloss_spark.wording import PATH, counted, visible

LISTED_IN_STORE = 100
"""Slices of a rule in the log of a store, the worst first: every reader of the store reads the whole log."""


MOST_JUDGED = 31
"""Days of a run that are judged, the last ones: a first run may store years."""


@dataclass(frozen=True)
class Subject:
    """What is judged of a store: a day, or the units of a run where no unit column holds dates.

    Attributes
    ----------
    snapshot : what the store holds, or is about to hold
    units : the units that are judged
    day : date, or None
    """

    snapshot: Snapshot
    units: Sequence[StoredUnit]
    day: date | None

    @property
    def facts(self) -> dict[str, Any]:
        """What the document of a gate says of it."""
        return {"run_id": self.snapshot.last_of(self.units), "judged": self.day.isoformat() if self.day else None}

    def name(self, path: str) -> str:
        """The store at a path, and what is judged of it, in words."""
        return f"{visible(path, PATH)}, {self.day or self.facts['run_id']}"


@dataclass(frozen=True)
class JudgedSubject:
    """What a gate says of a state.

    Attributes
    ----------
    judgement : Judgement
    subject : the part of a store that it is on; None for a state that is in no store
    verdict : the same as a store keeps it; None without one
    """

    judgement: Judgement
    subject: Subject | None = None
    verdict: Verdict | None = None


def worst_of(judged: Sequence[JudgedSubject]) -> JudgedSubject | None:
    """The worst verdict; of equal ones the last. None where nothing was judged."""
    return min(reversed(judged), key=lambda one: VERDICTS.index(one.judgement.verdict), default=None)


def judgement_of(judged: JudgedSubject | None) -> Judgement | None:
    """The judgement alone."""
    return judged.judgement if judged else None


def subject_of(snapshot: Snapshot, run_date: str | None) -> Subject:
    """Return what is judged: the day of the run date, else the last one.

    Raises MissingInputError if there is no such day.
    """
    if not snapshot.units:
        raise MissingInputError("the store must hold states, and it is empty: evaluate with [store] first")
    days = days_of(snapshot)
    if not days:
        return subjects_of_run(snapshot, snapshot.last_of(snapshot.units.values()))[-1]
    day = judged_day(snapshot, run_date)
    return Subject(snapshot, days[day], day)


def subjects_of_run(snapshot: Snapshot, run_id: str) -> list[Subject]:
    """Return what is judged of a run: each day that it stored, in order, or all its units if none holds dates."""
    if days_of(snapshot):
        return [Subject(snapshot, units, day) for day, units in days_of_run(snapshot, run_id).items()]
    units = [unit for unit in snapshot.units.values() if unit.run_id == run_id]
    return [Subject(snapshot, units, None)] if units else []


def subjects_to_be(plan: Plan, conventions: Conventions) -> list[Subject]:
    """Return what is judged of a run that has not published yet: its days, each with the units that stay."""
    units = tuple(
        StoredUnit(
            id=f"{plan.run_id}/{index}",
            key=due.key,
            run_id=plan.run_id,
            rows=0,
            sums=0,
            source=0,
            fingerprint="",
            age=due.age,
        )
        for index, due in enumerate(plan.due)
        if due.unit is not None
    )
    removed = tuple(due.key for due in plan.due if due.unit is None)
    run = run_of(plan, rows=0, conventions=conventions.fingerprint())
    return subjects_of_run(
        plan.base.after(Change(run=run, columns=plan.columns, units=units, removed=removed)), plan.run_id
    )


StatesOf = Callable[[Sequence[StoredUnit]], State]
"""Returns the sum of the states of units."""


def stored_states(store: Store, snapshot: Snapshot) -> StatesOf:
    """Return how to read the states of stored units, which may be ones that were replaced since."""
    return lambda units: store.state_of(replace(snapshot, units={unit.key: unit for unit in units}))


def states_with(store: Store, plan: Plan, state: State) -> StatesOf:
    """Return how to read the states of units, where `state` is that of the units of a run that has not published."""
    stored = stored_states(store, plan.base)

    def states_of(units: Sequence[StoredUnit]) -> State:
        new = [unit.key for unit in units if unit.run_id == plan.run_id]
        old = [unit for unit in units if unit.run_id != plan.run_id]
        own = [state if len(new) == len(plan.keys) else state.where(is_unit(plan.columns, new))] if new else []
        return sum_of([*own, *([stored(old)] if old else [])])

    return states_of


def taken_apart(states_of: StatesOf, columns: Sequence[str], units: Sequence[StoredUnit]) -> StatesOf:
    """Return how to read the states of units, where those of `units` are read once, if the driver can hold them.

    A gate that judges many days, and a report that shows them, ask for the state of each day, and of the days before.
    """
    sources = {unit.id: new_source() for unit in units}
    state = states_of(units)
    apart = by_unit(state.checked, columns, [NewUnit(unit.key, unit.id, sources[unit.id], "") for unit in units])
    if not isinstance(apart, LocalTable):
        return states_of

    def states(wanted: Sequence[StoredUnit]) -> State:
        ids = [unit.id for unit in wanted if unit.id in sources]
        others = [unit for unit in wanted if unit.id not in sources]
        rows = apart.rows.filter(pc.is_in(apart.rows[UNIT], pa.array(ids, pa.string())))
        table = LocalTable(rows, apart.schema, apart.spark).without([UNIT])
        own = CheckedState(table, state.conventions, frozenset(sources[id_] for id_ in ids))
        return sum_of([*([State.from_checked(own)] if ids else []), *([states_of(others)] if others else [])])

    return states


def sum_of(states: Sequence[State]) -> State:
    """The sum of the states of some units; a single one needs no query."""
    return states[0] if len(states) == 1 else merge(*states)


def units_looked_at(snapshot: Snapshot, subjects: Sequence[Subject], gate: Gate | None) -> list[StoredUnit]:
    """The live units of the days that are judged, and of those that rules compare with."""
    days = [subject.day for subject in subjects[-MOST_JUDGED:] if subject.day]
    if not days:
        return [unit for subject in subjects for unit in subject.units]
    before = max((rule.against.days or 0 for rule in gate.rule if rule.against), default=0) if gate else 0
    first = days[0] - timedelta(before)
    return [unit for day, units in days_of(snapshot).items() if first <= day <= days[-1] for unit in units]


def is_unit(columns: Sequence[str], keys: Sequence[Sequence[str | None]]) -> Column:
    """Whether a row is of one of these units."""
    texts = key_columns(columns)
    return reduce(
        Column.__or__,
        [
            reduce(Column.__and__, [text.eqNullSafe(F.lit(value)) for text, value in zip(texts, key, strict=True)])
            for key in keys
        ],
    )


def judge_days(
    spark: SparkSession,
    subjects: Sequence[Subject],
    states_of: StatesOf,
    gate: Gate | None,
    reading: Reading,
    run_date: str | None,
) -> list[JudgedSubject]:
    """Judge the last days of a run one after the other: each is compared with those before it that did not fail.

    Without a gate none is judged.
    """
    found: list[JudgedSubject] = []
    if gate is None:
        return found
    for subject in subjects[-MOST_JUDGED:]:
        earlier = [one.verdict for one in found if one.verdict]
        later = replace(subject, snapshot=subject.snapshot.judged(earlier))
        judgement = judged_subject(spark, later, states_of, gate, reading)
        found.append(JudgedSubject(judgement, later, verdict_on(later, judgement, run_date)))
    return found


def judged_subject(
    spark: SparkSession, subject: Subject, states_of: StatesOf, gate: Gate, reading: Reading
) -> Judgement:
    """Judge what is judged of a store, by states alone; `reading` says how metrics are read off them."""
    state = states_of(subject.units)
    past = past_of(subject, states_of, gate, lambda rule: stored_state(spark, gate, rule, state.conventions))
    return judged(spark, gate, state, reading, past)


def past_of(subject: Subject, states_of: StatesOf, gate: Gate, named_by: Callable[[Rule], Then]) -> Past:
    """Return what is known of the days before the judged one; `named_by` reads the state that a rule names."""
    snapshot, day = subject.snapshot, subject.day
    states: dict[Against, Then] = {}
    for rule in gate.rule:
        against = rule.against
        if against is None or against in states:
            continue
        if against.state is not None:
            states[against] = named_by(rule)
            continue
        if day is None:
            raise SpecError(
                f"rule {rule.name!r} compares with the days before, and no unit column of the store holds dates"
            )
        units, facts = baseline_of(snapshot, day, against)
        states[against] = states_of(units) if units else None, facts
    return Past(states=states, earlier=earlier_runs(snapshot.verdicts.values(), day) if day else ())


def verdict_on(subject: Subject, judgement: Judgement, run_date: str | None) -> Verdict:
    """A verdict as a store keeps it."""
    known: Mapping[str, Any] = facts_of(judgement, run_date) | subject.facts
    document = document_of(judgement, known, listed=LISTED_IN_STORE)
    return Verdict(run_id=subject.facts["run_id"], verdict=judgement.verdict, document=document)


def keep_verdicts(store: Store, judged: Sequence[JudgedSubject]) -> None:
    """Store verdicts beside the runs that they are on, in one step."""
    store.judge([one.verdict for one in judged if one.verdict])


def notes_on_days(judged: Sequence[JudgedSubject], subjects: Sequence[Subject]) -> tuple[str, ...]:
    """Sentences on the days of a run that were judged, where they are several, and on those that were not."""
    words = [f"{one.subject.day} {one.judgement.verdict}" for one in judged if one.subject and one.subject.day]
    left = subjects[: -len(judged)] if judged else ()
    return (
        *([f"judged {len(words)} days: {', '.join(words)}"] if len(words) > 1 else ()),
        *(
            [f"did not judge {counted(len(left), 'day')} to {left[-1].day}: the gate command does, with --run-date"]
            if left
            else ()
        ),
    )
