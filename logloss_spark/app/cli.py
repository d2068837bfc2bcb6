"""The command line `logloss-spark`: arguments in, an exit code out, and the one place where errors are caught."""

import argparse
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from pyspark.sql import SparkSession

from logloss_spark.app import fitting, jobs
from logloss_spark.app.config import read_config
from logloss_spark.app.evaluate_config import EvaluateConfig
from logloss_spark.app.fit_config import FitConfig
from logloss_spark.errors import LogLossError, SpecError
from logloss_spark.io.session import quiet, session
from logloss_spark.io.spark_errors import from_spark, translated

INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended."""


FITTING = {"fit": fitting.fit, "score": fitting.score}
"""The commands whose config is that of a fit."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int: 0 fine, 1 crash, 2 usage or config, 3 gate failed, 4 the input breaks its contract, 130 interrupted.
    An error is one line on stderr; the stack behind it comes only with `--traceback`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        run(parser().parse_args(arguments))
        return 0
    except KeyboardInterrupt:
        return failed("interrupted", INTERRUPTED)
    except Exception as error:
        if "--traceback" in arguments:
            traceback.print_exc()
        known = translated(error) if from_spark(error) else error
        if isinstance(known, LogLossError):
            return failed(str(known), known.exit_code)
        return failed(f"{type(error).__name__}: {error}; --traceback shows where", LogLossError.exit_code)


def run(arguments: argparse.Namespace) -> None:
    """Do what the arguments ask for, and print its report."""
    given = {"overrides": arguments.overrides, "run_date": arguments.run_date}
    if arguments.command in FITTING:
        asked = read_config(arguments.config, of=FitConfig, **given)
        with running(f"logloss-spark {arguments.command}") as spark:
            print(FITTING[arguments.command](spark, asked))
        return
    config = read_config(arguments.config, of=EvaluateConfig, **given)
    with running(f"logloss-spark {arguments.command}") as spark:
        if arguments.command == "evaluate":
            print(jobs.evaluate(spark, config))
        else:
            print(jobs.metrics_of_states(spark, config, arguments.states))


@contextmanager
def running(app_name: str) -> Iterator[SparkSession]:
    """A session that does not log; one that was not there before is stopped in the end."""
    ours = SparkSession.getActiveSession() is None
    spark = session(app_name)
    quiet(spark)
    try:
        yield spark
    finally:
        if ours:
            spark.stop()


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors take the road of all others: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments."""
        raise SpecError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    top = OneLineParser(prog="logloss-spark", description="Log loss of stored predictions on Apache Spark.")
    top.add_argument("--version", action="version", version=f"%(prog)s {installed_version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    evaluate = commands.add_parser("evaluate", help="evaluate a table of predictions, whole and by slices")
    metrics = commands.add_parser("metrics", help="read metrics off states that were stored, by slices of your choice")
    fit = commands.add_parser("fit", help="fit a logistic regression to a table")
    score = commands.add_parser("score", help="add a model's probabilities and logits to a table")
    for command in (evaluate, metrics, fit, score):
        example = "conf/evaluate.toml" if command in (evaluate, metrics) else "conf/fit.toml"
        command.add_argument("--config", required=True, metavar="FILE", help=f"a TOML file, as {example}")
        command.add_argument(
            "--set",
            action="append",
            default=[],
            dest="overrides",
            metavar="SECTION.KEY=VALUE",
            help="override a value of the config; may come several times",
        )
        command.add_argument("--run-date", metavar="YYYY-MM-DD", help="what {run_date} in paths and filters stands for")
        command.add_argument("--traceback", action="store_true", help="show the stack behind an error")
    metrics.add_argument("states", nargs="*", metavar="STATE", help="paths of states; by default the config's own")
    return top


def installed_version() -> str:
    """The version of the installed package; a cluster may have been given its files alone."""
    try:
        return version("logloss-spark")
    except PackageNotFoundError:
        return "(not installed)"


def failed(message: str, code: int) -> int:
    """Say on one line of stderr what went wrong; the exit code, for the caller to return."""
    print(f"logloss-spark: error: {' '.join(message.split())}", file=sys.stderr)
    return code
