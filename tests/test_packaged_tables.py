"""Real tables that scikit-learn brings, so that they are everywhere: its own forecasts of them, and its scores."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from pyspark.sql import SparkSession
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import logloss_spark as ls
from tests.quick import quick

SUMS = 1e-12
"""Relative: what sums agree to, whatever the order they were added in."""


def forecasts(data) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a table's odd rows, and what a model that was fitted to its even rows says of them."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(data.data[::2], data.target[::2])
    return data.target[1::2], model.predict_proba(data.data[1::2])


@pytest.mark.parametrize("engine", quick(["pandas", "native"], "native"))
def test_two_classes_score_as_in_scikit_learn_whole_and_by_slice(spark: SparkSession, engine: str) -> None:
    data = load_breast_cancer()
    labels, p = forecasts(data)
    large = data.data[1::2, 0] > np.median(data.data[:, 0])
    frame = pd.DataFrame({"label": labels, "p": p[:, 1], "large": large})
    table = spark.createDataFrame(frame)
    asked = {"label": "label", "prediction": "p", "by": [["large"]], "engine": engine, "auc": "exact"}
    found = ls.evaluate(table, **asked).to_pandas().set_index("slice")
    for slice_, part in {"all": frame, "large=true": frame[large], "large=false": frame[~large]}.items():
        row = found.loc[slice_]
        assert row["n"] == len(part)
        assert row["log_loss"] == pytest.approx(sklearn.metrics.log_loss(part.label, part.p), rel=SUMS)
        assert row["brier"] == pytest.approx(sklearn.metrics.brier_score_loss(part.label, part.p), rel=SUMS)
        assert row["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(part.label, part.p), rel=SUMS)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["pandas", "native"])
def test_ten_classes_score_as_in_scikit_learn(spark: SparkSession, engine: str) -> None:
    labels, p = forecasts(load_digits())
    table = spark.createDataFrame(pd.DataFrame({"label": labels, "p": list(p)}))
    found = ls.evaluate(table, label="label", prediction="p", classes=range(10), engine=engine).to_pandas().iloc[0]
    assert found["log_loss"] == pytest.approx(sklearn.metrics.log_loss(labels, p), rel=SUMS)
    assert found["accuracy"] == sklearn.metrics.accuracy_score(labels, p.argmax(axis=1))
    assert found["brier"] == pytest.approx(((p - np.eye(10)[labels]) ** 2).sum(axis=1).mean(), rel=SUMS)


@pytest.mark.parametrize(
    "data", quick([load_breast_cancer, load_wine], load_wine), ids=["two classes", "three classes"]
)
def test_a_fit_finds_the_penalised_model_that_scikit_learn_finds(spark: SparkSession, data) -> None:
    x, y = StandardScaler().fit_transform(data().data), data().target
    theirs = LogisticRegression(C=1 / (0.01 * len(y)), solver="newton-cg", tol=1e-10, max_iter=1000).fit(x, y)
    table = spark.createDataFrame(pd.DataFrame({"x": x.tolist(), "y": y}))
    model = ls.fit_logistic(table, features="x", label="y", reg_param=0.01, standardization=False)
    # Both stop near the optimum: their gradients are below 1e-8, the curvature is 0.01 or more.
    np.testing.assert_allclose(model.coefficients, theirs.coef_, atol=1e-6)
