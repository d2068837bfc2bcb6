"""What intervals of a difference promise: 2,000 seeded replicates, each a slice whose sums NumPy makes."""

import numpy as np
import pytest

from logloss_spark.kernels.cross_entropy import binary_from_logit
from logloss_spark.states.schema import PAIR
from logloss_spark.statistics.paired import BucketSums, paired_metrics
from logloss_spark.statistics.reporting import Coverage
from tests.quick import quick

REPLICATES = 2000

COVERED = (0.93, 0.97)
"""What a nominal 95 % must reach; the simulation itself knows a coverage of 95 % to 0.5 % (one standard error)."""


def covered(w, d, truth, bucket=None):
    """The share of replicates, one a row of the matrices, whose interval holds the true difference."""
    terms = {"n": np.ones_like(w), "w": w, "w2": w * w, "wd": w * d, "w2d": w * w * d, "w2dd": (w * d) ** 2}
    sums = {name: np.zeros(len(w)) for name in PAIR} | {name: term.sum(axis=1) for name, term in terms.items()}
    found = paired_metrics(sums, None if bucket is None else buckets_of(w, w * d, bucket), Coverage())
    assert found["p_value"] == pytest.approx(found["p_value"].clip(0, 1))
    return np.mean((found["difference_low"] <= truth) & (truth <= found["difference_high"]))


def buckets_of(w, wd, bucket):
    """The sums of each replicate's buckets, of those that hold rows."""
    place = np.arange(len(w))[:, np.newaxis] * 64 + bucket
    sums = {name: np.bincount(place.ravel(), x.ravel(), len(w) * 64) for name, x in {"w": w, "wd": wd}.items()}
    held = sums["w"].reshape(-1, 64) > 0
    weight, difference = (total[held.ravel()] for total in sums.values())
    return BucketSums(held.sum(axis=1), weight, difference)


def differences(rng, shape):
    """Losses of a model too flat less those of one too steep, on labels of which a tenth is positive."""
    z = rng.normal(-2.6, 1.2, shape)
    y = (rng.random(shape) < 1 / (1 + np.exp(-z))).astype(float)
    return binary_from_logit(y, 0.7 * z) - binary_from_logit(y, 1.2 * z)


@pytest.mark.parametrize("weighted", quick([False, True], True))
def test_intervals_of_independent_rows_cover_the_true_difference(weighted):
    rng = np.random.default_rng(60)
    w = rng.gamma(2.0, size=(REPLICATES, 1000)) if weighted else np.ones((REPLICATES, 1000))
    truth = differences(rng, 4_000_000).mean()  # known to a fiftieth of the error of 1,000 rows
    low, high = COVERED
    assert low <= covered(w, differences(rng, w.shape), truth) <= high


@pytest.mark.parametrize(
    ("rows", "tail", "low", "high"), quick([(100, None, 0.9, 0.93), (1000, 1.5, 0.82, 0.87)], (100, None, 0.9, 0.93))
)
def test_intervals_cover_less_with_ten_positives_or_weights_of_a_heavy_tail(rows, tail, low, high):
    rng = np.random.default_rng(62)
    shape = (REPLICATES, rows)
    w = np.ones(shape) if tail is None else 1 + rng.pareto(tail, shape)
    truth = differences(rng, 4_000_000).mean()
    assert low <= covered(w, differences(rng, shape), truth) <= high


@pytest.mark.parametrize("clusters", quick([10, 100, 1000], 100))
def test_intervals_by_cluster_cover_where_rows_hang_together(clusters):
    rng = np.random.default_rng(61)
    shape = (REPLICATES, 1000)
    cluster = np.broadcast_to(np.arange(1000) % clusters, shape)
    of_cluster = np.take_along_axis(rng.normal(size=(REPLICATES, clusters)), cluster, axis=1)
    d = 0.1 + np.sqrt(0.3) * of_cluster + np.sqrt(0.7) * (rng.exponential(size=shape) - 1)  # an ICC of 0.3
    bucket = np.take_along_axis(rng.integers(0, 64, (REPLICATES, clusters)), cluster, axis=1)
    low, high = COVERED
    assert low <= covered(np.ones(shape), d, 0.1, bucket) <= high
    if clusters < 1000:
        assert covered(np.ones(shape), d, 0.1) < 0.7  # rows that are taken as independent claim too much
