"""The full metric set of a billion rows, or of as many as the disk takes, and MLlib's log loss beside it.

    python benchmarks/scale.py [--rows 1000000000] [--folder build/bench/scale] [--no-mllib] [--no-growth]

The table takes about 20 bytes a row, and is kept for the next run. Each contender runs once, and reads from the disk.
Before it the full set is computed for growing parts of the table: time must grow with the rows, and memory must not.
"""

import argparse
import os
import resource
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.io.session import session

CORES = 2
DAYS = 20
ROWS_OF_A_FILE = 2_000_000
ROWS_OF_A_GROUP = 1_000_000
BYTES_OF_A_ROW = 21
SPARE = 5 << 30
"""Bytes of the disk that the table leaves free."""

BY = [["day"], ["day", "segment"]]
GROWTH = (2, 10, 20, 50, 100)
"""Millions of rows of the growth table."""


def make_file(file: Path, number: int, rows: int) -> None:
    """Write a file of calibrated forecasts, if it is not there."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    unfinished = file.with_suffix(".tmp")
    segments = pa.array([f"segment-{segment}" for segment in range(8)])
    segment = pa.dictionary(pa.int8(), pa.string())
    schema = pa.schema([("label", pa.int32()), ("p", pa.float64()), ("w", pa.float64()), ("segment", segment)])
    with pq.ParquetWriter(unfinished, schema, use_dictionary=["segment"], compression="snappy") as writer:
        for start in range(0, rows, ROWS_OF_A_GROUP):
            count = min(ROWS_OF_A_GROUP, rows - start)
            p = 1 / (1 + np.exp(1 - 1.5 * rng.standard_normal(count)))
            columns = [
                pa.array((rng.random(count) < p).astype(np.int32)),
                pa.array(p),
                pa.array(0.5 + 2 * rng.random(count)),
                pa.DictionaryArray.from_arrays(pa.array(rng.integers(8, size=count, dtype=np.int8)), segments),
            ]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=ROWS_OF_A_GROUP)
    unfinished.rename(file)


def make_table(folder: Path, rows: int) -> list[Path]:
    """Write the files of a table by as many processes as there are cores; return them."""
    sizes = {number: min(ROWS_OF_A_FILE, rows - start) for number, start in enumerate(range(0, rows, ROWS_OF_A_FILE))}
    files = [folder / f"day={number % DAYS:02}" / f"{number:05}-{size}.parquet" for number, size in sizes.items()]
    with ProcessPoolExecutor(CORES) as pool:
        list(pool.map(make_file, files, sizes, sizes.values()))
    return files


def rows_that_fit(folder: Path, rows: int) -> int:
    """The rows that were asked for, or as many as the disk takes beside those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    room = shutil.disk_usage(folder).free - SPARE + there
    return min(rows, max(room // BYTES_OF_A_ROW, ROWS_OF_A_GROUP))


def table_of(spark: SparkSession, files: list[Path]) -> DataFrame:
    """A new DataFrame over some files, which are linked into a folder of their own."""
    folder = files[0].parents[2] / f"scale-of-{len(files)}-files"
    shutil.rmtree(folder, ignore_errors=True)
    for file in files:
        link = folder / file.parent.name / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    return spark.read.parquet(str(folder))


def evaluated(table: DataFrame) -> tuple[float, str]:
    """The log loss, of all metrics by day and segment, and the engine that computed them."""
    with ls.evaluate(table, label="label", prediction="p", weight="w", by=BY, engine="arrow") as evaluation:
        return float(evaluation.to_pandas()["log_loss"].iloc[0]), str(evaluation.engine)


def mllib_loss(table: DataFrame) -> float:
    """MLlib's log loss; it takes a vector, which is made of the probability as the table is read."""
    evaluator = MulticlassClassificationEvaluator(metricName="logLoss", probabilityCol="probability", weightCol="w")
    vector = array_to_vector(F.array(1 - F.col("p"), F.col("p"))).alias("probability")
    label = F.col("label").cast("double")
    return float(evaluator.evaluate(table.select(label.alias("label"), label.alias("prediction"), vector, "w")))


def peaks() -> Iterator[int]:
    """The most memory that each Python worker of Spark has had so far, in MB; Linux only."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "pyspark.daemon" in (process / "cmdline").read_text():
                lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
                yield int(lines["VmHWM"].split()[0]) >> 10
        except (OSError, KeyError):
            continue


def print_run(name: str, rows: int, seconds: float) -> None:
    """Print what a run took, and the most memory that Python has had so far."""
    speed = rows / seconds / CORES
    driver = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{name:24}{rows:15,}{seconds:10.2f}{speed / 1e6:18.2f}{max(peaks(), default=0):11}{driver:11}", flush=True)


def main() -> None:
    """Make the table, evaluate it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000_000)
    parser.add_argument("--folder", type=Path, default=Path("build/bench/scale"))
    parser.add_argument("--no-mllib", action="store_true", help="leave MLlib out")
    parser.add_argument("--no-growth", action="store_true", help="leave out the sizes from 2 to 100 million rows")
    args = parser.parse_args()
    rows = rows_that_fit(args.folder, args.rows)
    if rows < args.rows:
        print(f"the disk takes {rows:,} rows of {args.rows:,}")

    start = time.perf_counter()
    files = make_table(args.folder, rows)
    size = sum(file.stat().st_size for file in files)
    print(f"{rows:,} rows in {len(files)} files of {size / rows:.1f} bytes a row: {time.perf_counter() - start:.0f} s")

    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[{CORES}] --driver-memory 4g pyspark-shell"
    spark = session("benchmark of scale")
    evaluated(table_of(spark, files[:1]))  # to warm up
    print(f"\n{'':24}{'rows':>15}{'seconds':>10}{'M rows/s of a core':>18}{'worker MB':>11}{'driver MB':>11}")
    growth = [] if args.no_growth else [10**6 * size for size in GROWTH if 10**6 * size < rows]
    for size in [*growth, rows]:
        table = table_of(spark, files[: -(-size // ROWS_OF_A_FILE)])
        start = time.perf_counter()
        loss, ran = evaluated(table)
        print_run("full set, arrow", size, time.perf_counter() - start)
    if not args.no_mllib:
        start = time.perf_counter()
        peer = mllib_loss(table)
        print_run("MLlib, log loss alone", rows, time.perf_counter() - start)
        if not abs(peer - loss) <= 1e-9 * loss:
            raise SystemExit(f"MLlib says {peer!r}, and we {loss!r}")
    print(f"log loss {loss!r}, engine {ran}")


if __name__ == "__main__":
    main()
