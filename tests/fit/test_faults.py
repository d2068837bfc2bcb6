"""Fits whose processes are killed: real ones, by SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from logloss_spark import fit_logistic
from logloss_spark.fit.solvers import Step

ROOT = Path(__file__).parents[2]

ROWS = 120_000
"""Files of 3 MB: two workers read them."""

FIT = """
import json, os, shutil, signal, subprocess, sys, time, warnings
from pathlib import Path
from pyspark.sql import SparkSession
import logloss_spark as ls

folder, master, what, engine = sys.argv[1:]
local = Path(folder, "local")
spark = (SparkSession.builder.master(master).config("spark.ui.enabled", "false")
         .config("spark.local.dir", str(local)).config("spark.executor.memory", "512m")
         .config("spark.locality.wait", "100ms")
         .config("spark.sql.files.maxPartitionBytes", "500k").getOrCreate())
spark.sparkContext.setLogLevel("OFF")

def executors():
    asked = ["pgrep", "-f", "CoarseGrainedExecutorBackend.*--worker-url"]
    found = subprocess.run(asked, capture_output=True, text=True)
    mine = [int(pid) for pid in found.stdout.split()]
    return [pid for pid in mine if str(local) in Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")]

def blocks():
    return list(local.glob("**/logloss-*/*/y"))

def left():  # the blocks of a killed executor go with its folder, when the application ends
    return [block for block in blocks() if not any(str(block).startswith(folder) for folder in gone)]

def folder_of(pid):
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split(chr(0))
    return dict(variable.partition("=")[::2] for variable in variables)["SPARK_EXECUTOR_DIRS"]

killed, gone = [], []
def strike(step):
    print("iteration", step.iteration, flush=True)
    if what == "executor" and step.iteration == 1 and not killed:
        victim = executors()[0]
        gone.append(folder_of(victim))
        others = left()
        assert blocks(), "there are no blocks"
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)
        for block in others:  # what a living executor holds is lost, too
            shutil.rmtree(block.parents[1], ignore_errors=True)
    if what == "driver" and step.iteration == 2:
        time.sleep(600)  # until the test kills us

model = ls.fit_logistic(spark.read.parquet(folder + "/rows"), features=["a", "b", "c"], label="label", solver="lbfgs",
                        checkpoint=folder + "/checkpoint" if what == "driver" else None, progress=strike, engine=engine)
told = [model.report.objective, model.report.rows, len(killed), len(left()), model.report.engine.name]
print("MODEL " + json.dumps(told), flush=True)
spark.stop()
"""


def rows_in(folder: Path) -> Path:
    """Write rows to fit on."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(ROWS, 3))
    label = (x @ [1.0, -2.0, 0.5] + rng.logistic(size=ROWS) > 0).astype(int)
    (folder / "rows").mkdir()
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(label=label)
    for place in range(4):
        frame[place::4].to_parquet(folder / "rows" / f"part-{place}.parquet")
    (folder / "fit.py").write_text(FIT)
    return folder


@pytest.fixture(scope="module", autouse=True)
def bereaved(tmp_path_factory) -> Iterator[dict[str, tuple[Path, subprocess.Popen[str]]]]:
    """Fits by either engine on a cluster that loses an executor, under way while the other test runs."""
    folders = {engine: rows_in(tmp_path_factory.mktemp(engine)) for engine in ("arrow", "native")}
    fits = {
        engine: (folder, started(folder, "local-cluster[2,1,1024]", "executor", engine))
        for engine, folder in folders.items()
    }
    yield fits
    for _, process in fits.values():
        process.kill()
        process.wait()


def started(folder: Path, master: str, what: str, engine: str = "auto") -> subprocess.Popen[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK_SUBMIT", "SPARK_"))
    }
    import pyspark

    environment |= {
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_WORKER_DIR": str(folder / "work"),
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    (folder / "local").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(folder / "fit.py"), str(folder), master, what, engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )


def answer(process: subprocess.Popen[str]) -> list[Any]:
    out, err = process.communicate(timeout=240)
    lines = [line for line in out.splitlines() if line.startswith("MODEL ")]
    assert lines, out + err
    return list(json.loads(lines[0].removeprefix("MODEL ")))


def exact(folder: Path) -> float:
    from scipy.optimize import minimize

    frame = pd.read_parquet(folder / "rows")
    x = np.column_stack([frame[["a", "b", "c"]], np.ones(len(frame))])
    sign = np.where(frame["label"] == 1, -1.0, 1.0)

    def loss(theta):
        m = sign * (x @ theta)
        return np.logaddexp(0, m).mean(), x.T @ (sign / (1 + np.exp(-m))) / len(m)

    return float(minimize(loss, np.zeros(4), jac=True, options={"gtol": 1e-10}).fun)


def blocks_in(folder: Path) -> list[str]:
    """Folders of blocks; what vanishes while they are looked for is not one."""
    return [name for _, names, _ in os.walk(folder / "local") for name in names if name.startswith("logloss-")]


@pytest.mark.slow
def test_a_driver_that_was_killed_resumes_from_its_checkpoint(spark, tmp_path) -> None:
    folder = rows_in(tmp_path)
    process = started(folder, "local[2]", "driver")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("iteration 2"):
            break
    os.kill(process.pid, signal.SIGKILL)  # Python alone: the JVM sees its end, and clears up
    process.stdout.close()
    process.stderr.close()
    process.wait()
    deadline = time.monotonic() + 60
    while blocks_in(folder) and time.monotonic() < deadline:
        os.sched_yield()
    assert not blocks_in(folder)
    steps: list[Step] = []
    resumed = fit_logistic(
        spark.read.parquet(str(folder / "rows")),
        features=["a", "b", "c"],
        label="label",
        solver="lbfgs",
        checkpoint=str(folder / "checkpoint"),
        progress=steps.append,
    )
    assert steps[0].iteration == 2
    assert resumed.report.objective == pytest.approx(exact(folder), rel=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["arrow", "native"])
def test_an_executor_killed_in_the_middle_of_a_fit_changes_nothing(bereaved, engine) -> None:
    folder, process = bereaved[engine]
    objective, rows, killed, left, ran = answer(process)
    assert (killed, rows, left, ran) == (1, ROWS, 0, engine)
    assert objective == pytest.approx(exact(folder), rel=1e-11)
