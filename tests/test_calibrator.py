"""Calibrators of states: what they make of a table, what they promise, how they are stored, and what is refused."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import DataError, MissingInputError, SpecError
from logloss_spark.states import small
from logloss_spark.statistics.recalibration import METHODS
from tests.scores import fall_on, losses, simulated

ROWS = 3_000


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(170)
    p, y = simulated(rng, ROWS)
    columns = {"day": rng.integers(0, 6, ROWS), "user": rng.integers(0, 200, ROWS), "y": y.astype(int), "p": p}
    return pd.DataFrame(columns | {"z": np.log(p / (1 - p))})


@pytest.fixture(scope="module")
def df(spark, frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrator")
    frame.to_parquet(folder / "rows.parquet")
    return spark.read.parquet(str(folder))


@pytest.fixture(scope="module")
def state(df):
    return ls.evaluate(df, label="y", prediction="p", by="day").state


@pytest.fixture(scope="module")
def of_logits(df):
    """The same rows by their logits, and with clusters."""
    return ls.evaluate(df, label="y", prediction="z", kind="logit", by="day", cluster="user").state


def test_a_table_gets_what_numpy_computes_and_nulls_where_there_is_no_forecast(spark, state):
    odd = [0.0, 1e-300, 0.3, 0.5, 1 - 1e-16, 1.0, np.nan, -0.1, 1.1]
    table = spark.createDataFrame([(p,) for p in [*odd, None]], "p double")
    for method in ("isotonic", "beta"):
        calibrator = state.calibrator(method)
        found = [row.calibrated for row in calibrator.transform(table, prediction="p").collect()]
        wanted = calibrator.predict(odd)
        assert found[:6] == wanted[:6].tolist()
        assert np.isnan(wanted[6:]).all()
        assert found[6:] == [None] * 4
        assert 0 < wanted[0] <= wanted[5] < 1


def test_logits_become_logits(spark, frame, state, of_logits):
    for method in ("platt", "beta", "temperature"):
        ours, theirs = of_logits.calibrator(method), state.calibrator(method)
        p = np.array([0.01, 0.3, 0.9])
        q = theirs.predict(p)
        assert ours.predict(np.log(p / (1 - p))) == pytest.approx(np.log(q / (1 - q)), rel=1e-9)
    isotonic = of_logits.calibrator()
    assert 1 / (1 + np.exp(-isotonic.predict(frame.z))) == pytest.approx(state.calibrator().predict(frame.p), rel=1e-9)
    table = spark.createDataFrame([(float("inf"),), (float("-inf"),), (float("nan"),), (None,)], "z double")
    found = [row.new for row in isotonic.transform(table, prediction="z", output="new").collect()]
    assert found[:2] == isotonic.predict([np.inf, -np.inf]).tolist()
    assert np.isfinite(found[:2]).all()
    assert found[2:] == [None, None]


def test_a_prediction_is_a_column_a_name_or_a_path(df, state):
    calibrator = state.calibrator("platt")
    table = df.select("p", F.array(1 - F.col("p"), "p").alias("both.of"), F.lit("x").alias("calibrated")).limit(20)
    wanted = calibrator.predict([row.p for row in table.collect()]).tolist()
    out = table
    for place, prediction in enumerate(("p", "P", "both.of[1]", F.col("`both.of`")[1], F.col("p").cast("double"))):
        out = calibrator.transform(out, prediction=prediction, output=f"new {place}")
    names = [f"new {place}" for place in range(5)]
    assert out.columns == ["p", "both.of", "calibrated", *names]
    found = out.toPandas()
    assert [found[name].tolist() for name in names] == [wanted] * 5
    twice = df.select("p", "p", F.col("p").alias("q")).limit(1)
    assert calibrator.transform(twice, prediction="q").columns == ["p", "p", "q", "calibrated"]


def test_recalibrated_forecasts_lose_as_little_as_the_calibrator_promised(frame, state):
    known, held_out = state.where("day < 3"), state.where("day >= 3")
    new = frame[frame.day >= 3]
    for method in ("isotonic", "platt"):
        calibrator = known.calibrator(method, held_out=held_out)
        fall = losses(new.p, new.y).mean() - losses(calibrator.predict(new.p), new.y).mean()
        assert calibrator.gain.rows == len(new)
        assert calibrator.gain.value == pytest.approx(fall, abs=calibrator.gain.se / 4)


def test_over_a_slice_column_the_gain_is_that_of_each_slice_by_the_curve_of_the_others(df, frame, state):
    calibrator = state.calibrator("beta", over="day")
    falls = []
    for day in range(6):
        curve = state.where(f"day <> {day}").calibrator("beta").curve
        of_day = frame[frame.day == day]
        falls.append(fall_on(curve, of_day.p.to_numpy(), of_day.y.to_numpy()))
    rows = np.concatenate(falls)
    gain = calibrator.gain
    assert gain.value == pytest.approx(rows.mean(), abs=gain.se / 20)
    assert gain.se == pytest.approx(np.hypot(rows.std() / np.sqrt(ROWS), np.sqrt(2 * 3) / ROWS), rel=0.01)
    assert (
        gain.high - gain.value == pytest.approx(gain.value - gain.low) == pytest.approx(1.96 * 2**0.5 * gain.se, 1e-4)
    )
    assert (gain.rows, gain.measured) == (ROWS, "each of 6 slices by day, held out")


def test_a_large_state_gives_the_same_calibrator(state, monkeypatch):
    wanted = [state.calibrator(over="day").to_json(), state.calibrator().to_json()]
    spread = ls.State(state.table)
    assert spread.checked.local is None
    found = [spread.calibrator(over="day"), spread.calibrator()]
    for ours, theirs in zip(found, map(ls.Calibrator.from_json, wanted), strict=True):
        assert ours.curve.probabilities == pytest.approx(theirs.curve.probabilities, rel=1e-12)
        assert ours.curve.scores == pytest.approx(theirs.curve.scores, rel=1e-12)
    assert found[0].gain.value == pytest.approx(ls.Calibrator.from_json(wanted[0]).gain.value, rel=1e-9)
    monkeypatch.setattr(small, "SMALL_STATE", 100)
    with pytest.raises(SpecError, match="over must be a slice column of few plain values, got 'day'"):
        spread.calibrator(over="day")


def test_with_clusters_the_interval_is_theirs(state, of_logits):
    rows, users = (of.calibrator("platt", over="day").gain for of in (state, of_logits))
    assert users.value == pytest.approx(rows.value, rel=1e-6)
    # The rows of a user are independent here, so that the error is the same, as well as 64 buckets can tell.
    assert users.se == pytest.approx(rows.se, rel=0.3)
    assert abs(users.se / rows.se - 1) > 1e-3


def test_two_entries_of_two_classes_determine_a_temperature(df, state):
    both = df.select("y", F.array(1 - F.col("p"), "p").alias("v"))
    vectors = ls.evaluate(both, label="y", prediction="v").state
    assert vectors.calibrator("temperature").curve.a == pytest.approx(state.calibrator("temperature").curve.a, rel=1e-3)
    with pytest.raises(SpecError, match="method must be 'temperature' for a forecast with an entry for each of two"):
        vectors.calibrator("platt")


def test_a_calibrator_is_stored_and_read_as_it_was(state, tmp_path):
    for method in METHODS:
        calibrator = state.calibrator(method, over="day")
        assert ls.Calibrator.from_json(calibrator.to_json()).to_json() == calibrator.to_json()
    path = str(tmp_path / "calibrator")
    calibrator.save(path)
    assert ls.Calibrator.load(path).to_json() == calibrator.to_json()
    with pytest.raises(SpecError, match="a calibrator must be written to a new path"):
        calibrator.save(path)
    state.calibrator().save(path, overwrite=True)
    assert ls.Calibrator.load(path).gain is None
    with pytest.raises(MissingInputError, match="a calibrator must be read from where it was saved"):
        ls.Calibrator.load(str(tmp_path / "nowhere"))


def test_it_says_what_it_gains_and_where_that_was_measured(state):
    known = repr(state.calibrator("platt", over="day"))
    assert re.fullmatch(
        r"Calibrator\(platt, fitted to 3,000 rows, gain 0\.0\d+ \(-?0\.0\d+ to 0\.0\d+\) "
        r"on each of 6 slices by day, held out\)",
        known,
    )
    assert "gain unknown: it takes rows of no fit" in repr(state.calibrator("platt"))


def test_a_gain_may_be_infinite_where_forecasts_that_ruled_out_what_happened_are_not_clipped(spark):
    rows = [(part, y, p) for part in "ab" for y, p in [(1, 0.0), (0, 0.2), (1, 0.3), (0, 0.6), (1, 0.7)] * 4]
    df = spark.createDataFrame(rows, "part string, y int, p double")
    state = ls.evaluate(df, label="y", prediction="p", clip="none", by="part").state
    calibrator = state.calibrator("platt", over="part")
    assert (calibrator.gain.value, calibrator.gain.low) == (np.inf, None)
    stored = json.loads(calibrator.to_json(), parse_constant=pytest.fail)
    assert stored["gain"]["value"] == "Infinity"
    assert ls.Calibrator.from_json(calibrator.to_json()).gain == calibrator.gain


EDITED = {
    "format": ("other", "its format must be 'logloss_spark.Calibrator', got 'other'"),
    "version": (2, "its version must be 1, got 2"),
    "method": ("plat", "method must be 'isotonic', 'platt', 'beta' or 'temperature', got 'plat'"),
    "kind": ("margin", "kind must be 'probability' or 'logit', got 'margin'"),
    "rows": ("many", "rows must be a whole number, got 'many'"),
    "curve": (
        {"scores": [0.2, 0.1], "probabilities": [0.1, 0.2]},
        "as many probabilities as scores, neither of them falling",
    ),
    "gain": ({"value": 0.1}, "gain.se is missing"),
}


@pytest.mark.parametrize("key", EDITED)
def test_a_calibrator_that_was_edited_is_refused_in_one_line(state, key):
    value, line = EDITED[key]
    stored = json.loads(state.calibrator().to_json())
    with pytest.raises(DataError, match="a calibrator must be JSON that to_json wrote") as refused:
        ls.Calibrator.from_json(json.dumps(stored | {key: value}))
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(DataError, match=f"'{key}' is missing"):
        ls.Calibrator.from_json(json.dumps({name: entry for name, entry in stored.items() if name != key}))


def test_coefficients_that_were_edited_are_refused(state):
    stored = json.loads(state.calibrator("platt").to_json())
    for value in (float("nan"), -1.0):
        with pytest.raises(DataError, match="curve must have finite coefficients and slopes of at least 0"):
            ls.Calibrator.from_json(json.dumps(stored | {"curve": stored["curve"] | {"a": value}}))


def test_what_cannot_be_meant_is_one_line(df, state, of_logits):
    refused = [
        ({"method": "plat"}, "method must be 'isotonic', 'platt', 'beta' or 'temperature', got 'plat'"),
        ({"over": "dy"}, "slice column 'dy' is not in the state"),
        ({"held_out": state}, "held_out must be a state of other rows, got one that shares an evaluation"),
        ({"held_out": of_logits}, "held_out must be a state that was made alike; it differs in kind"),
        ({"held_out": of_logits, "over": "day"}, "one of held_out and over must be left out, got both"),
        ({"confidence": 1}, "confidence must lie between 0 and 1, got 1"),
    ]
    for asked, line in refused:
        with pytest.raises(SpecError, match=line):
            state.calibrator(**asked)
    with pytest.raises(SpecError, match="over must be a slice column of two values or more, got 'day', which has one"):
        state.where("day = 1").calibrator(over="day")
    with pytest.raises(SpecError, match="prediction column 'q' is not in the table"):
        state.calibrator().transform(df, prediction="q")
    with pytest.raises(SpecError, match="new columns must have new names, got output='p'"):
        state.calibrator().transform(df, prediction="p", output="p")
    for column in (F.array("p"), F.col("p").cast("string")):
        with pytest.raises(SpecError, match="prediction column must be numeric, got "):
            state.calibrator().transform(df, prediction=column)


def test_a_state_without_rows_fits_and_measures_nothing(df, state):
    none = ls.evaluate(df.limit(0), label="y", prediction="p").state
    with pytest.raises(DataError, match="to be fitted to, got none at all"):
        none.calibrator()
    with pytest.raises(DataError, match="held_out must have scored rows, got none"):
        state.calibrator(held_out=none)


def test_a_comparison_has_no_calibrator(df):
    compared = ls.compare(df.withColumn("q", F.lit(0.5)), label="y", predictions={"a": "p", "b": "q"}, baseline="a")
    with pytest.raises(SpecError, match="this is the state of a comparison"):
        compared.state.calibrator()


@pytest.mark.connect
def test_a_calibrator_serves_over_connect(df, frame, state):
    calibrator = state.calibrator(over="day")
    table = calibrator.transform(df, prediction="p")
    after = ls.log_loss(table, "y", "calibrated")
    q = calibrator.predict(frame.p)
    assert after == pytest.approx(losses(q, frame.y).mean(), rel=1e-12)
    assert calibrator.gain.low < calibrator.gain.value < calibrator.gain.high
