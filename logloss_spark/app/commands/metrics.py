"""The command `metrics`: read stored states, read metrics off their sum, write them where it is told to."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.arguments import add_by, add_overwrite, add_states, mode_of, sets_of
from logloss_spark.app.choosing import check_chosen, chosen_metrics, records_of
from logloss_spark.app.command import Command
from logloss_spark.app.commands.evaluate import EvaluateConfig
from logloss_spark.app.config import JobConfig
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading import cached
from logloss_spark.app.reading_states import addresses_of_states, persisted, read_states
from logloss_spark.app.run_date import with_run_date
from logloss_spark.app.sections import Slices, TableFormat
from logloss_spark.io.local import as_dataframe
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.report.evaluations import first_slices, view_of
from logloss_spark.roles import slices_of
from logloss_spark.rows.status import reasons_in
from logloss_spark.scoring import LossName
from logloss_spark.statistics.reporting import Reading
from logloss_spark.wording import PATH, visible


@dataclass(frozen=True, kw_only=True)
class ReadOff(Slices, Reading):
    """Which metrics to read off a state, and by which slices: arguments of `State.metrics`.

    Parameters
    ----------
    metrics : list of str
        The names of the metrics to keep, by default all.
    loss : str
        The loss of which the state has the sums.
    """

    metrics: list[str] | None = None
    loss: LossName = "cross_entropy"

    def __post_init__(self) -> None:
        Slices.__post_init__(self)
        Reading.__post_init__(self)
        check_chosen(self.metrics, self.loss)


@dataclass(frozen=True, kw_only=True)
class MetricsConfig(JobConfig):
    """The config of `metrics`. It may be that of the evaluation that stored the states: other keys are passed over.

    States come from the command line, and results go where the command line says.
    """

    DATED: ClassVar[tuple[str, ...]] = ()
    OTHER: ClassVar[type[JobConfig] | None] = EvaluateConfig

    evaluate: ReadOff = ReadOff()
    output: TableFormat = field(default_factory=TableFormat)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the paths that the command reads and writes, and the slices."""
    add_states(parser)
    parser.add_argument("--to", metavar="PATH", help="write the metrics there; by default they are only printed")
    parser.add_argument("--reliability", metavar="PATH", help="write the table of reliability there")
    parser.add_argument("--by-class", metavar="PATH", help="write the table by class there")
    add_by(parser)
    add_overwrite(parser)


def run(spark: SparkSession, config: MetricsConfig, given: Namespace) -> Outcome:
    """Merge stored states, and read metrics off their sum. Without paths nothing is written.

    Raises
    ------
    MissingInputError
        More states are missing than `--allow-missing` says.
    SpecError, DataError
        The states were made under different conventions, or are none. Then nothing has been written.
    """
    asked = config.evaluate
    paths = {"metrics": given.to, "reliability": given.reliability, "by_class": given.by_class}
    outputs = {name: path for name, path in paths.items() if path}
    states = read_states(spark, given.states, config.output.format, given.allow_missing)
    by, confidence, bins = sets_of(given, asked.sets), asked.confidence, asked.ece_bins
    targets, addresses = config.output.targets(outputs), addresses_of_states(spark, states.found)
    with (
        reserved(spark, targets, mode=mode_of(given), apart_from=addresses) as reservation,
        persisted(states.sum) as state,
        cached(state.measured(by, asked)) as table,
    ):
        first = first_slices(table)
        title = f"metrics of {', '.join(visible(path, PATH) for path in states.found)}"
        view = view_of(first, title, slices_of(by), confidence, asked.metrics)
        made: dict[str, Callable[[], DataFrame]] = {
            "reliability": lambda: state.reliability(by=by, confidence=confidence, ece_bins=bins),
            "by_class": lambda: state.by_class(by=by),
            "metrics": lambda: chosen_metrics(as_dataframe(table), asked.metrics),
        }
        tables = {name: make() for name, make in made.items() if name in outputs}
        write_tables(reservation, with_run_date(tables, outputs, given.run_date))
    overall = first.frame.iloc[0].to_dict()
    invalid = reasons_in(overall)
    read = int(overall["rows"])
    return Outcome(
        command="metrics",
        inputs=tuple(states.found),
        counts=states.counts | {"read": read, "scored": read - sum(invalid.values())},
        invalid=invalid,
        slices=records_of(first, asked.metrics),
        written=outputs,
        view=view,
        notes=states.notes,
    )


COMMAND = Command(
    help="read metrics off stored states, by slices of your choice",
    example="conf/evaluate.toml",
    config=MetricsConfig,
    run=run,
    add_arguments=add_arguments,
)
