"""What a morning costs: one new day beside the whole table, and windows of the stored days.

    python benchmarks/store.py [--days 200] [--rows 100000] [--repeat 3]

`--rows` are those of a day. All runs are commands in one process whose session is up and warm. Two of them say what is
fixed in the time of a new day: one in which nothing is due, and one on a table that holds nothing but this day.
"""

import argparse
import os
import shutil
import time
from contextlib import redirect_stdout
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import logloss_spark as ls
from logloss_spark.app.cli import main as run_command
from logloss_spark.io.session import session

COUNTRIES = ["de", "fr", "gb", "it", "us"]


def write_day(folder: Path, day: date, rows: int) -> None:
    """Write the predictions of a day once."""
    file = folder / f"dt={day}" / "part.parquet"
    if file.exists():
        return
    file.parent.mkdir(parents=True)
    rng = np.random.default_rng(day.toordinal())
    p = 1 / (1 + np.exp(-rng.normal(-1.0, 1.2, rows)))
    columns = {
        "country": pa.array(np.array(COUNTRIES)[rng.integers(0, len(COUNTRIES), rows)]).dictionary_encode(),
        "y": pa.array((rng.random(rows) < p).astype(np.int32)),
        "p": pa.array(p),
    }
    pq.write_table(pa.table(columns), file)


def seconds_of(folder: Path) -> float:
    """How long `evaluate` takes on a folder."""
    start = time.perf_counter()
    with redirect_stdout(StringIO()) as said:
        code = run_command(["evaluate", "--config", str(folder / "daily.toml")])
    if code:
        raise RuntimeError(f"the run failed: {said.getvalue()}")
    return time.perf_counter() - start


def mornings(folder: Path, days: int, rows: int) -> tuple[float, float, float, float]:
    """The times of a run on all days, of one on a new day, of one in which nothing is due, and of a day on its own."""
    first, predictions = date(2026, 1, 1), folder / "predictions"
    for place in range(days):
        write_day(folder / "all", first + timedelta(place), rows)
    shutil.rmtree(predictions, ignore_errors=True)
    shutil.rmtree(folder / "store", ignore_errors=True)
    predictions.mkdir()
    last = first + timedelta(days - 1)
    os.symlink((folder / "all" / f"dt={last}").resolve(), predictions / f"dt={last}")
    alone = seconds_of(folder)
    (predictions / f"dt={last}").unlink()
    shutil.rmtree(folder / "store")
    for place in range(days):
        day = first + timedelta(place)
        os.symlink((folder / "all" / f"dt={day}").resolve(), predictions / f"dt={day}")
    whole = seconds_of(folder)
    held = predictions / f"dt={last}"
    held.unlink()
    seconds_of(folder)  # takes the day away
    os.symlink((folder / "all" / f"dt={last}").resolve(), held)
    new = seconds_of(folder)
    return whole, new, seconds_of(folder), alone


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("build/bench/store"))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    (asked.folder / "daily.toml").write_text(
        f'[input]\npath = "{asked.folder}/predictions"\n[columns]\nlabel = "y"\nprediction = "p"\n'
        f'[evaluate]\nby = [["country"]]\n[store]\npath = "{asked.folder}/store"\nunit = ["dt"]\n'
    )
    session("benchmark of a store")
    found = [mornings(asked.folder, asked.days, asked.rows) for _ in range(asked.repeat + 1)][1:]
    whole, new, nothing, alone = (min(times) for times in zip(*found, strict=True))
    print(f"{asked.days} days of {asked.rows:,} rows")
    print(f"all days {whole:.2f} s, a new day {new:.2f} s")
    for name, fixed in (("nothing due", nothing), ("a table of one day", alone)):
        share = (new - fixed) / (whole - fixed)
        print(f"{name} {fixed:.2f} s: beside it a new day takes {new - fixed:.2f} s, {share:.1%} of all days")
    times = []
    for _ in range(asked.repeat):
        start = time.perf_counter()
        state = ls.Store(str(asked.folder / "store")).state()
        rows = ls.windows(state, over="dt", sizes=[1, 7, 28], by="country").count()
        times.append(time.perf_counter() - start)
    print(f"windows of 1, 7 and 28 days by country from the store: {min(times):.2f} s, {rows:,} rows")


if __name__ == "__main__":
    main()
