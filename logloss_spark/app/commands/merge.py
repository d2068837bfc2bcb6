"""The command `merge`: read stored states, of evaluations or of comparisons, and write their sum."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field
from typing import ClassVar

from pyspark.sql import SparkSession

from logloss_spark.app.arguments import add_overwrite, add_states, mode_of
from logloss_spark.app.command import Command
from logloss_spark.app.config import JobConfig
from logloss_spark.app.evaluating import EvaluateConfig
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading_states import read_states
from logloss_spark.app.sections import TableFormat
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.state import merge


@dataclass(frozen=True, kw_only=True)
class MergeConfig(JobConfig):
    """The config of `merge`: the format of states. What else the config of an evaluation says is passed over."""

    DATED: ClassVar[tuple[str, ...]] = ()
    OTHER: ClassVar[type[JobConfig] | None] = EvaluateConfig

    output: TableFormat = field(default_factory=TableFormat)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the paths that the command reads and writes."""
    add_states(parser)
    parser.add_argument("--to", required=True, metavar="PATH", help="write the sum there")
    add_overwrite(parser)


def run(spark: SparkSession, config: MergeConfig, given: Namespace) -> Outcome:
    """Merge stored states, and write their sum. The errors are those of `metrics`."""
    states = read_states(spark, given.states, config.output.format, given.allow_missing)
    targets = config.output.targets({"state": given.to})
    with reserved(spark, targets, mode=mode_of(given), apart_from=states.addresses) as reservation:
        # A single path may hold several states.
        total = states.sum if len(states.names) > 1 else merge(states.sum)
        write_tables(reservation, {"state": total.table})
    return Outcome(
        command="merge",
        inputs=states.names,
        counts=states.counts,
        written={"state": given.to},
        notes=states.notes,
    )


COMMAND = Command(
    help="add stored states, and store their sum",
    example="conf/evaluate.toml",
    config=MergeConfig,
    run=run,
    add_arguments=add_arguments,
)
