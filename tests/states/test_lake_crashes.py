"""Runs that are killed while they publish to a store in Delta and in Iceberg: readers see all of a run, or nothing."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import logloss_spark as ls
from tests.same import assert_same_metrics

pytestmark = [pytest.mark.lakes, pytest.mark.crash]

MOMENTS = 20
SECONDS = 8.0
"""In about this time a run publishes to each of the two stores once or twice."""

PROGRAM = """
import sys
import logloss_spark as ls

folder, *stores = sys.argv[1:]
spark = ls.session()
states = [ls.read_state(f"{folder}/{name}").persist() for name in ("even", "odd")]
stores = [ls.Store(path, format=format) for path, format in zip(stores[::2], stores[1::2])]
print("ready", flush=True)
while True:
    for store in stores:
        store.put(states[store.live().version % 2], unit="dt", by="dt")
"""


@pytest.fixture(scope="module")
def states(spark: SparkSession, folder: Path) -> list[ls.State]:
    """The states that runs store in turns, both of the same two days: what version of a store has which is known."""
    made = []
    for name, shift in {"even": 0.25, "odd": 0.5}.items():
        rows = [(f"2026-11-0{1 + i % 2}", i // 2 % 2, (i + shift) / 24) for i in range(24)]
        df = spark.createDataFrame(rows, "dt string, label int, p double")
        made.append(ls.evaluate(df, label="label", prediction="p", by="dt").state.persist())
        made[-1].save(str(folder / name))
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def stores(spark: SparkSession, folder: Path) -> Iterator[dict[str, str]]:
    """The path of a store by its format."""
    name = f"lake.stores.s{uuid4().hex}"  # the warehouse outlives a run of the tests
    yield {"delta": str(folder / "store"), "iceberg": name}
    spark.sql(f"DROP TABLE IF EXISTS {name}")


def run_for(seconds: float, folder: Path, stores: dict[str, str]) -> None:
    """Start a process that publishes to the stores for ever, and kill it and its Java after some seconds of that."""
    given = [text for format_, path in stores.items() for text in (path, format_)]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), *given],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(seconds)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_store_is_whole_whenever_a_run_is_killed(
    moment: int, folder: Path, states: list[ls.State], stores: dict[str, str]
) -> None:
    run_for(random.Random(moment).uniform(0.0, SECONDS), folder, stores)
    for format_, path in stores.items():
        store = ls.Store(path, format=format_)
        live = store.live()
        if live.version:
            assert_is(store, states[(live.version - 1) % 2])
        store.put(states[live.version % 2], unit="dt", by="dt")
        assert store.live().version == live.version + 1
        assert_is(store, states[live.version % 2])


def assert_is(store: ls.Store, state: ls.State) -> None:
    """Check that a store holds a state, and metrics of the same run."""
    found = state.metrics(by="dt").toPandas()
    assert_same_metrics(store.state().metrics(by="dt").toPandas(), found)
    metrics, (run,) = store.metrics(), {unit.run_id for unit in store.live().units.values()}
    stored = metrics.where(F.col("run_id") == run).toPandas()
    assert len(stored) == metrics.count() == len(found) - 1
    assert_same_metrics(stored[found.columns], found[found["slice"] != "all"])
