"""The command `runs`: list the runs of a store, the latest first."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import ClassVar

from pyspark.sql import SparkSession

from logloss_spark.app.arguments import count
from logloss_spark.app.command import Command
from logloss_spark.app.config import JobConfig
from logloss_spark.app.evaluating import EvaluateConfig
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.storing import StoreSection, empty_store
from logloss_spark.report.frames import plain
from logloss_spark.wording import counted

SHOWN_RUNS = 30


@dataclass(frozen=True, kw_only=True)
class RunsConfig(JobConfig):
    """The config of `runs`: the store. What else the config of an evaluation says is passed over."""

    DATED: ClassVar[tuple[str, ...]] = ()
    OTHER: ClassVar[type[JobConfig] | None] = EvaluateConfig

    store: StoreSection


def add_arguments(parser: ArgumentParser) -> None:
    """Add how many runs are listed."""
    parser.add_argument("--last", type=count, default=SHOWN_RUNS, metavar="N", help=f"by default {SHOWN_RUNS}")


def run(_: SparkSession, config: RunsConfig, given: Namespace) -> Outcome:
    """List the latest runs of a store; raise MissingInputError if it has none."""
    runs = config.store.open().runs()
    if runs.empty:
        raise empty_store(config.store)
    last = runs.head(given.last)
    shown = last.assign(
        run_time=last["run_time"].dt.strftime("%Y-%m-%d %H:%M:%S"),
        seconds=last["seconds"].map("{:,.1f}".format),
        rows=last["rows"].map("{:,}".format),
        run_date=last["run_date"].fillna(""),
    ).drop(columns=["config", "package_version"])
    return Outcome(
        command="runs",
        inputs=(config.store.path,),
        counts={"runs": len(runs)},
        details={"runs": [plain(record) for record in last.to_dict("records")]},
        text=shown.to_string(index=False),
        notes=(f"{counted(len(runs), 'run')} in {config.store.path}",),
    )


COMMAND = Command(
    help="list the runs of a store: when, units, rows, duration, verdict",
    example="conf/evaluate.toml",
    config=RunsConfig,
    run=run,
    add_arguments=add_arguments,
)
