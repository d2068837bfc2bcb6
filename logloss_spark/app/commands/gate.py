"""The command `gate`: judge stored states by the rules of a config. It reads no predictions."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pyspark.sql import SparkSession

from logloss_spark.app.command import Command
from logloss_spark.app.config import JobConfig
from logloss_spark.app.evaluating import EvaluateConfig
from logloss_spark.app.gating import add_gate, judged, published, unread_parts
from logloss_spark.app.gating_days import judged_subject, stored_states, subject_of, verdict_on
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading_states import paths_of_states, read_states
from logloss_spark.app.sections import OutputWithState
from logloss_spark.app.sinks.telling import WithDashboards
from logloss_spark.app.storing import StoreSection
from logloss_spark.errors import SpecError
from logloss_spark.gates.alarms import expectations
from logloss_spark.gates.rules import Gate
from logloss_spark.report.gates import view_of_expectations
from logloss_spark.statistics.reporting import Reading
from logloss_spark.wording import PATH, visible


@dataclass(frozen=True, kw_only=True)
class GateConfig(WithDashboards):
    """The config of `gate`. It may be that of the evaluation that stored the states: other keys are passed over.

    What is judged is a day of the store, else the state of `[output] state`; or the sum of the states that the command
    line names.
    """

    DATED: ClassVar[tuple[str, ...]] = ("output", "gate", "mlflow")
    OTHER: ClassVar[type[JobConfig] | None] = EvaluateConfig

    gate: Gate
    evaluate: Reading = field(default_factory=Reading)
    output: OutputWithState = field(default_factory=OutputWithState)
    store: StoreSection | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Add the states to judge, and what becomes of the verdict."""
    parser.add_argument(
        "states", nargs="*", metavar="STATE", help="where a state is stored, in place of the config's [output] state"
    )
    add_gate(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="say how often false alarms are to be expected, and judge nothing"
    )


def check(config: GateConfig, given: Namespace) -> None:
    """Raise SpecError where there is nothing to judge."""
    if not (config.store or paths_of_states(given, config.output)):
        raise SpecError("a gate judges stored states, got none: name some, or set `state` in [output]")


def run(spark: SparkSession, config: GateConfig, given: Namespace) -> Outcome:
    """Judge stored states, and write the verdict where it is wanted.

    Raises
    ------
    MissingInputError
        A state is missing.
    SpecError, DataError
        The rules do not fit the states, or the states are none.
    """
    if config.store and not given.states:
        return judge_store(spark, config, config.store, given)
    paths = paths_of_states(given, config.output)
    states = read_states(spark, paths, config.output.format, allow_missing=0, without=unread_parts(config.gate))
    source = ", ".join(visible(path, PATH) for path in paths)
    judgement = judged(spark, config.gate, states.sum, config.evaluate)
    outcome = Outcome(command="gate", inputs=tuple(paths), counts=states.counts, notes=states.notes)
    if given.dry_run:
        return replace(outcome, view=view_of_expectations(expectations(judgement), source))
    return published(outcome, judgement, source, given)


def judge_store(spark: SparkSession, config: GateConfig, section: StoreSection, given: Namespace) -> Outcome:
    """Judge a day of a store: that of `--run-date`, else the last one. The verdict is stored, too."""
    store = section.open()
    subject = subject_of(store.live(), given.run_date)
    states_of = stored_states(store, subject.snapshot)
    judgement = judged_subject(spark, subject, states_of, config.gate, config.evaluate)
    outcome = Outcome(command="gate", inputs=(section.path,))
    source = subject.name(section.path)
    if given.dry_run:
        return replace(outcome, view=view_of_expectations(expectations(judgement), source))
    store.judge([verdict_on(subject, judgement, given.run_date)])
    return published(outcome, judgement, source, given, run=subject.facts)


COMMAND = Command(
    help="judge stored states by the rules of a gate",
    example="conf/gate.toml",
    config=GateConfig,
    run=run,
    check=check,
    add_arguments=add_arguments,
)
