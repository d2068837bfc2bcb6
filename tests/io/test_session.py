"""The session of the command line, in processes of their own: a test run has one session already."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyspark
import pytest
from pyspark.sql import SparkSession

from logloss_spark.io.java import java_home
from logloss_spark.io.session import equip_workers, is_terminal, session

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys
from pyspark.sql.functions import udf
from logloss_spark.io.session import session

spark = session("ours")
failing = udf(lambda: 1 / 0)
for broken in (lambda: spark.range(1).select("absent"), lambda: spark.range(1).select(failing()).collect()):
    try:
        broken()
    except Exception:
        print("an error")
told = dict(spark.sparkContext.getConf().getAll())
told["worker"] = spark.range(1).select(udf(lambda: sys.executable)()).collect()[0][0]
told["megabytes"] = spark._jvm.java.lang.Runtime.getRuntime().maxMemory() >> 20
told["columnar"] = spark.conf.get("spark.sql.execution.arrow.pythonUDF.columnarInput.enabled")
print(json.dumps(told))
"""


STARTERS = ("python", "spark-submit")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SimpleNamespace]:
    """PROGRAM run by a user who turned the UI on, by each starter at once: what it told, and what it left on stderr."""
    started = {starter: start(starter, tmp_path_factory.mktemp("a user")) for starter in STARTERS}
    return {starter: finished(process) for starter, process in started.items()}


def start(starter: str, folder: Path) -> subprocess.Popen[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "PYSPARK_"))}
    env |= {"PYTHONPATH": str(ROOT), "SPARK_CONF_DIR": str(folder), "SPARK_HOME": pyspark.__path__[0]}
    if starter == "python":
        (folder / "spark-defaults.conf").write_text("spark.ui.enabled true\nspark.driver.memory 700m\n")
        command = [sys.executable]
    else:
        env["PYSPARK_DRIVER_PYTHON"] = sys.executable
        submit = os.path.join(env["SPARK_HOME"], "bin", "spark-submit")
        command = [submit, "--conf", "spark.ui.enabled=true", "--driver-memory", "700m"]
    return subprocess.Popen(
        [*command, str(program)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen[str]) -> SimpleNamespace:
    out, err = process.communicate()
    assert process.returncode == 0, err
    *errors, told = out.splitlines()
    return SimpleNamespace(errors=errors, told=json.loads(told), stderr=err)


@pytest.fixture(params=[pytest.param(starter, marks=pytest.mark.slow) for starter in STARTERS])
def run(request: pytest.FixtureRequest, runs: dict[str, SimpleNamespace]) -> SimpleNamespace:
    return runs[request.param]


def test_what_the_user_set_is_kept(run: Any) -> None:
    assert run.told["spark.ui.enabled"] == "true"
    assert 600 < run.told["megabytes"] <= 700


def test_our_settings_fill_the_gaps(run: Any) -> None:
    assert run.told["spark.python.sql.dataFrameDebugging.enabled"] == "false"
    assert run.told["columnar"] == "false"
    assert run.told["spark.app.name"] == "ours"


def test_no_progress_bar_goes_where_no_terminal_is(run: Any) -> None:
    assert run.told["spark.ui.showConsoleProgress"] == "false"


def test_local_workers_run_the_python_of_the_driver(run: Any) -> None:
    assert run.told["worker"] == sys.executable


@pytest.mark.slow
def test_a_session_starts_without_a_line_of_log(runs: dict[str, SimpleNamespace]) -> None:
    said = [line for line in runs["python"].stderr.splitlines() if "jdk.incubator.vector" not in line]  # Java's own
    assert said == []


def test_errors_that_are_caught_leave_no_stack_trace(run: Any) -> None:
    assert run.errors == ["an error", "an error"]
    assert "Traceback" not in run.stderr
    assert "org.apache.spark.sql" not in run.stderr


def test_an_active_session_is_taken_and_made_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    active, quieted = object(), []
    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: active)
    monkeypatch.setattr("logloss_spark.io.session.quiet", quieted.append)
    assert session() is active
    assert quieted == [active]


@pytest.mark.parametrize(
    ("master", "python", "set_by_user", "expected"),
    [
        ("local[2]", "python3", None, sys.executable),
        ("local-cluster[1,1,1024]", "python3", None, sys.executable),
        ("local[2]", "python3", "python3", "python3"),
        ("local[2]", "/opt/python", None, "/opt/python"),
        ("spark://host:7077", "python3", None, "python3"),
    ],
)
def test_workers_get_this_python_where_they_are_here_and_nobody_chose_one(
    monkeypatch: pytest.MonkeyPatch, master: str, python: str, set_by_user: str | None, expected: str
) -> None:
    context = SimpleNamespace(master=master, pythonExec=python)
    monkeypatch.setattr("pyspark.SparkContext._active_spark_context", context)
    monkeypatch.setattr("logloss_spark.io.session.is_remote", lambda: False)
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    if set_by_user:
        monkeypatch.setenv("PYSPARK_PYTHON", set_by_user)
    equip_workers()
    assert context.pythonExec == expected


def test_a_terminal_is_told_from_a_file_and_from_nothing(tmp_path: Path) -> None:
    main, terminal = os.openpty()
    (tmp_path / "log").touch()
    try:
        assert is_terminal(f"/proc/{os.getpid()}/fd/{terminal}")
        assert not is_terminal(str(tmp_path / "log"))
        assert not is_terminal(str(tmp_path / "absent"))
    finally:
        os.close(main)
        os.close(terminal)


OWN_SESSION = """
import sys
from pyspark.sql import SparkSession
spark = getattr(SparkSession.builder, sys.argv[1])("local[1]").getOrCreate()
import logloss_spark as ls
df = spark.sql("select 1 as label, 0.9D as p union all select 0, 0.2D")
try:
    print(round(ls.log_loss(df, "label", "p", engine="pandas"), 4))  # which needs workers
except ls.SpecError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("builder", "says"),
    [("master", "0.1643"), ("remote", f"set the environment variable PYSPARK_PYTHON to {sys.executable}")],
)
def test_the_first_cell_in_a_session_of_ones_own_works_or_says_what_to_set(
    tmp_path: Path, builder: str, says: str
) -> None:
    python = tmp_path / "python3"  # the first on the PATH, and of no use to workers
    python.write_text("#!/bin/sh\necho no module named pyarrow >&2\nexit 1\n")
    python.chmod(0o755)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "PYSPARK_"))}
    env |= {"PATH": f"{tmp_path}:{env['PATH']}", "PYTHONPATH": str(ROOT), "JAVA_HOME": java_home()}
    ran = subprocess.run([sys.executable, "-c", OWN_SESSION, builder], env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert says in ran.stdout
    assert ran.stdout.count("\n") == 1
