"""Ranking and CORP of the rows: scikit-learn's numbers, whole and by slice, whether few rows or all are sorted."""

import numpy as np
import pandas as pd
import pytest
import scipy.special
import sklearn.isotonic
import sklearn.metrics

import logloss_spark as ls
from logloss_spark import evaluation as module
from logloss_spark.errors import SpecError
from tests.quick import slow
from tests.same import assert_same_metrics


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


WAYS = {
    "few probabilities": ("p", "probability", 600, {}),
    "few logits": ("z", "logit", 600, {"auc": "exact"}),
    "many probabilities": ("p", "probability", 599, {"auc": "exact", "calibration": "exact"}),
    "many logits": ("z", "logit", 599, {"auc": "exact", "calibration": "exact"}),
}
"""The prediction and its kind, the most rows that are few, and the options that then make 600 rows exact."""


@pytest.fixture(
    scope="module",
    params=[
        slow("few probabilities"),
        pytest.param("few logits", marks=pytest.mark.connect),
        "many probabilities",
        slow("many logits"),
    ],
)
def measured(request, spark, frame):
    prediction, kind, limit, sources = WAYS[request.param]
    asked = {"label": "label", "prediction": prediction, "weight": "w", "kind": kind, "engine": "native"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SMALL", limit)
        with ls.evaluate(spark.createDataFrame(frame), by=[["day"]], **asked, **sources) as evaluation:
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


def test_beyond_the_limit_both_are_those_of_the_cells_unless_asked_for(spark, frame, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 599)
    df = spark.createDataFrame(frame)
    asked = {"label": "label", "prediction": "p", "weight": "w", "by": [["day"]], "engine": "native"}
    with ls.evaluate(df, **asked) as evaluation:
        assert evaluation.sources == {"auc": "cells", "calibration": "cells"}
        assert_same_metrics(evaluation.to_pandas(), evaluation.state.metrics(by=[["day"]]).toPandas())
    with ls.evaluate(df, **asked, auc="exact") as evaluation:
        assert evaluation.sources == {"auc": "rows", "calibration": "cells"}


def test_few_rows_have_the_numbers_of_scikit_learn_where_cells_are_far_off(spark):
    rng = np.random.default_rng(92)
    p = rng.beta(8, 2, 92)
    frame = pd.DataFrame({"label": (rng.random(92) < p**2).astype(int), "p": p})
    with ls.evaluate(spark.createDataFrame(frame), label="label", prediction="p", engine="native") as evaluation:
        assert evaluation.sources == {"auc": "rows", "calibration": "rows"}
        found = evaluation.to_pandas().iloc[0]
        by_cells = evaluation.state.metrics().toPandas().iloc[0]
    fitted = sklearn.isotonic.IsotonicRegression().fit_transform(frame["p"], frame["label"])
    entropy = np.mean(scipy.special.entr(fitted) + scipy.special.entr(1 - fitted))
    wanted = sklearn.metrics.log_loss(frame["label"], frame["p"]) - entropy
    assert found["log_loss_miscalibration"] == pytest.approx(wanted, abs=1e-12)
    assert abs(by_cells["log_loss_miscalibration"] / wanted - 1) > 0.01
    auc = sklearn.metrics.roc_auc_score(frame["label"], frame["p"])
    assert found["auc"] == pytest.approx(auc, rel=1e-12)
    assert found["auc_bound"] == 0 < by_cells["auc_bound"]
    # DeLong: how many of the other class each row is on the right side of, pairs of equal scores counting one half.
    positive, negative = (p[frame["label"] == label] for label in (1, 0))
    above = np.sign(positive[:, np.newaxis] - negative) / 2 + 0.5
    influences = [(above.mean(axis=side) - auc) / above.shape[1 - side] for side in (1, 0)]
    error = np.sqrt(92 / 91 * sum((influence**2).sum() for influence in influences))
    assert found["auc_se"] == pytest.approx(error, rel=1e-9)  # squares cancel in it


def test_predictions_per_class_and_other_losses_keep_to_the_cells_unasked(spark, tmp_path):
    pd.DataFrame({"label": [1], "both": [[0.1, 0.9]], "p": [0.9]}).to_parquet(tmp_path / "table.parquet")
    assert ls.evaluate(str(tmp_path), label="label", prediction="both").sources == {}
    of_focal = ls.evaluate(str(tmp_path), label="label", prediction="p", loss="focal")
    assert of_focal.sources == {"auc": "rows", "calibration": "cells"}


@pytest.fixture(scope="module")
def columns_by_cells(spark, frame, tmp_path_factory):
    """The columns of a table of metrics that nothing but a state is needed for."""
    folder = tmp_path_factory.mktemp("table")
    frame.to_parquet(folder / "table.parquet")
    asked = {"label": "label", "prediction": "p", "by": [["day"]]}
    return ls.evaluate(str(folder), auc="cells", calibration="cells", **asked).metrics.columns


def test_a_table_of_metrics_has_the_same_columns_either_way(measured, columns_by_cells):
    *_, columns = measured
    assert columns == columns_by_cells


@pytest.mark.parametrize("limit", [slow(0), 2], ids=["many", "few"])
def test_slices_without_rows_or_with_one_class_have_no_ranking(spark, monkeypatch, limit):
    monkeypatch.setattr(module, "SMALL", limit)
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
    with pytest.raises(SpecError, match="needs the loss cross_entropy, got 'focal'"):
        ls.evaluate(number, label="label", prediction="p", calibration="exact", loss="focal")
    with pytest.raises(SpecError, match="Did you mean 'exact'"):
        ls.evaluate(df, label="label", prediction="p", calibration="exct")
