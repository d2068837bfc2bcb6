"""Airflow runs the DAG of the documentation as it says. `make test-airflow` runs this with the real Airflow."""

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

DAG = Path(__file__).parents[2] / "docs" / "airflow" / "log_loss.py"


@pytest.fixture(scope="module")
def dag():
    bag = DagBag(DAG)
    assert bag.import_errors == {}
    assert list(bag.dags) == ["log_loss"]
    return bag.dags["log_loss"]


@pytest.fixture
def ended_with(tmp_path, monkeypatch):
    """A function that puts a logloss-spark on the PATH that writes its arguments down, and ends with this code."""

    def install(code):
        program = tmp_path / "logloss-spark"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/arguments"\nexit {code}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "arguments"

    return install


def run(dag, task_id):
    """Run a task as a worker does, without a database: render its templates, then execute."""
    task = dag.get_task(task_id)
    context = {"ds": "2026-11-26"}
    task.render_template_fields(context)
    return task.execute(context)


def test_the_gate_stands_between_the_job_and_the_publication(dag):
    assert all(isinstance(task, BashOperator) for task in dag.tasks)
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "evaluate": {"gate"},
        "gate": {"publish"},
        "publish": set(),
    }
    assert {task.trigger_rule for task in dag.tasks} == {"all_success"}


def test_a_run_makes_up_for_missed_ones_and_a_gate_is_never_judged_twice(dag):
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert {task.task_id: task.retries for task in dag.tasks} == {"evaluate": 6, "gate": 0, "publish": 2}
    assert dag.get_task("evaluate").retry_delay == timedelta(minutes=20)


@pytest.mark.parametrize("task_id", ["evaluate", "gate", "publish"])
def test_tasks_are_given_the_date_of_the_run(dag, ended_with, task_id):
    arguments = ended_with(0)
    run(dag, task_id)
    command, *given = arguments.read_text().splitlines()
    assert command == {"publish": "metrics"}.get(task_id, task_id)
    assert given[:4] == ["--config", "/etc/log_loss/daily.toml", "--run-date", "2026-11-26"]


@pytest.mark.parametrize(("code", "error"), [(99, AirflowSkipException), (3, AirflowException), (5, AirflowException)])
def test_exit_99_skips_and_others_fail(dag, ended_with, code, error):
    ended_with(code)
    with pytest.raises(error) as caught:
        run(dag, "gate")
    assert isinstance(caught.value, AirflowSkipException) == (code == 99)
