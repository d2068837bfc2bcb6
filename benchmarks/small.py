"""What a user waits for with a small table: 1,000 rows, 5 slices. The first call in a session, and a warm one.

    python benchmarks/small.py [--repeat 5]

The job from start to end stands beside a spark-submit that runs an empty file, and one that only starts a session.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyspark

import logloss_spark as ls
from logloss_spark.io.session import session

ROOT = Path(__file__).parents[1]
ROWS, SLICES = 1_000, 5
CORES = 2
SESSION = "from pyspark.sql import SparkSession; SparkSession.builder.getOrCreate().stop()"


def make_table(folder: Path) -> None:
    """Write the table and the config of its job."""
    rng = np.random.default_rng(0)
    p = rng.random(ROWS)
    columns = {"label": (rng.random(ROWS) < p).astype(np.int32), "p": p, "segment": np.arange(ROWS) % SLICES}
    (folder / "table").mkdir()
    pq.write_table(pa.table(columns), folder / "table" / "part.parquet")
    (folder / "evaluate.toml").write_text(
        f'[input]\npath = "{folder}/table"\n[columns]\nlabel = "label"\nprediction = "p"\n'
        f'[evaluate]\nby = [["segment"]]\n[output]\nmetrics = "{folder}/metrics"\nmode = "overwrite"\n'
    )
    (folder / "empty.py").write_text("")
    (folder / "session.py").write_text(SESSION)


def seconds(run: Callable[[], object]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def time_call(name: str, folder: Path, repeat: int) -> None:
    """Print the seconds of the first call in this process's session, and the best of some warm ones."""
    spark = session("benchmark of small tables")
    table = str(folder / "table")

    def mean() -> float:
        return ls.log_loss(spark.read.parquet(table), "label", "p")

    def metrics() -> int:
        with ls.evaluate(spark.read.parquet(table), "label", "p", by="segment") as evaluation:
            return len(evaluation.to_pandas())

    call = {"log_loss": mean, "evaluate": metrics}[name]
    first = seconds(call)
    warm = min((seconds(call) for _ in range(repeat)), default=inf)
    print(f"{name:28}{first:8.2f}{warm:8.2f}", flush=True)


def time_job(name: str, arguments: list[str], repeat: int) -> float:
    """Print the best seconds of a spark-submit from start to end."""
    submit = [str(Path(pyspark.__path__[0]) / "bin" / "spark-submit"), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SPARK_CONF_DIR": str(ROOT / "conf")}
    env |= {"PYSPARK_DRIVER_PYTHON": sys.executable, "PYSPARK_PYTHON": sys.executable}
    env.pop("PYSPARK_SUBMIT_ARGS", None)

    def run() -> None:
        subprocess.run(submit, env=env, check=True, capture_output=True)

    best = min(seconds(run) for _ in range(max(repeat, 1)))
    print(f"{name:28}{'':8}{best:8.2f}", flush=True)
    return best


def main() -> None:
    """Make the table, and time each call in a process of its own, and jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="warm calls, and jobs, of which the best counts")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[{CORES}] pyspark-shell"
    if args.call:
        time_call(args.call, args.folder, args.repeat)
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_table(folder)
        print(f"{ROWS:,} rows, {SLICES} slices, {CORES} cores\n{'':28}{'first':>8}{'warm':>8}", flush=True)
        for call in ("log_loss", "evaluate"):
            again = [sys.executable, __file__, "--call", call, "--folder", name, "--repeat", str(args.repeat)]
            subprocess.run(again, check=True, stderr=subprocess.DEVNULL)
        empty = time_job("an empty spark-submit", [str(folder / "empty.py")], args.repeat)
        time_job("one that starts a session", [str(folder / "session.py")], args.repeat)
        job = [str(ROOT / "jobs" / "evaluate.py"), "--config", str(folder / "evaluate.toml")]
        whole = time_job("the job from start to end", job, args.repeat)
        print(f"the job takes {whole / empty:.2f} times as long as an empty spark-submit")


if __name__ == "__main__":
    main()
