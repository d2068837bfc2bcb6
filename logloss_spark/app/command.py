"""A subcommand of the command line: its arguments, its config, and what it does."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from pyspark.sql import SparkSession

from logloss_spark.app.config import Config
from logloss_spark.app.outcome import Outcome


def add_no_arguments(_: ArgumentParser) -> None:
    """Leave a command with the arguments that all commands have."""


def check_nothing(_: object, __: Namespace) -> None:
    """Leave a command without checks of its own before Spark starts."""


@dataclass(frozen=True, kw_only=True)
class Command(Generic[Config]):
    """A subcommand.

    Parameters
    ----------
    help : str
        What it does, in a line.
    example : str
        A config of this repository.
    config : type
        The dataclass of its config.
    add_arguments : callable
        Adds its own arguments to a parser.
    check : callable
        Raises SpecError, before Spark starts, where config and arguments lack something, or a library is missing.
    run : callable
        Does its work, and returns what it found.
    """

    help: str
    example: str
    config: type[Config]
    run: Callable[[SparkSession, Config, Namespace], Outcome]
    add_arguments: Callable[[ArgumentParser], None] = add_no_arguments
    check: Callable[[Config, Namespace], None] = check_nothing
