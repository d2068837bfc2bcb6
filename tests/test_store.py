"""States that are kept by units: what is due, what is live, and that metrics of any window are those of the rows."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

import logloss_spark as ls
from tests.same import assert_same_metrics

DAYS = [dt.date(2026, 11, day) for day in range(1, 6)]


def rows_of(days, seed=0, n=40):
    """Predictions of some days in two countries, one of them null."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "dt": np.repeat(days, n),
            "country": np.tile(["US", None], n * len(days) // 2),
            "label": random.integers(0, 2, n * len(days)),
            "p": random.uniform(0.01, 0.99, n * len(days)),
        }
    )
    frame.loc[::17, "p"] = np.nan
    return frame


def written(spark: SparkSession, frame: pd.DataFrame, path: Path | str, mode: str = "overwrite") -> None:
    """Write rows as a table that is partitioned by day."""
    schema = "dt date, country string, label int, p double"
    table = spark.createDataFrame(frame, schema)
    table.coalesce(1).write.mode(mode).option("partitionOverwriteMode", "dynamic").partitionBy("dt").parquet(str(path))


def state_of(table: DataFrame | str) -> ls.State:
    return ls.evaluate(table, label="label", prediction="p", by=[["dt", "country"]]).state


@pytest.fixture(scope="module")
def table(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("store") / "predictions"
    written(spark, rows_of(DAYS), path)
    return str(path)


@pytest.fixture(scope="module")
def whole(table: str) -> ls.State:
    return state_of(table).persist()


def test_a_store_holds_what_was_put_into_it(table, whole, tmp_path):
    store = ls.Store(str(tmp_path / "store"))
    snapshot = store.put(whole, unit="dt", by=[["country"]])
    assert (snapshot.version, [key[0] for key in sorted(snapshot.units)]) == (1, [str(day) for day in DAYS])
    assert {unit.rows for unit in snapshot.units.values()} == {40}
    by = [["dt"], ["country"], ["dt", "country"]]
    assert_same_metrics(store.state().metrics(by=by).toPandas(), whole.metrics(by=by).toPandas())
