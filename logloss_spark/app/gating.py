"""Judge a state by the gate of a config, and tell everybody who wants to know: files, a person, GitHub Actions."""

import hashlib
import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from logloss_spark.app.arguments import count
from logloss_spark.app.days import baseline_of, days_of, earlier_runs, judged_day
from logloss_spark.app.documents import append_to, write_document
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.printing import tell
from logloss_spark.app.reading_states import persisted, read_state_table
from logloss_spark.checks import one_of
from logloss_spark.errors import GateError, MissingInputError, SpecError
from logloss_spark.gates.judging import Baseline, Earlier, Judgement, Measurement, judge
from logloss_spark.gates.patterns import grouping_sets_of, names_of, pattern_of
from logloss_spark.gates.rules import Against, Gate, Rule
from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report.frames import readable
from logloss_spark.report.gates import (
    annotations,
    document_of,
    failure_of,
    to_json,
    to_junit,
    to_markdown,
    view_of_gate,
)
from logloss_spark.roles import slices_of
from logloss_spark.state import State
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.state import differences
from logloss_spark.states.store import Snapshot, Verdict
from logloss_spark.statistics.catalogue import COMPARISON, METRICS, by_column, columns_of_loss
from logloss_spark.statistics.influences import INFLUENCES
from logloss_spark.statistics.reporting import Reading
from logloss_spark.store import Store
from logloss_spark.tables.comparison import comparison_table
from logloss_spark.tables.influences import influences_table
from logloss_spark.version import __version__
from logloss_spark.wording import PATH, visible

Then = tuple[State | None, Baseline]
"""The state that rules compare with, None if there is none, and what it is; it is not measured yet."""

LISTED_IN_STORE = 100
"""Slices of a rule in the log of a store, the worst first: every reader of the store reads the whole log."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is known of the runs before the judged one.

    Attributes
    ----------
    states : mapping from what rules compare with to the state, or None, and what it is, as a `Baseline` says it
    earlier : the slices that were over a bound in earlier runs, the latest run first
    """

    states: Mapping[Against, Then]
    earlier: tuple[Earlier, ...] = ()


def add_gate(parser: ArgumentParser) -> None:
    """Add what becomes of the verdict of a gate."""
    parser.add_argument("--junit", metavar="FILE", help="write the verdicts there, as JUnit's XML")
    parser.add_argument(
        "--fail-exit", type=count, default=GateError.exit_code, metavar="N", help="the exit code of a gate that fails"
    )
    parser.add_argument("--strict", action="store_true", help="fail unless the verdict of the gate is pass")


def judged(spark: SparkSession, gate: Gate, state: State, reading: Reading, past: Past | None = None) -> Judgement:
    """Judge a state by a gate.

    Parameters
    ----------
    spark : SparkSession
    gate : Gate
    state : State
        What is judged. It should be persisted: it is read twice if rules compare and there are clusters.
    reading : Reading
        How metrics are read off states; the confidence is that of the gate.
    past : Past, optional
        What a store knows. Without it rules compare with states that the config names.

    Raises
    ------
    SpecError
        A rule does not fit the state, or compares with days and there is no store.
    """
    conventions = state.conventions
    columns = by_column(COMPARISON) if conventions.models else columns_of_loss(METRICS, conventions.loss).values()
    check_gate(gate, state.slices, list(columns), has_store=past is not None)
    # A gate looks once at each run; what it looks at is another state each time.
    reading = replace(reading, confidence=gate.confidence, intervals="fixed")
    by = grouping_sets_of_gate(gate, state.slices)
    changing = {"log_loss" if rule.metric == "loss" else rule.metric for rule in gate.rule if rule.is_change}
    compared = sorted(changing & INFLUENCES.keys())
    baselines = {}
    for against, (then, facts) in (past or of_states(spark, gate, state.conventions)).states.items():
        baselines[against] = facts
        if then is not None:
            with persisted(then) as held:
                baselines[against] = replace(facts, measured=measured(held, by, reading, compared))
    return judge(gate, measured(state, by, reading, compared), baselines, past.earlier if past else ())


def check_gate(gate: Gate, slices: Sequence[str], columns: Collection[str], *, has_store: bool) -> None:
    """Raise SpecError unless the rules of a gate fit the slices and the columns of the metrics that are to be judged.

    All of it is known before a row is read, so that nothing is published that cannot be judged.
    """
    grouping_sets_of_gate(gate, slices)
    for rule in gate.rule:
        for column in rule.columns:
            one_of(f"rule {rule.name!r}: metric", column, (*columns, "rows", "n", *STATUSES))
        if rule.against and rule.against.days and not has_store:
            raise SpecError(
                f"rule {rule.name!r} compares with the days before, which a [store] keeps, and the config has none: "
                'add one, or compare with a stored state, as in against = { state = "path" }'
            )


def grouping_sets_of_gate(gate: Gate, slices: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The grouping sets that the rules of a gate name; SpecError for a slice column that the state does not have."""
    patterns = []
    for rule in gate.rule:
        try:
            patterns += [pattern_of(text, slices) for text in (*rule.slices, *rule.except_)]
        except SpecError as error:
            raise SpecError(f"rule {rule.name!r}: {error}") from None
    return grouping_sets_of(patterns, slices)


def of_states(spark: SparkSession, gate: Gate, conventions: Conventions) -> Past:
    """Read the stored states that rules compare with."""
    return Past(
        states={rule.against: stored_state(spark, rule, conventions) for rule in gate.rule if rule.against is not None}
    )


def stored_state(spark: SparkSession, rule: Rule, conventions: Conventions) -> Then:
    """Read the stored state that a rule compares with."""
    assert rule.against is not None
    assert rule.against.state is not None
    then = State(read_state_table(spark, rule.against.state, "parquet"))
    check_alike(rule.name, conventions, then.conventions)
    return then, Baseline(measured=None, states=1, because=f"the state {rule.against.state}")


def of_store(
    spark: SparkSession, store: Store, snapshot: Snapshot, gate: Gate, now: Conventions, day: date | None
) -> Past:
    """Read what a store knows of the days before the judged one; `day` is None where its units are no days."""
    states: dict[Against, Then] = {}
    for rule in gate.rule:
        against = rule.against
        if against is None or against in states:
            continue
        if against.state is not None:
            states[against] = stored_state(spark, rule, now)
            continue
        if day is None:
            raise SpecError(
                f"rule {rule.name!r} compares with the days before, and no unit column of the store holds dates"
            )
        units, facts = baseline_of(snapshot, day, against)
        # The units may be younger states that were replaced since.
        then = store.state_of(replace(snapshot, units={unit.key: unit for unit in units})) if units else None
        states[against] = then, facts
    return Past(states=states, earlier=earlier_runs(snapshot.verdicts.values(), day) if day else ())


def judged_in_store(
    spark: SparkSession,
    store: Store,
    gate: Gate,
    reading: Reading,
    *,
    run_date: str | None,
    run_id: str | None = None,
) -> tuple[Judgement, dict[str, Any]]:
    """Judge a day of a store: that of the run date, else the last one; of the days that a run stored, if it is named.

    If no unit column holds dates the units of the run are judged together, by default of the last run.

    Returns
    -------
    the judgement, and what its document says of the run: `run_id`, `judged`

    Raises
    ------
    MissingInputError
        Nothing is stored, or no such day.
    SpecError
        As `judged` does.
    """
    snapshot = store.live()
    if not snapshot.units:
        raise MissingInputError("a gate judges what is stored, and the store is empty: evaluate with [store] first")
    days = days_of(snapshot)
    day = judged_day(days, run_date, run_id) if days else None
    last = snapshot.units[next(reversed(list(snapshot.units)))].run_id
    of_run = [unit for unit in snapshot.units.values() if unit.run_id == (run_id or last)]
    units = days[day] if day else of_run
    state = store.state_of(snapshot, keys=[unit.key for unit in units])
    with persisted(state) as now:
        past = of_store(spark, store, snapshot, gate, now.conventions, day)
        judgement = judged(spark, gate, now, reading, past)
    facts = {"run_id": units[-1].run_id, "judged": day.isoformat() if day else None}
    return judgement, facts


def keep_verdict(store: Store, judgement: Judgement, facts: Mapping[str, Any], run_date: str | None) -> None:
    """Store a verdict beside the run that it is on."""
    document = document_of(judgement, facts_of(judgement, run_date) | dict(facts), listed=LISTED_IN_STORE)
    store.judge(Verdict(run_id=facts["run_id"], verdict=judgement.verdict, document=document))


def source_in_words(path: str, facts: Mapping[str, Any]) -> str:
    """What is judged of a store."""
    return f"{visible(path, PATH)}, {facts['judged'] or facts['run_id']}"


def check_alike(rule: str, now: Conventions, then: Conventions) -> None:
    """Raise SpecError unless the metrics of two states mean the same."""
    differing = differences(now, replace(then, slices=now.slices, weight_exponent=now.weight_exponent))
    if differing:
        raise SpecError(
            f"rule {rule!r} must compare states that were made alike, and these differ in {', '.join(differing)}"
        )


def measured(state: State, by: tuple[tuple[str, ...], ...], reading: Reading, compared: Collection[str]) -> Measurement:
    """The metrics of a state, and with clusters the influences on those metrics whose changes are judged."""
    of_comparison = bool(state.conventions.models)
    found = comparison_table(state.checked, by, reading) if of_comparison else state.measured(by, reading)
    frame = found.frame if isinstance(found, LocalTable) else readable(found).toPandas()
    plain = Measurement(frame, slices_of(by))
    if of_comparison or not (compared and state.conventions.buckets):
        return plain
    influences = influences_table(state.checked, by, reading, list(compared))
    row_of = {name: row for row, name in enumerate(names_of(influences.keys.to_pandas(), plain.slices))}
    order = np.array([row_of[name] for name in plain.names], dtype=np.int64)
    of_rows = {metric: values[order] for metric, values in influences.of.items()}
    return replace(plain, filled=influences.filled[order], influences=of_rows)


def published(
    outcome: Outcome, judgement: Judgement, source: str, given: Namespace, *, run: Mapping[str, Any] | None = None
) -> Outcome:
    """Write a verdict where the config and the command line say, tell GitHub Actions, and return it in the outcome.

    Parameters
    ----------
    outcome : Outcome
        Of the command, without the gate.
    judgement : Judgement
    source : str
        What was judged, in words.
    given : Namespace
        The arguments of `add_gate`, and `run_date`.
    run : mapping, optional
        What is known of the run besides, such as its `run_id`.
    """
    gate = judgement.gate
    document = document_of(judgement, facts_of(judgement, given.run_date) | dict(run or {}))
    files = {"result": (gate.result, to_json(document)), "junit": (given.junit, to_junit(judgement))}
    for name, (path, text) in files.items():
        if path:
            write_document(f"the {name} of the gate", path, text)
    tell_github(judgement, source)
    fails = judgement.verdict == "fail" or (given.strict and judgement.verdict != "pass")
    return replace(
        outcome,
        details={**outcome.details, "gate": {key: value for key, value in document.items() if key != "rules"}},
        verdicts=tuple(document["rules"]),
        gate=view_of_gate(judgement, source),
        failure=GateError(failure_of(judgement), given.fail_exit) if fails else None,
        written={**outcome.written, **{name: path for name, (path, _) in files.items() if path}},
    )


def facts_of(judgement: Judgement, run_date: str | None) -> dict[str, Any]:
    """What the document of a gate says of every run."""
    return {
        "run_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "run_date": run_date,
        "config": fingerprint_of(judgement.gate),
        "version": __version__,
    }


def tell_github(judgement: Judgement, source: str) -> None:
    """Annotate the run of GitHub Actions that we are in, if any, and append to the summary of its step."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for annotation in annotations(judgement):
        tell(annotation)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        append_to(summary, to_markdown(judgement, source))


def fingerprint_of(gate: Gate) -> str:
    """A short text that is another for another gate."""
    return hashlib.sha256(json.dumps(asdict(gate), sort_keys=True).encode()).hexdigest()[:16]
