"""The command `evaluate`: read a table of predictions, evaluate it, write its tables."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.choosing import check_chosen, chosen_metrics, left_out, records_of
from logloss_spark.app.command import Command
from logloss_spark.app.gating import WITHHELD, add_gate, check_gate, check_kept, is_withheld, judged, published
from logloss_spark.app.gating_days import (
    Judged,
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
from logloss_spark.app.judging import check_tolerated
from logloss_spark.app.labels import LABELLED, Labels, ages, joined
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading import addresses_of, check_any, files_of_input, read_input
from logloss_spark.app.reporting import described, page_of_subject, with_report
from logloss_spark.app.run_date import with_run_date
from logloss_spark.app.sections import Input, OutputWithState, ReadingWithSearch, Renaming, ScoringSection, searched
from logloss_spark.app.sinks.numbers import SLICES_FOR_DASHBOARDS
from logloss_spark.app.sinks.telling import WithDashboards
from logloss_spark.app.storing import (
    StoreSection,
    add_store,
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
from logloss_spark.errors import SpecError
from logloss_spark.evaluation import Evaluation
from logloss_spark.gates.estimates import Measurement
from logloss_spark.gates.patterns import grouping_sets_of, pattern_of
from logloss_spark.gates.rules import Gate
from logloss_spark.io.files import FileTable
from logloss_spark.io.lake_tables import pinned
from logloss_spark.io.local import as_dataframe
from logloss_spark.io.units import Unit, fingerprint_of, units_of
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report.evaluations import first_slices, title_of, view_of, what_is_measured
from logloss_spark.report.frames import Order
from logloss_spark.report.html import check_libraries
from logloss_spark.report.page import Page
from logloss_spark.roles import Roles, grouping_sets, slices_of
from logloss_spark.rows.inputs import Rows, rows_of
from logloss_spark.rows.status import reasons_in
from logloss_spark.state import State
from logloss_spark.states.conventions import conventions_of
from logloss_spark.states.store import Snapshot
from logloss_spark.statistics.catalogue import METRICS, columns_of_loss
from logloss_spark.statistics.reporting import Reporting
from logloss_spark.store import Plan, Store, due_of, within_units
from logloss_spark.wording import counted


@dataclass(frozen=True, kw_only=True)
class PredictionColumns(Renaming):
    """Which columns mean what.

    Parameters
    ----------
    label : str, or list of str
        The class of a row; with `soft_labels` its share, or one column per class.
    prediction : str, or list of str
        A column of numbers, arrays or ML vectors, or a list with one column per class.
    weight : str
        The weight of a row; 1 by default.
    cluster : str
        The column that says which rows depend on each other. Intervals then take clusters as independent, not rows.
    """

    label: str | list[str]
    prediction: str | list[str]
    weight: str | None = None
    cluster: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluate(ScoringSection, Reporting, ReadingWithSearch):
    """How to score, by which slices, what to report, and what becomes of rows that cannot be scored.

    Most keys are arguments of `logloss_spark.evaluate`.

    Parameters
    ----------
    metrics : list of str
        The names of the metrics to keep, by default all.
    """

    metrics: list[str] | None = None

    def __post_init__(self) -> None:
        ScoringSection.__post_init__(self)
        Reporting.__post_init__(self)
        check_chosen(self.metrics, self.loss)

    def roles(self, columns: Renaming, **others: Any) -> Roles:
        """Return the roles of the columns, and those of the search."""
        return replace(super().roles(columns, **others), search=self.search)


@dataclass(frozen=True, kw_only=True)
class EvaluationOutput(OutputWithState):
    """Where each table is written; a table without a path, or with an empty one, is not written.

    Parameters
    ----------
    metrics : str
        The path of the metrics, one row per slice.
    reliability : str
        The path of the reliability table, one row per slice and bin of the score.
    by_class : str
        The path of the table with one row per slice and class.
    worst_slices : str
        The path of the table of slices that are worse than the rest; it needs `search` in [evaluate].
    invalid : str
        The path of the rows that could not be scored, with the reason.
    report : str
        The file of the report, one page of HTML, which replaces an older one. With a store it is of the day that the
        gate judges. It is written whatever a gate says.
    """

    metrics: str | None = None
    reliability: str | None = None
    by_class: str | None = None
    worst_slices: str | None = None
    invalid: str | None = None
    report: str | None = None

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the name of their table."""
        names = ("metrics", "reliability", "by_class", "worst_slices", "state", "invalid")
        return {name: path for name in names if (path := getattr(self, name))}


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(WithDashboards):
    """The config of `evaluate`."""

    DATED: ClassVar[tuple[str, ...]] = ("input", "output", "gate", "mlflow")

    input: Input
    columns: PredictionColumns
    evaluate: Evaluate = Evaluate()
    output: EvaluationOutput = EvaluationOutput()
    store: StoreSection | None = None
    labels: Labels | None = None
    gate: Gate | None = None

    def __post_init__(self) -> None:
        if self.evaluate.on_invalid == "quarantine" and not self.output.invalid:
            raise SpecError(
                'on_invalid = "quarantine" needs a path for the invalid rows, got none: set `invalid` in [output]'
            )
        if self.output.worst_slices and not self.evaluate.search:
            raise SpecError(
                "worst_slices in [output] needs columns to search, got none: set `search` in [evaluate], such as "
                'search = ["country", "device"]'
            )
        slices = (*(self.store.unit if self.store else ()), *self.roles.slices)
        columns = list(columns_of_loss(METRICS, self.evaluate.loss).values())
        if self.gate:
            check_gate(self.gate, slices, columns, has_store=self.store is not None)
        if self.gate and self.store and self.labels and len(self.labels.revisit) > 1:
            check_kept(self.gate, self.store.keep_days)
        self.check_dashboards(slices, ("rows", "n", *STATUSES, *(self.evaluate.metrics or columns)))

    @property
    def sets_of_dashboards(self) -> tuple[tuple[str, ...], ...]:
        """The grouping sets that dashboards name."""
        slices = (*(self.store.unit if self.store else ()), *self.roles.slices)
        named = [text for section in self.dashboards.values() for text in section.slices]
        return grouping_sets_of([pattern_of(text, slices) for text in named], slices)

    @property
    def roles(self) -> Roles:
        """Which columns mean what."""
        return self.evaluate.roles(self.columns)

    @property
    def title(self) -> str:
        """What is measured, in words."""
        return what_is_measured(self.evaluate.loss, self.columns.prediction, self.columns.label)


@dataclass(frozen=True)
class Steps:
    """What a run does with an evaluation, beside writing its tables.

    Attributes
    ----------
    judge : judges it by the gate, before anything is written; a run on a store has a verdict for each day
    publish : does something more once all is written, and adds to the outcome; not called where all is withheld
    page : makes the page of its report, given the worst verdict
    measure : measures it for dashboards; a run on a store has the numbers of its last day
    """

    judge: Callable[[Evaluation], Sequence[Judged]]
    page: Callable[[Evaluation, Judged | None], Page]
    measure: Callable[[Evaluation], Measurement | None]
    publish: Callable[[Evaluation, Outcome], Outcome] = lambda _, outcome: outcome


def check(config: EvaluateConfig, given: Namespace) -> None:
    """Raise SpecError for options without the store that they are about, or without a library that a report needs."""
    if config.store is None and (given.dry_run or given.full):
        raise SpecError("--dry-run and --full are about the units of a store, and the config has no section [store]")
    if config.output.report:
        check_libraries()


def run(spark: SparkSession, config: EvaluateConfig, given: Namespace) -> Outcome:
    """Evaluate a table of predictions, and write what the config asks for; with a store, the units that are due.

    Raises
    ------
    SpecError, DataError
        As the config or the input breaks its contract. Then nothing has been written.
    BusyError
        Another job writes the same outputs, or has stored the same units.
    """
    source = pinned(spark, config.input) if config.store else config.input
    table = read_input(spark, source, config.columns)
    files = files_of_input(spark, table, source, config.columns, engine=config.evaluate.engine)
    if config.store is not None:
        return evaluate_due(spark, config, given, source, (table, files))

    def judge(evaluation: Evaluation) -> list[Judged]:
        return [Judged(judged(spark, config.gate, evaluation.state, config.evaluate))] if config.gate else []

    def page(evaluation: Evaluation, worst: Judged | None) -> Page:
        found = evaluation.report_page(searched(evaluation.state, config.evaluate))
        return described(replace(found, title=config.title), given, judgement_of(worst), config.input.name)

    def measure(evaluation: Evaluation) -> Measurement:
        found = evaluation.to_pandas(SLICES_FOR_DASHBOARDS, sort_by="rows")
        return measurement_of(found, config.roles.sets, config.evaluate)

    steps = Steps(judge, page, measure)
    outcome, verdicts = evaluate_rows(spark, config, given, ready(spark, config, table, files), steps)
    return published(outcome, verdicts[0].judgement, config.input.name, given) if verdicts else outcome


def ready(
    spark: SparkSession,
    config: EvaluateConfig,
    table: DataFrame,
    files: FileTable | str | None,
    roles: Roles | None = None,
) -> Rows:
    """Return a table ready to be scored, with its labels if they come from a table of their own."""
    roles = roles or config.roles
    if config.labels is not None:
        label = (roles.label,) if isinstance(roles.label, str) else roles.label
        table, files = joined(spark, table, config.labels, label), "its labels come from another table"
        roles = replace(roles, labelled=LABELLED)
    return replace(rows_of(table, roles, config.evaluate, engine=config.evaluate.engine), files=files)


def evaluate_due(
    spark: SparkSession,
    config: EvaluateConfig,
    given: Namespace,
    source: Input,
    read: tuple[DataFrame, FileTable | str | None],
) -> Outcome:
    """Evaluate the units of a table that are due, and store their states and metrics in one step."""
    section, asked, (table, files) = config.store, config.evaluate, read
    assert section is not None
    store, units = section.open(), units_of(table, files, section.unit)
    roles = replace(config.roles, by=within_units(section.unit, config.roles.sets))
    plan = plan_of(store, config, given, roles, units)
    notes = notes_on_plan(plan, len(units))
    details: dict[str, Any] = {"due": records_of_plan(plan)}
    if not plan.base.units:
        check_any(len(units), config.input)
    if given.dry_run or not plan.due:
        nothing = Outcome(command="evaluate", inputs=(config.input.name,), details=details, notes=notes)
        return nothing if given.dry_run else judged_again(spark, config, given, nothing, store)
    verdicts: Sequence[Judged] = ()
    if plan.keys:
        due_rows, of_rows = rows_of_plan(plan, table, files, units)
        rows = ready(spark, config, due_rows, of_rows, roles)
        subjects = subjects_to_be(plan, conventions_of(rows))

        def states_of(evaluation: Evaluation) -> StatesOf:
            found = states_with(store, plan, evaluation.state)
            new = [unit for subject in subjects for unit in subject.units if unit.run_id == plan.run_id]
            return taken_apart(found, plan.columns, new) if len(subjects) > 1 else found

        def judge(evaluation: Evaluation) -> list[Judged]:
            if config.gate is None:
                return []
            return judge_days(spark, subjects, states_of(evaluation), config.gate, asked)

        def page(evaluation: Evaluation, worst: Judged | None) -> Page:
            if not subjects:  # a unit without a day, of a store of days
                return described(replace(evaluation.report_page(), title=config.title), given, None, config.input.name)
            return page_of_store(config, given, subjects, states_of(evaluation), worst)

        def measure(evaluation: Evaluation) -> Measurement | None:
            if not subjects:
                return None
            state = states_with(store, plan, evaluation.state)(subjects[-1].units)
            sets = grouping_sets([*config.roles.sets, *config.sets_of_dashboards])
            most_rows = Order((("rows", False),))
            found = first_slices(state.measured(sets, asked), most_rows, SLICES_FOR_DASHBOARDS).frame
            return measurement_of(found, sets, asked)

        def publish(evaluation: Evaluation, outcome: Outcome) -> Outcome:
            if isinstance(of_rows, FileTable):
                check_files_unchanged(plan, table, of_rows)
            elif source is config.input:  # else a version of it was read, which stays
                now = read_input(spark, source, config.columns)
                listed = files_of_input(spark, now, source, config.columns, engine=asked.engine)
                check_unchanged(plan, units_of(now, listed, section.unit))
            metrics = chosen_metrics(evaluation.state.measured(roles.sets, asked), asked.metrics)
            return with_snapshot(outcome, section, store.publish(plan, evaluation.state, metrics))

        outcome, verdicts = evaluate_rows(spark, config, given, rows, Steps(judge, page, measure, publish))
        notes += notes_on_days(verdicts, subjects)
        details |= {"last_day": subjects[-1].day.isoformat()} if subjects and subjects[-1].day else {}
    else:
        outcome = Outcome(command="evaluate", inputs=(config.input.name,))
        outcome = with_snapshot(outcome, section, store.publish(plan, None, None))
    store.clean(section.keep_days)
    outcome = replace(outcome, details={**outcome.details, **details}, notes=(*notes, *outcome.notes))
    if verdicts and not is_withheld(judgement_of(worst_of(verdicts))):
        keep_verdicts(store, verdicts, given.run_date)
    return with_verdict(outcome, worst_of(verdicts), section, given)


def with_verdict(outcome: Outcome, worst: Judged | None, section: StoreSection, given: Namespace) -> Outcome:
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
    verdicts = judge_days(spark, subjects, states_of, gate, config.evaluate) if gate else []
    worst = worst_of(verdicts)
    outcome = with_report(
        outcome, config.output.report, lambda: page_of_store(config, given, subjects, states_of, worst)
    )
    if verdicts:
        keep_verdicts(store, verdicts, given.run_date)
    outcome = replace(outcome, notes=(*outcome.notes, *notes_on_days(verdicts, subjects)))
    return with_verdict(outcome, worst, section, given)


def evaluate_rows(
    spark: SparkSession,
    config: EvaluateConfig,
    given: Namespace,
    rows: Rows,
    steps: Steps,
) -> tuple[Outcome, Sequence[Judged]]:
    """Evaluate rows, judge them, write what the config asks for and publish it, unless it is withheld, and report.

    They are judged before anything is written: a rule that does not fit is an error, and leaves all as it was.
    """
    output, outputs, asked = config.output, config.output.paths, config.evaluate
    evaluation = Evaluation(rows, asked)
    quarantined, addresses = rows.source if output.invalid else None, addresses_of(spark, rows.source, config.input)
    targets = output.targets(outputs)
    kept = {"store": config.store.path} if config.store else {}
    with (
        reserved(spark, targets, mode=output.mode, apart_from=addresses, kept=kept, rows=quarantined) as reservation,
        evaluation,
    ):
        counts, sources, ran = evaluation.counts, evaluation.sources, evaluation.engine
        if config.store is None:
            check_any(sum(counts.values()), config.input)
        check_tolerated(counts, config.evaluate, evaluation.advice)
        with evaluation.measured() as metrics:
            first = evaluation.first_slices()
            view = view_of(
                first,
                title_of(rows, config.input.name),
                slices_of(rows.roles.sets),
                asked,
                asked.metrics,
                way_out=evaluation.advice(first.frame.iloc[0].to_dict()),
            )
            worst = searched(evaluation.state, asked)
            # Spark takes a second to plan all of them: only those that are written are made.
            made: dict[str, Callable[[], DataFrame | State]] = {
                # The rows are read again for these alone, and only if the counts say that there are any.
                "invalid": lambda: evaluation.invalid if reasons_in(counts) else evaluation.invalid.limit(0),
                "state": lambda: evaluation.state,
                "reliability": lambda: evaluation.reliability,
                "by_class": lambda: evaluation.by_class,
                "metrics": lambda: as_dataframe(chosen_metrics(metrics, asked.metrics)),
            }
            tables = {name: make() for name, make in made.items() if name in outputs}
            tables |= {"worst_slices": worst.table} if worst is not None and "worst_slices" in outputs else {}
            verdicts = steps.judge(evaluation)
            withheld = is_withheld(judgement_of(worst_of(verdicts)))
            if not withheld:
                write_tables(reservation, with_run_date(tables, outputs, given.run_date))
        read = sum(counts.values())
        outcome = Outcome(
            command="evaluate",
            inputs=(config.input.name,),
            counts={"read": read, "scored": counts["ok"]},
            invalid=reasons_in(counts),
            slices=records_of(first, asked.metrics),
            details={"engine": asdict(ran), "sources": sources}
            | ({} if worst is None else {"worst_slices": worst.to_record()}),
            measured=steps.measure(evaluation) if config.dashboards else None,
            source=fingerprint_of(rows.files),
            written={} if withheld else outputs,
            view=view,
            worst=None if worst is None else worst.view(),
            notes=(
                f"read {counted(read, 'row')} of {config.input.name}, scored {counts['ok']:,}",
                f"engine {ran}",
                *notes_on_sources(sources),
                *([WITHHELD] if withheld else []),
            ),
        )
        if not withheld:
            outcome = steps.publish(evaluation, outcome)
        return with_report(outcome, output.report, lambda: steps.page(evaluation, worst_of(verdicts))), verdicts


def page_of_store(
    config: EvaluateConfig, given: Namespace, subjects: Sequence[Subject], states_of: StatesOf, worst: Judged | None
) -> Page:
    """Return the page of the report of a run on a store: of the day with the worst verdict, else of the last one."""
    assert config.store is not None
    subject = worst.subject if worst and worst.subject else subjects[-1]
    page = page_of_subject(subject, states_of, config.roles.sets, config.evaluate, config.title, config.labels)
    return described(page, given, judgement_of(worst), subject.name(config.store.path))


def measurement_of(table: pd.DataFrame, sets: Sequence[Sequence[str]], asked: Evaluate) -> Measurement:
    """Return the chosen metrics of the slices of these grouping sets."""
    return Measurement(table.drop(columns=left_out(table.columns, asked.metrics)), slices_of(sets))


def notes_on_sources(sources: Mapping[str, str]) -> list[str]:
    """Return a line on where ranking and CORP come from, or two if they differ."""
    words = {"rows": "the rows themselves", "cells": "cells of the score"}
    names = {source: [name for name in sources if sources[name] == source] for source in words}
    return [f"took {' and '.join(names[source])} from {words[source]}" for source in words if names[source]]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what is evaluated of a store, and what becomes of the verdict of a gate."""
    add_store(parser)
    add_gate(parser)


COMMAND = Command(
    help="evaluate a table of predictions, whole and by slices",
    example="conf/evaluate.toml",
    config=EvaluateConfig,
    run=run,
    check=check,
    add_arguments=add_arguments,
)
