"""Incremental runs that are killed, meet another one, or find no room: a store shows the old or the new, whole."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app.cli import main
from logloss_spark.errors import BusyError
from logloss_spark.io.units import Unit
from logloss_spark.states.parquet_store import ParquetTables
from logloss_spark.states.store import Snapshot
from logloss_spark.store import Due, Plan

pytestmark = pytest.mark.crash

ROOT = Path(__file__).parents[2]
MOMENTS = 20
PATIENCE = 300.0
"""Seconds after which a run that was started has not ended."""

DAYS = ["2026-11-01", "2026-11-02", "2026-11-03"]
OLD = {day: seed for seed, day in enumerate(DAYS)}
NEW = {**OLD, "2026-11-02": 7, "2026-11-04": 8}
"""The days of the input, each with the seed of its rows, before and after a correction and a new day."""


def rows_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    return chance.integers(0, 2, 500), chance.uniform(0.01, 0.99, 500)


def loss_of(seed: int) -> float:
    y, p = rows_of(seed)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


def write_days(folder: Path, days: dict[str, int]) -> None:
    """Write the rows of days; a file that is the same already stays, with its time."""
    for day, seed in days.items():
        y, p = rows_of(seed)
        file = folder / f"dt={day}" / f"{seed}.parquet"
        if not file.exists():
            shutil.rmtree(file.parent, ignore_errors=True)
            file.parent.mkdir(parents=True)
            pq.write_table(pa.table({"y": y, "p": p}), file)


@dataclass
class Runs:
    """Runs of a config whose input has changed since the store `old` was written, in copies of that store."""

    folder: Path
    seconds: float = 0.0

    def copy(self, name: str) -> Path:
        shutil.copytree(self.folder / "old", self.folder / name)
        return self.folder / name

    def arguments(self, store: Path) -> list[str]:
        return [
            "evaluate",
            "--config",
            str(self.folder / "daily.toml"),
            "--set",
            f"store.path={json.dumps(str(store))}",
        ]

    def start(self, store: Path) -> subprocess.Popen[str]:
        env = {name: value for name, value in os.environ.items() if name != "PYSPARK_SUBMIT_ARGS"}
        program = "from logloss_spark.app.cli import process; process()"
        return subprocess.Popen(
            [sys.executable, "-c", program, *self.arguments(store)],
            env=env | {"PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a signal to its group reaches Java and the workers, and not us
        )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The store of the old days, and how long an undisturbed run on the new ones takes."""
    folder = tmp_path_factory.mktemp("crashes")
    made = Runs(folder)
    (folder / "daily.toml").write_text(
        f'[input]\npath = "{folder}/predictions"\n[columns]\nlabel = "y"\nprediction = "p"\n'
        f'[store]\npath = "{folder}/old"\nunit = ["dt"]\n'
    )
    write_days(folder / "predictions", OLD)
    with made.start(folder / "old") as process:
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
    write_days(folder / "predictions", NEW)
    began = time.monotonic()
    with made.start(made.copy("undisturbed")) as process:
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
    made.seconds = time.monotonic() - began
    assert_holds(folder / "undisturbed", NEW)
    return made


def live(store: Path) -> Snapshot:
    return ParquetTables(None, str(store)).live()  # a log on disk is read without Spark


def assert_holds(store: Path, days: dict[str, int]) -> None:
    """The live units are these days; the state and metrics of each are of one run, and have the loss of its rows."""
    snapshot = live(store)
    assert {key[0] for key in snapshot.units} == set(days)
    for (day,), unit in snapshot.units.items():
        data = store / "_data" / unit.run_id
        rows = pq.read_table(data / "states").to_pandas().query("unit_id == @unit.id")
        (moments,) = rows.query("part == 'moments'").itertuples()
        assert len(rows) == unit.sums
        assert (moments.wl + moments.wl_low) / moments.w == pytest.approx(loss_of(days[day]), rel=1e-12)
        metrics = pq.read_table(data / "metrics").to_pandas().query("unit_id == @unit.id")
        assert metrics["log_loss"].item() == pytest.approx(loss_of(days[day]), rel=1e-12)
        assert metrics["run_id"].item() == unit.run_id


def is_writing(store: Path, left: int) -> bool:
    """Whether a run has begun to write."""
    return len(os.listdir(store / "_data")) > left


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_run_that_is_killed_shows_nothing_or_all_and_the_next_one_completes_it(
    runs: Runs, spark: SparkSession, moment: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every second moment is in the whole time of a run, the others are in its writing, which is short."""
    chance, store = random.Random(moment), runs.copy(f"killed-{moment}")
    with runs.start(store) as process:
        if moment % 2:
            while process.poll() is None and not is_writing(store, 1):
                time.sleep(0.001)
            wait = chance.uniform(0, 0.15) * runs.seconds
        else:
            wait = chance.uniform(0.3, 1) * runs.seconds  # before that Python imports, and Java starts
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    version = live(store).version
    assert version in (1, 2)
    assert_holds(store, OLD if version == 1 else NEW)
    capsys.readouterr()
    assert main(runs.arguments(store)) == 0
    assert ("nothing is due" in capsys.readouterr().out) == (version == 2)
    assert live(store).version == 2
    assert_holds(store, NEW)


def test_of_two_runs_at_once_one_wins_twenty_times(runs: Runs, spark: SparkSession, tmp_path: Path) -> None:
    store = ls.Store(str(runs.copy("two")))
    table = spark.createDataFrame([("2026-11-09", 1, 0.5)], "dt string, y int, p double")
    state = ls.evaluate(table.selectExpr("date(dt) AS dt", "y", "p"), label="y", prediction="p", by="dt").state
    metrics = state.metrics(by="dt")
    due = [Due(("2026-11-09",), "asked for", Unit(("2026-11-09",), "", 0))]

    def publish(plan: Plan, ready: threading.Barrier, ends: list[str]) -> None:
        ready.wait()
        try:
            store.publish(plan, state, metrics)
            ends.append("won")
        except BusyError as error:
            ends.append(str(error))

    for _ in range(20):
        before, ready, ends = store.live(), threading.Barrier(2), list[str]()
        plans = [store.plan(due, ("dt",), base=before) for _ in range(2)]
        writers = [threading.Thread(target=publish, args=(plan, ready, ends)) for plan in plans]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        now = store.live()
        (winner,) = {plan.run_id for plan in plans} & now.runs.keys()
        assert now.version == before.version + 1
        assert now.units[("2026-11-09",)].run_id == winner
        assert sorted(end.startswith("of two runs that store the same units one wins") for end in ends) == [False, True]
        assert set(os.listdir(runs.folder / "two" / "_data")) == set(now.runs)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"only root may mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_without_room_or_rights_is_one_line_and_the_store_stays(
    runs: Runs, spark: SparkSession, small_disk: Path, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = small_disk / "store"
    shutil.copytree(runs.folder / "old", store)
    if trouble == "full":
        subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/filler", "bs=4k"], capture_output=True, check=False)
        assert shutil.disk_usage(small_disk).free == 0
    else:
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    capsys.readouterr()
    assert main(runs.arguments(store)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(store) in line
    assert "nothing was published" in line
    assert_holds(store, OLD)
