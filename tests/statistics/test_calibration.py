"""Calibration and decompositions from cells, against scikit-learn, SciPy and the rows themselves. No Spark."""

import numpy as np
import pytest
import scipy.optimize
import sklearn.isotonic

from logloss_spark.kernels.cross_entropy import binary_entropy
from logloss_spark.kernels.grid import BINS, HALF, bin_of_probability, coarse_edges
from logloss_spark.statistics.calibration import (
    ROUNDS,
    Cells,
    adaptive_calibration_error,
    binned_decomposition,
    calibration_errors,
    corp_decomposition,
    cox,
    cross_entropies,
    expectation_tests,
    pooled,
    pooled_groups,
    pooled_one_by_one,
    quadratic_scores,
    variance,
)

CAP = -np.log(1e-15)


def cells_of(y, p, w):
    """The cells of one slice, added up in NumPy."""
    place = bin_of_probability(p)
    bins = np.unique(place)
    tail = np.where(place >= HALF, 1 - p, p)
    sums = {"w": w, "w2": w * w, "wy": w * y, "w2y": w * w * y, "wp": w * tail}
    return Cells.of_state(bins, {name: np.bincount(place, x, BINS)[np.newaxis, bins] for name, x in sums.items()})


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(80)
    n = 4000
    p = rng.beta(0.7, 1.5, n)
    y = (rng.random(n) < p**1.3).astype(float)
    return y, p, rng.gamma(2.0, size=n)


def log_losses(y, p):
    return np.where(y == 1, -np.log(p), -np.log1p(-p))


def in_bins(p, count):
    return np.searchsorted(coarse_edges(count)[1:-1], p, side="right")


def by_bin(y, p, w, count):
    """Weight, mean label and mean prediction of the equal-width bins that hold rows."""
    bins = in_bins(p, count)
    found = [
        (
            w[bins == b].sum(),
            np.average(y[bins == b], weights=w[bins == b]),
            np.average(p[bins == b], weights=w[bins == b]),
        )
        for b in np.unique(bins)
    ]
    return np.array(found).T


@pytest.mark.parametrize("count", [4, 10, 100])
@pytest.mark.parametrize("score", ["log loss", "brier"])
def test_a_binned_decomposition_is_that_of_its_definition_and_adds_up(rows, count, score):
    y, p, w = rows
    cells = cells_of(y, p, w).equal_width(count)
    weight, label, prediction = by_bin(y, p, w, count)
    overall, share = np.average(y, weights=w), weight / w.sum()
    if score == "brier":
        loss, scores, uncertainty = np.average((p - y) ** 2, weights=w), quadratic_scores(cells), variance
        divergence = lambda q, r: (q - r) ** 2  # noqa: E731  # a formula beside the other one
    else:
        loss, scores, uncertainty = np.average(log_losses(y, p), weights=w), cross_entropies(cells, CAP), binary_entropy
        divergence = lambda q, r: scipy.special.rel_entr(q, r) + scipy.special.rel_entr(1 - q, 1 - r)  # noqa: E731
    found = {name: x[0] for name, x in binned_decomposition(cells, scores, uncertainty, np.array([loss])).items()}
    # Differences of sums: to 1e-12 of the loss.
    assert found["resolution"] == pytest.approx(share @ divergence(label, overall), abs=1e-12)
    assert found["reliability"] == pytest.approx(share @ divergence(label, prediction), abs=1e-12)
    assert uncertainty(overall) - found["resolution"] + found["reliability"] + found["rest"] == pytest.approx(
        loss, rel=1e-12
    )


def test_pooled_labels_are_the_isotonic_regression_of_scikit_learn(rows):
    y, p, w = rows
    cells = cells_of(y, p, w)
    mean = cells.label_mean[0]
    theirs = sklearn.isotonic.IsotonicRegression().fit_transform(
        np.arange(len(mean)), mean, sample_weight=cells.weight[0]
    )
    np.testing.assert_allclose(pooled(cells.weight, cells.labels)[0], theirs, rtol=1e-12, atol=1e-15)


def test_pools_that_cascade_row_by_row_are_the_same_pools():
    # Each round pools one row more with the last one, for more rounds than there are in NumPy.
    rows = np.arange(300)
    labels = np.append(rows[:-1] / 300.0, -60.0)
    theirs = sklearn.isotonic.isotonic_regression(labels)
    assert len(np.unique(theirs)) < 300 - ROUNDS
    np.testing.assert_allclose(pooled(np.ones((1, 300)), labels[np.newaxis])[0], theirs, rtol=1e-12, atol=1e-15)
    for found, wanted in zip(
        pooled_groups(rows % 100 == 0, np.ones(300), labels),
        pooled_one_by_one(rows % 100 == 0, np.ones(300), labels),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("score", ["log loss", "brier"])
def test_corp_on_cells_is_near_corp_on_rows_and_adds_up(rows, score):
    y, p, w = rows
    cells = cells_of(y, p, w)
    isotonic = sklearn.isotonic.IsotonicRegression().fit_transform(p, y, sample_weight=w)
    overall = np.average(y, weights=w)
    if score == "brier":
        loss, scores, uncertainty = np.average((p - y) ** 2, weights=w), quadratic_scores(cells), variance
    else:
        loss, scores, uncertainty = np.average(log_losses(y, p), weights=w), cross_entropies(cells, CAP), binary_entropy
    parts = corp_decomposition(cells, scores, uncertainty, pooled(cells.weight, cells.labels), np.array([loss]))
    found = {name: x[0] for name, x in parts.items()}
    recalibrated = np.average(uncertainty(isotonic), weights=w)
    # Rows of a cell are pooled before they are ordered: of 4,000 rows in 200 cells that costs some thousandths.
    assert found["discrimination"] == pytest.approx(uncertainty(overall) - recalibrated, abs=0.01)
    assert found["miscalibration"] == pytest.approx(loss - recalibrated, abs=0.01)
    total = uncertainty(overall) - found["discrimination"] + found["miscalibration"] + found["corp_rest"]
    assert total == pytest.approx(loss, rel=1e-12)


def test_where_every_cell_holds_one_score_corp_is_that_of_the_rows():
    rng = np.random.default_rng(81)
    p = rng.choice(np.arange(1, 20) / 20, 3000)
    y = (rng.random(3000) < p**2).astype(float)
    w = rng.gamma(2.0, size=3000)
    cells = cells_of(y, p, w)
    isotonic = sklearn.isotonic.IsotonicRegression().fit_transform(p, y, sample_weight=w)
    loss = np.average(log_losses(y, p), weights=w)
    parts = corp_decomposition(
        cells, cross_entropies(cells, CAP), binary_entropy, pooled(cells.weight, cells.labels), np.array([loss])
    )
    recalibrated = np.average(binary_entropy(isotonic), weights=w)
    assert parts["miscalibration"][0] == pytest.approx(loss - recalibrated, abs=1e-12)
    assert parts["discrimination"][0] == pytest.approx(
        binary_entropy(np.average(y, weights=w)) - recalibrated, abs=1e-12
    )
    assert parts["corp_rest"][0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("count", [10, 15])
def test_calibration_errors_are_those_of_their_definitions(rows, count):
    y, p, w = rows
    weight, label, prediction = by_bin(y, p, w, count)
    bins = in_bins(p, count)
    n_eff = np.array([w[bins == b].sum() ** 2 / (w[bins == b] ** 2).sum() for b in np.unique(bins)])
    found = calibration_errors(cells_of(y, p, w).equal_width(count))
    share, gap = weight / w.sum(), np.abs(label - prediction)
    assert found["ece"][0] == pytest.approx(share @ gap, rel=1e-11)
    assert found["mce"][0] == pytest.approx(gap.max(), rel=1e-11)
    debiased = np.sqrt(max(share @ (gap**2 - label * (1 - label) / (n_eff - 1)), 0))
    assert found["ece_debiased"][0] == pytest.approx(debiased, rel=1e-10)


def test_the_debiased_error_of_calibrated_forecasts_is_nearer_to_nothing_than_the_plain_one():
    rng = np.random.default_rng(82)
    plain, debiased = [], []
    for _ in range(200):
        p = rng.random(500)
        found = calibration_errors(cells_of((rng.random(500) < p).astype(float), p, np.ones(500)).equal_width(20))
        plain.append(found["ece"][0])
        debiased.append(found["ece_debiased"][0] ** 2)
    assert np.mean(plain) > 0.05
    assert np.mean(debiased) < np.mean(np.square(plain)) / 2


def test_the_adaptive_error_cuts_cells_where_the_weight_is_shared_out(rows):
    y, p, w = rows
    cells = cells_of(y, p, w)
    middle = np.cumsum(cells.weight[0]) - cells.weight[0] / 2
    group = np.floor(middle / w.sum() * 10)
    wanted = sum(abs((cells.labels - cells.predictions)[0, group == g].sum()) for g in range(10)) / w.sum()
    assert adaptive_calibration_error(cells, 10)[0] == pytest.approx(wanted, rel=1e-12)
    weights = [cells.weight[0, group == g].sum() / w.sum() for g in range(10)]
    assert max(weights) < 0.15


def test_the_adaptive_error_of_one_group_is_the_gap_of_the_means(rows):
    y, p, w = rows
    assert adaptive_calibration_error(cells_of(y, p, w), 1)[0] == pytest.approx(
        abs(np.average(y - p, weights=w)), rel=1e-10
    )


def test_cox_is_the_logistic_regression_on_the_logit(rows):
    y, p, w = rows
    found = cox(cells_of(y, p, w), CAP)

    def loss(theta):
        return np.average(np.logaddexp(0, (1 - 2 * y) * (theta[0] + theta[1] * scipy.special.logit(p))), weights=w)

    theirs = scipy.optimize.minimize(loss, [0.0, 1.0], tol=1e-10).x
    # A cell's rows stand at the logit of their mean: cells are half a percent wide.
    assert found["cox_intercept"][0] == pytest.approx(theirs[0], abs=2e-3)
    assert found["cox_slope"][0] == pytest.approx(theirs[1], abs=2e-3)


def test_cox_of_scores_that_are_one_to_a_cell_is_exact():
    rng = np.random.default_rng(83)
    p = rng.choice(np.arange(1, 20) / 20, 3000)
    y = (rng.random(3000) < scipy.special.expit(0.3 + 0.6 * scipy.special.logit(p))).astype(float)
    found = cox(cells_of(y, p, np.ones(3000)), CAP)
    x = np.column_stack([np.ones(3000), scipy.special.logit(p)])
    theta = np.array([found["cox_intercept"][0], found["cox_slope"][0]])
    # At the maximum of the likelihood the gradient is nothing.
    np.testing.assert_allclose(x.T @ (y - scipy.special.expit(x @ theta)) / 3000, 0, atol=1e-12)


@pytest.mark.parametrize("y", [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]], ids=["separated", "one class"])
def test_cox_has_no_answer_where_there_is_no_maximum(y):
    found = cox(cells_of(np.array(y), np.array([0.1, 0.2, 0.8, 0.9]), np.ones(4)), CAP)
    assert np.isnan([found["cox_intercept"][0], found["cox_slope"][0]]).all()


def test_certain_forecasts_that_failed_cost_the_cap():
    y, p = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.5, 0.5])
    cells = cells_of(y, p, np.ones(4))
    assert cross_entropies(cells, CAP)[0].tolist() == pytest.approx([CAP, np.log(2), CAP], rel=1e-12)
    assert np.isinf(cross_entropies(cells, np.inf)[0, [0, 2]]).all()


def test_forecasts_beside_one_keep_their_digits():
    p = np.full(1000, 1 - 2.0**-40)
    y = np.ones(1000)
    y[0] = 0.0
    cells = cells_of(y, p, np.ones(1000))
    wanted = -0.999 * np.log1p(-(2.0**-40)) + 0.001 * 40 * np.log(2)
    assert cross_entropies(cells, CAP)[0, 0] == pytest.approx(wanted, rel=1e-13)


def test_expectation_tests_are_standard_normal_where_forecasts_are_calibrated():
    rng = np.random.default_rng(84)
    p = rng.beta(1, 3, (2000, 500)).clip(1e-6, 1 - 1e-6)
    y = (rng.random(p.shape) < p).astype(float)
    v, logit = p * (1 - p), scipy.special.logit(p)
    sums = {
        "ws": (y - p) * (1 - 2 * p),
        "w2s": (1 - 2 * p) ** 2 * v,
        "wl": log_losses(y, p),
        "wh": scipy.special.entr(p) + scipy.special.entr(1 - p),
        "w2e": v * logit**2,
    }
    found = expectation_tests({name: x.sum(axis=1) for name, x in sums.items()})
    for name in ("spiegelhalter", "expected_loss"):
        # 5 % of 2,000 replicates are 100 with a standard error of 10.
        assert 60 < np.sum(found[f"{name}_p_value"] < 0.05) < 140, name


def test_a_slice_without_weight_has_no_calibration():
    nothing = cells_of(np.array([1.0]), np.array([0.5]), np.array([0.0]))
    found = calibration_errors(nothing) | cox(nothing, CAP) | {"adaptive": adaptive_calibration_error(nothing, 10)}
    found |= binned_decomposition(nothing, quadratic_scores(nothing), variance, np.array([np.nan]))
    assert all(np.isnan(x).all() for x in found.values()), found
