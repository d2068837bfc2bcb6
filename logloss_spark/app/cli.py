"""The command line `logloss-spark`: it parses arguments, catches every error, and prints what came of a command."""

import argparse
import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from pyspark.sql import SparkSession

from logloss_spark import __version__
from logloss_spark.app.arguments import add_common
from logloss_spark.app.command import Command
from logloss_spark.app.commands import COMMANDS
from logloss_spark.app.config import JobConfig, parsed, read_config, requires_file
from logloss_spark.app.ending import last_words
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.printing import open_standard_streams, say, tell
from logloss_spark.app.progress import progress
from logloss_spark.app.sinks.telling import telling
from logloss_spark.checks import one_of
from logloss_spark.errors import MESSAGE, LogLossError, SpecError
from logloss_spark.io.secrets import redacted, secrets_in, secrets_in_text
from logloss_spark.io.session import session
from logloss_spark.io.signals import Interrupted, end_process, held_back, interruptible, interruption
from logloss_spark.wording import visible


def process(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line as a process, and end it; the arguments are those of `main`."""
    end_process(lambda: main(argv))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int, the exit code: 0 fine, 1 crash, 2 usage or config, 3 gate failed, 4 the input breaks its contract, 5 the input
    is not there yet, 6 another job writes the same outputs, 130 interrupted, 143 terminated.
    An error is printed as one line on stderr, and with `--traceback` the stack behind it. The values of options whose
    names say that they are secret are never printed.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    hidden = [secret for word in words for secret in secrets_in_text(word)]
    open_standard_streams()
    try:
        with interruptible():
            arguments = parser().parse_args(words)
            hidden += secrets_of(arguments.config)
            run_command(arguments, hidden)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if "--traceback" in words and not interruption(error):
            tell(redacted(traceback.format_exc(), hidden))
        said, code = last_words(error, hidden)
        tell(f"logloss-spark: {said}")
        return code


def secrets_of(path: str | None) -> list[str]:
    """Return the secrets in a config; none if it cannot be read, which is an error later, where it is needed."""
    with suppress(LogLossError):
        return list(secrets_in(parsed(path))) if path else []
    return []


def run_command(arguments: argparse.Namespace, hidden: Sequence[str]) -> None:
    """Run a command, and print its outcome. If that cannot be printed, what was written stands.

    Parameters
    ----------
    arguments : Namespace
    hidden : sequence of str
        The secrets, which are not printed.
    """
    command = COMMANDS[arguments.command]
    config = read_config(
        arguments.config, of=command.config, overrides=arguments.overrides, run_date=arguments.run_date
    )
    with telling(config, arguments, hidden) as found:
        command.check(config, arguments)
        run_and_print(command, config, arguments, hidden, found)


def run_and_print(
    command: Command[Any],
    config: JobConfig,
    arguments: argparse.Namespace,
    hidden: Sequence[str],
    found: Callable[[Outcome], None],
) -> None:
    """Run a command, hand on what it found, and print it. The session has ended when dashboards are told."""
    done = False
    try:
        with running(f"logloss-spark {arguments.command}") as spark, interruptible():  # PySpark handles SIGINT itself
            with progress(spark):
                outcome = command.run(spark, config, arguments)
            done = True
            found(outcome)
            reason = say(
                outcome.to_json(hidden) if arguments.json else printable(outcome.to_text(), hidden), sys.stdout
            )
            if reason:
                tell(f"logloss-spark: the report cannot be printed on stdout: {reason}; what was written stands")
            if outcome.failure:
                raise outcome.failure
    except Interrupted as stop:
        if done:
            stop.stands = "everything was written"
        raise


def printable(text: str, hidden: Sequence[str]) -> str:
    """Return a text of several lines, with secrets hidden and control characters made visible."""
    return "\n".join(visible(line, MESSAGE) for line in redacted(text, hidden).split("\n"))


@contextmanager
def running(app_name: str) -> Iterator[SparkSession]:
    """Run a block with a quiet session, and stop the session at the end unless there was one before."""
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
    """A parser that raises its errors, so that they are printed as all others: one line, exit code 2."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise SpecError for a word that is none of the choices, with the one that may be meant."""
        if action.choices is not None:
            one_of(action.metavar if isinstance(action.metavar, str) else action.dest, value, tuple(action.choices))

    def error(self, message: str) -> NoReturn:
        """Raise SpecError with what is wrong with the arguments."""
        raise SpecError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = OneLineParser(
        prog="logloss-spark", description="Log loss of stored predictions on Apache Spark.", allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        of_command = commands.add_parser(name, help=command.help, allow_abbrev=False)
        add_common(of_command, example=command.example, required=requires_file(command.config))
        command.add_arguments(of_command)
    return top
