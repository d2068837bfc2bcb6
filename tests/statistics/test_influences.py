"""What buckets of clusters add to errors, and the error of a change of states with the same users. No Spark."""

from dataclasses import replace

import numpy as np
import pytest

from logloss_spark.kernels.grid import EDGES, THIN_BIN, THIN_BINS
from logloss_spark.statistics.catalogue import METRICS
from logloss_spark.statistics.influences import (
    INFLUENCES,
    error_of_difference,
    influences_of,
    paired_error_of_difference,
)
from logloss_spark.statistics.intervals import standard_error
from logloss_spark.statistics.metrics import metrics_of
from logloss_spark.statistics.reporting import Reporting
from tests.statistics.test_metrics import binary_sums

BUCKETS = 64
READING = Reporting(confidence=0.99, auc="cells", calibration="cells")


def clustered_sums(y, p, w, bucket):
    """The sums of one slice of a binary forecast whose rows hang together."""
    loss = np.where(y == 1, -np.log(p), -np.log1p(-p))
    thin = THIN_BIN[np.searchsorted(EDGES, p, side="right")]
    factors = {"w": w, "wl": w * loss, "wb": w * (p - y) ** 2, "wy": w * y, "wp": w * p}
    buckets = {name: np.zeros((1, BUCKETS, THIN_BINS)) for name in factors}
    for name, values in factors.items():
        np.add.at(buckets[name][0], (bucket, thin), values)
    return replace(binary_sums(y, p, w, loss), buckets=buckets, thin=np.arange(THIN_BINS), clustered=True)


def drawn(seed, n=4000, users=300):
    """Rows of users who are good or bad to forecast, and the bucket of each row."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, n)
    z = rng.normal(size=n) + rng.normal(size=users)[user]
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(float)
    p = 1 / (1 + np.exp(-(z + 0.5 * rng.normal(size=users)[user])))
    return y, p, rng.gamma(4.0, size=n), rng.integers(0, BUCKETS, users)[user]


def test_every_metric_with_an_interval_has_influences():
    assert set(INFLUENCES) == {metric.name for metric in METRICS if metric.interval != "none"}


@pytest.mark.parametrize("baseline", [None, 0.2])
def test_influences_give_the_errors_of_the_metrics(baseline):
    sums, reading = clustered_sums(*drawn(90)), replace(READING, baseline=baseline)
    metrics, found = metrics_of(sums, reading), influences_of(sums, reading, INFLUENCES)
    filled = np.array([float(BUCKETS)])
    for name, influences in found.items():
        error = standard_error(np.sum(influences**2, axis=1), filled)
        assert error == pytest.approx(metrics[f"{name}_se"], rel=1e-12), name


@pytest.mark.parametrize("name", ["log_loss", "brier", "normalized_entropy", "calibration_ratio", "auc", "ece"])
def test_an_influence_is_what_a_little_more_weight_of_a_bucket_does(name):
    y, p, w, bucket = drawn(91)
    step = 1e-5
    values = [
        metrics_of(clustered_sums(y, p, np.where(bucket == 7, w * (1 + sign * step), w), bucket), READING)[name][0]
        for sign in (1, -1)
    ]
    derivative = (values[0] - values[1]) / (2 * step)
    influences = influences_of(clustered_sums(y, p, w, bucket), READING, [name])[name][0]
    if len(influences) == BUCKETS:
        assert influences[7] == pytest.approx(derivative, rel=1e-6)
    else:  # 400 replicates know the derivative as the slope on the copies of the bucket, to a tenth of the error or so
        assert np.sqrt(np.sum(influences**2)) > abs(derivative) / 2


def test_a_state_has_not_changed_from_itself():
    found = influences_of(clustered_sums(*drawn(92)), READING, INFLUENCES)
    for influences in found.values():
        assert paired_error_of_difference(influences, influences, np.array([64.0]), np.ones(1)) == 0.0


def test_states_without_a_bucket_in_common_have_independent_errors():
    rng = np.random.default_rng(93)
    now, then = rng.normal(size=(2, 3, BUCKETS))
    now[:, 32:], then[:, :32] = 0.0, 0.0
    filled, ratio = np.full(3, 64.0), np.array([1.0, 1.2, -0.5])
    together = paired_error_of_difference(now, then, filled, ratio)
    alone = [standard_error(np.sum(influences**2, axis=1), filled) for influences in (now, then)]
    np.testing.assert_allclose(together, error_of_difference(*alone, ratio), rtol=1e-12)


def test_what_users_have_in_common_leaves_the_error_of_a_change():
    # The error of a change of the mean, as it is over fresh draws of 200 users, of whom each has two periods.
    rng = np.random.default_rng(94)
    replicates, users = 400, 200
    changes, paired, apart = [], [], []
    for _ in range(replicates):
        own, bucket = rng.normal(size=users), rng.integers(0, BUCKETS, users)
        periods = [own + 0.3 * rng.normal(size=users) for _ in range(2)]
        sums = [np.bincount(bucket, (period - period.mean()) / users, BUCKETS)[np.newaxis] for period in periods]
        filled = np.array([float(len(np.unique(bucket)))])
        changes.append(periods[0].mean() - periods[1].mean())
        paired.append(paired_error_of_difference(*sums, filled, np.ones(1))[0])
        apart.append(error_of_difference(*(standard_error(np.sum(s**2, axis=1), filled) for s in sums), np.ones(1))[0])
    # 400 changes know their spread to 3.5 %.
    assert np.mean(paired) == pytest.approx(np.std(changes, ddof=1), rel=0.1)
    assert np.mean(apart) > 3 * np.mean(paired)
