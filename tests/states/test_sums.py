"""The sums that means are made of lose no digit: in each engine, under any partitioning, merged or whole."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.kernels.cross_entropy import binary_from_probability
from tests.quick import quick, slow

ENGINES = [slow("pandas"), pytest.param("native", marks=pytest.mark.connect)]
FIFTHS = {"label": "label", "prediction": "p", "classes": range(5)}


@pytest.fixture(scope="module")
def fifths(spark):
    """420 forecasts of 1/5 for five classes, with weights that are no multiples of a power of two."""
    rows = spark.range(420, numPartitions=1)  # plain sums of so many are off by some digits already
    weights = "0.1 + (id % 3) / 7D AS w", "if(id % 2 = 0, 1e-9, 1e7) * (1 + id % 5) AS uneven"
    return rows.selectExpr(
        "CAST(id % 5 AS INT) AS label", "array_repeat(0.2D, 5) AS p", *weights, "id % 4 AS part"
    ).persist()


@pytest.mark.parametrize("engine", ENGINES)
def test_forecasts_of_one_fifth_cost_ln_5_to_the_last_bit(fifths, engine):
    found = {
        (partitions, weight): ls.log_loss(
            fifths.repartition(partitions), "label", "p", weight=weight, classes=range(5), engine=engine
        )
        for partitions, weight in [(1, None), (7, "w"), (3, "uneven")]
    }
    assert found == dict.fromkeys(found, math.log(5))


@pytest.mark.parametrize("weight", [slow(None), "w"])
def test_states_keep_the_last_bit_whole_by_slices_and_merged(fifths, weight):
    roles = FIFTHS | {"weight": weight, "by": [["part"]], "engine": "native"}
    halves = [ls.evaluate(fifths.where(half).repartition(3), **roles).state for half in ("part < 2", "part >= 2")]
    for state, slices in ((halves[0], 3), (ls.merge(*halves).persist(), 5)):
        found = state.metrics(by=[["part"]]).toPandas()
        assert found.log_loss.tolist() == [math.log(5)] * slices
        assert [list(means) for means in found.prediction_mean] == [[0.2] * 5] * slices
        # (1 - p)^2 + 4 p^2 of the double next to 1/5 is not 4/5.
        assert set(found.brier) == {0.8 + 2.0**-53}


def test_a_comparison_keeps_the_last_bit(fifths):
    quarters = fifths.withColumn("q", F.expr("array(0.25D, 0.25D, 0.25D, 0.125D, 0.125D)")).where("label < 3")
    models = {"a": "p", "b": "q"}
    contest = ls.compare(
        quarters.repartition(3),
        label="label",
        predictions=models,
        baseline="a",
        weight="w",
        classes=range(5),
        engine="native",
    )
    row = contest.metrics.first()
    assert (row.baseline_log_loss, row.challenger_log_loss) == (math.log(5), math.log(4))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(11)
    n = 3000
    p = rng.beta(0.3, 2, n)
    return pd.DataFrame({"label": (rng.random(n) < p).astype(int), "p": p, "w": rng.gamma(0.5, size=n)})


@pytest.mark.parametrize("scale", quick([1.0, 1e-12, 1e12], 1.0), ids=str)
def test_means_are_those_of_exact_arithmetic_rounded_once(spark, rows, scale):
    w, y, p = rows.w.to_numpy() * scale, rows.label.to_numpy(), rows.p.to_numpy()
    loss = binary_from_probability(y, p, cap=-math.log(1e-15))
    total = sum(map(Fraction, w))

    def mean(terms):
        return float(sum(Fraction(weight) * term for weight, term in zip(w, terms, strict=True)) / total)

    error = [Fraction(float(1 - p[k] if y[k] else p[k])) for k in range(len(p))]
    wanted = {
        "log_loss": mean(map(Fraction, loss)),
        "brier": mean([Fraction(float(x) * float(x)) for x in error]),
        "label_mean": mean(map(Fraction, y.tolist())),
        "prediction_mean": mean(map(Fraction, p)),
    }
    df = spark.createDataFrame(rows.assign(w=w)).repartition(5)
    found = ls.evaluate(df, label="label", prediction="p", weight="w").to_pandas().iloc[0]
    if scale == 1.0:
        assert found[list(wanted)].to_dict() == wanted
    else:  # far from 1 sums are as exact as plain ones are
        assert found[list(wanted)].to_dict() == pytest.approx(wanted, rel=1e-14)


def test_an_infinite_loss_stays_infinite_and_so_when_it_is_merged(spark):
    df = spark.createDataFrame([(0, 1, 0.0, 0.3), (1, 1, 0.5, 0.7)], "part int, label int, p double, w double")
    roles = {"label": "label", "prediction": "p", "weight": "w", "clip": "none", "engine": "native"}
    states = [ls.evaluate(df.where(F.col("part") == part), **roles).state for part in (0, 1)]
    row = ls.merge(*states).metrics().first()
    assert row.log_loss == math.inf
    assert row.brier == pytest.approx(0.3 + 0.7 / 4, rel=1e-15)
    assert states[0].table.where("wl_low = 'NaN'").count() == 0
    assert ls.log_loss(df, "label", "p", weight="w", clip="none") == math.inf


def test_hardly_any_weight_is_weight(spark):
    df = spark.createDataFrame([(1, 0.5, 1e-30), (0, 0.25, 1e-30)], "label int, p double, w double")
    assert ls.log_loss(df, "label", "p", weight="w") == pytest.approx((math.log(2) - math.log(0.75)) / 2, rel=1e-15)
