"""Evaluate what is due of a table whose states are kept in a store."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.choosing import chosen_metrics
from logloss_spark.app.evaluating import EvaluateConfig, Steps, evaluate_rows, measurement_of, ready
from logloss_spark.app.gating import is_withheld, published
from logloss_spark.app.gating_days import (
    JudgedSubject,
    StatesOf,
    Subject,
    judge_days,
    judgement_of,
    keep_verdicts,
    notes_on_days,
    states_with,
    stored_states,
    subject_of,
    subjects_of_run,
    subjects_to_be,
    taken_apart,
    units_looked_at,
    worst_of,
)
from logloss_spark.app.labels import ages
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading import check_any, files_of_input, read_input
from logloss_spark.app.reporting import described, page_of_subject, with_report
from logloss_spark.app.sections import Input
from logloss_spark.app.sinks.numbers import SLICES_FOR_DASHBOARDS
from logloss_spark.app.storing import (
    StoreSection,
    check_files_unchanged,
    check_same_columns,
    check_unchanged,
    config_fingerprint,
    no_age,
    note_on_snapshot,
    notes_on_plan,
    records_of_plan,
    rows_of_plan,
)
from logloss_spark.evaluation import Evaluation
from logloss_spark.gates.estimates import Measurement
from logloss_spark.io.files import FileTable
from logloss_spark.io.signals import interruption
from logloss_spark.io.units import Unit, units_of
from logloss_spark.report.evaluations import first_slices
from logloss_spark.report.frames import Order
from logloss_spark.report.page import Page
from logloss_spark.roles import Roles, grouping_sets
from logloss_spark.state import State
from logloss_spark.states.conventions import conventions_of
from logloss_spark.states.store import Snapshot
from logloss_spark.store import Plan, Store, due_of, within_units


@dataclass(frozen=True)
class RunOnStore:
    """A run that evaluates units of a table: what it was asked, what it reads, and what is due.

    Attributes
    ----------
    source : where the rows are read from
    table : all rows of the table
    files : the files that workers may read themselves, or why they must not; None where nobody asked
    roles : which columns mean what; the store's units are slices, too
    """

    spark: SparkSession
    config: EvaluateConfig
    given: Namespace
    source: Input
    table: DataFrame
    files: FileTable | str | None
    roles: Roles
    store: Store
    section: StoreSection
    units: Sequence[Unit]
    plan: Plan


def evaluate_due(
    spark: SparkSession,
    config: EvaluateConfig,
    given: Namespace,
    source: Input,
    read: tuple[DataFrame, FileTable | str | None],
) -> Outcome:
    """Evaluate the units of a table that are due, and store their states and metrics in one step."""
    section, (table, files) = config.store, read
    assert section is not None
    store, units = section.open(), units_of(table, files, section.unit)
    roles = replace(config.roles, by=within_units(section.unit, config.roles.sets))
    plan = plan_of(store, config, given, roles, units)
    if not plan.base.units:
        check_any(len(units), config.input)
    details: dict[str, Any] = {"due": records_of_plan(plan)}
    nothing = Outcome(
        command="evaluate", inputs=(config.input.name,), details=details, notes=notes_on_plan(plan, len(units))
    )
    if given.dry_run:
        return nothing
    if not plan.due:
        return judged_again(spark, config, given, nothing, store)
    run = RunOnStore(spark, config, given, source, table, files, roles, store, section, units, plan)
    if not plan.keys:  # units have vanished, and no other is due
        outcome = with_snapshot(nothing, section, store.publish(plan, None, None))
        store.clean(section.keep_days)
        return outcome
    due_rows, of_rows = rows_of_plan(plan, table, files, units)
    rows = ready(spark, config, due_rows, of_rows, roles)
    subjects = subjects_to_be(plan, conventions_of(rows))
    with what_is_stored_is_told(run):
        outcome, verdicts = evaluate_rows(
            spark, config, given, rows, lambda evaluation: steps_of(run, subjects, of_rows, evaluation)
        )
        store.clean(section.keep_days)
        if verdicts and not is_withheld(judgement_of(worst_of(verdicts))):
            keep_verdicts(store, verdicts)
    last = {"last_day": subjects[-1].day.isoformat()} if subjects and subjects[-1].day else {}
    notes = (*nothing.notes, *notes_on_days(verdicts, subjects), *outcome.notes)
    outcome = replace(outcome, details={**outcome.details, **details, **last}, notes=notes)
    return with_verdict(outcome, worst_of(verdicts), section, given)


@contextmanager
def what_is_stored_is_told(run: RunOnStore) -> Iterator[None]:
    """Let a signal that ends a run when its states are stored already say so."""
    try:
        yield
    except BaseException as error:
        stop = interruption(error)
        if stop is not None and run.plan.run_id in run.store.live().runs:
            stop.stands = f"states and metrics are stored in {run.section.path}, what follows is not done: run again"
        raise


def steps_of(
    run: RunOnStore, subjects: Sequence[Subject], files: FileTable | str | None, evaluation: Evaluation
) -> Steps:
    """Return what a run does with the evaluation of what is due: it judges each day, and publishes all in one step."""
    config, states_of = run.config, states_of_run(run, subjects, evaluation.state)
    reading, gate = config.evaluate, config.gate
    return Steps(
        judge=lambda: judge_days(run.spark, subjects, states_of, gate, reading, run.given.run_date),
        page=lambda worst: page_of_run(run, subjects, states_of, evaluation, worst),
        measure=lambda: measured_for_dashboards(config, states_of(subjects[-1].units)) if subjects else None,
        publish=lambda outcome: publish_states(run, files, evaluation.state, outcome),
    )


def states_of_run(run: RunOnStore, subjects: Sequence[Subject], state: State) -> StatesOf:
    """Return a function that reads the states of units; those that are due are in `state`."""
    states_of = states_with(run.store, run.plan, state)
    if len(subjects) > 1 and (run.config.gate or run.config.output.report):
        new = [unit for subject in subjects for unit in subject.units if unit.run_id == run.plan.run_id]
        return taken_apart(states_of, run.plan.columns, new)
    return states_of


def page_of_run(
    run: RunOnStore,
    subjects: Sequence[Subject],
    states_of: StatesOf,
    evaluation: Evaluation,
    worst: JudgedSubject | None,
) -> Page:
    """Return the page of the report of a run."""
    if not subjects:  # a unit without a day, of a store of days
        whole = replace(evaluation.report_page(), title=run.config.title)
        return described(whole, run.given, None, run.config.input.name)
    return page_of_store(run.config, run.given, subjects, states_of, worst)


def publish_states(run: RunOnStore, files: FileTable | str | None, state: State, outcome: Outcome) -> Outcome:
    """Store the state and the metrics of what was due, unless its rows have changed meanwhile."""
    config, plan = run.config, run.plan
    if isinstance(files, FileTable):
        check_files_unchanged(plan, run.table, files)
    elif run.source is config.input:  # else a version of it was read, which stays
        now = read_input(run.spark, run.source, config.columns)
        listed = files_of_input(run.spark, now, run.source, config.columns, engine=config.evaluate.engine)
        check_unchanged(plan, units_of(now, listed, run.section.unit))
    metrics = chosen_metrics(state.measured(run.roles.sets, config.evaluate), config.evaluate.metrics)
    return with_snapshot(outcome, run.section, run.store.publish(plan, state, metrics))


def measured_for_dashboards(config: EvaluateConfig, state: State) -> Measurement:
    """Return what dashboards get of a state: its chosen metrics in the slices of most rows."""
    sets = grouping_sets([*config.roles.sets, *config.sets_of_dashboards])
    measured, most_rows = state.measured(sets, config.evaluate), Order((("rows", False),))
    return measurement_of(first_slices(measured, most_rows, SLICES_FOR_DASHBOARDS).frame, sets, config.evaluate)


def with_verdict(outcome: Outcome, worst: JudgedSubject | None, section: StoreSection, given: Namespace) -> Outcome:
    """Publish the worst verdict on the days of a run, and return it in the outcome."""
    if worst is None or worst.subject is None:
        return outcome
    name, facts = worst.subject.name(section.path), worst.subject.facts
    return published(outcome, worst.judgement, name, given, run=facts)


def with_snapshot(outcome: Outcome, section: StoreSection, snapshot: Snapshot) -> Outcome:
    """Return an outcome that says what a store holds since the run has published."""
    return replace(
        outcome,
        written={**outcome.written, "states and metrics": section.path},
        notes=(*outcome.notes, note_on_snapshot(snapshot)),
    )


def plan_of(store: Store, config: EvaluateConfig, given: Namespace, roles: Roles, units: Sequence[Unit]) -> Plan:
    """Return what a run is about to do: which units are due."""
    assert config.store is not None
    columns, base = tuple(config.store.unit), store.live()
    check_same_columns(base, columns)
    sources = [config.input, config.labels] if config.labels else [config.input]
    fingerprint = config_fingerprint(sources, roles, config.evaluate, columns)
    age_of = ages(config.labels, columns, given.run_date) if config.labels else no_age
    due = due_of(units, base, fingerprint, full=given.full, age_of=age_of)
    return store.plan(due, columns, base=base, config=fingerprint, run_date=given.run_date)


def judged_again(
    spark: SparkSession, config: EvaluateConfig, given: Namespace, outcome: Outcome, store: Store
) -> Outcome:
    """Judge what is stored where nothing is due: a run that is repeated after its gate has failed must fail again."""
    snapshot, section, gate = store.live(), config.store, config.gate
    if section is None or not (gate or config.output.report) or not snapshot.units or snapshot.last_run is None:
        return outcome
    subjects = subjects_of_run(snapshot, snapshot.last_run.run_id) or [subject_of(snapshot, None)]
    states_of = stored_states(store, snapshot)
    if len(subjects) > 1:
        states_of = taken_apart(states_of, snapshot.columns, units_looked_at(snapshot, subjects, gate))
    verdicts = judge_days(spark, subjects, states_of, gate, config.evaluate, given.run_date)
    worst = worst_of(verdicts)
    outcome = with_report(
        outcome, config.output.report, lambda: page_of_store(config, given, subjects, states_of, worst)
    )
    if verdicts:
        keep_verdicts(store, verdicts)
    outcome = replace(outcome, notes=(*outcome.notes, *notes_on_days(verdicts, subjects)))
    return with_verdict(outcome, worst, section, given)


def page_of_store(
    config: EvaluateConfig,
    given: Namespace,
    subjects: Sequence[Subject],
    states_of: StatesOf,
    worst: JudgedSubject | None,
) -> Page:
    """Return the page of the report of a run on a store: of the day with the worst verdict, else of the last one."""
    assert config.store is not None
    subject = worst.subject if worst and worst.subject else subjects[-1]
    page = page_of_subject(subject, states_of, config.roles.sets, config.evaluate, config.title, config.labels)
    return described(page, given, judgement_of(worst), subject.name(config.store.path))
