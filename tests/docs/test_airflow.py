"""The commands of the DAG are commands that there are. No Airflow: `make test-airflow` runs the DAG with it."""

import ast
import shlex
from pathlib import Path

import pytest

from logloss_spark.app.cli import parser

DAG = Path(__file__).parents[2] / "docs" / "airflow" / "log_loss.py"


def commands() -> dict[str, list[str]]:
    """The words of each task's command, by the task's id."""
    tree = ast.parse(DAG.read_text(encoding="utf-8"))
    operators = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and "BashOperator" in ast.unparse(node.func)
    ]
    found = {}
    for operator in operators:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in operator.keywords if keyword.arg}
        found[eval(given["task_id"])] = shlex.split(eval(given["bash_command"], {"FAILED_GATE": 99}))
    return found


@pytest.mark.parametrize("task", ["evaluate", "gate", "publish"])
def test_the_arguments_of_a_task_are_those_of_its_command(task: str) -> None:
    program, *words = commands()[task]
    given = parser().parse_args(words)
    assert program == "logloss-spark"
    assert given.command == {"publish": "metrics"}.get(task, task)
    assert (given.config, given.run_date) == ("$CONFIG", "$RUN_DATE")
    if task == "gate":
        assert given.fail_exit == 99
    if task == "publish":
        assert (given.windows, given.over, given.to, given.long) == ((1, 7, 28), "dt", "$METRICS", True)
