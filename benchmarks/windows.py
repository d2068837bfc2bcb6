"""What windows of 1, 7 and 28 days cost: a year of stored days by country, read, added up and measured.

    python benchmarks/windows.py [--countries 5] [--rows 1000] [--repeat 3]

`--rows` are those of a day and country. The state is read from its files each time, as a job reads it.
"""

import argparse
import time
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import logloss_spark as ls
from logloss_spark.io.session import session

DAYS = 365
SIZES = [1, 7, 28]


def write_table(path: Path, countries: int, rows: int) -> None:
    """Write the predictions of a year."""
    rng = np.random.default_rng(0)
    n = DAYS * countries * rows
    p = 1 / (1 + np.exp(-rng.normal(-1.0, 1.2, n)))
    days = pa.array([date(2026, 1, 1) + timedelta(day) for day in range(DAYS)])
    names = pa.array([f"country {index}" for index in range(countries)])
    columns = {
        "dt": days.take(pa.array(np.arange(n) % DAYS)),
        "country": names.take(pa.array(np.arange(n) // DAYS % countries)),
        "label": pa.array((rng.random(n) < p).astype(np.int32)),
        "p": pa.array(p),
    }
    pq.write_table(pa.table(columns), path)


def main() -> None:
    """Print how long each part takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--countries", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        write_table(Path(folder) / "rows.parquet", asked.countries, asked.rows)
        spark = session("benchmark of windows")
        spark.range(1).count()
        start = time.perf_counter()
        with ls.evaluate(f"{folder}/rows.parquet", "label", "p", by=[["dt", "country"]]) as evaluation:
            evaluation.state.save(f"{folder}/state")
        print(f"evaluated and stored in {time.perf_counter() - start:.1f} s", flush=True)
        sums = spark.read.parquet(f"{folder}/state").count()
        for _ in range(asked.repeat):
            start = time.perf_counter()
            found = ls.windows(ls.read_state(f"{folder}/state"), over="dt", sizes=SIZES, by="country").count()
            seconds = time.perf_counter() - start
            print(f"{found:,} windows from a state of {sums:,} rows in {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
