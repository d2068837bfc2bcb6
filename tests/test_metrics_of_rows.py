"""Every metric equals its definition, computed straight from the rows by other software."""

import numpy as np
import pytest
import sklearn.metrics

import logloss_spark as ls
from tests import oracle
from tests.cases import FORMS, cases_of, rows_of, table_of
from tests.quick import quick, slow

SUMS = 1e-12
"""Relative: what sums agree to, whatever the order they were added in."""

DIFFERENCES = 1e-12
"""Absolute, in units of the loss: a difference of two sums has no digits of its own."""

ERRORS = 1e-6
"""Relative: a variance is what is left of squares that cancel."""

MEANS = [
    "weight",
    "n_eff",
    "log_loss",
    "log_loss_bits",
    "perplexity",
    "brier",
    "label_entropy",
    "normalized_entropy",
    "label_mean",
    "prediction_mean",
    "calibration_ratio",
    "prediction_entropy",
    "clipped_weight",
    "clipped_loss_share",
    "zero_weight",
    "zero_loss_share",
]
OF_SUMS = ["information_gain", "overconfidence", "kl_marginal", "ece", "mce"]
COUNTS = ["n", "minority", "few", "clipped", "zero"]
WITH_ERRORS = ["log_loss", "brier", "normalized_entropy", "information_gain", "calibration_ratio"]


OVER_CONNECT = ("4 probabilities, soft",)
QUICK = ("probability, native", *OVER_CONNECT)


def marks(name):
    return [pytest.mark.connect] * (name in OVER_CONNECT) + [pytest.mark.slow] * (name not in QUICK)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=marks(name)) for name in FORMS],
)
def measured(request, spark):
    """One form of prediction: its conventions, the rows of each slice, its evaluation, and the metrics by slice."""
    form = FORMS[request.param]
    cases = cases_of(form)
    df = spark.createDataFrame(table_of(cases))
    evaluation = ls.evaluate(df, label="label", prediction="prediction", weight="weight", by=[["case"]], **form.spec)
    yield form, rows_of(form, cases), evaluation, evaluation.to_pandas().set_index("slice")
    evaluation.close()


def assert_metrics(form, rows, metrics, names, rtol=0.0, atol=0.0, **reporting):
    assert set(metrics.index) == set(rows)
    for slice_, of_slice in rows.items():
        wanted = oracle.metrics(of_slice, logit=form.kind == "logit", **reporting)
        for name in names:
            found = np.asarray(metrics.loc[slice_, name], dtype=float)
            scale = max(1.0, wanted["log_loss"]) if np.isfinite(wanted["log_loss"]) else 1.0
            np.testing.assert_allclose(
                found,
                np.asarray(wanted[name], dtype=float),
                rtol=rtol,
                atol=atol * scale,
                err_msg=f"{name} of {slice_}",
            )


def test_weighted_means_are_those_of_the_rows(measured):
    form, rows, _, metrics = measured
    assert_metrics(form, rows, metrics, MEANS, rtol=SUMS)


def test_differences_of_sums_are_those_of_the_rows(measured):
    form, rows, _, metrics = measured
    assert_metrics(form, rows, metrics, OF_SUMS, atol=DIFFERENCES)


def test_counts_are_those_of_the_rows(measured):
    form, rows, _, metrics = measured
    assert_metrics(form, rows, metrics, COUNTS)


def test_standard_errors_are_those_of_the_influence_of_each_row(measured):
    form, rows, _, metrics = measured
    assert_metrics(form, rows, metrics, [f"{name}_se" for name in WITH_ERRORS], rtol=ERRORS)


def test_intervals_reach_a_normal_quantile_of_the_error_to_both_sides(measured):
    form, rows, _, metrics = measured
    names = [f"{name}_{end}" for name in WITH_ERRORS for end in ("low", "high")]
    assert_metrics(form, rows, metrics, names, rtol=ERRORS, atol=ERRORS)


def test_the_reliability_table_is_that_of_the_rows(measured):
    _, rows, evaluation, _ = measured
    found = evaluation.reliability.toPandas().set_index(["slice", "bin"])
    wanted = {(slice_, b): values for slice_, of in rows.items() for b, values in oracle.reliability(of, 10).items()}
    assert set(found.index) == set(wanted)
    for at, values in wanted.items():
        for name, value in values.items():
            # An empty label mean is exactly 0; a mean of probabilities near 1 is 1 - the mean of the rest.
            assert found.loc[at, name] == pytest.approx(value, rel=SUMS, abs=1e-15), (name, at)
        assert found.loc[at, "bin_low"] == at[1] / 10
        assert found.loc[at, "bin_high"] == (at[1] + 1) / 10


@pytest.mark.parametrize(
    "measured",
    [*QUICK[:2], slow("4 probabilities"), slow("40 probabilities")],
    indirect=True,
)
def test_another_report_is_read_off_the_same_state(measured):
    form, rows, evaluation, _ = measured
    classes = form.classes or 2
    baseline = np.arange(1.0, classes + 1) / sum(range(1, classes + 1))
    found = (
        evaluation.state.metrics(by=[["case"]], confidence=0.5, ece_bins=15, baseline=baseline.tolist())
        .toPandas()
        .set_index("slice")
    )
    asked = {"bins": 15, "confidence": 0.5, "baseline": baseline}
    assert_metrics(form, rows, found, ["normalized_entropy"], rtol=SUMS, **asked)
    assert_metrics(form, rows, found, ["information_gain", "ece", "mce"], atol=DIFFERENCES, **asked)
    assert_metrics(form, rows, found, [f"{name}_se" for name in WITH_ERRORS], rtol=ERRORS, **asked)
    assert_metrics(form, rows, found, ["log_loss_low", "log_loss_high", "information_gain_high"], rtol=ERRORS, **asked)


# A class of forty happens a few times, which leaves a jackknife nothing to work with.
@pytest.mark.parametrize(
    "measured", quick([name for name in FORMS if FORMS[name].classes != 40], *QUICK), indirect=True
)
def test_delta_method_errors_are_near_those_of_the_jackknife(measured):
    form, rows, _, metrics = measured
    for case in ("case=plain", "case=overconfident"):
        r = rows[case].where(rows[case].weight > 0)
        n = len(r.weight)
        left_out = [jackknifed(r.where(np.arange(n) != i)) for i in range(n)]
        for name in ("log_loss", "brier", "normalized_entropy", "calibration_ratio"):
            found = np.asarray(metrics.loc[case, f"{name}_se"], dtype=float)
            if name == "normalized_entropy" and form.soft and (form.classes or 2) > 2:
                assert np.isnan(found)  # by definition: the state lacks the products of two classes
                continue
            values = np.array([one[name] for one in left_out])
            jackknife = np.sqrt((n - 1) / n * ((values - values.mean(axis=0)) ** 2).sum(axis=0))
            # Both are right to O(1/n); n is 150.
            np.testing.assert_allclose(found, jackknife, rtol=0.06, err_msg=f"{name} of {case}")


def jackknifed(r):
    """Estimates alone, without the loops of the oracle."""
    w = r.weight / r.weight.sum()
    labels, predictions, loss = w @ r.y, w @ r.p, w @ r.loss
    ratio = predictions / labels
    brier = w @ ((r.p - r.y) ** 2).sum(axis=1) / (2 if r.scalar else 1)
    entropy = -(labels * np.log(labels, where=labels > 0, out=np.zeros_like(labels))).sum()
    return {
        "log_loss": loss,
        "brier": brier,
        "normalized_entropy": loss / entropy,
        "calibration_ratio": ratio[1] if r.scalar else ratio,
    }


@pytest.mark.parametrize("name", ["probability, native", slow("4 probabilities"), slow("probability, soft")])
def test_without_a_weight_column_each_row_weighs_one(spark, name):
    form = FORMS[name]
    case = {"plain": cases_of(form)["plain"]}  # in which every weight is 1
    df = spark.createDataFrame(table_of(case))
    found = ls.evaluate(df, label="label", prediction="prediction", **form.spec).to_pandas().set_index("slice")
    rows = {"all": rows_of(form, case)["all"]}
    assert_metrics(form, rows, found, MEANS, rtol=SUMS)
    assert_metrics(form, rows, found, COUNTS)
    assert_metrics(form, rows, found, OF_SUMS, atol=DIFFERENCES)
    assert_metrics(form, rows, found, [f"{name}_se" for name in WITH_ERRORS], rtol=ERRORS)


# scikit-learn scores classes under probabilities, and nothing else.
@pytest.mark.parametrize(
    "measured",
    quick(
        [name for name, form in FORMS.items() if form.kind == "probability" and not form.soft], "probability, native"
    ),
    indirect=True,
)
def test_log_loss_and_brier_are_those_of_scikit_learn(measured):
    form, _, _, metrics = measured
    cases = cases_of(form)
    for case in ("plain", "weighted", "rare"):
        label, p, weight = cases[case]["label"], cases[case]["prediction"], cases[case]["weight"]
        classes = list(range(form.classes or 2))
        theirs = sklearn.metrics.log_loss(label, p, sample_weight=weight, labels=classes)
        assert metrics.loc[f"case={case}", "log_loss"] == pytest.approx(theirs, rel=SUMS)
        brier = sklearn.metrics.brier_score_loss(
            label, p, sample_weight=weight, labels=classes, scale_by_half=form.classes is None
        )
        assert metrics.loc[f"case={case}", "brier"] == pytest.approx(brier, rel=SUMS)
