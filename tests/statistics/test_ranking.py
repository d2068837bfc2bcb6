"""AUC, average precision and KS from cells, against scikit-learn and SciPy on the rows. No Spark."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from logloss_spark.statistics.ranking import ranking, squared_influence_of_auc
from tests.statistics.test_calibration import cells_of

MEASURES = {
    "auc": lambda y, p, w: sklearn.metrics.roc_auc_score(y, p, sample_weight=w),
    "average_precision": lambda y, p, w: sklearn.metrics.average_precision_score(y, p, sample_weight=w),
    "ks": lambda y, p, w: max_distance(y, p, w),
}


def max_distance(y, p, w):
    false, true, _ = sklearn.metrics.roc_curve(y, p, sample_weight=w, drop_intermediate=False)
    return np.abs(true - false).max()


def drawn(seed, n=2000, spread=2.0, rare=0.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n) * spread - rare
    p = 1 / (1 + np.exp(-z))
    return (rng.random(n) < p).astype(float), p, rng.gamma(1.0, size=n)


@pytest.mark.parametrize("name", MEASURES)
def test_where_every_cell_holds_one_score_they_are_those_of_scikit_learn(name):
    y, p, w = drawn(90)
    p = np.round(p * 20) / 20
    found = ranking(cells_of(y, p, w))
    assert found[name][0] == pytest.approx(MEASURES[name](y, p, w), rel=1e-12)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("seed", "spread", "rare"), [(91, 2.0, 0.0), (92, 0.01, 0.0), (93, 1.0, 6.0), (94, 8.0, 0.0), (95, 0.3, 2.0)]
)
def test_those_of_the_rows_lie_within_the_bounds(name, seed, spread, rare):
    y, p, w = drawn(seed, spread=spread, rare=rare)
    found = ranking(cells_of(y, p, w))
    distance = abs(found[name][0] - MEASURES[name](y, p, w))
    assert distance <= found[f"{name}_bound"][0] + 1e-12
    assert found[f"{name}_bound"][0] < 1


@pytest.mark.parametrize("order", ["best", "worst"])
@pytest.mark.parametrize("name", MEASURES)
def test_the_bounds_hold_for_the_best_and_the_worst_order_within_a_cell(name, order):
    y = np.repeat([0.0, 1.0, 0.0, 1.0], [300, 200, 100, 400])
    score = 0.5001 + np.arange(1000) * 1e-7 if order == "best" else 0.5001 - np.arange(1000) * 1e-8
    p = np.concatenate([score, np.full(200, 0.2), np.full(50, 0.9)])
    y = np.concatenate([np.sort(y), np.zeros(200), np.ones(50)])
    found = ranking(cells_of(y, p, np.ones(len(y))))
    exact = MEASURES[name](y, p, None)
    assert abs(found[name][0] - exact) <= found[f"{name}_bound"][0] + 1e-12
    # The order is the extreme one, so that the bound of the area is reached.
    if name == "auc":
        assert abs(found[name][0] - exact) == pytest.approx(found["auc_bound"][0], rel=1e-9)


def test_the_error_of_the_auc_is_that_of_delong():
    y, p, _ = drawn(96, n=400)
    p = np.round(p * 20) / 20
    cells = cells_of(y, p, np.ones(400))
    auc = ranking(cells)["auc"]
    above = (p[y == 1][:, None] > p[y == 0]) + 0.5 * (p[y == 1][:, None] == p[y == 0])
    m, n = above.shape
    delong = above.mean(axis=1).var(ddof=0) / m + above.mean(axis=0).var(ddof=0) / n
    assert squared_influence_of_auc(cells, auc)[0] == pytest.approx(delong, rel=1e-10)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_order(label):
    found = ranking(cells_of(np.full(5, label), np.linspace(0, 1, 5), np.ones(5)))
    for name in ("auc", "auc_bound", "ks", "ks_bound"):
        assert np.isnan(found[name][0]), name


def test_ks_is_that_of_scipy_for_two_samples():
    y, p, _ = drawn(97)
    p = np.round(p * 20) / 20
    found = ranking(cells_of(y, p, np.ones(len(y))))
    assert found["ks"][0] == pytest.approx(scipy.stats.ks_2samp(p[y == 1], p[y == 0]).statistic, rel=1e-12)
