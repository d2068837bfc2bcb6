"""Two engines, one meaning: the losses of every row agree, over the whole domain."""

import numpy as np
import pytest

from logloss_spark.kernels.cross_entropy import (
    binary_from_logit,
    binary_from_probability,
    categorical_from_logits,
    categorical_from_probabilities,
    distribution_from_logits,
    distribution_from_probabilities,
)
from tests.rows.batches import scored_rows, ulps

INF = np.inf
CAP = -np.log(1e-15)

ULPS = 4
"""What the design promises of the two engines, a row."""


def probabilities(rng, n=150):
    """Both ends of the unit interval down to their last double, and its middle."""
    edges = [0.0, 5e-324, 1e-323, 2.0**-1022, 1e-15, np.nextafter(1e-15, 1), 0.5, 1 - 2.0**-53, 1 - 2.0**-52, 1.0]
    return np.concatenate([edges, 10.0 ** rng.uniform(-323, 0, n), rng.random(n), 1 - 10.0 ** rng.uniform(-16, 0, n)])


def logits(rng, n=150):
    """Logits of both signs from 5e-324 to 1e6, and the infinite ones."""
    edges = [0.0, -0.0, 5e-324, -5e-324, 36.7, -36.7, 709.0, 745.2, -745.2, 1e6, -1e6, INF, -INF]
    size = 10.0 ** rng.uniform(-20, 6, n)
    return np.concatenate([edges, size, -size, rng.uniform(-750, 750, n), rng.normal(size=n)])


def shares(rng, n):
    return np.where(rng.random(n) < 0.2, rng.integers(0, 2, n), np.where(rng.random(n) < 0.5, rng.random(n), 1e-300))


def distributions(rng, n, classes):
    """Distributions, even ones and ones in which a class dominates and others vanish."""
    concentration = 10.0 ** rng.uniform(-2, 1, (n, 1))
    raw = rng.gamma(np.broadcast_to(concentration, (n, classes))) + 0.0
    raw[np.arange(n), rng.integers(0, classes, n)] += 1e-3
    return raw / raw.sum(axis=1, keepdims=True)


def many_logits(rng, n, classes):
    """Logits near each other, far apart, with a class that dominates, impossible ones, and a certain one."""
    z = rng.normal(size=(n, classes)) * 10.0 ** rng.uniform(-2, 6, (n, 1))
    dominated = np.arange(n) % 4 == 1
    z[dominated] = rng.normal(size=(dominated.sum(), classes)) + 1e3
    z[dominated, rng.integers(0, classes, dominated.sum())] += rng.choice([40.0, 300.0, 700.0, 760.0], dominated.sum())
    z[np.arange(n) % 4 == 2, 0] = -INF
    z[::29, 1] = INF
    return z


def binary(rng, kind, soft):
    score = probabilities(rng) if kind == "probability" else logits(rng)
    score = np.concatenate([score, score])
    label = shares(rng, score.size) if soft else np.repeat([0, 1], score.size // 2)
    return {"label": label, "prediction": score}


def classes_of(rng, kind, soft, classes, n):
    score = distributions(rng, n, classes) if kind == "probability" else many_logits(rng, n, classes)
    label = distributions(rng, n, classes) if soft else rng.integers(0, classes, n)
    if soft:
        label[::7] = np.eye(classes)[rng.integers(0, classes, label[::7].shape[0])]
    return {"label": label, "prediction": score}


def kernel(rows, kind, soft, cap):
    label, score = rows["label"], rows["prediction"]
    if kind == "logit":
        of_one, of_many = binary_from_logit, distribution_from_logits if soft else categorical_from_logits
        return (of_one if score.ndim == 1 else of_many)(label, score)
    of_many = distribution_from_probabilities if soft else categorical_from_probabilities
    return (binary_from_probability if score.ndim == 1 else of_many)(label, score, cap=cap)


FORMS = {
    "probability": ("probability", False, None),
    "probability, soft": ("probability", True, None),
    "logit": ("logit", False, None),
    "logit, soft": ("logit", True, None),
    "3 probabilities": ("probability", False, 3),
    "10 probabilities, soft": ("probability", True, 10),
    "1,000 probabilities, soft": ("probability", True, 1000),
    "2 logits": ("logit", False, 2),
    "10 logits": ("logit", False, 10),
    "1,000 logits": ("logit", False, 1000),
    "10 logits, soft": ("logit", True, 10),
    "1,000 logits, soft": ("logit", True, 1000),
}


OVER_CONNECT = ("3 probabilities", "logit, soft")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.connect) if name in OVER_CONNECT else name for name in FORMS],
)
def losses(request, spark):
    """Losses of one form of prediction: of the kernel, and of both engines."""
    kind, soft, classes = FORMS[request.param]
    rng = np.random.default_rng(len(request.param))
    n = 40 if classes == 1000 else 240
    rows = binary(rng, kind, soft) if classes is None else classes_of(rng, kind, soft, classes, n)
    clip = "eps" if request.param in ("probability", "3 probabilities") else "none"
    named = {} if classes is None else {"classes": tuple(range(classes))}
    found = scored_rows(spark, rows, what="losses", kind=kind, soft_labels=soft, clip=clip, **named)
    wanted = kernel(rows, kind, soft, CAP if clip == "eps" else INF)
    assert (found["native"]["status"] == 0).all()
    return wanted, {engine: columns["loss"] for engine, columns in found.items()}


def test_the_pandas_engine_is_the_kernel_to_the_last_bit(losses):
    wanted, found = losses
    np.testing.assert_array_equal(found["pandas"], wanted)


def test_the_native_engine_is_within_four_ulp_of_the_kernel(losses):
    wanted, found = losses
    assert ulps(found["native"], wanted).max() <= ULPS


def test_a_certain_and_right_forecast_costs_zero_and_not_minus_zero(losses):
    _, found = losses
    for engine in found:
        assert not np.signbit(found[engine]).any()
