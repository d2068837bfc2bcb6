"""The subcommands of the command line, a file for each: its config, its arguments, and what it does."""

from typing import Any

from logloss_spark.app.command import Command
from logloss_spark.app.commands import compare, drift, evaluate, fit, gate, merge, metrics, report, runs, score

COMMANDS: dict[str, Command[Any]] = {
    "evaluate": evaluate.COMMAND,
    "metrics": metrics.COMMAND,
    "merge": merge.COMMAND,
    "gate": gate.COMMAND,
    "report": report.COMMAND,
    "drift": drift.COMMAND,
    "compare": compare.COMMAND,
    "fit": fit.COMMAND,
    "score": score.COMMAND,
    "runs": runs.COMMAND,
}
"""Every command, by its name, in the order in which `--help` lists them."""
