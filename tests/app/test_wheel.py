"""What is shipped: the built wheel in an environment that has nothing else."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logloss_spark.io.java import java_home

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_in_an_empty_environment_runs_the_demos_evaluation(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("logloss_spark-*.whl")
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    pinned = ["-c", ROOT / "conf" / "constraints.txt"]
    pip = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--quiet", "--no-compile", *pinned, f"{wheel}[spark,report]")
    write_predictions(tmp_path / "predictions")

    paths = {"input.path": "predictions"} | {
        f"output.{name}": name for name in ("metrics", "state", "reliability", "invalid", "report")
    }
    overrides = [word for name, path in paths.items() for word in ("--set", f"{name}={tmp_path / path}")]
    command = tmp_path / "env" / "bin" / "logloss-spark"
    printed = run(command, "evaluate", "--config", ROOT / "conf" / "evaluate.toml", *overrides, cwd=tmp_path)

    assert "read 300 rows" in printed
    assert pq.read_table(tmp_path / "metrics").num_rows == 1 + 2 + 3 + 6
    assert (tmp_path / "report").read_text(encoding="utf-8").rstrip().endswith("</html>")


def run(*command: object, cwd: Path = ROOT) -> str:
    """The standard output of a command that must succeed, in an environment of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_", "PYTHON"))}
    clean["JAVA_HOME"] = java_home()
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_predictions(folder: Path) -> None:
    """A small table with the columns of the demo's."""
    random = np.random.default_rng(7)
    table = pa.table(
        {
            "month": np.arange(300) % 2 + 1,
            "carrier": [("AA", "UA", "WN")[place // 2 % 3] for place in range(300)],
            "late": random.integers(0, 2, 300),
            "probability": random.random(300),
        }
    )
    pq.write_to_dataset(table, folder, partition_cols=["month"])
