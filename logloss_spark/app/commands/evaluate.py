"""The command `evaluate`: read a table of predictions, evaluate it, write its tables."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from pyspark.sql import SparkSession

from logloss_spark.app.command import Command
from logloss_spark.app.evaluating import EvaluateConfig, Steps, evaluate_rows, measurement_of, ready
from logloss_spark.app.evaluating_due import evaluate_due
from logloss_spark.app.gating import add_gate, judged, published
from logloss_spark.app.gating_days import JudgedSubject, judgement_of
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading import files_of_input, read_input
from logloss_spark.app.reporting import check_report, described
from logloss_spark.app.sections import searched
from logloss_spark.app.sinks.numbers import SLICES_FOR_DASHBOARDS
from logloss_spark.app.storing import (
    add_store,
)
from logloss_spark.errors import SpecError
from logloss_spark.evaluation import Evaluation
from logloss_spark.gates.estimates import Measurement
from logloss_spark.io.lake_tables import pinned
from logloss_spark.report.page import Page


def check(config: EvaluateConfig, given: Namespace) -> None:
    """Raise SpecError for options without the store that they are about, or without a library that a report needs."""
    if config.store is None and (given.dry_run or given.full):
        raise SpecError("--dry-run and --full are about the units of a store, and the config has no section [store]")
    check_report(config.output.report)


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

    def steps_of(evaluation: Evaluation) -> Steps:
        def judge() -> list[JudgedSubject]:
            return [JudgedSubject(judged(spark, config.gate, evaluation.state, config.evaluate))] if config.gate else []

        def page(worst: JudgedSubject | None) -> Page:
            found = evaluation.report_page(searched(evaluation.state, config.evaluate))
            return described(replace(found, title=config.title), given, judgement_of(worst), config.input.name)

        def measure() -> Measurement:
            found = evaluation.to_pandas(SLICES_FOR_DASHBOARDS, sort_by="rows")
            return measurement_of(found, config.roles.sets, config.evaluate)

        return Steps(judge, page, measure)

    outcome, verdicts = evaluate_rows(spark, config, given, ready(spark, config, table, files), steps_of)
    return published(outcome, verdicts[0].judgement, config.input.name, given) if verdicts else outcome


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
