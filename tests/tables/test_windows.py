"""Metrics of windows of days are those of the sum of their days, on the driver and in Spark."""

import datetime as dt
import itertools
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.states import small
from logloss_spark.states import windows as windows_
from tests.same import assert_same_metrics

FIRST = dt.date(2026, 2, 20)
MISSING = {2, 3, 9}
"""Days without a row, of 12."""

SIZES = [1, 3, 7]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(14)
    n = 700
    day = rng.choice([day for day in range(12) if day not in MISSING], n)
    p = 1 / (1 + np.exp(-rng.normal(size=n)))
    return pd.DataFrame(
        {
            "dt": [None if rng.random() < 0.02 else FIRST + dt.timedelta(int(at)) for at in day],
            # A country that begins on the ninth day, and one with a hostile name.
            "country": np.where((day >= 8) & (rng.random(n) < 0.3), "new", rng.choice(["de", "null", None], n)),
            "device": rng.choice(["a", "b"], n),
            "user": rng.integers(0, 90, n),
            "y": np.where(rng.random(n) < 0.03, np.nan, rng.random(n) < p),
            "p": p,
            "w": rng.exponential(size=n),
        }
    )


@pytest.fixture(scope="module")
def folder(frame, tmp_path_factory):
    """The rows as a file, which workers evaluate in one short job, with a class and a forecast of three classes."""
    made = tmp_path_factory.mktemp("table")
    p, class_ = frame["p"], np.where(frame["y"] == 1, 0, np.where(frame["user"] % 3 == 0, 2, 1))
    several = np.stack([p, (1 - p) * 0.75, (1 - p) * 0.25], axis=1).tolist()
    classes = pd.Series(class_, dtype="Int64").where(frame["y"].notna())
    frame.assign(several=several, **{"class": classes}).to_parquet(made / "table.parquet")
    return str(made)


GIVEN: dict[str, dict[str, Any]] = {
    "binary": {"label": "y", "prediction": "p", "weight": "w"},
    "clustered": {"label": "y", "prediction": "p", "cluster": "user"},
    "classes": {"label": "class", "prediction": "several"},
}
OTHERS = ("clustered", "classes")
BY = [["country"], ["country", "device"]]


@pytest.fixture(scope="module")
def states(spark, folder):
    """A function that returns a state by its name, and makes it once."""

    @cache
    def state_of(name):
        return ls.evaluate(
            folder, by=[["dt", "country", "device"]], auc="cells", calibration="cells", **GIVEN[name]
        ).state

    return state_of


@pytest.fixture(scope="module")
def state(states):
    return states("binary")


def collected(table):
    frame = table.toPandas()
    return frame.sort_values(["grouping_id", "slice", "window", "dt"], ignore_index=True)


def by_window(frame):
    """A table by windows whose slices have the window in their name."""
    named = frame["dt"].astype(str) + " " + frame["window"].astype(str) + " " + frame["slice"]
    return frame.drop(columns=["dt", "window", "days"]).assign(slice=named)


@pytest.mark.connect
@pytest.mark.parametrize("name", ["binary", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_windows_are_the_same_on_the_driver_and_in_spark(states, monkeypatch, name):
    def found(state):
        made = ls.windows(state, over="dt", sizes=SIZES, by=BY)
        return made.schema, collected(made)

    state = states(name)
    assert state.checked.local
    same_schema, here = found(state)
    monkeypatch.setattr(small, "SMALL_STATE", 0)
    monkeypatch.setattr(windows_, "SMALL_DAYS", 0)
    large = ls.State(state.table)
    assert not large.checked.local
    schema, in_spark = found(large)
    assert [(field.name, field.dataType) for field in schema] == [(field.name, field.dataType) for field in same_schema]
    assert schema.names[:6] == ["dt", "window", "days", "country", "device", "slice"]
    keys = ["dt", "window", "days", "slice", "grouping_id"]
    pd.testing.assert_frame_equal(in_spark[keys], here[keys])
    assert_same_metrics(by_window(here), by_window(in_spark))


def test_a_window_is_the_sum_of_its_days(state):
    found = ls.windows(state, over="dt", sizes=SIZES, by=[["country"]]).toPandas()
    start, end = FIRST + dt.timedelta(5), FIRST + dt.timedelta(11)
    wanted = state.where(f"dt BETWEEN DATE'{start}' AND DATE'{end}'").persist().metrics(by="country").toPandas()
    of_window = found[(found["window"] == 7) & (found["dt"] == end)]
    assert_same_metrics(of_window.drop(columns=["dt", "window", "days"]), wanted)


def test_every_window_is_what_numpy_finds_in_its_rows(state, frame):
    found = ls.windows(state, over="dt", sizes=SIZES, by="country").toPandas()
    dated = frame.dropna(subset="dt")
    number = dated["dt"].map(dt.date.toordinal)
    wanted = {}
    for size, end in itertools.product(SIZES, sorted(dated["dt"].unique())):
        inside = dated[number.between(end.toordinal() - size + 1, end.toordinal())]
        for slice_ in ("all", "de", "new"):
            rows = inside if slice_ == "all" else inside[inside["country"] == slice_]
            scored = rows.dropna(subset="y")
            loss = -np.log(np.where(scored["y"] == 1, scored["p"], 1 - scored["p"]))
            mean = np.average(loss, weights=scored["w"]) if len(scored) else np.nan
            if len(rows):
                wanted[size, end, slice_] = (len(rows), len(scored), rows["dt"].nunique(), mean)
    own = found[found["slice"].isin(["all", "country=de", "country=new"])]
    keys = zip(own["window"], own["dt"], own["slice"].str.removeprefix("country="), strict=True)
    values = zip(own["rows"], own["n"], own["days"], own["log_loss"], strict=True)
    got = dict(zip(keys, values, strict=True))
    assert got.keys() == wanted.keys()
    for key, (rows, n, held, mean) in wanted.items():
        assert got[key][:3] == (rows, n, held)
        assert got[key][3] == pytest.approx(mean, rel=1e-12, nan_ok=True)


def test_texts_are_days_and_columns_may_have_any_name(spark, frame, state, tmp_path):
    renamed = frame.dropna(subset=["dt", "y"]).rename(columns={"country": "slice_0"})
    renamed.assign(end=renamed["dt"].astype(str)).to_parquet(tmp_path / "table.parquet")
    given = {"label": "y", "prediction": "p", "weight": "w"}
    of_texts = ls.evaluate(str(tmp_path), by=[["slice_0", "end"]], **given).state
    found = ls.windows(of_texts, over="end", sizes=[3], by="slice_0").toPandas()
    wanted = ls.windows(state, over="dt", sizes=[3], by="country").toPandas()
    of_dates = wanted.set_index(["dt", "slice"])["log_loss"]
    assert found["end"].map(type).eq(str).all()
    for row in found.itertuples():
        same = of_dates[dt.date.fromisoformat(row.end), row.slice.replace("slice_0=", "country=")]
        assert row.log_loss == pytest.approx(same, rel=1e-12)


def test_a_state_without_days_has_no_windows(state):
    for condition in ("dt IS NULL", "false"):
        none = ls.windows(state.where(condition), over="dt", sizes=SIZES, by="country")
        assert none.columns[:3] == ["dt", "window", "days"]
        assert none.count() == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"over": "day"}, "slice column 'day' is not in the state"),
        (
            {"over": "country"},
            "texts that windows go over must be dates as 2026-01-31, and 'country' has '(de|new|null)'",
        ),
        ({"by": "dt"}, "by must not name 'dt', which windows go over"),
        ({"by": "city"}, "slice column 'city' is not in the state"),
        ({"sizes": [0]}, "must be a whole number of 1 or more, got 0"),
    ],
)
def test_what_cannot_be_windows_is_an_error_of_one_line(state, given, words):
    with pytest.raises(ls.LogLossError, match=words) as caught:
        ls.windows(state, **({"over": "dt", "sizes": [7]} | given))
    assert "\n" not in str(caught.value)


def test_windows_go_over_days_alone(state):
    at = state.with_slice("at", F.expr("timestamp'2026-01-01 10:00:00'"))
    with pytest.raises(ls.SpecError, match="dates, or of texts as 2026-01-31, and 'at' is of type timestamp"):
        ls.windows(at, over="at", sizes=[1])
    named = state.with_slice("window", F.lit(1))
    with pytest.raises(ls.SpecError, match="must not have the name of a result, and 'window' has"):
        ls.windows(named, over="dt", sizes=[1], by="window")
