"""The demo's mornings: the last fortnight of the flights, day by day, as a scheduled job would meet them.

Each morning a new day lies there, the job evaluates what is due into a store, and its gate judges the day. Then one day
is spoilt: its forecasts are turned round, as a swapped label in a pipeline would do. The gate fails, the job ends with
exit code 3, and the day is repaired. Of most mornings only what the gate says is printed.

    python docs/demo/mornings.py [folder]

With LOGLOSS_SPARK_LAKES=1 in the environment the store is a table of Delta; `make jars` fetches what it needs.
"""

import os
import shutil
import sys
from contextlib import redirect_stdout
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from logloss_spark.app.cli import main as run_command
from logloss_spark.io.lakes import LAKES
from logloss_spark.io.session import session

FOLDER = "build/demo"
CONFIG = "conf/morning.toml"
DAYS = [date(2013, 12, 18) + timedelta(place) for place in range(14)]
IN_DELTA = ["--set", "store.format=delta"] if "LOGLOSS_SPARK_LAKES" in os.environ else []
FAILED = 3
"""The exit code of a gate that fails."""


def write_day(flights: pa.Table, folder: Path, day: date) -> None:
    """Write the flights of a day as the partition of that day, in the place of what was there."""
    partition = folder / f"date={day}"
    shutil.rmtree(partition, ignore_errors=True)
    partition.mkdir(parents=True)
    of_day = flights.filter(pc.equal(flights["date"], pa.scalar(day))).drop_columns(["date"])
    # Spark left a list of all columns in the metadata, the day among them, which is in the path now.
    pq.write_table(of_day.replace_schema_metadata(), partition / "flights.parquet")


def give_delta(jars: Path) -> None:
    """Let the session start with Delta."""
    options = ["--jars", ",".join(map(str, sorted(jars.glob("delta-*.jar"))))]
    # Delta's 50 partitions of a table's log are for millions of files.
    for key, value in {**LAKES["delta"].settings, "spark.databricks.delta.snapshotPartitions": "1"}.items():
        options += ["--conf", f"{key}={value}"]
    os.environ["PYSPARK_SUBMIT_ARGS"] = " ".join([*options, "pyspark-shell"])


def evaluate(day: date, *, shown: bool, expected: int = 0) -> None:
    """Run the job for a day; print all that it says, or what it says of its gate alone."""
    said = StringIO()
    with redirect_stdout(said):
        code = run_command(["evaluate", "--config", CONFIG, "--run-date", str(day), *IN_DELTA])
    lines = said.getvalue().splitlines()
    told = lines if shown else [line for line in lines if line.startswith(("gate", "due"))]
    print("\n".join([f"-- the morning after {day}, exit code {code}", *told, ""]), flush=True)
    if code != expected:
        raise SystemExit(f"the job for {day} should have ended with {expected}, and it ended with {code}")


def main(folder: str) -> None:
    """Live through a fortnight."""
    mornings = Path(folder) / "mornings"
    shutil.rmtree(mornings, ignore_errors=True)
    flights = ds.dataset(f"{folder}/scored", partitioning="hive").to_table()
    if IN_DELTA:
        give_delta(Path(".jars"))
    session("the demo's mornings")
    for day in DAYS:
        write_day(flights, mornings / "predictions", day)
        evaluate(day, shown=day == DAYS[0])
    spoilt = flights.set_column(
        flights.column_names.index("fitted"), "fitted", pc.subtract(pa.scalar(1.0), flights["fitted"])
    )
    write_day(spoilt, mornings / "predictions", DAYS[-1])
    evaluate(DAYS[-1], shown=True, expected=FAILED)
    write_day(flights, mornings / "predictions", DAYS[-1])
    evaluate(DAYS[-1], shown=False)
    run_command(["metrics", "--config", CONFIG, "--windows", "1,7,14", "--over", "date", *IN_DELTA])
    run_command(["runs", "--config", CONFIG, "--last", "5", *IN_DELTA])


if __name__ == "__main__":
    main(*sys.argv[1:] or [FOLDER])
