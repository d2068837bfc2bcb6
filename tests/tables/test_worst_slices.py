"""The worst slices of a state: against pandas on the rows, on the driver and in Spark, and as people see them."""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import SpecError
from logloss_spark.states import small
from logloss_spark.statistics.catalogue import WORST_SLICES, by_column
from logloss_spark.tables import worst_slices as searching
from tests.quick import quick

ROWS = 4_000
SEARCH = ["country", "device", "code"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Forecasts that are wrong where the country is null and the device a tv; `code` is the country once more."""
    rng = np.random.default_rng(21)
    countries = np.array(["de", "fr", "null", None], dtype=object)
    country = rng.integers(0, 4, ROWS)
    frame = pd.DataFrame(
        {
            "country": countries[country],
            "device": rng.choice(["tv", "web", "app"], ROWS),
            "code": country.astype(np.int32),
            "user": rng.integers(0, 500, ROWS),
            "w": rng.gamma(3.0, size=ROWS),
        }
    )
    z = rng.normal(-1.0, 1.0, ROWS)
    frame["y"] = (rng.random(ROWS) < 1 / (1 + np.exp(-z))).astype(int)
    bad = frame["country"].isna() & (frame["device"] == "tv")
    frame["p"] = 1 / (1 + np.exp(np.where(bad, z, -z)))
    return frame


@pytest.fixture(scope="module")
def table(spark: SparkSession, frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """The same as a table of files, with a forecast per class."""
    folder, rest = tmp_path_factory.mktemp("table"), 1 - frame["p"]
    several = np.stack([frame["p"], rest * 0.75, rest * 0.25], axis=1).tolist()
    class_ = np.where(frame["y"] == 1, 0, 1 + frame["user"] % 2)
    frame.assign(several=several, **{"class": class_}).to_parquet(folder / "table.parquet")
    return spark.read.parquet(str(folder))


@pytest.fixture(scope="module")
def evaluation(table: DataFrame) -> Iterator[ls.Evaluation]:
    with ls.evaluate(table, "y", "p", by="device", search=SEARCH) as found:
        yield found


def test_a_search_finds_what_pandas_finds_in_the_rows(evaluation: ls.Evaluation, frame: pd.DataFrame) -> None:
    found = evaluation.worst_slices()
    loss = -np.log(np.where(frame["y"] == 1, frame["p"], 1 - frame["p"]))
    inside = (frame["country"].isna() & (frame["device"] == "tv")).to_numpy()
    only = found.to_pandas().iloc[0]
    assert len(found) == 1
    assert (only["slice"], only["same_rows"]) == ("country=null/device=tv", "device=tv/code=3")
    assert (only["country"], only["device"], only["n"], only["grouping_id"]) == (None, "tv", inside.sum(), 1)
    assert np.isnan(only["code"])
    error = np.sqrt(sum(loss[rows].var(ddof=1) / rows.sum() for rows in (inside, ~inside)))
    expected = {
        "log_loss": loss[inside].mean(),
        "log_loss_of_rest": loss[~inside].mean(),
        "excess": loss[inside].mean() - loss[~inside].mean(),
        "excess_se": error,
        "contribution": loss.mean() - loss[~inside].mean(),
        "share": inside.mean(),
    }
    assert only[list(expected)].to_dict() == pytest.approx(expected, rel=1e-9)
    # 4 countries, which are the codes, 3 devices and their combinations; a country with its code is the country.
    assert found.looked_at == 4 + 3 + 12
    everything = evaluation.state.metrics(by=[["country", "device"]]).where("slice = 'country=null/device=tv'").first()
    assert everything is not None
    assert everything["log_loss"] == only["log_loss"]


def test_metrics_have_the_slices_of_by_alone(evaluation: ls.Evaluation) -> None:
    assert evaluation.to_pandas()["slice"].tolist()[0] == "all"
    assert sorted(evaluation.to_pandas()["slice"]) == ["all", "device=app", "device=tv", "device=web"]
    assert evaluation.metrics.columns[:2] == ["device", "slice"]
    assert evaluation.state.slices == ("device", "country", "code")
    assert "by device" in evaluation._repr_html_()


def test_a_search_shows_itself(evaluation: ls.Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluation.worst_slices()
    found.show()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "slices that are worse than the rest, by country, device, code, up to 2 together"
    assert lines[3].startswith("country=null/device=tv ")
    assert (
        lines[4]
        == f"looked at 19 slices of 100 rows or more: {found.worse} worse than the rest; the one listed says all"
    )
    assert lines[5] == "country=null/device=tv holds the same rows as device=tv/code=3"
    assert str(found).splitlines() == lines
    assert found.remarks() == lines[4:]
    assert "country=null/device=tv" in found._repr_html_()
    assert repr(found).startswith("WorstSlices: slices that are worse than the rest")
    assert json.loads(found.to_json())[0]["slice"] == "country=null/device=tv"
    assert list(found.to_pandas()) == [*SEARCH, "slice", *by_column(WORST_SLICES), "grouping_id"]
    nothing = evaluation.worst_slices(max_depth=1, min_rows=1_900)
    assert (len(nothing), nothing.to_pandas().shape[1]) == (0, len(list(found.to_pandas())))
    assert nothing.remarks() == ["no slice is worse than the rest: looked at 0 slices of 1,900 rows or more"]
    nothing.show()


KINDS: dict[str, dict[str, Any]] = {
    "binary": {"label": "y", "prediction": "p", "weight": "w"},
    "clustered": {"label": "y", "prediction": "p", "cluster": "user"},
    "classes": {"label": "class", "prediction": "several", "classes": (0, 1, 2), "cluster": "user"},
    "other loss": {"label": "y", "prediction": "p", "loss": "squared", "engine": "pandas"},
}


@pytest.mark.parametrize("kind", quick(KINDS, "clustered"))
def test_a_search_is_the_same_on_the_driver_and_in_spark(
    table: DataFrame, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ls.evaluate(table, **KINDS[kind], search=SEARCH) as evaluation:
        here = evaluation.worst_slices(max_depth=3, min_rows=50)
        assert evaluation.state.checked.local
        # Values in few rows are put together there.
        monkeypatch.setattr(small, "SMALL_STATE", 0)
        far = ls.State(evaluation.state.table).worst_slices(SEARCH, max_depth=3, min_rows=50)
        pd.testing.assert_frame_equal(here.to_pandas(), far.to_pandas(), rtol=1e-9)
        assert (here.looked_at, here.worse) == (far.looked_at, far.worse)
        assert here.to_pandas()["slice"].tolist() == ["country=null/device=tv"]
        assert ("loss_of_rest" if kind == "other loss" else "log_loss_of_rest") in here.to_pandas()


def test_too_many_combinations_are_fewer_of_larger_slices(
    evaluation: ls.Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MOST_ROWS", 9)
    found = ls.State(evaluation.state.table).worst_slices(SEARCH, min_rows=300)
    assert found.remarks()[-1] == (
        "there are too many combinations, so slices of fewer than 1,200 rows were not looked at: "
        "search fewer columns for them"
    )
    assert found.looked_at == 3  # the devices


def test_a_mean_loss_that_is_infinite_is_told(table: DataFrame) -> None:
    with (
        ls.evaluate(
            table.withColumn("p", F.expr("if(user = 3, 1D - y, p)")), "y", "p", clip="none", by="device"
        ) as one,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", ls.ImpossibleEventsWarning)
        found = one.worst_slices()
    assert len(found) == 0
    assert found.remarks() == ["the mean loss is inf, and slices cannot be compared with it: evaluate with clip='eps'"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"search": ["contry"]}, "slice column 'contry' is not in the state.*Did you mean 'country'"),
        ({"search": []}, r"worst slices are searched for among slice columns, got none: evaluate with search=\[...\]"),
        ({"search": ["code", "code"]}, "search must be distinct, got 'code' twice"),
        ({"search": 3}, "search must be a list of names, got 3"),
        ({"min_rows": 0}, "min_rows must be a whole number of 1 or more, got 0"),
    ],
)
def test_a_wrong_search_is_one_line(evaluation: ls.Evaluation, wrong: dict[str, Any], error: str) -> None:
    with pytest.raises(SpecError, match=error):
        evaluation.state.worst_slices(**wrong)


def test_a_column_that_is_called_as_a_result_is_refused_before_rows_are_read(table: DataFrame) -> None:
    with pytest.raises(SpecError, match="must not have the name of a result, and 'excess' has"):
        ls.evaluate(table.withColumnRenamed("code", "excess"), "y", "p", search=["excess"])
