"""Do intervals cover what they claim, and does the bootstrap find the errors that formulas find? No Spark."""

import numpy as np
import pytest

from benchmarks.coverage import of_clusters, of_rows
from logloss_spark.statistics.intervals import bootstrap_error, poisson_copies
from logloss_spark.statistics.ranking import area_under_curve

BUCKETS = 64


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rate"), [(400, 0.5), (1000, 0.12), (5000, 0.025)])
@pytest.mark.parametrize("weights", ["none", "gamma"])
def test_intervals_cover_with_a_hundred_of_the_rarer_class(n, rate, weights):
    # 2,000 replicates know a coverage of 95 % to 0.5 %.
    assert 0.93 < of_rows(n, rate, weights) < 0.97


def test_intervals_of_ten_positives_and_of_heavy_weights_cover_less():
    assert 0.90 < of_rows(400, 0.02, "none") < 0.94
    assert of_rows(400, 0.5, "pareto") < 0.90


@pytest.mark.slow
@pytest.mark.parametrize(("clusters", "size"), [(10, 40), (100, 10), (1000, 3)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("differences", [False, True])
def test_intervals_cover_where_rows_hang_together(clusters, size, weighted, differences):
    by_cluster, as_if_independent = of_clusters(clusters, size, weighted, differences)
    assert 0.93 < by_cluster < 0.97
    assert as_if_independent < by_cluster - 0.02


def test_the_bootstrap_of_a_mean_has_the_error_that_its_formula_has():
    rng = np.random.default_rng(73)
    sums = np.stack([rng.gamma(5.0, size=BUCKETS), np.full(BUCKETS, 5.0)], axis=1)
    found = bootstrap_error(lambda replicates: replicates[:, 0] / replicates[:, 1], sums)
    mean = sums[:, 0].sum() / sums[:, 1].sum()
    formula = np.sqrt(BUCKETS / (BUCKETS - 1) * np.sum(((sums[:, 0] - mean * sums[:, 1]) / sums[:, 1].sum()) ** 2))
    # 400 replicates know an error to 1/sqrt(800) = 3.5 %; two and a half of that.
    assert found == pytest.approx(formula, rel=0.09)


def test_the_bootstrap_of_the_auc_has_the_error_that_fresh_data_has():
    rng = np.random.default_rng(74)
    n, bins = 2000, 20

    def drawn():
        z = rng.integers(0, bins, n)
        y = rng.random(n) < z / bins
        bucket = rng.integers(0, BUCKETS, n)
        cells = [np.bincount(bucket * bins + z, part, BUCKETS * bins).reshape(BUCKETS, bins) for part in (y, ~y)]
        return np.stack(cells, axis=2)

    def auc(sums):
        return area_under_curve(sums[..., 0], sums[..., 1])

    errors = [bootstrap_error(auc, drawn()) for _ in range(30)]
    values = [auc(drawn().sum(axis=0)[np.newaxis])[0] for _ in range(400)]
    # 64 buckets leave 9 % open in each error, of which 30 are averaged; the spread of 400 values is known to 3.5 %.
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.12)


def test_copies_of_buckets_are_poisson():
    copies = poisson_copies(2000, 64)
    # 128,000 draws know the mean and the variance, both 1, to 0.003 and 0.005.
    assert copies.mean() == pytest.approx(1, abs=0.012)
    assert copies.var() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(copies[:, 0], copies[:, 1])[0, 1]) < 0.1
    assert np.mean(copies == 0) == pytest.approx(np.exp(-1), abs=0.006)


def test_one_bucket_has_no_error():
    sums = np.zeros((BUCKETS, 2))
    sums[3] = 1.0
    assert np.isnan(bootstrap_error(lambda replicates: replicates[:, 0] / replicates[:, 1], sums))
