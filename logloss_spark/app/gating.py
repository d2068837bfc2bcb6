"""Judge a state by the gate of a config, and tell everybody who wants to know: files, a person, GitHub Actions."""

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from logloss_spark.app.arguments import count
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.printing import tell
from logloss_spark.app.reading_states import persisted, read_state
from logloss_spark.checks import one_of
from logloss_spark.errors import GateError, SpecError
from logloss_spark.gates.estimates import Baseline, Measurement
from logloss_spark.gates.judging import Earlier, Judgement, judge
from logloss_spark.gates.patterns import grouping_sets_of, names_of, pattern_of
from logloss_spark.gates.rules import Against, Gate, Rule
from logloss_spark.io.local import LocalTable
from logloss_spark.io.units import fingerprint
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report.ci import annotations, to_junit, to_markdown
from logloss_spark.report.documents import append_to, write_document
from logloss_spark.report.frames import readable
from logloss_spark.report.gate_documents import document_of, to_json
from logloss_spark.report.gates import failure_of, view_of_gate
from logloss_spark.roles import slices_of
from logloss_spark.state import State
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.state import differences
from logloss_spark.statistics.catalogue import COMPARISON, METRICS, WITHOUT_CELLS, by_column, columns_of_loss
from logloss_spark.statistics.influences import INFLUENCES
from logloss_spark.statistics.reporting import Reading
from logloss_spark.tables.comparison import comparison_table
from logloss_spark.tables.influences import influences_table
from logloss_spark.tables.metrics import OF_CELLS, without_cells
from logloss_spark.version import __version__

Then = tuple[State | None, Baseline]
"""The state that rules compare with, None if there is none, and what it is; it is not measured yet."""


WITHHELD = 'nothing was written: the gate fails, and publish = "passed"'


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
        What is judged. Cells of the score are left aside if no rule needs them: a large state becomes a small one.
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
            with persisted(needed(then, gate)) as held:
                baselines[against] = replace(facts, measured=measured(held, by, reading, compared))
    with persisted(needed(state, gate)) as held:
        return judge(gate, measured(held, by, reading, compared), baselines, past.earlier if past else ())


def needed(state: State, gate: Gate) -> State:
    """A state without the sums that no rule of a gate needs."""
    if state.conventions.models or not unread_parts(gate):
        return state
    return State.from_checked(without_cells(state.checked))


def unread_parts(gate: Gate) -> tuple[str, ...]:
    """The parts of the state of an evaluation that no rule of a gate needs."""
    known = by_column(METRICS)
    read = {known[column].name for rule in gate.rule for column in rule.columns if column in known}
    return OF_CELLS if read <= set(WITHOUT_CELLS) else ()


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


def check_kept(gate: Gate, keep_days: float) -> None:
    """Raise SpecError where a store whose labels come late deletes states that a rule compares with.

    A day is compared with younger states of the days before, and these were replaced when their labels had arrived.
    """
    for rule in gate.rule:
        days = rule.against.days if rule.against else None
        if days is not None and keep_days < days:
            raise SpecError(
                f"[store] keep_days must be at least the {days} days that rule {rule.name!r} compares with, because "
                f"with [labels] it needs states that were replaced since, got {keep_days:g}: set keep_days = {days}"
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
    states: dict[Against, Then] = {}
    for rule in gate.rule:
        if rule.against is not None and rule.against not in states:
            states[rule.against] = stored_state(spark, gate, rule, conventions)
    return Past(states=states)


def stored_state(spark: SparkSession, gate: Gate, rule: Rule, conventions: Conventions) -> Then:
    """Read the stored state that a rule of a gate compares with."""
    assert rule.against is not None
    assert rule.against.state is not None
    then = read_state(spark, rule.against.state, "parquet", unread_parts(gate))
    check_alike(rule.name, conventions, then.conventions)
    return then, Baseline(measured=None, states=1, because=f"the state {rule.against.state}")


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


def is_withheld(judgement: Judgement | None) -> bool:
    """Whether a run publishes nothing because its gate fails."""
    return judgement is not None and judgement.verdict == "fail" and judgement.gate.publish == "passed"


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
    files = {"result": gate.result, "junit": given.junit}
    if gate.result:
        write_document("the result of the gate", gate.result, to_json(document))
    if given.junit:
        write_document("the junit of the gate", given.junit, to_junit(judgement))
    tell_github(judgement, source)
    fails = judgement.verdict == "fail" or (given.strict and judgement.verdict != "pass")
    return replace(
        outcome,
        details={**outcome.details, "gate": {key: value for key, value in document.items() if key != "rules"}},
        verdicts=tuple(document["rules"]),
        gate=view_of_gate(judgement, source),
        failure=GateError(failure_of(judgement), given.fail_exit) if fails else None,
        written={**outcome.written, **{name: path for name, path in files.items() if path}},
    )


def facts_of(judgement: Judgement, run_date: str | None) -> dict[str, Any]:
    """What the document of a gate says of every run."""
    return {
        "run_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "run_date": run_date,
        "config": fingerprint(json.dumps(asdict(judgement.gate), sort_keys=True)),
        "version": __version__,
    }


def tell_github(judgement: Judgement, source: str) -> None:
    """Annotate the run of GitHub Actions that we are in, if any, and append to the summary of its step."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for annotation in annotations(judgement):
        tell(annotation)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            append_to(summary, to_markdown(judgement, source))
        except OSError as error:
            tell(f"logloss-spark: the summary of the step cannot be written: {error.strerror}; the verdict stands")
