"""Curves that are fitted to cells are those of the rows, and their gain is that of the rows."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from logloss_spark.kernels.grid import THIN_BIN, bin_of_probability
from logloss_spark.statistics.recalibration import (
    METHODS,
    Isotonic,
    LogOdds,
    coefficients_of,
    error_of_buckets,
    error_of_rows,
    fall_of,
    fitted,
    mean_fall,
    of_buckets,
    of_cells,
    reach_of,
    recalibrated,
    sums_of_others,
)
from tests.scores import CAP, cells_of, fall_on, losses, score_sums, simulated

EPS = 1e-15

P, Y = simulated(np.random.default_rng(150), 20_000)
W = np.random.default_rng(151).gamma(2.0, size=len(P))
GRID = np.linspace(0.0, 1.0, 1001)


def features(method, p):
    log_p, log_other = np.log(np.maximum(p, EPS)), np.log(np.maximum(1 - p, EPS))
    return np.column_stack([log_p, -log_other] if method == "beta" else [log_p - log_other])


def regression(method, p, y, w):
    """The logistic regression of a method on the rows: coefficients, the intercept last, and their standard errors."""
    intercept = method != "temperature"
    solver = {"C": np.inf, "solver": "newton-cholesky", "tol": 1e-12, "max_iter": 1000}
    model = LogisticRegression(**solver, fit_intercept=intercept).fit(features(method, p), y, sample_weight=w)
    x = np.column_stack([features(method, p), *([np.ones(len(p))] if intercept else [])])
    q = model.predict_proba(features(method, p))[:, 1]
    errors = np.sqrt(np.diag(np.linalg.inv((x.T * (w * q * (1 - q))) @ x)))
    return np.append(model.coef_[0], model.intercept_ if intercept else []), errors


def coefficients(method, curve):
    slopes = [curve.a, curve.b] if method == "beta" else [curve.a]
    return np.array([*slopes, *([curve.c] if method != "temperature" else [])])


@pytest.mark.parametrize("method", ["platt", "beta", "temperature"])
@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_of_cells_are_those_of_rows_to_a_25th_of_their_standard_errors(method, weighted):
    w = W if weighted else np.ones(len(P))
    wanted, errors = regression(method, P, Y, w)
    curve = fitted(method, score_sums(P, Y, w), EPS)
    assert np.all(np.abs(coefficients(method, curve) - wanted) < errors / 25)


@pytest.mark.parametrize("method", ["platt", "beta", "temperature"])
def test_where_each_cell_holds_one_score_coefficients_are_exactly_those_of_rows(method):
    p = P.round(2).clip(0.01, 0.99)
    wanted, _ = regression(method, p, Y, np.ones(len(p)))
    # scikit-learn's solver ends on the gradient, some digits before ours.
    assert coefficients(method, fitted(method, score_sums(p, Y), EPS)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_an_isotonic_curve_of_one_score_a_cell_is_scikit_learns_of_the_rows(weighted):
    w, p = W if weighted else np.ones(len(P)), P.round(2)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(p, Y, sample_weight=w)
    ours = fitted("isotonic", score_sums(p, Y, w), EPS)
    wanted = theirs.predict(GRID)
    least, most = ours.probabilities[[0, -1]]
    assert recalibrated(ours, GRID, 1 - GRID)[0] == pytest.approx(wanted.clip(least, most), rel=1e-10)


def test_an_isotonic_curve_is_that_of_rows_that_have_the_mean_score_of_their_cells():
    bins = bin_of_probability(P)
    mean = (np.bincount(bins, P) / np.maximum(np.bincount(bins), 1))[bins]
    theirs = IsotonicRegression(out_of_bounds="clip").fit(mean, Y)
    ours = fitted("isotonic", score_sums(P, Y), EPS)
    wanted = theirs.predict(mean).clip(*ours.probabilities[[0, -1]])
    assert recalibrated(ours, mean, 1 - mean)[0] == pytest.approx(wanted, rel=1e-9)


def test_a_block_of_one_class_gets_the_chance_of_a_class_that_nobody_saw():
    p, y = np.repeat([0.1, 0.2, 0.3, 0.4], [9, 2, 2, 4]), np.repeat([0.0, 1, 0, 1, 1], [9, 1, 1, 2, 4])
    curve = fitted("isotonic", score_sums(p, y), EPS)
    assert curve.probabilities == pytest.approx([1 / 20, 1 / 2, 13 / 14, 13 / 14])
    # After few rows it would be more than the share of the block above, where it ends.
    few = score_sums(np.repeat([0.1, 0.2], [2, 100]), np.repeat([0.0, 1, 0], [2, 3, 97]))
    assert fitted("isotonic", few, EPS).probabilities == pytest.approx([0.03, 0.03])


@pytest.mark.parametrize("method", METHODS)
def test_no_curve_reverses_the_order_or_reaches_certainty(method):
    for p in (P, 1 - P):  # of the second, high forecasts are bad signs
        q, other = recalibrated(fitted(method, score_sums(p, Y), EPS), GRID, 1 - GRID)
        assert np.all(np.diff(q) >= 0)
        assert np.all((q > 0) & (other > 0))
        assert q + other == pytest.approx(np.ones(len(q)), rel=1e-12)


def test_a_negative_slope_becomes_none_and_the_rest_is_fitted_without_it():
    curve = fitted("platt", score_sums(1 - P, Y), EPS)
    assert (curve.a, curve.b) == (0.0, 0.0)
    assert curve.c == pytest.approx(np.log(Y.mean() / (1 - Y.mean())), rel=1e-12)
    assert fitted("temperature", score_sums(1 - P, Y), EPS) == LogOdds(0.0, 0.0, 0.0, EPS)


@pytest.mark.parametrize("method", ["platt", "beta", "temperature"])
def test_of_separated_classes_there_is_no_best_curve(method):
    p, y = np.repeat([0.6, 0.9], 10), np.repeat([0.0, 1.0], 10)
    wide = p if method != "temperature" else np.repeat([0.1, 0.9], 10)
    curve = fitted(method, score_sums(wide, y), EPS)
    assert np.isnan([curve.a, curve.b, curve.c]).any()


def test_calibrated_forecasts_stay_as_they_are():
    wanted = {"platt": (1, 1, 0), "beta": (1, 1, 0), "temperature": (1, 1, 0)}
    share = np.array([0.01, 0.1, 0.3, 0.5, 0.8])
    sums = {"w": np.full(5, 1000.0), "w2": np.full(5, 1000.0), "wy": 1000 * share, "w2y": 1000 * share}
    sums |= {"wp": 1000 * np.minimum(share, 1 - share), "wl": np.zeros(5)}
    cells = of_cells(bin_of_probability(share), sums, CAP)
    for method, line in wanted.items():
        curve = fitted(method, cells, EPS)
        assert (curve.a, curve.b, curve.c) == pytest.approx(line, abs=1e-9)
    assert recalibrated(fitted("isotonic", cells, EPS), share, 1 - share)[0] == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_gain_on_other_rows_and_its_error_are_those_of_the_rows(method):
    rng = np.random.default_rng(152)
    curve = fitted(method, score_sums(*simulated(rng, 5_000)), EPS)
    w = W / W.mean()
    fall, sums = fall_on(curve, P, Y), score_sums(P, Y, w)
    mean = np.average(fall, weights=w)
    error = np.sqrt(np.sum((w * (fall - mean)) ** 2)) / w.sum()
    ours = fall_of(sums, curve)
    # Within a cell the curve is bent little: its mean score gives the gain to a tenth of the standard error.
    assert abs(mean_fall(sums, ours) - mean) < error / 10
    assert error_of_rows(sums, ours, len(P)) == pytest.approx(error, rel=0.01)


def test_forecasts_that_ruled_out_what_happened_count_with_their_own_loss():
    p = np.array([0.0, 1e-12, 1e-14, 1 - 1e-11, 0.5, 0.5])
    y = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    sums = score_sums(p, y)
    now = np.sum(sums.labels * sums.loss_of_positive + (sums.weight - sums.labels) * sums.loss_of_negative)
    assert now == pytest.approx(losses(p, y).sum(), rel=1e-9)


def test_with_clusters_the_error_is_that_of_the_rows_by_bucket():
    rng = np.random.default_rng(153)
    bucket = rng.integers(0, 64, len(P))
    y = (rng.random(len(P)) < 1 / (1 + np.exp(-rng.normal(0, 0.5, 64)[bucket] - np.log(P / (1 - P))))).astype(float)
    curve = LogOdds(0.7, 0.7, -0.3, EPS)
    fall, thin = fall_on(curve, P, y), THIN_BIN[bin_of_probability(P)]
    place, index = np.unique(1024 * bucket + thin, return_inverse=True)
    values = {"w": np.ones(len(P)), "wy": y, "wp": P, "wl": losses(P, y)}
    sums = of_buckets(place % 1024, {name: np.bincount(index, value) for name, value in values.items()}, CAP)
    away = np.bincount(bucket, fall - fall.mean()) / len(P)
    error, filled = error_of_buckets(sums, fall_of(sums, curve), place // 1024)
    assert filled == 64
    # Thin bins are five to a decade: enough for a standard error.
    assert error == pytest.approx(np.sqrt(64 / 63 * np.sum(away**2)), rel=0.02)


def test_the_interval_is_that_of_the_difference_of_two_means():
    assert reach_of(0.01, 0.95, None) == pytest.approx(0.01 * np.sqrt(2) * 1.959964, rel=1e-6)
    assert reach_of(0.01, 0.95, 64.0) == pytest.approx(0.01 * np.sqrt(2) * 1.998341, rel=1e-6)


def test_the_sums_of_other_slices_are_exact_where_only_one_slice_has_rows():
    sums = np.array([[0.1, 0.7], [0.2, 0.0], [0.3, 0.0]])
    (others,) = sums_of_others([sums])
    assert others == pytest.approx(np.array([[0.5, 0.0], [0.4, 0.7], [0.3, 0.7]]))
    assert others[0, 1] == 0.0


def test_coefficients_are_counted():
    assert coefficients_of(LogOdds(0.7, 0.7, 0.0, EPS)) == 1
    assert coefficients_of(LogOdds(0.7, 0.7, 0.1, EPS)) == 2
    assert coefficients_of(LogOdds(0.7, 0.6, 0.1, EPS)) == 3
    assert coefficients_of(Isotonic(np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.1, 0.4]))) == 2


def test_cells_of_rows_are_as_many_as_bins_hold_rows():
    assert len(cells_of(P, Y).place) == len(np.unique(bin_of_probability(P)))
