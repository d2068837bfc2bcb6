"""How well forecasts for K classes rank each class against the rest, read off a state: scikit-learn's AUC."""

import numpy as np
import pandas as pd
import pytest
import scipy.special
import sklearn.metrics

import logloss_spark as ls
from tests.quick import quick


@pytest.fixture(scope="module", params=quick(["auto", "native", "pandas"], "auto"))
def forecasts_of_classes(request, spark, tmp_path_factory):
    """500 weighted forecasts for four classes, in two slices, one of which lacks a class, and the metrics of both."""
    rng = np.random.default_rng(121)
    n = 500
    z = rng.normal(size=(n, 4)) * 1.5
    p = np.round(scipy.special.softmax(z, axis=1), 3)
    p[:, 0] += 1 - p.sum(axis=1)
    y = np.array([rng.choice(4, p=row / row.sum()) for row in np.clip(p, 0, 1)])
    half = (np.arange(n) % 2 + (y == 3)).clip(max=1)
    frame = pd.DataFrame({"y": y, "half": half, "w": rng.gamma(2, size=n), "p": p.tolist()})
    folder = tmp_path_factory.mktemp("table")
    frame.to_parquet(folder / "table.parquet")
    asked = {"label": "y", "prediction": "p", "weight": "w", "classes": range(4), "by": [["half"]]}
    with ls.evaluate(spark.read.parquet(str(folder)), engine=request.param, **asked) as evaluation:
        found = evaluation.to_pandas().set_index("slice")
        merged = ls.merge(evaluation.state)
        yield frame, found, merged.metrics(by=[["half"]]).toPandas().set_index("slice")


def test_one_vs_rest_auc_is_that_of_scikit_learn_within_its_bound(forecasts_of_classes):
    frame, found, stored = forecasts_of_classes
    for slice_, rows in (("all", frame), ("half=1", frame[frame.half == 1])):
        p, w = np.array(rows.p.tolist()), rows.w
        p /= p.sum(axis=1, keepdims=True)  # scikit-learn takes no sum of 1 - 2^-53
        macro = sklearn.metrics.roc_auc_score(rows.y, p, multi_class="ovr", average="macro", sample_weight=w)
        row = found.loc[slice_]
        assert abs(row["auc"] - macro) <= row["auc_bound"] < 0.01
        for k in range(4):
            wanted = sklearn.metrics.roc_auc_score(rows.y == k, p[:, k], sample_weight=w)
            assert abs(row["class_auc"][k] - wanted) <= row["class_auc_bound"][k], (slice_, k)
        assert stored.loc[slice_, "auc"] == pytest.approx(row["auc"], rel=1e-12)


def test_a_slice_in_which_a_class_never_happens_has_no_mean_over_classes(forecasts_of_classes):
    _, found, _ = forecasts_of_classes
    row = found.loc["half=0"]
    assert np.isnan(row["auc"])
    assert np.isnan(row["class_auc"]).tolist() == [False, False, False, True]


@pytest.mark.slow
def test_of_two_classes_the_auc_is_that_of_the_binary_forecast(spark):
    rng = np.random.default_rng(122)
    p = rng.random(400)
    frame = pd.DataFrame(
        {"y": (rng.random(400) < p).astype(int), "p": p, "both": np.stack([1 - p, p], axis=1).tolist()}
    )
    df = spark.createDataFrame(frame)
    binary, of_two = (
        ls.evaluate(df, label="y", prediction=prediction, engine="native", **more).to_pandas().loc[0]
        for prediction, more in (("p", {"auc": "cells"}), ("both", {}))
    )
    for name in ("auc", "auc_bound"):
        assert of_two[name] == pytest.approx(binary[name], rel=1e-12)
    assert binary["class_auc"] is None


def test_beyond_32_classes_none_is_ranked_against_the_rest(spark):
    df = spark.createDataFrame([(0, [1 / 40] * 40)], "y int, p array<double>")
    found = ls.evaluate(df, label="y", prediction="p", classes=range(40), engine="native").to_pandas().loc[0]
    assert np.isnan(found["auc"])
    assert found["class_auc"] is None
