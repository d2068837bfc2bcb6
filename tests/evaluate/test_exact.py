"""Ranking and CORP on demand from the rows: scikit-learn's numbers, whole and by slice."""

import numpy as np
import pandas as pd
import pytest
import scipy.special
import sklearn.isotonic
import sklearn.metrics

import logloss_spark as ls
from logloss_spark.errors import SpecError


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(110)
    n = 600
    z = rng.normal(size=n).round(2) * 2
    p = 1 / (1 + np.exp(-z))
    p[:20], p[20:30] = 1e-7 * np.arange(20), 1.0
    day = rng.choice(["mon", "tue", None], n)
    y = (rng.random(n) < p).astype(int)
    return pd.DataFrame({"label": y, "p": p, "z": z, "day": day, "w": rng.gamma(1.0, size=n)})


def slices_of(frame):
    yield "all", frame
    for day in ("mon", "tue"):
        yield f"day={day}", frame[frame.day == day]
    yield "day=null", frame[frame.day.isna()]


@pytest.fixture(scope="module", params=[pytest.param("probability", marks=pytest.mark.connect), "logit"])
def measured(request, spark, frame):
    prediction = {"probability": "p", "logit": "z"}[request.param]
    asked = {"label": "label", "prediction": prediction, "weight": "w", "kind": request.param, "engine": "native"}
    df = spark.createDataFrame(frame)
    with ls.evaluate(df, by=[["day"]], auc="exact", calibration="exact", **asked) as evaluation:
        return prediction, evaluation.to_pandas().set_index("slice"), evaluation.metrics.columns


def test_ranking_is_that_of_scikit_learn(measured, frame):
    score, found, _ = measured
    for slice_, rows in slices_of(frame):
        y, s, w = rows["label"], rows[score], rows["w"]
        false, true, _ = sklearn.metrics.roc_curve(y, s, sample_weight=w, drop_intermediate=False)
        wanted = {
            "auc": sklearn.metrics.roc_auc_score(y, s, sample_weight=w),
            "average_precision": sklearn.metrics.average_precision_score(y, s, sample_weight=w),
            "ks": np.abs(true - false).max(),
        }
        for name, value in wanted.items():
            assert found.loc[slice_, name] == pytest.approx(value, rel=1e-12), (slice_, name)
            assert found.loc[slice_, f"{name}_bound"] == 0
        assert found.loc[slice_, "auc_low"] < wanted["auc"] < found.loc[slice_, "auc_high"]


def test_corp_is_the_isotonic_regression_of_scikit_learn_on_the_rows(measured, frame):
    score, found, _ = measured
    for slice_, rows in slices_of(frame):
        y, w = rows["label"], rows["w"]
        fitted = sklearn.isotonic.IsotonicRegression().fit_transform(rows[score], y, sample_weight=w)
        variance = np.average((fitted - y) ** 2, weights=w)
        mean = np.average(y, weights=w)
        row = found.loc[slice_]
        assert row["brier_miscalibration"] == pytest.approx(row["brier"] - variance, abs=1e-12)
        assert row["brier_discrimination"] == pytest.approx(mean * (1 - mean) - variance, abs=1e-12)
        entropy = np.average(scipy.special.entr(fitted) + scipy.special.entr(1 - fitted), weights=w)
        assert row["log_loss_miscalibration"] == pytest.approx(row["log_loss"] - entropy, abs=1e-12)
        assert row["log_loss_discrimination"] == pytest.approx(row["label_entropy"] - entropy, abs=1e-12)
        assert row["log_loss_corp_rest"] == row["brier_corp_rest"] == 0


def test_a_table_of_metrics_has_the_same_columns_either_way(measured, spark, frame):
    *_, columns = measured
    plain = ls.evaluate(spark.createDataFrame(frame), label="label", prediction="p", by=[["day"]], engine="native")
    assert columns == plain.metrics.columns


def test_slices_without_rows_or_with_one_class_have_no_ranking(spark):
    df = spark.createDataFrame([("a", 1, 0.9), ("b", None, 0.2)], "day string, label int, p double")
    with ls.evaluate(
        df, label="label", prediction="p", by=[["day"]], auc="exact", calibration="exact", engine="native"
    ) as evaluation:
        found = evaluation.to_pandas().set_index("slice")
    assert found["auc"].isna().all()
    assert found.loc["day=b", ["ks", "average_precision", "log_loss_miscalibration"]].isna().all()
    assert found.loc["day=a", "log_loss_miscalibration"] == pytest.approx(-np.log(0.9), rel=1e-12)


def test_what_is_exact_is_of_a_binary_number(spark):
    df = spark.createDataFrame([(1, [0.1, 0.9])], "label int, p array<double>")
    with pytest.raises(SpecError, match="give the positive class's as a number"):
        ls.evaluate(df, label="label", prediction="p", auc="exact")
    number = spark.createDataFrame([(1, 0.9)], "label int, p double")
    with pytest.raises(SpecError, match="decomposes cross-entropy, and the loss is 'focal'"):
        ls.evaluate(number, label="label", prediction="p", calibration="exact", loss="focal")
    with pytest.raises(SpecError, match="Did you mean 'exact'"):
        ls.evaluate(df, label="label", prediction="p", calibration="exct")
