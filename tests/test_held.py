"""Where Spark refuses to cache (serverless), a state still is computed once, or it is said that it is not."""

from typing import Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

import logloss_spark as ls
from logloss_spark.io import caching
from logloss_spark.states import small


@pytest.fixture
def table(spark: SparkSession) -> DataFrame:
    rows = [("a", 1, 0.9), ("a", 0, 0.2), ("b", 1, 0.6)]
    return spark.createDataFrame(rows, "g string, y int, p double")


@pytest.fixture
def refuses_to_cache(table: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> DataFrame:
        raise PySparkException("PERSIST is not supported here")

    monkeypatch.setattr(type(table), "persist", refuse)


@pytest.mark.usefixtures("refuses_to_cache")
def test_a_small_state_is_brought_to_the_driver_and_back(table: DataFrame) -> None:
    found = ls.evaluate(table, label="y", prediction="p", by=[["g"]]).to_pandas()
    assert found["log_loss"].iloc[0] == pytest.approx(ls.log_loss(table, "y", "p"), rel=1e-12)
    assert dict(zip(found["slice"], found["n"], strict=True)) == {"all": 3, "g=a": 2, "g=b": 1}


@pytest.mark.slow
@pytest.mark.usefixtures("refuses_to_cache")
def test_a_large_state_is_read_again_and_says_so(table: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "HELD_ROWS", 1)
    monkeypatch.setattr(small, "SMALL_STATE", 0)
    with pytest.warns(UserWarning, match="refuses to cache.* reads the table again"):
        found = ls.evaluate(table, label="y", prediction="p").to_pandas()
    assert list(found["n"]) == [3]
