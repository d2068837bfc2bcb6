"""Blocks of a fit where the local disk takes no more: the sums go on, and nothing half written stays."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyspark
import pytest

from logloss_spark.fit.batches import FeatureForm
from logloss_spark.fit.blocks import BlockSet, open_block, write_batches
from tests.fit.local import fit_locally

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(81)


def batches(*, sparse=False, rows=1000, count=3):
    """Batches of a training table, and the fit that they are of."""
    form = FeatureForm(4, sparse)
    made = []
    for _ in range(count):
        x = RNG.normal(size=(rows, 4)) * (RNG.uniform(size=(rows, 4)) < (0.4 if sparse else 1.0))
        lists = pa.FixedSizeListArray.from_arrays(np.ravel(x), 4).cast(pa.list_(pa.float64()))
        made.append(pa.record_batch({"label": RNG.integers(0, 2, rows).astype(float), "features": lists}))
    return made, BlockSet("test", 0, form, 2)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process can grow beyond a size: a real error of the system, as a full disk is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def assert_same_sums(part, whole) -> None:
    assert (part.rows, part.mark) == (whole.rows, whole.mark)
    assert part.arrays.keys() == whole.arrays.keys()
    for name, value in whole.arrays.items():
        np.testing.assert_array_equal(part.arrays[name], value)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("size", [0, 1000, 8 * 1000, 8 * 1500, 8 * 4500])
def test_a_disk_that_fills_up_leaves_the_sums_and_no_block(tmp_path, sparse, size) -> None:
    # 8,000 bytes are the labels of one batch, 96,000 the features of all three.
    made, fit = batches(sparse=sparse)
    whole = write_batches(made, None, fit)
    with files_of_at_most(size):
        part = write_batches(made, tmp_path / "fit" / "block", fit)
    assert part.address is None
    assert list((tmp_path / "fit").iterdir()) == []
    assert_same_sums(part, whole)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_disk_that_holds_the_block_keeps_it(tmp_path, sparse) -> None:
    made, fit = batches(sparse=sparse)
    with files_of_at_most(8 * 4 * 3000):
        part = write_batches(made, tmp_path / "block", fit)
    assert part.address == str(tmp_path / "block")
    assert_same_sums(part, write_batches(made, None, fit))
    assert open_block(part.address, 3000, fit.form) is not None


def test_a_folder_that_cannot_be_made_leaves_the_sums(tmp_path) -> None:
    made, fit = batches()
    (tmp_path / "file").touch()
    part = write_batches(made, tmp_path / "file" / "block", fit)
    assert part.address is None
    assert (tmp_path / "file").is_file()
    assert_same_sums(part, write_batches(made, None, fit))


def test_an_error_of_the_source_is_no_full_disk(tmp_path) -> None:
    made, fit = batches()

    def broken():
        yield made[0]
        raise OSError(28, "of the source")

    with pytest.raises(OSError, match="of the source"):
        write_batches(broken(), tmp_path / "block", fit)


FULL = """
import json, sys, warnings
from pathlib import Path
from pyspark.sql import SparkSession
import logloss_spark as ls

folder = sys.argv[1]
spark = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
         .config("spark.local.dir", folder + "/local").getOrCreate())
spark.sparkContext.setLogLevel("OFF")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    rows = spark.read.parquet(folder + "/rows.parquet")
    model = ls.fit_logistic(rows, features=[f"x{place}" for place in range(10)], label="y")
said = [str(warning.message) for warning in caught if warning.category.__name__ == "StreamedFitWarning"]
left = [str(path) for path in Path(folder, "local").glob("**/logloss-*/*")]
print("MODEL " + json.dumps([model.report.objective, model.report.streamed, said, left]), flush=True)
spark.stop()
"""


@pytest.mark.slow
def test_a_fit_whose_local_disk_is_full_reads_the_table_in_each_pass_and_says_so(tmp_path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(local)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a disk of 8 MB cannot be mounted by this user: {mounted.stderr.decode().strip()}")
    try:
        x = RNG.normal(size=(150_000, 10))  # blocks of 16 MB
        y = (x.sum(axis=1) + RNG.logistic(size=len(x)) > 0).astype(int)
        pd.DataFrame(x).add_prefix("x").assign(y=y).to_parquet(tmp_path / "rows.parquet")
        (tmp_path / "full.py").write_text(FULL)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK_SUBMIT", "SPARK_"))}
        environment = kept | {
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "SPARK_HOME": str(Path(pyspark.__file__).parent),
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        command = [sys.executable, str(tmp_path / "full.py"), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=400)
    finally:
        subprocess.run(["umount", "-l", str(local)], check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("MODEL ")]
    assert lines, done.stdout + done.stderr
    objective, streamed, said, left = json.loads(lines[0].removeprefix("MODEL "))
    assert streamed
    assert said == [
        "each pass reads the table again: the executors' local disk (spark.local.dir) is absent, full or read-only"
    ]
    assert left == []
    assert objective == pytest.approx(fit_locally(x, y).report.objective, rel=1e-11)
