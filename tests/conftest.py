"""One Spark session for the whole run, classic or over Connect, and the real tables of ../shared."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from logloss_spark.io import lakes
from logloss_spark.io.session import session

os.environ["COLUMNS"] = "100"  # of the terminal: processes side by side would have 80
MODE = os.environ.get("LOGLOSS_SPARK_MODE", "classic")
BUILD = Path("build", os.environ.get("PYTEST_XDIST_WORKER", "tests"))
JARS = Path(__file__).parents[1] / ".jars"
SHARED = Path(__file__).parents[2] / "shared" / "data"

JAVA = (
    "-XX:+UseParallelGC",  # a collector that takes no core of two for itself
    "-XX:TieredStopAtLevel=1",  # the second compiler takes half of the CPU time of a run and is repaid in longer ones
    "-XX:ReservedCodeCacheSize=256m",  # with one compiler Java reserves 48 MB by itself
)
"""Options of the Java that tests share. Jobs in processes have the defaults."""

SETTINGS = {
    "spark.master": "local[2]",
    "spark.sql.shuffle.partitions": "2",  # small data: 200 tasks a shuffle would be all that a test does
    "spark.sql.adaptive.enabled": "false",  # nor second thoughts between two; jobs in processes have the default
    "spark.driver.extraJavaOptions": f"'{' '.join(JAVA)}'",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",  # to compile a plan takes longer than to run it on a thousand rows
    "spark.sql.codegen.wholeStage": "false",  # jobs in processes compile theirs
    # Spark computes projections of a local table while it plans, again for each plan: half the time of an evaluation.
    "spark.sql.optimizer.excludedRules": "org.apache.spark.sql.catalyst.optimizer.ConvertToLocalRelation",
    "spark.ui.showConsoleProgress": "false",
    "spark.python.daemon.module": "tests.daemon",
    "spark.python.unix.domain.socket.enabled": "true",  # a Python task is 25 ms cheaper, and there are thousands
    "spark.sql.warehouse.dir": f"{BUILD}/spark-warehouse",
    "spark.local.dir": f"{BUILD}/spark-local",  # blocks of fits lie there, and tests look for them
}

LAKES = {  # a session that has Delta for its own catalog, and Iceberg as the catalog `lake`
    "spark.jars": ",".join(map(str, sorted(JARS.glob("*.jar")))),
    "spark.sql.extensions": ",".join(lake.settings["spark.sql.extensions"] for lake in lakes.LAKES.values()),
    "spark.sql.catalog.spark_catalog": lakes.LAKES["delta"].settings["spark.sql.catalog.spark_catalog"],
    "spark.sql.catalog.lake": lakes.LAKES["iceberg"].settings["spark.sql.catalog.NAME"],
    "spark.sql.catalog.lake.type": "hadoop",
    "spark.sql.catalog.lake.warehouse": str(BUILD.resolve() / "lake"),
    "spark.sql.catalog.lake.cache-enabled": "false",  # with it a commit made elsewhere stays unseen
    "spark.databricks.delta.snapshotPartitions": "1",  # Delta's 50 are for tables of a million files
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files without a mark aside where marked tests are asked for: to import them takes longer than to look."""
    if not config.option.markexpr.startswith("connect ") or not collection_path.name.startswith("test_"):
        return None
    return "mark.connect" not in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests of Delta and Iceberg where the session has no jar of theirs."""
    if "LOGLOSS_SPARK_LAKES" not in os.environ:
        for item in items:
            if item.get_closest_marker("lakes"):
                item.add_marker(pytest.mark.skip(reason="needs the jars of Delta and Iceberg: make test-lakes"))


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The session that all tests share."""
    if MODE == "connect":
        os.environ["SPARK_REMOTE"] = SETTINGS.pop("spark.master")
        os.environ["SPARK_TESTING"] = "1"  # a port of its own for each server
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    settings = SETTINGS | LAKES if "LOGLOSS_SPARK_LAKES" in os.environ else SETTINGS
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        " ".join(f"--conf {key}={value}" for key, value in settings.items()) + " pyspark-shell"
    )
    running = session("logloss_spark tests")
    yield running
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # py4j leaves its sockets to the interpreter's end
        running.stop()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("published data that may not be shared is not beside this clone: see CONTRIBUTING.md")
    return SHARED
