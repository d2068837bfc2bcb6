"""The command line `logloss-spark`: arguments in, an exit code out, and the one place where errors are caught."""

import argparse
import json
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from pyspark.sql import SparkSession

from logloss_spark import __version__
from logloss_spark.app import comparing, fitting, jobs, states
from logloss_spark.app.compare_config import CompareConfig
from logloss_spark.app.config import parsed, read_config
from logloss_spark.app.evaluate_config import EvaluateConfig, StatesConfig
from logloss_spark.app.fit_config import FitConfig
from logloss_spark.app.printing import open_standard_streams, say, tell
from logloss_spark.app.sections import Mode
from logloss_spark.errors import MESSAGE, LogLossError, SpecError
from logloss_spark.io.secrets import redacted, secrets_in, secrets_in_text
from logloss_spark.io.session import session
from logloss_spark.io.signals import Interrupted, held_back, interruptible, interruption
from logloss_spark.io.spark_errors import from_spark, translated
from logloss_spark.wording import visible

CONFIGS = {
    "evaluate": EvaluateConfig,
    "metrics": StatesConfig,
    "merge": StatesConfig,
    "drift": StatesConfig,
    "compare": CompareConfig,
    "fit": FitConfig,
    "score": FitConfig,
}
"""What configures each command."""

EXAMPLES = {
    EvaluateConfig: "conf/evaluate.toml",
    StatesConfig: "conf/evaluate.toml",
    CompareConfig: "conf/compare.toml",
    FitConfig: "conf/fit.toml",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int: 0 fine, 1 crash, 2 usage or config, 3 gate failed, 4 the input breaks its contract, 5 the input is
    not there yet, 6 another job writes the same outputs, 130 interrupted, 143 terminated.
    An error is one line on stderr; the stack behind it comes only with `--traceback`. No option whose name says that
    it is secret is ever printed.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    hidden = [secret for word in words for secret in secrets_in_text(word)]
    open_standard_streams()
    try:
        with interruptible():
            arguments = parser().parse_args(words)
            hidden += secrets_of(arguments.config)
            run(arguments, hidden)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if stop := interruption(error):
            tell(redacted(f"logloss-spark: {stop}", hidden))
            return stop.exit_code
        if "--traceback" in words:
            tell(redacted(traceback.format_exc(), hidden))
        known = translated(error) if from_spark(error) else error
        if isinstance(known, LogLossError):
            return failed(str(known), known.exit_code, hidden)
        said = " ".join(f"{type(error).__name__}: {redacted(str(error), hidden)}; --traceback shows where".split())
        return failed(visible(said, MESSAGE), LogLossError.exit_code, hidden)


def secrets_of(path: str | None) -> list[str]:
    """The secrets in a config; none where it cannot be read, which is told by whoever needs it."""
    with suppress(LogLossError):
        return list(secrets_in(parsed(path))) if path else []
    return []


def run(arguments: argparse.Namespace, hidden: Sequence[str]) -> None:
    """Do what the arguments ask for, and print its report. What is written stands, whether that is printed or not."""
    of: type[Any] = CONFIGS[arguments.command]
    config = read_config(arguments.config, of=of, overrides=overrides_of(arguments), run_date=arguments.run_date)
    done = False
    try:
        with running(f"logloss-spark {arguments.command}") as spark, interruptible():  # PySpark handles SIGINT itself
            lines = redacted(report(spark, arguments, config), hidden).split("\n")
            done = True
            reason = say("\n".join(visible(line, MESSAGE) for line in lines), sys.stdout)  # paths may hold escapes
            if reason:
                tell(f"logloss-spark: the report cannot be printed on stdout: {reason}; what was written stands")
    except Interrupted as stop:
        if done:
            stop.stands = "everything was written"
        raise


def report(spark: SparkSession, arguments: argparse.Namespace, config: Any) -> str:
    """What a command, which its config fits, does and says."""
    mode: Mode = "overwrite" if getattr(arguments, "overwrite", False) else "errorifexists"
    match arguments.command:
        case "evaluate":
            return jobs.evaluate(spark, config, arguments.run_date)
        case "metrics":
            paths = {"metrics": arguments.to, "reliability": arguments.reliability, "by_class": arguments.by_class}
            outputs = {name: path for name, path in paths.items() if path}
            return states.metrics_of_states(
                spark,
                config,
                arguments.states,
                outputs=outputs,
                mode=mode,
                allow_missing=arguments.allow_missing,
                run_date=arguments.run_date,
            )
        case "merge":
            return states.merge_states(
                spark, config, arguments.states, to=arguments.to, mode=mode, allow_missing=arguments.allow_missing
            )
        case "drift":
            return states.drift_of_states(
                spark,
                config,
                arguments.reference,
                arguments.current,
                partition=arguments.partition,
                to=arguments.to,
                mode=mode,
                run_date=arguments.run_date,
            )
        case "compare":
            return comparing.compare(spark, config, arguments.run_date)
        case "fit":
            return fitting.fit(spark, config, arguments.run_date)
        case _:
            return fitting.score(spark, config, arguments.run_date)


@contextmanager
def running(app_name: str) -> Iterator[SparkSession]:
    """A session that does not log; one that was not there before is stopped in the end."""
    if not logging.getLogger().hasHandlers():
        logging.getLogger().addHandler(logging.NullHandler())  # py4j logs an exception before it raises it
    ours = SparkSession.getActiveSession() is None
    # A Java whose Python ends before they have met would wait for it for ever.
    with held_back():
        spark = session(app_name)
    try:
        yield spark
    except BaseException:
        if ours:
            with suppress(Exception):  # a signal may have ended Java, too
                spark.stop()
        raise
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
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("evaluate", help="evaluate a table of predictions, whole and by slices")
    metrics = commands.add_parser("metrics", help="read metrics off stored states, by slices of your choice")
    merge = commands.add_parser("merge", help="add stored states, and store their sum")
    drift = commands.add_parser("drift", help="say how far a stored state has moved from another")
    commands.add_parser("compare", help="compare models on the same rows, whole and by slices")
    commands.add_parser("fit", help="fit a logistic regression to a table")
    commands.add_parser("score", help="add a model's probabilities and logits to a table")
    for name, command in commands.choices.items():
        config = CONFIGS[name]
        required = config is not StatesConfig
        example = f"a TOML file, as {EXAMPLES[config]}" + ("" if required else "; may be left out")
        command.add_argument("--config", required=required, metavar="FILE", help=example)
        command.add_argument(
            "--set",
            action="append",
            default=[],
            dest="overrides",
            metavar="SECTION.KEY=VALUE",
            help="override a value of the config; may come several times",
        )
        command.add_argument(
            "--run-date",
            metavar="YYYY-MM-DD",
            help="a column of every table that is written, and what {run_date} in paths and filters stands for",
        )
        command.add_argument("--traceback", action="store_true", help="show the stack behind an error")
    metrics.add_argument("--to", metavar="PATH", help="write the metrics there; by default they are only printed")
    metrics.add_argument("--reliability", metavar="PATH", help="write the table of reliability there")
    metrics.add_argument("--by-class", metavar="PATH", help="write the table by class there")
    drift.add_argument("reference", metavar="REFERENCE", help="where the state is stored that is compared with")
    drift.add_argument("current", metavar="CURRENT", help="where the state is stored that may have moved")
    drift.add_argument("--partition", metavar="COLUMN", help="compare each value of this slice with the reference")
    drift.add_argument("--to", metavar="PATH", help="write the table there; by default it is only printed")
    for command in (metrics, drift):
        command.add_argument(
            "--by",
            action="append",
            default=[],
            metavar="COLUMN[,COLUMN...]",
            help="a grouping set beside the global row, in place of the config's; may come several times",
        )
    merge.add_argument("--to", required=True, metavar="PATH", help="write the sum there")
    for command in (metrics, merge, drift):
        command.add_argument("--overwrite", action="store_true", help="replace what is at the paths that are written")
    for command in (metrics, merge):
        command.add_argument("states", nargs="+", metavar="STATE", help="where a state is stored")
        command.add_argument(
            "--allow-missing", type=count, default=0, metavar="N", help="leave out up to N states that are missing"
        )
    return top


def count(text: str) -> int:
    """A whole number, 0 or more; ArgumentTypeError for any other text."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"it must be a whole number, 0 or more, got {text!r}")
    return int(text)


def overrides_of(arguments: argparse.Namespace) -> list[str]:
    """The overrides of a config that the arguments ask for; `--by` is one of them.

    Raises SpecError for outputs of a config that the command does not read.
    """
    overrides = list(arguments.overrides)
    if CONFIGS[arguments.command] is StatesConfig:
        for override in overrides:
            if override.startswith("output.") and not override.startswith("output.format="):
                raise SpecError(
                    f"{arguments.command} writes where --to says and uses the format of [output] alone, "
                    f"got --set {override}: see logloss-spark {arguments.command} --help"
                )
    if sets := getattr(arguments, "by", []):
        overrides.append(f"evaluate.by={json.dumps([columns.split(',') for columns in sets])}")
    return overrides


def failed(message: str, code: int, hidden: Sequence[str]) -> int:
    """Say on one line of stderr what went wrong; the exit code, for the caller to return."""
    tell(redacted(f"logloss-spark: error: {message}", hidden))
    return code
