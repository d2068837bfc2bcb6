"""Jobs of spark-submit that a signal ends while they overwrite: one line, the old tables whole, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest
from pyspark.sql import SparkSession

from logloss_spark.app.cli import main
from tests.app.test_killed import PATIENCE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROWS = {1: 300, 2: 400}
"""Rows of each day: what an output was made of is seen by how many there are."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """Predictions of two days, and the tables of the first day, which a job would overwrite."""
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "predictions").mkdir()
    for day, rows in ROWS.items():
        columns = {"y": [row % 2 for row in range(rows)], "p": [0.5] * rows, "day": [day] * rows}
        pq.write_table(pa.table(columns), folder / "predictions" / f"{day}.parquet")
    (folder / "evaluate.toml").write_text(
        f'[input]\npath = "{folder}/predictions"\n[columns]\nlabel = "y"\nprediction = "p"\n'
        f'[evaluate]\nengine = "native"\n'
        f'[output]\nmetrics = "{folder}/out/metrics"\nstate = "{folder}/out/state"\nmode = "overwrite"\n'
    )
    assert main(["evaluate", *arguments(folder, 1)]) == 0
    return folder


def arguments(folder: Path, day: int) -> list[str]:
    return ["--config", str(folder / "evaluate.toml"), "--set", f"input.where=day = {day}"]


def submitted(folder: Path, day: int) -> subprocess.Popen[str]:
    """Submit the job of a day, in a process group of its own, as a shell does."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "PYSPARK_"))}
    env |= {"PYTHONPATH": str(ROOT), "SPARK_HOME": pyspark.__path__[0], "SPARK_CONF_DIR": str(ROOT / "conf")}
    env |= {"PYSPARK_DRIVER_PYTHON": sys.executable, "PYSPARK_PYTHON": sys.executable}
    return subprocess.Popen(
        [
            os.path.join(env["SPARK_HOME"], "bin", "spark-submit"),
            ROOT / "jobs" / "evaluate.py",
            *arguments(folder, day),
        ],
        env=env,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("number", "to_group", "line"),
    [
        pytest.param(signal.SIGINT, True, "logloss-spark: interrupted: nothing was written", id="ctrl-c"),
        pytest.param(signal.SIGTERM, True, "logloss-spark: ", id="the end of a group"),
        pytest.param(signal.SIGTERM, False, "Java runs as long as a job does, and it has ended", id="the end of Java"),
    ],
)
def test_a_signal_leaves_the_old_tables_whole_and_says_so_in_one_line(
    folder: Path, number: signal.Signals, to_group: bool, line: str
) -> None:
    out = folder / "out"
    with submitted(folder, 2) as process:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and not any(out.glob(".*.new")) and time.monotonic() < deadline:
            time.sleep(0.001)
        (os.killpg if to_group else os.kill)(process.pid, number)
        printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, printed
    if number == signal.SIGINT:
        assert "\tat " not in printed  # a Java that is terminated may say what it could not finish
    assert "Traceback" not in printed
    (ours,) = [text for text in printed.splitlines() if text.startswith("logloss-spark")]
    assert line in ours
    assert ours.endswith("nothing was written; the old tables are whole")
    assert {path.name for path in out.iterdir()} == {"metrics", "state"}
    metrics = pq.read_table(out / "metrics").to_pandas()
    assert metrics["rows"].tolist() == [ROWS[1]]
