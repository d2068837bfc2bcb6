"""The command `report`: make the page of a report from stored states. No row is read."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pyspark.sql import SparkSession

from logloss_spark.app.arguments import add_by, add_states, sets_of
from logloss_spark.app.command import Command
from logloss_spark.app.commands.metrics import ReadOff
from logloss_spark.app.config import JobConfig
from logloss_spark.app.evaluating import EvaluateConfig, EvaluationOutput, PredictionColumns
from logloss_spark.app.gating import judged
from logloss_spark.app.gating_days import judged_subject, stored_states, subject_of
from logloss_spark.app.labels import Labels
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading_states import paths_of_states, persisted, read_states
from logloss_spark.app.reporting import described, page_of_state, page_of_subject, with_report
from logloss_spark.app.storing import StoreSection, note_on_snapshot
from logloss_spark.errors import SpecError
from logloss_spark.gates.rules import Gate
from logloss_spark.report.evaluations import what_is_measured
from logloss_spark.report.html import check_libraries
from logloss_spark.wording import PATH, visible


@dataclass(frozen=True, kw_only=True)
class ReportConfig(JobConfig):
    """The config of `report`. It may be that of the evaluation that stored the states: other keys are passed over.

    The report is on the states that the command line names, else on a day of the store, else on the state of [output].
    """

    DATED: ClassVar[tuple[str, ...]] = ("output", "gate")
    OTHER: ClassVar[type[JobConfig] | None] = EvaluateConfig

    columns: PredictionColumns | None = None
    evaluate: ReadOff = field(default_factory=ReadOff)
    output: EvaluationOutput = field(default_factory=EvaluationOutput)
    store: StoreSection | None = None
    labels: Labels | None = None
    gate: Gate | None = None

    @property
    def title(self) -> str:
        """What is measured, in words."""
        if self.columns is None:
            return "log loss" if self.evaluate.loss == "cross_entropy" else self.evaluate.loss
        return what_is_measured(self.evaluate.loss, self.columns.prediction, self.columns.label)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the states that the report is on, and where it is written."""
    add_states(parser, instead="a day of the config's [store], that of --run-date or the last one")
    parser.add_argument("--to", metavar="FILE", help="write the report there; by default to [output] report")
    add_by(parser)


def check(config: ReportConfig, given: Namespace) -> None:
    """Raise SpecError without states to report on, a file to write to, or a library of the extra `report`."""
    if not file_of(config, given):
        raise SpecError("a report is written to a file, got none: give --to FILE, or set `report` in [output]")
    if not config.store and not paths_of_states(given, config.output):
        raise SpecError("a report is on stored states, got none: name some, or a [store] in the config")
    check_libraries()


def file_of(config: ReportConfig, given: Namespace) -> str:
    """Return where the report is written."""
    return given.to or config.output.report or ""


def run(spark: SparkSession, config: ReportConfig, given: Namespace) -> Outcome:
    """Write a report on stored states.

    Raises
    ------
    SpecError
        The states cannot be reported on like this, or the file cannot be written.
    MissingInputError
        A state is missing, or the store does not have this day.
    """
    path = file_of(config, given)
    if config.store and not given.states:
        return report_on_store(spark, config, config.store, given, path)
    read = read_states(spark, paths_of_states(given, config.output), config.output.format, given.allow_missing)
    with persisted(read.sum) as state:
        judgement = judged(spark, config.gate, state, config.evaluate) if config.gate else None
        page = page_of_state(state, sets_of(given, config.evaluate.sets), config.evaluate, config.title)
    subject = ", ".join(visible(name, PATH) for name in read.names)
    outcome = Outcome(command="report", inputs=read.names, counts=read.counts, notes=read.notes)
    return with_report(outcome, path, lambda: described(page, given, judgement, subject))


def report_on_store(
    spark: SparkSession, config: ReportConfig, section: StoreSection, given: Namespace, path: str
) -> Outcome:
    """Write a report on a day of a store, that of `--run-date` or the last one, and on the days before it."""
    store = section.open()
    snapshot = store.live()
    subject = subject_of(snapshot, given.run_date)
    states_of = stored_states(store, snapshot)
    judgement = judged_subject(spark, subject, states_of, config.gate, config.evaluate) if config.gate else None
    by = sets_of(given, config.evaluate.sets)
    page = page_of_subject(subject, states_of, by, config.evaluate, config.title, config.labels)
    page = described(page, given, judgement, subject.name(section.path))
    outcome = Outcome(command="report", inputs=(section.path,), notes=(note_on_snapshot(snapshot),))
    return with_report(replace(outcome, counts={"states": len(subject.units)}), path, lambda: page)


COMMAND = Command(
    help="write a report as one HTML file from stored states",
    example="conf/morning.toml",
    config=ReportConfig,
    run=run,
    check=check,
    add_arguments=add_arguments,
)
