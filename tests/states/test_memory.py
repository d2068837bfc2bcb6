"""The memory of a worker grows neither with the rows, nor with a row group, nor with the groups of a state."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark import cloudpickle
from pyspark.sql import SparkSession

from logloss_spark.roles import Roles
from logloss_spark.rows.inputs import rows_of
from logloss_spark.scoring import Scoring
from logloss_spark.states.files import HELD_GROUPS, Scan, answer, scan_of, sums_of_parts
from logloss_spark.workers.parquet import Piece, tasks_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MOST = 500
"""Megabytes that a worker may take."""

SLICES, LARGE = 5_000, 6_000_000

WORKER = r"""
import pickle, re, sys
from logloss_spark.states.files import parts_of
from logloss_spark.workers.task import keep_memory
keep_memory()
pieces, scan = pickle.load(open(sys.argv[1], "rb"))
rows = sum(batch.num_rows for batch in parts_of(pieces, scan=scan))
print(rows, int(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1]) >> 10)
"""
"""What a worker does with its first task: it prints the rows of its parts, and the most megabytes that it had.

`getrusage` would count what the process had that started it.
"""


def task_of(folder: Path, spark: SparkSession, by: str | None) -> tuple[list[Piece], Scan]:
    """The one task that reads a table, and what it sums."""
    roles = Roles(label="label", prediction="p", weight="w", by=by or ())
    scan = scan_of(rows_of(spark.read.parquet(str(folder / "table")), roles, Scoring()))
    assert isinstance(scan, Scan), scan
    (task,) = tasks_of(scan.table, 1, most=1 << 40)
    return task, scan


def peak(folder: Path, spark: SparkSession, by: str | None = None) -> tuple[int, int]:
    """The rows of the parts that a worker hands over for a table, and the megabytes that it needs."""
    (folder / "task.pickle").write_bytes(cloudpickle.dumps(task_of(folder, spark, by)))
    command = [sys.executable, "-c", WORKER, str(folder / "task.pickle")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    rows, megabytes = map(int, ran.stdout.split())
    return rows, megabytes


def write(folder: Path, rows: int, row_group_size: int, *, digits: int | None = None) -> None:
    rng = np.random.default_rng(3)
    p = rng.random(rows) if digits is None else rng.random(rows).round(digits)
    table = pa.table(
        {
            "label": (rng.random(rows) < p).astype(np.int32),
            "p": p,
            "w": 0.5 + rng.random(rows),
            "slice": rng.integers(SLICES, size=rows, dtype=np.int32),
        }
    )
    (folder / "table").mkdir(parents=True)
    pq.write_table(table, folder / "table" / "part.parquet", row_group_size=row_group_size, use_dictionary=False)


def test_a_worker_stays_small_with_many_slices_and_bins(tmp_path: Path, spark: SparkSession) -> None:
    write(tmp_path, LARGE, 1 << 20)
    rows, megabytes = peak(tmp_path, spark, by="slice")
    assert rows > LARGE / 3  # nearly every row is a group of its own
    assert megabytes < MOST


def test_a_worker_does_not_hold_a_row_group(tmp_path: Path, spark: SparkSession) -> None:
    """One row group of 140 MB takes no more than the tables of other tests."""
    write(tmp_path, LARGE, LARGE)
    _, megabytes = peak(tmp_path, spark)
    assert megabytes < MOST / 2


def test_what_a_task_hands_to_the_driver_does_not_grow_with_the_rows(tmp_path: Path, spark: SparkSession) -> None:
    sizes = []
    for rows in (100_000, 1_000_000):
        write(tmp_path / str(rows), rows, rows, digits=2)  # the same cells hold rows of both tables
        task, scan = task_of(tmp_path / str(rows), spark, by=None)
        (answered,) = answer(task, scan=scan, sums=partial(sums_of_parts, scan.summation), most=HELD_GROUPS)
        sizes.append(answered.nbytes)
    assert sizes[0] == sizes[1]
