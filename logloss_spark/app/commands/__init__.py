"""The subcommands of the command line, a file for each: its config, its arguments, and what it does."""

from typing import Any

from logloss_spark.app.command import Command
from logloss_spark.app.commands.compare import COMPARE
from logloss_spark.app.commands.drift import DRIFT
from logloss_spark.app.commands.evaluate import EVALUATE
from logloss_spark.app.commands.fit import FIT
from logloss_spark.app.commands.merge import MERGE
from logloss_spark.app.commands.metrics import METRICS_OF_STATES
from logloss_spark.app.commands.score import SCORE

COMMANDS: dict[str, Command[Any]] = {
    "evaluate": EVALUATE,
    "metrics": METRICS_OF_STATES,
    "merge": MERGE,
    "drift": DRIFT,
    "compare": COMPARE,
    "fit": FIT,
    "score": SCORE,
}
"""Every command, by its name, in the order in which `--help` lists them."""
