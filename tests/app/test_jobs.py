"""The files that spark-submit runs."""

import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from logloss_spark.app.commands import COMMANDS
from tests.quick import quick

JOBS = Path(__file__).parents[2] / "jobs"


def test_each_command_has_a_job_of_its_name() -> None:
    assert {job.stem for job in JOBS.glob("*.py")} == set(COMMANDS)
    assert len({job.read_text() for job in JOBS.glob("*.py")}) == 1


@pytest.mark.slow
def test_spark_submit_runs_the_command_that_a_job_is_named_after() -> None:
    submit = Path(pyspark.__path__[0]) / "bin" / "spark-submit"
    env = {**os.environ, "PYTHONPATH": str(JOBS.parent), "PYSPARK_DRIVER_PYTHON": sys.executable}
    ran = subprocess.run([submit, JOBS / "drift.py", "--help"], env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "logloss-spark drift " in ran.stdout


@pytest.mark.parametrize("command", quick(["evaluate", "merge"], "merge"))
def test_a_job_runs_the_command_that_it_is_named_after(command: str) -> None:
    ran = subprocess.run([sys.executable, JOBS / f"{command}.py", "--help"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert f"logloss-spark {command} " in ran.stdout


def test_a_driver_that_has_nothing_but_spark_is_told_what_it_lacks() -> None:
    ran = subprocess.run([sys.executable, "-I", "-S", JOBS / "fit.py"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith("logloss-spark: error: the driver needs logloss_spark, numpy, pandas, pyarrow, and")
    assert "lacks logloss_spark, numpy, pandas, pyarrow: install them there" in ran.stderr


def test_the_package_is_the_command_line_too() -> None:
    ran = subprocess.run([sys.executable, "-m", "logloss_spark", "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("logloss-spark ")
