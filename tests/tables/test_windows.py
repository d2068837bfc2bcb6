"""Metrics of windows of days are those of the sum of their days, on the driver and in Spark."""

import datetime as dt
import itertools
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
def table(spark, frame):
    several = F.array("p", (1 - F.col("p")) * 0.75, (1 - F.col("p")) * 0.25)
    class_ = F.when(F.col("y").isNotNull(), F.when(F.col("y") == 1, 0).when(F.col("user") % 3 == 0, 2).otherwise(1))
    made = spark.createDataFrame(
        frame, "dt date, country string, device string, user long, y double, p double, w double"
    )
    return made.withColumns({"several": several, "class": class_}).replace(float("nan"), None, ["y"])


GIVEN: dict[str, dict[str, Any]] = {
    "binary": {"label": "y", "prediction": "p", "weight": "w"},
    "clustered": {"label": "y", "prediction": "p", "cluster": "user"},
    "classes": {"label": "class", "prediction": "several"},
}
OTHERS = ("clustered", "classes")
BY = [["country"], ["country", "device"]]


def state_of(table, name="binary", by=(["dt", "country", "device"],)):
    return ls.evaluate(table, by=[*by], engine="native", auc="cells", calibration="cells", **GIVEN[name]).state


@pytest.fixture(scope="module")
def state(table):
    return state_of(table)


def collected(table):
    frame = table.toPandas()
    return frame.sort_values(["grouping_id", "slice", "window", "dt"], ignore_index=True)


def by_window(frame):
    """A table by windows whose slices have the window in their name."""
    named = frame["dt"].astype(str) + " " + frame["window"].astype(str) + " " + frame["slice"]
    return frame.drop(columns=["dt", "window", "days"]).assign(slice=named)


@pytest.mark.connect
@pytest.mark.parametrize("name", ["binary", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_windows_are_the_same_on_the_driver_and_in_spark(table, monkeypatch, name):
    found = []
    for most in (0, small.SMALL_STATE):
        with monkeypatch.context() as patched:
            patched.setattr(small, "SMALL_STATE", most)
            patched.setattr(windows_, "SMALL_DAYS", most)
            made = ls.windows(state_of(table, name), over="dt", sizes=SIZES, by=BY)
            found.append((made.schema, collected(made)))
    (schema, in_spark), (same_schema, here) = found
    assert [(field.name, field.dataType) for field in schema] == [(field.name, field.dataType) for field in same_schema]
    assert schema.names[:6] == ["dt", "window", "days", "country", "device", "slice"]
    keys = ["dt", "window", "days", "slice", "grouping_id"]
    pd.testing.assert_frame_equal(in_spark[keys], here[keys])
    assert_same_metrics(by_window(here), by_window(in_spark))


def test_a_window_is_the_sum_of_its_days(state):
    found = ls.windows(state, over="dt", sizes=SIZES, by=[["country"]]).toPandas()
    for window, end in ((3, FIRST + dt.timedelta(5)), (7, FIRST + dt.timedelta(11))):
        start = end - dt.timedelta(window - 1)
        wanted = state.where(f"dt BETWEEN DATE'{start}' AND DATE'{end}'").metrics(by="country").toPandas()
        of_window = found[(found["window"] == window) & (found["dt"] == end)]
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


def test_texts_are_days_and_columns_may_have_any_name(spark, frame, state):
    renamed = spark.createDataFrame(
        [(str(row.dt), row.country, row.y, row.p, row.w) for row in frame.dropna(subset=["dt", "y"]).itertuples()],
        "`end` string, `slice_0` string, y double, p double, w double",
    )
    given = {"label": "y", "prediction": "p", "weight": "w", "engine": "native"}
    of_texts = ls.evaluate(renamed, by=[["slice_0", "end"]], **given).state
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


def test_windows_go_over_days_alone(spark):
    moments = spark.sql("SELECT timestamp'2026-01-01 10:00:00' AS at, 1 AS window, 1 AS y, 0.5D AS p")
    state = ls.evaluate(moments, "y", "p", by=[["at", "window"]]).state
    with pytest.raises(ls.SpecError, match="dates, or of texts as 2026-01-31, and 'at' is of type timestamp"):
        ls.windows(state, over="at", sizes=[1])
    dated = ls.evaluate(moments.withColumn("at", F.to_date("at")), "y", "p", by=[["at", "window"]]).state
    with pytest.raises(ls.SpecError, match="must not have the name of a result, and 'window' has"):
        ls.windows(dated, over="at", sizes=[1], by="window")
