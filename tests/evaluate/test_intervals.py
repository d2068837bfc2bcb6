"""Do intervals cover what they claim? 2,000 replicates of designs like the tables that people have. No Spark."""

import numpy as np
import pytest

from logloss_spark.evaluate.intervals import (
    bootstrap_error,
    centred_square,
    poisson_copies,
    quantile_of,
    standard_error,
)
from logloss_spark.evaluate.ranking import area_under_curve

REPLICATES = 2000
BUCKETS = 64


def losses(y, p):
    return np.where(y == 1, -np.log(p), -np.log1p(-p))


def interval_of_rows(loss, w):
    """Estimate and half-width from the moments, (m, n) -> (m,)."""
    total, mean = w.sum(axis=1), (w * loss).sum(axis=1) / w.sum(axis=1)
    squares = centred_square((w * w * loss * loss).sum(axis=1), (w * w * loss).sum(axis=1), (w * w).sum(axis=1), mean)
    rows = np.full(len(w), w.shape[1], dtype=float)
    return mean, quantile_of(0.95, None) * standard_error(squares / total**2, rows)


def interval_of_clusters(loss, w, cluster, rng):
    """Estimate and half-width from the sums of buckets, which clusters fall into at random in every replicate."""
    total, mean = w.sum(axis=1), (w * loss).sum(axis=1) / w.sum(axis=1)
    influence = w * (loss - mean[:, None]) / total[:, None]
    bucket = np.take_along_axis(rng.integers(0, BUCKETS, (len(w), cluster.max() + 1)), cluster, axis=1)
    flat = (np.arange(len(w))[:, None] * BUCKETS + bucket).ravel()
    sums = np.bincount(flat, influence.ravel(), len(w) * BUCKETS).reshape(len(w), BUCKETS)
    filled = np.count_nonzero(np.bincount(flat, minlength=len(w) * BUCKETS).reshape(len(w), BUCKETS), axis=1)
    error = standard_error((sums**2).sum(axis=1), filled.astype(float))
    return mean, quantile_of(0.95, filled.astype(float)) * error


def coverage(mean, reach, truth):
    return np.mean(np.abs(mean - truth) <= reach)


def forecasts(rng, shape, rate):
    p = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + 0.8 * rng.normal(size=shape))))
    return p, (rng.random(shape) < p).astype(float)


def expected_loss(rate):
    p, _ = forecasts(np.random.default_rng(1), 2_000_000, rate)
    return np.mean(-p * np.log(p) - (1 - p) * np.log1p(-p))


@pytest.mark.parametrize(("n", "rate"), [(400, 0.5), (1000, 0.12), (5000, 0.025)])
@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_cover_with_a_hundred_of_the_rarer_class(n, rate, weighted):
    rng = np.random.default_rng(70)
    p, y = forecasts(rng, (REPLICATES, n), rate)
    w = rng.gamma(2.0, size=p.shape) if weighted else np.ones_like(p)
    # 2,000 replicates know a coverage of 95 % to 0.5 %.
    assert 0.93 < coverage(*interval_of_rows(losses(y, p), w), expected_loss(rate)) < 0.97


def test_intervals_of_ten_positives_and_of_heavy_weights_cover_less():
    rng = np.random.default_rng(71)
    p, y = forecasts(rng, (REPLICATES, 400), 0.02)
    assert 0.85 < coverage(*interval_of_rows(losses(y, p), np.ones_like(p)), expected_loss(0.02)) < 0.94
    p, y = forecasts(rng, (REPLICATES, 400), 0.5)
    w = rng.pareto(1.2, size=p.shape) + 1e-3
    assert coverage(*interval_of_rows(losses(y, p), w), expected_loss(0.5)) < 0.945


def clustered(rng, clusters, size, share=0.3):
    """Losses whose intraclass correlation is `share`: of several rows of a user part of the luck is shared."""
    shared = rng.normal(size=(REPLICATES, clusters, 1)) * np.sqrt(share)
    own = rng.normal(size=(REPLICATES, clusters, size)) * np.sqrt(1 - share)
    return np.exp(0.5 * (shared + own)).reshape(REPLICATES, -1), np.repeat(np.arange(clusters), size)[None, :]


@pytest.mark.parametrize(("clusters", "size"), [(10, 40), (100, 10), (1000, 3)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("of", ["losses", "differences"])
def test_intervals_cover_where_rows_hang_together(clusters, size, weighted, of):
    rng = np.random.default_rng(72)
    loss, cluster = clustered(rng, clusters, size)
    truth = np.exp(0.125)
    if of == "differences":
        other, _ = clustered(rng, clusters, size)
        loss, truth = loss - other, 0.0
    w = rng.gamma(4.0, size=loss.shape) if weighted else np.ones_like(loss)
    cluster = np.broadcast_to(cluster, loss.shape)
    by_cluster = coverage(*interval_of_clusters(loss, w, cluster, rng), truth)
    assert 0.93 < by_cluster < 0.97
    # Rows that are taken as independent promise too much.
    assert coverage(*interval_of_rows(loss, w), truth) < by_cluster - 0.02


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
