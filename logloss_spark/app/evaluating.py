"""An evaluation as a job: its config, and the way from rows to tables, verdicts and a report."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.choosing import check_chosen, chosen_metrics, left_out, records_of
from logloss_spark.app.gating import WITHHELD, check_gate, check_kept, is_withheld
from logloss_spark.app.gating_days import JudgedSubject, judgement_of, worst_of
from logloss_spark.app.judging import check_tolerated
from logloss_spark.app.labels import LABELLED, Labels, joined
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading import addresses_of, check_any
from logloss_spark.app.reporting import with_report
from logloss_spark.app.run_date import with_run_date
from logloss_spark.app.sections import Input, OutputWithState, ReadingWithSearch, Renaming, ScoringSection, searched
from logloss_spark.app.sinks.telling import WithDashboards
from logloss_spark.app.storing import StoreSection
from logloss_spark.errors import SpecError
from logloss_spark.evaluation import Evaluation
from logloss_spark.gates.estimates import Measurement
from logloss_spark.gates.patterns import grouping_sets_of, pattern_of
from logloss_spark.gates.rules import Gate
from logloss_spark.io.files import FileTable
from logloss_spark.io.local import as_dataframe
from logloss_spark.io.units import fingerprint_of
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report.evaluations import title_of, view_of, what_is_measured
from logloss_spark.report.page import Page
from logloss_spark.roles import Roles, slices_of
from logloss_spark.rows.inputs import Rows, rows_of
from logloss_spark.rows.status import reasons_in
from logloss_spark.state import State
from logloss_spark.statistics.catalogue import METRICS, columns_of_loss
from logloss_spark.statistics.reporting import Reporting
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
    """What a run does with its evaluation, beside writing its tables.

    Attributes
    ----------
    judge : judges it by the gate, before anything is written; a run on a store has a verdict for each day
    page : makes the page of its report, given the worst verdict
    measure : measures it for dashboards; a run on a store has the numbers of its last day
    publish : does something more once all is written, and adds to the outcome; not called where all is withheld
    """

    judge: Callable[[], Sequence[JudgedSubject]]
    page: Callable[[JudgedSubject | None], Page]
    measure: Callable[[], Measurement | None]
    publish: Callable[[Outcome], Outcome] = lambda outcome: outcome


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


def evaluate_rows(
    spark: SparkSession,
    config: EvaluateConfig,
    given: Namespace,
    rows: Rows,
    steps_of: Callable[[Evaluation], Steps],
) -> tuple[Outcome, Sequence[JudgedSubject]]:
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
        steps = steps_of(evaluation)
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
            verdicts = steps.judge()
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
            measured=steps.measure() if config.dashboards else None,
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
            outcome = steps.publish(outcome)
        return with_report(outcome, output.report, lambda: steps.page(worst_of(verdicts))), verdicts


def measurement_of(table: pd.DataFrame, sets: Sequence[Sequence[str]], asked: Evaluate) -> Measurement:
    """Return the chosen metrics of the slices of these grouping sets."""
    return Measurement(table.drop(columns=left_out(table.columns, asked.metrics)), slices_of(sets))


def notes_on_sources(sources: Mapping[str, str]) -> list[str]:
    """Return a line on where ranking and CORP come from, or two if they differ."""
    words = {"rows": "the rows themselves", "cells": "cells of the score"}
    names = {source: [name for name in sources if sources[name] == source] for source in words}
    return [f"took {' and '.join(names[source])} from {words[source]}" for source in words if names[source]]
