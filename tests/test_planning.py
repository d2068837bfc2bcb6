"""How many rows find a difference: what a state says, and what is refused in one line."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import logloss_spark as ls
from logloss_spark.errors import DataError, SpecError

QUANTILES = scipy.stats.norm.ppf(0.975) + scipy.stats.norm.ppf(0.8)
MODELS = {"a": "a", "b": "b", "c": "c"}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 400)
    p = np.clip(0.2 + 0.6 * y + rng.normal(0, 0.15, (3, 400)), 0.01, 0.99)
    return y, p, -np.log(np.where(y == 1, p, 1 - p))


@pytest.fixture(scope="module")
def df(spark, rows, tmp_path_factory):
    y, p, _ = rows
    frame = pd.DataFrame({"y": y, "user": np.arange(400) % 50} | dict(zip("abc", p, strict=True)))
    folder = tmp_path_factory.mktemp("planning")
    frame.to_parquet(folder / "rows.parquet")
    return spark.read.parquet(str(folder))


@pytest.fixture(scope="module")
def evaluated(df):
    return ls.evaluate(df, label="y", prediction="a").state


@pytest.fixture(scope="module")
def compared(df):
    return ls.compare(df, label="y", predictions=MODELS, baseline="a").state


def needed(losses, difference, quantiles=QUANTILES):
    return np.ceil(np.var(losses, ddof=1) * (quantiles / difference) ** 2)


def test_of_an_evaluation_they_are_those_of_each_of_two_samples_or_of_one(rows, evaluated):
    loss = rows[2][0]
    assert ls.rows_needed(evaluated, difference=0.01) == needed(np.sqrt(2) * loss, 0.01)
    assert ls.rows_needed(evaluated, difference=-0.01, samples=1) == needed(loss, 0.01)


def test_of_a_comparison_they_are_paired(rows, compared):
    loss = rows[2]
    for place, challenger in ((1, "b"), (2, "c")):
        found = ls.rows_needed(compared, difference=0.01, challenger=challenger, power=0.9, confidence=0.99)
        quantiles = scipy.stats.norm.ppf(0.995) + scipy.stats.norm.ppf(0.9)
        assert found == needed(loss[place] - loss[0], 0.01, quantiles)


def test_as_many_rows_as_there_are_find_what_is_detectable(df, compared):
    for row in compared.comparison().collect():
        asked = {"difference": row.detectable * (1 + 1e-9), "challenger": row.challenger}
        assert ls.rows_needed(compared, **asked) == row.n
    clustered = ls.compare(df, label="y", predictions={"a": "a", "b": "b"}, baseline="a", cluster="user").state
    found = clustered.comparison().first()
    tail = scipy.stats.t(found.buckets - 1)
    assert found.detectable == pytest.approx((tail.ppf(0.975) + tail.ppf(0.8)) * found.difference_se, rel=1e-9)
    assert ls.rows_needed(clustered, difference=found.detectable * (1 + 1e-9)) == found.n


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"difference": 0}, "difference must be a number other than 0, in nats, got 0"),
        ({"difference": float("nan")}, "difference must be a number other than 0, in nats, got nan"),
        ({"difference": 0.1, "power": 0.5}, "power must lie between 0.5 and 1, got 0.5"),
        ({"difference": 0.1, "samples": 3}, "samples must be 1 or 2, got 3"),
        ({"difference": 0.1, "challenger": "b"}, "challenger must be left out for an evaluation, which has one model"),
    ],
)
def test_what_cannot_be_meant_of_an_evaluation_is_one_line(evaluated, asked, line):
    with pytest.raises(SpecError, match=line):
        ls.rows_needed(evaluated, **asked)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"samples": 2}, "samples must be left out for a comparison, whose rows are paired, got 2"),
        ({}, "challenger must be 'b' or 'c', got None"),
        ({"challenger": "B"}, "challenger must be 'b' or 'c', got 'B'. Did you mean 'b'?"),
    ],
)
def test_what_cannot_be_meant_of_a_comparison_is_one_line(compared, asked, line):
    with pytest.raises(SpecError) as refused:
        ls.rows_needed(compared, difference=0.1, **asked)
    assert str(refused.value) == line


def test_an_evaluation_is_not_its_state(df):
    line = "must be of type State, got a logloss_spark Evaluation: give the .state of an evaluation"
    with ls.evaluate(df, label="y", prediction="a") as evaluation, pytest.raises(SpecError, match=line):
        ls.rows_needed(evaluation, difference=0.1)


def test_a_row_alone_says_nothing_of_others(df):
    state = ls.evaluate(df.limit(1), label="y", prediction="a").state
    with pytest.raises(DataError, match="the state must have a standard error, got 1 scored row"):
        ls.rows_needed(state, difference=0.1)
