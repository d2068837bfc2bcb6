"""The terms of a row beside its loss, against SciPy and 100 digits: Brier, entropy, the top class, impossible rows."""

import mpmath as mp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from logloss_spark.kernels.cross_entropy import (
    binary_from_logit,
    binary_from_probability,
    categorical_from_logits,
    categorical_from_probabilities,
    distribution_from_logits,
    distribution_from_probabilities,
)
from logloss_spark.kernels.grid import bin_of_logit, bin_of_probability
from logloss_spark.kernels.terms import binary_terms, class_terms, score_of
from tests.kernels.test_cross_entropy import assert_within_ulps, exactly, hundred_digits, logits, probabilities

pytestmark = pytest.mark.filterwarnings("error")
settings.register_profile("kernels", derandomize=True, deadline=None, database=None)
settings.load_profile("kernels")

__all__ = ["hundred_digits"]  # a fixture that every test here uses

EPS, CAP = 1e-15, -np.log(1e-15)

NEAR = 1e-14
"""Relative, for terms that are a handful of roundings."""


def rows_of(kind, soft, classes):
    """Labels and scores of one form of forecast, with ties, certain forecasts and tiny probabilities."""
    rng = np.random.default_rng(11)
    n = 200
    if classes is None:
        p = np.concatenate(
            [[0.0, 1.0, 5e-324, 1e-16, 1 - 2.0**-53, 0.5], rng.random(n), 10.0 ** rng.uniform(-20, 0, n)]
        )
        score = p if kind == "probability" else np.concatenate([[np.inf, -np.inf, 0.0], rng.uniform(-30, 30, 2 * n)])
        label = rng.random(score.size) if soft else rng.integers(0, 2, score.size)
        if soft:
            label[::5] = rng.integers(0, 2, label[::5].size)
        return label, score
    p = rng.dirichlet(np.full(classes, 0.3), n)
    p[::9] = np.eye(classes)[rng.integers(0, classes, p[::9].shape[0])]
    p[1::9, :2] = p[1::9, :2].mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        score = p if kind == "probability" else np.log(p) + rng.normal(size=(n, 1))
    return rng.dirichlet(np.full(classes, 0.5), n) if soft else rng.integers(0, classes, n), score


def shares_and_probabilities(label, score, kind, soft):
    """Labels and forecasts, both as one share per class."""
    if score.ndim == 1:
        p = score if kind == "probability" else scipy.special.expit(score)
        other = 1 - p if kind == "probability" else scipy.special.expit(-score)
        return np.stack([1 - label, label], axis=1), np.stack([other, p], axis=1)
    p = score if kind == "probability" else scipy.special.softmax(score, axis=1)
    return (label if soft else np.eye(score.shape[1])[label]), p


FORMS = [(kind, soft, classes) for kind in ("probability", "logit") for soft in (False, True) for classes in (None, 4)]


@pytest.fixture(scope="module", params=FORMS, ids=str)
def terms(request):
    """A form of forecast, its terms, and labels and forecasts as one share per class."""
    kind, soft, classes = request.param
    label, score = rows_of(*request.param)
    of_form = binary_terms if classes is None else class_terms
    found = of_form(label, score, kind, eps=EPS, cap=CAP if kind == "probability" else np.inf)
    return request.param, found, *shares_and_probabilities(label, score, kind, soft)


def test_the_loss_is_that_of_the_kernel_of_the_form_to_the_last_bit(terms):
    (kind, soft, classes), found, _, _ = terms
    label, score = rows_of(kind, soft, classes)
    if kind == "probability":
        kernel = distribution_from_probabilities if soft else categorical_from_probabilities
        wanted = (binary_from_probability if classes is None else kernel)(label, score, cap=CAP)
    else:
        kernel = distribution_from_logits if soft else categorical_from_logits
        wanted = (binary_from_logit if classes is None else kernel)(label, score)
    np.testing.assert_array_equal(found["loss"], wanted)


def test_brier_is_the_squared_distance_and_of_a_scalar_forecast_half_of_it(terms):
    (_, _, classes), found, y, p = terms
    squares = ((p - y) ** 2).sum(axis=1) / (2 if classes is None else 1)
    # A logit's p is known to 1e-16 only, which is all there is of a tiny Brier score.
    np.testing.assert_allclose(found["brier"], squares, rtol=NEAR, atol=1e-16)


def test_entropy_is_that_of_the_forecast(terms):
    _, found, _, p = terms
    # SciPy's entr of 1 - p near 1 has the rounding of 1 - p, hence the absolute part.
    np.testing.assert_allclose(found["entropy"], scipy.special.entr(p).sum(axis=1), rtol=NEAR, atol=1e-15)


def test_the_tail_keeps_the_digits_of_a_forecast_near_one(terms):
    (_, _, classes), found, _, p = terms
    if classes is None:
        np.testing.assert_allclose(found["tail"], p.min(axis=1), rtol=NEAR)
        np.testing.assert_array_equal(found["upper"], p[:, 1] >= 0.5)
    else:
        top = p.max(axis=1)
        np.testing.assert_allclose(found["tail"], np.minimum(top, 1 - top), rtol=NEAR, atol=2e-16)


def test_the_label_of_a_row_is_whether_its_top_class_happened(terms):
    (_, _, classes), found, y, p = terms
    # Of equals the first, which is what argmax takes, too.
    wanted = y[:, 1] if classes is None else y[np.arange(len(y)), p.argmax(axis=1)]
    np.testing.assert_array_equal(found["y"], wanted)


def test_the_bin_is_that_of_the_score_or_of_the_top_class(terms):
    (kind, _, classes), found, _, p = terms
    if classes is None and kind == "logit":
        np.testing.assert_array_equal(found["bin"], bin_of_logit(found["score"]))
    else:
        np.testing.assert_array_equal(
            found["bin"], bin_of_probability(found["score"] if classes is None else p.max(axis=1))
        )


def test_clipped_rows_gave_what_happened_less_than_eps_and_zero_rows_nothing(terms):
    (kind, _, _), found, y, p = terms
    happened = np.where(y > 0, p, 1.0).min(axis=1)
    if kind == "probability":
        np.testing.assert_array_equal(found["clipped"], happened < EPS)
        np.testing.assert_array_equal(found["zero"], happened == 0)
    else:
        # Logits are never clipped, and only an infinite one makes something impossible.
        assert not found["clipped"].any()
        np.testing.assert_array_equal(found["zero"], np.isinf(found["loss"]))


def test_labels_and_probabilities_of_each_class_are_the_rows_own(terms):
    (_, _, classes), found, y, p = terms
    if classes is not None:
        np.testing.assert_array_equal(found["labels"], y)
        # A softmax divides by a sum: an ulp per step.
        np.testing.assert_allclose(found["probabilities"], p, rtol=NEAR)


def test_a_rank_counts_the_classes_that_come_before(terms):
    (kind, soft, classes), found, _, _ = terms
    assert ("rank" in found) == (classes is not None and not soft)
    if "rank" in found:
        label, score = rows_of(kind, soft, classes)
        # Stable, so that of equals the earlier ones come first.
        order = np.argsort(-score, axis=1, kind="stable")
        np.testing.assert_array_equal(found["rank"], (order == label[:, np.newaxis]).argmax(axis=1))


def exact_shares(score, kind):
    """p and 1 - p in 100 digits."""
    if kind == "probability":
        return exactly(score), 1 - exactly(score)
    odds = mp.exp(-abs(exactly(score)))
    shares = 1 / (1 + odds), odds / (1 + odds)
    return shares if score >= 0 else shares[::-1]


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["probability", "logit"])
def test_terms_of_binary_forecasts_keep_their_digits_over_the_whole_domain(kind, y):
    rng = np.random.default_rng(12)
    scores = probabilities(150, rng) if kind == "probability" else logits(150, rng)
    found = binary_terms(np.full(scores.size, y), scores, kind)
    shares = [exact_shares(score, kind) for score in scores.tolist()]
    assert_within_ulps(found["tail"], [min(pair) for pair in shares])
    # Squares double the error of what is squared, and below 1e-308 doubles have fewer digits.
    wrong_way = [pair[1] if y else pair[0] for pair in shares]
    normal = np.array([share == 0 or share > 1e-150 for share in wrong_way])
    assert_within_ulps(found["brier"][normal], [s**2 for s, kept in zip(wrong_way, normal, strict=True) if kept], 6)
    assert_within_ulps(found["variance"], [p * q for p, q in shares])


def test_the_logit_variance_of_a_logit_keeps_its_digits():
    scores = np.random.default_rng(13).uniform(-700, 700, 300)
    found = binary_terms(np.ones(scores.size), scores, "logit")["logit_variance"]
    assert_within_ulps(found, [mp.fprod(exact_shares(z, "logit")) * exactly(z) ** 2 for z in scores.tolist()], 6)


def test_an_entry_beyond_the_unit_interval_is_scored_as_its_end():
    given_, ends = np.array([[1.00002, 0.0, -2e-5], [-3e-5, 0.5, 0.50002]]), np.array([[1, 0, 0], [0, 0.5, 0.50002]])
    np.testing.assert_array_equal(score_of(given_, "probability"), ends)
    np.testing.assert_array_equal(score_of(given_, "logit"), given_)


def test_a_margin_is_a_logit():
    z = np.array([-3.0, 0.0, np.inf])
    np.testing.assert_array_equal(score_of(np.stack([-z, z], axis=1), "margin"), z)
    np.testing.assert_array_equal(score_of(z, "margin"), z)


any_float = st.floats(allow_subnormal=True)
any_row = hnp.arrays(np.float64, (2, 3), elements=any_float)


@given(
    any_row, any_row, hnp.arrays(np.int64, 2, elements=st.integers(-5, 9)), st.sampled_from(["probability", "logit"])
)
def test_no_term_raises_or_warns_on_any_row(a, b, k, kind):
    for label in (k, a[:, 0]):
        assert {values.shape for values in binary_terms(label, b[:, 0], kind, cap=CAP).values()} == {(2,)}
    for label in (k, a):
        found = class_terms(label, b, kind, cap=CAP)
        assert {name for name, values in found.items() if values.shape == (2, 3)} == {"labels", "probabilities"}


@pytest.mark.parametrize("kind", ["probability", "logit"])
def test_no_rows_have_no_terms(kind):
    nothing, none = np.zeros(0), np.zeros((0, 3))
    assert all(values.shape == (0,) for values in binary_terms(nothing, nothing, kind).values())
    assert all(len(values) == 0 for values in class_terms(np.zeros(0, dtype=np.int64), none, kind).values())
    assert all(len(values) == 0 for values in class_terms(none, none, kind).values())


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_read_only_inputs_are_enough_and_stay_as_they_are(form):
    label, score = rows_of(*form)
    originals = label.copy(), score.copy()
    label.setflags(write=False)
    score.setflags(write=False)
    (binary_terms if form[2] is None else class_terms)(label, score, form[0])
    np.testing.assert_array_equal(label, originals[0])
    np.testing.assert_array_equal(score, originals[1])
