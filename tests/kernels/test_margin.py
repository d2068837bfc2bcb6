"""Losses of the margin and of classes: their formulas to the last digits, their limits, what they have in common."""

import mpmath as mp
import numpy as np
import pytest
from sklearn.metrics import hinge_loss

from logloss_spark.kernels.cross_entropy import (
    binary_from_logit,
    categorical_from_logits,
    class_losses_from_logits,
    class_losses_from_probabilities,
    distribution_from_logits,
    distribution_from_probabilities,
)
from logloss_spark.kernels.margin import (
    CLASS_LOSSES,
    MARGIN_LOSSES,
    focal,
    hinge,
    label_smoothed,
    logit,
    margin_loss,
)

pytestmark = pytest.mark.filterwarnings("error")

INF = np.inf
MARGINS = np.array(
    [-1e6, -800, -745.1, -709.7, -40, -3.3, -1, -1e-9, 0, 1e-300, 1e-9, 0.3, 0.5, 1, 1.7, 5, 40, 709.7, 1e6]
)
P = np.array([5e-324, 1e-300, 1e-15, 1e-6, 0.01, 0.25, 0.5 - 1e-9, 0.5, 0.6, 0.99, 1 - 1e-9, 1 - 2.0**-53])

EXACT = {
    "hinge": lambda v: max(mp.mpf(0), 1 - v),
    "smooth_hinge": lambda v: mp.mpf(0) if v >= 1 else (1 - v) ** 2 / 2 if v > 0 else mp.mpf(1) / 2 - v,
    "squared": lambda v: (1 - v) ** 2,
    "exponential": lambda v: mp.exp(-v),
    "savage": lambda v: 1 / (1 + mp.exp(v)) ** 2,
    "tangent": lambda v: (2 * mp.atan(v) - 1) ** 2,
}
AT_INFINITY = {  # margins of -inf and inf
    "hinge": (INF, 0),
    "smooth_hinge": (INF, 0),
    "squared": (INF, INF),
    "exponential": (INF, 0),
    "savage": (1, 0),
    "tangent": ((np.pi + 1) ** 2, (np.pi - 1) ** 2),
}


def as_double(x):
    """The double nearest to an exact number: 0 below the smallest, infinite beyond the largest."""
    return float(x) if abs(x) < mp.mpf(2) ** 1024 else INF


@pytest.mark.parametrize("name", MARGIN_LOSSES)
def test_a_margin_loss_is_its_formula(name):
    with mp.workdps(50):
        exact = np.array([as_double(EXACT[name](mp.mpf(float(v)))) for v in MARGINS])
    # Four roundings and an arctan or exp at most. Tangent cancels at its zero, tan(1/2); below the normal doubles the
    # last digit is 5e-324.
    atol = 2.0**-52 if name == "tangent" else 5e-324
    np.testing.assert_allclose(MARGIN_LOSSES[name](MARGINS), exact, rtol=4 * 2.0**-52, atol=atol)


@pytest.mark.parametrize("name", MARGIN_LOSSES)
def test_at_infinite_margins_a_loss_is_its_limit(name):
    np.testing.assert_allclose(MARGIN_LOSSES[name](np.array([-INF, INF])), AT_INFINITY[name], rtol=1e-15)


@pytest.mark.parametrize("name", MARGIN_LOSSES)
def test_no_label_and_no_logit_gives_nan_or_a_warning(name):
    scores = np.concatenate([MARGINS, [-INF, INF, -1.7e308, 1.7e308]])
    y, z = (x.ravel() for x in np.meshgrid([0.0, 1e-300, 0.3, 1.0], scores))
    for array in (y, z):
        array.setflags(write=False)  # buffers of Arrow are read-only
    losses = margin_loss(MARGIN_LOSSES[name], y, z)
    assert not np.isnan(losses).any()
    assert (losses >= 0).all()


@pytest.mark.parametrize("name", MARGIN_LOSSES)
def test_rows_that_are_not_valid_raise_and_warn_nothing(name):
    assert margin_loss(MARGIN_LOSSES[name], np.array([np.nan, -1.0]), logit(np.array([0.5, 1.5]))).shape == (2,)


def test_log_loss_is_the_margin_loss_that_the_others_are_beside():
    y, z = np.meshgrid([0.0, 0.3, 1.0], np.concatenate([MARGINS, [-INF, INF]]))
    softplus = margin_loss(lambda v: np.logaddexp(0.0, -v), y.ravel(), z.ravel())
    np.testing.assert_allclose(softplus, binary_from_logit(y.ravel(), z.ravel()), rtol=4 * 2.0**-52)


def test_savage_of_a_probability_is_its_brier_score():
    y, p = (x.ravel() for x in np.meshgrid([0.0, 1.0], np.concatenate([P, [0.0, 1.0]])))
    brier = np.where(y == 1, (1 - p) ** 2, p**2)
    # e^z loses as many ulp as z is large, at most 745.
    np.testing.assert_allclose(
        margin_loss(MARGIN_LOSSES["savage"], y, logit(p)), brier, rtol=4 * 745 * 2.0**-52, atol=5e-324
    )


def test_exponential_of_a_probability_is_the_odds_of_what_did_not_happen():
    p = P[1:]  # 1/5e-324 is no double
    odds = (1 - p) / p
    np.testing.assert_allclose(
        margin_loss(MARGIN_LOSSES["exponential"], np.ones(p.size), logit(p)), odds, rtol=2 * 745 * 2.0**-52
    )


def test_tangent_under_its_own_link_is_four_times_brier():
    p = np.linspace(0, 1, 101)
    own_score = np.tan(p - 0.5)
    np.testing.assert_allclose(MARGIN_LOSSES["tangent"](own_score), 4 * (1 - p) ** 2, atol=1e-15)


def test_logit_keeps_the_digits_of_both_ends():
    with mp.workdps(50):
        exact = np.array([float(mp.log(mp.mpf(float(p)) / (1 - mp.mpf(float(p))))) for p in P])
    # Around 1/2 both logarithms are 0.7 and their difference keeps their absolute error.
    np.testing.assert_allclose(logit(P), exact, rtol=4 * 2.0**-53, atol=2.0**-52)


def test_the_mean_hinge_loss_is_that_of_sklearn():
    rng = np.random.default_rng(71)
    y, z, weight = rng.integers(0, 2, 500), rng.normal(size=500) * 3, rng.gamma(1.0, size=500)
    ours = np.average(margin_loss(hinge, y, z), weights=weight)
    assert ours == pytest.approx(hinge_loss(2 * y - 1, z, sample_weight=weight), rel=1e-13)  # a sum of 500


def test_a_soft_label_is_the_mixture_of_both_labels():
    z, share = MARGINS, 0.3
    for loss in MARGIN_LOSSES.values():
        hard = [margin_loss(loss, np.full(z.size, k), z) for k in (0.0, 1.0)]
        np.testing.assert_array_equal(
            margin_loss(loss, np.full(z.size, share), z), share * hard[1] + (1 - share) * hard[0]
        )


def exact_focal(p):
    p = mp.mpf(float(p))
    return -((1 - p) ** 2) * mp.log(p)


def test_focal_is_its_formula():
    with mp.workdps(50):
        exact = np.array([as_double(exact_focal(p)) for p in P])
    happened = np.tile([0.0, 1.0], (P.size, 1))
    # The square of 1 - p, a logarithm, a product.
    np.testing.assert_allclose(focal(happened, class_losses_from_probabilities(P)), exact, rtol=8 * 2.0**-52)


def test_focal_of_logits_has_the_limits_of_its_margin():
    z = np.array([-INF, -1e6, -800.0, 800.0, 1e6, INF])
    happened = np.tile([0.0, 1.0], (z.size, 1))
    assert focal(happened, class_losses_from_logits(z)).tolist() == [INF, 1e6, 800.0, 0.0, 0.0, 0.0]


def test_label_smoothing_is_the_cross_entropy_of_smoothed_labels():
    rng = np.random.default_rng(72)
    for classes in (2, 3, 10):
        q, p = rng.dirichlet(np.ones(classes), (2, 50))
        q[::2] = np.eye(classes)[rng.integers(0, classes, 25)]
        wanted = distribution_from_probabilities(0.9 * q + 0.1 / classes, p)
        np.testing.assert_allclose(label_smoothed(q, class_losses_from_probabilities(p)), wanted, rtol=1e-14)
        brute = -((0.9 * q + 0.1 / classes) * np.log(p)).sum(axis=1)
        np.testing.assert_allclose(wanted, brute, rtol=1e-14)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_two_classes_and_one_number_are_one_forecast(name):
    rng = np.random.default_rng(73)
    p, y = rng.random(50), rng.random(50)
    q = np.stack([1 - y, y], axis=1)
    one, two = class_losses_from_probabilities(p), class_losses_from_probabilities(np.stack([1 - p, p], axis=1))
    np.testing.assert_allclose(CLASS_LOSSES[name](q, one), CLASS_LOSSES[name](q, two), rtol=1e-12)  # 1 - p is rounded


@pytest.mark.parametrize("name", CLASS_LOSSES)
@pytest.mark.parametrize("classes", [2, 5])
def test_logits_and_their_softmax_are_one_forecast(name, classes):
    z = np.random.default_rng(74).normal(size=(50, classes)) * 3
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    q = np.eye(classes)[np.arange(50) % classes]
    found = CLASS_LOSSES[name](q, class_losses_from_logits(z))
    # Near p = 1 what is left of 1 - p has the rounding of p, relative to 1e-3 or so squared.
    np.testing.assert_allclose(found, CLASS_LOSSES[name](q, class_losses_from_probabilities(p)), rtol=1e-9)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_classes_that_are_certain_or_impossible_give_a_limit(name):
    p = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    q = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    found = CLASS_LOSSES[name](q, class_losses_from_probabilities(p))
    # Smoothing gives every class a share, and one that is ruled out then costs infinity.
    wanted = {"focal": [0.0, INF, np.log(2) / 4], "label_smoothed": [INF, INF, INF]}[name]
    np.testing.assert_allclose(found, wanted, rtol=1e-15)


def test_the_losses_of_classes_are_those_of_rows_in_which_they_happened():
    z = np.concatenate([np.random.default_rng(75).normal(size=(20, 4)) * 30, [[0.0, INF, 1.0, -INF]]])
    losses = class_losses_from_logits(z)
    for k in range(4):
        np.testing.assert_array_equal(losses[:, k], categorical_from_logits(np.full(21, k), z))
        np.testing.assert_array_equal(losses[:, k], distribution_from_logits(np.tile(np.eye(4)[k], (21, 1)), z))


def test_no_rows_have_no_losses():
    for score in (np.zeros(0), np.zeros((0, 3))):
        for class_losses in (class_losses_from_logits, class_losses_from_probabilities):
            losses = class_losses(score)
            assert focal(np.zeros(losses.shape), losses).shape == (0,)
