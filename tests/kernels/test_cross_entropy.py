"""Cross-entropy of one row: against 100 digits over the whole domain, and at every edge that is defined."""

import mpmath as mp
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from logloss_spark.kernels.cross_entropy import (
    binary_entropy,
    binary_from_logit,
    binary_from_probability,
    categorical_from_logits,
    categorical_from_probabilities,
    distribution_from_logits,
    distribution_from_probabilities,
    entropy,
)

pytestmark = pytest.mark.filterwarnings("error")
settings.register_profile("kernels", derandomize=True, deadline=None, database=None)
settings.load_profile("kernels")

INF, NAN = np.inf, np.nan
CAP = -np.log(1e-15)
BELOW_ONE = 1.0 - 2.0**-53
SMALLEST = 5e-324

# What the design promises for a row term.
ULPS = 4


@pytest.fixture(autouse=True)
def hundred_digits():
    with mp.workdps(100):
        yield


def exactly(x):
    return mp.mpf(float(x))


def assert_within_ulps(actual, exact, ulps=ULPS):
    for i, (a, e) in enumerate(zip(actual, exact, strict=True)):
        if mp.isinf(e):
            assert a == INF, f"row {i}: {a!r} is not inf"
        else:
            off = abs(exactly(a) - e) / exactly(np.spacing(abs(float(e))))
            assert off <= ulps, f"row {i}: {a!r} is {float(off):.3g} ulp from {mp.nstr(e, 20)}"


def exact_from_probability(y, p):
    y, p = exactly(y), exactly(p)
    return (y and y * -mp.log(p) if p else (mp.inf if y else y)) + (
        (1 - y) and (1 - y) * -mp.log1p(-p) if p != 1 else (mp.inf if y != 1 else 0)
    )


def exact_softplus(m):
    # Beyond 1e4 the difference between ln(1 + e^m) and m is far below 100 digits.
    return exactly(max(m, 0.0)) if abs(m) > 1e4 else mp.log1p(mp.exp(exactly(m)))


def exact_from_logit(y, z):
    y = exactly(y)
    return y * exact_softplus(-z) + (1 - y) * exact_softplus(z)


def exact_losses_from_logits(z):
    top = int(np.argmax(z))
    behind = [exactly(z[top]) - exactly(v) for v in z]
    log_sum = mp.log1p(mp.fsum(mp.exp(-b) for i, b in enumerate(behind) if i != top))
    return [b + log_sum for b in behind]


def probabilities(n, rng):
    """Probabilities that crowd both ends of (0, 1) as well as its middle, and the ends themselves."""
    edges = [0.0, SMALLEST, 1e-323, 2.0**-1022, 1e-15, 0.5, BELOW_ONE, 1.0]
    return np.concatenate([edges, 10.0 ** rng.uniform(-323, 0, n), rng.random(n), 1.0 - 10.0 ** rng.uniform(-16, 0, n)])


def logits(n, rng):
    edges = [0.0, SMALLEST, -SMALLEST, 745.0, -745.0, 1e6, -1e6]
    return np.concatenate([edges, rng.uniform(-746, 746, n), rng.uniform(-3, 3, n), rng.uniform(-1e6, 1e6, n)])


def soft_labels(n, rng):
    return np.where(rng.random(n) < 0.5, rng.random(n), 10.0 ** rng.uniform(-320, 0, n))


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_a_binary_loss_from_a_probability_keeps_its_digits_over_the_whole_domain(y, soft):
    p = probabilities(300, np.random.default_rng(1))
    found = binary_from_probability(np.full(p.size, y), p, soft=soft)
    assert_within_ulps(found, [exact_from_probability(y, v) for v in p])


def test_a_certain_and_wrong_forecast_costs_its_cap_beside_one_that_is_no_number():
    y, p = np.array([0, 1, 1]), np.array([1.0, 0.0, np.nan])
    assert binary_from_probability(y, p, cap=34.5, soft=False)[:2].tolist() == [34.5, 34.5]


def test_a_soft_binary_loss_from_a_probability_keeps_its_digits():
    rng = np.random.default_rng(2)
    p = probabilities(300, rng)
    y = soft_labels(p.size, rng)
    assert_within_ulps(binary_from_probability(y, p), list(map(exact_from_probability, y, p)))


@pytest.mark.parametrize("y", [0.0, 1.0])
def test_a_binary_loss_from_a_logit_keeps_its_digits_over_the_whole_domain(y):
    z = logits(300, np.random.default_rng(3))
    assert_within_ulps(binary_from_logit(np.full(z.size, y), z), [exact_from_logit(y, v) for v in z])


def test_a_soft_binary_loss_from_a_logit_keeps_its_digits():
    rng = np.random.default_rng(4)
    z = logits(300, rng)
    y = soft_labels(z.size, rng)
    assert_within_ulps(binary_from_logit(y, z), list(map(exact_from_logit, y, z)))


def test_a_certain_and_right_logit_keeps_its_digits():
    assert_within_ulps(binary_from_logit(np.array([1.0]), np.array([40.0])), [mp.log1p(mp.exp(-40))])


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("spread", [1.0, 30.0, 1e3, 1e6])
def test_a_categorical_loss_from_logits_keeps_its_digits(classes, spread):
    rng = np.random.default_rng(5)
    z = rng.uniform(-spread, spread, (40, classes))
    k = rng.integers(0, classes, len(z))
    exact = [exact_losses_from_logits(row)[i] for row, i in zip(z, k, strict=True)]
    assert_within_ulps(categorical_from_logits(k, z), exact)


@pytest.mark.parametrize("ahead", [40.0, 700.0])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_a_true_class_that_dominates_keeps_the_digits_of_its_loss(ahead, offset):
    rng = np.random.default_rng(6)
    z = rng.normal(size=(60, 4)) + offset
    z[:, 1] += ahead
    exact = [exact_losses_from_logits(row)[1] for row in z]
    assert_within_ulps(categorical_from_logits(np.full(len(z), 1), z), exact)


@pytest.mark.parametrize("ahead", [0.0, 40.0, 700.0])
def test_a_thousand_classes_lose_no_digits(ahead):
    z = np.random.default_rng(7).normal(size=(2, 1000))
    z[:, 0] += ahead
    exact = [exact_losses_from_logits(row)[0] for row in z]
    assert_within_ulps(categorical_from_logits(np.array([0, 0]), z), exact)


def test_a_thousand_subnormal_terms_are_off_by_half_the_smallest_double_each():
    # Below 1e-308 a double has no relative precision left to keep: e^-744 is itself 0.4 of the smallest one off.
    z = np.zeros((1, 1000))
    z[0, 0] = 744.0
    actual = categorical_from_logits(np.array([0]), z)[0]
    assert abs(exactly(actual) - 999 * mp.exp(-744)) <= 999 * exactly(SMALLEST) / 2


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_soft_label_over_probabilities_keeps_its_digits(classes):
    rng = np.random.default_rng(8)
    # A small concentration makes shares from 1 down to 0 in the same row.
    q, p = rng.dirichlet(np.full(classes, 0.05), (2, 2000 // classes // 10 + 1))
    exact = [
        mp.fsum(exactly(a) * (-mp.log(exactly(b)) if b else mp.inf) for a, b in zip(*rows, strict=True) if a)
        for rows in zip(q, p, strict=True)
    ]
    assert_within_ulps(distribution_from_probabilities(q, p), exact)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_soft_label_over_logits_keeps_its_digits(classes):
    rng = np.random.default_rng(9)
    rows = 1 if classes == 1000 else 50
    q = rng.dirichlet(np.full(classes, 0.05), rows)
    z = rng.normal(size=(rows, classes)) * 20
    exact = [
        mp.fsum(exactly(a) * b for a, b in zip(q_row, exact_losses_from_logits(z_row), strict=True))
        for q_row, z_row in zip(q, z, strict=True)
    ]
    assert_within_ulps(distribution_from_logits(q, z), exact)


def test_an_ill_conditioned_soft_label_keeps_fourteen_digits():
    # Nearly all of the label on a class whose loss is 1e-17, the rest on one whose loss is 40 at a share of 1e-18.
    q, z = np.array([[1.0, 1e-18, 1e-30]]), np.array([[40.0, 0.0, -600.0]])
    exact = mp.fsum(exactly(a) * b for a, b in zip(q[0], exact_losses_from_logits(z[0]), strict=True))
    assert abs(exactly(distribution_from_logits(q, z)[0]) / exact - 1) <= 1e-14


def test_binary_entropy_keeps_its_digits_over_the_whole_domain():
    p = probabilities(300, np.random.default_rng(10))
    assert_within_ulps(binary_entropy(p), [exact_from_probability(v, v) for v in p])


@pytest.mark.parametrize("classes", [3, 1000])
def test_entropy_keeps_its_digits(classes):
    p = np.random.default_rng(11).dirichlet(np.full(classes, 0.05), 3)
    exact = [mp.fsum(-exactly(v) * mp.log(exactly(v)) for v in row if v) for row in p]
    assert_within_ulps(entropy(p), exact)


@pytest.mark.parametrize(
    ("y", "p", "cap", "expected"),
    [
        (1.0, 1.0, INF, 0.0),
        (0.0, 0.0, INF, 0.0),
        (1.0, 0.0, INF, INF),
        (0.0, 1.0, INF, INF),
        (1.0, 0.0, CAP, CAP),
        (0.0, 1.0, CAP, CAP),
        (1.0, 1e-20, CAP, CAP),
        (1.0, 1e-15, CAP, CAP),
        (1.0, 1.0, CAP, 0.0),
        (0.0, BELOW_ONE, CAP, CAP),
        (0.0, BELOW_ONE, INF, 53 * np.log(2)),
        (0.0, SMALLEST, INF, SMALLEST),
        (1.0, SMALLEST, INF, 1074 * np.log(2)),
        (0.5, 0.5, INF, np.log(2)),
        (0.5, 0.0, INF, INF),
        (0.5, 0.0, CAP, CAP / 2),
        (0.25, 1.0, CAP, 0.75 * CAP),
    ],
)
def test_table_of_binary_losses_from_probabilities(y, p, cap, expected):
    # The expected values are computed in double themselves.
    np.testing.assert_allclose(binary_from_probability(np.array([y]), np.array([p]), cap=cap), [expected], rtol=4e-16)


@pytest.mark.parametrize(
    ("y", "z", "expected"),
    [
        (1.0, INF, 0.0),
        (0.0, -INF, 0.0),
        (1.0, -INF, INF),
        (0.0, INF, INF),
        (0.5, INF, INF),
        (0.5, -INF, INF),
        (1.0, 0.0, np.log(2)),
        (0.0, -0.0, np.log(2)),
        (0.3, 0.0, np.log(2)),
        (1.0, -1e6, 1e6),
        (0.0, 1e6, 1e6),
        (1.0, 1e6, 0.0),
        (0.0, np.finfo(float).max, np.finfo(float).max),
        (0.25, 1e6, 0.75e6),
    ],
)
def test_table_of_binary_losses_from_logits(y, z, expected):
    # The expected values are computed in double themselves.
    np.testing.assert_allclose(binary_from_logit(np.array([y]), np.array([z])), [expected], rtol=4e-16)


@pytest.mark.parametrize(
    ("k", "z", "expected"),
    [
        (0, [INF, 0.0, 1.0], 0.0),
        (1, [INF, 0.0, 1.0], INF),
        (1, [INF, -INF, 1.0], INF),
        (0, [INF, -INF, -INF], 0.0),
        (0, [-INF, 0.0, 1.0], INF),
        (1, [-INF, 0.0, 0.0], np.log(2)),
        (1, [-INF, 0.0, -INF], 0.0),
        (2, [0.0, 0.0, 0.0], np.log(3)),
        (0, [1e6, 0.0, 0.0], 0.0),
        (1, [1e6, 0.0, 0.0], 1e6),
        (1, [1e308, -1e308], INF),
        (0, [1e308, -1e308], 0.0),
        (0, [7.0], 0.0),
    ],
)
def test_table_of_categorical_losses_from_logits(k, z, expected):
    # The expected values are computed in double themselves.
    actual = [
        categorical_from_logits(np.array([k]), np.array([z]))[0],
        distribution_from_logits(np.eye(len(z))[[k]], np.array([z]))[0],
    ]
    np.testing.assert_allclose(actual, expected, rtol=4e-16)


@pytest.mark.parametrize(
    ("k", "p", "cap", "expected"),
    [
        (0, [1.0, 0.0, 0.0], INF, 0.0),
        (1, [1.0, 0.0, 0.0], INF, INF),
        (1, [1.0, 0.0, 0.0], CAP, CAP),
        (0, [1.0, 0.0, 0.0], CAP, 0.0),
        (2, [0.25, 0.25, 0.5], INF, np.log(2)),
        (0, [SMALLEST, 0.0, 1.0], INF, 1074 * np.log(2)),
    ],
)
def test_table_of_categorical_losses_from_probabilities(k, p, cap, expected):
    # The expected values are computed in double themselves.
    actual = [
        categorical_from_probabilities(np.array([k]), np.array([p]), cap=cap)[0],
        distribution_from_probabilities(np.eye(3)[[k]], np.array([p]), cap=cap)[0],
    ]
    np.testing.assert_allclose(actual, expected, rtol=4e-16)


def test_a_perfect_forecast_costs_zero_and_not_minus_zero():
    losses = [
        binary_from_probability(np.array([0.0, 1.0]), np.array([0.0, 1.0])),
        binary_from_probability(np.array([0, 1]), np.array([0.0, 1.0]), soft=False),
        binary_from_logit(np.array([0.0, 1.0]), np.array([-INF, INF])),
        categorical_from_probabilities(np.array([0]), np.array([[1.0, 0.0]])),
        categorical_from_logits(np.array([0]), np.array([[INF, 0.0]])),
        distribution_from_probabilities(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])),
        distribution_from_logits(np.array([[1.0, 0.0]]), np.array([[INF, 0.0]])),
        binary_entropy(np.array([0.0, 1.0])),
        entropy(np.array([[1.0, 0.0]])),
    ]
    flat = np.concatenate(losses)
    assert not flat.any()
    assert not np.signbit(flat).any()


@given(st.sampled_from([0.0, 1.0]), st.floats(allow_nan=False))
def test_swapping_the_classes_leaves_a_binary_loss_from_a_logit_as_it_is(y, z):
    one, other = binary_from_logit(np.array([y, 1.0 - y]), np.array([z, -z]))
    assert one == other


@given(st.floats(-1e6, 1e6), st.sampled_from([0, 1]))
def test_two_classes_with_logits_0_and_z_are_the_binary_case(z, y):
    two_classes = categorical_from_logits(np.array([y]), np.array([[0.0, z]]))
    binary = binary_from_logit(np.array([float(y)]), np.array([z]))
    # Both are within two ulp of the same number.
    np.testing.assert_allclose(two_classes, binary, rtol=4 * 2.0**-52, atol=SMALLEST)


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 1)), st.floats(1.0, 100.0))
def test_no_loss_from_hard_labels_exceeds_the_cap(p, cap):
    losses = categorical_from_probabilities(np.array([0, 1, 3]), p, cap=cap)
    assert ((losses >= 0) & (losses <= cap)).all()


@given(st.floats(0, 1), st.floats(-1e6, 1e6))
def test_a_soft_loss_lies_between_the_losses_of_both_labels(y, z):
    soft, negative, positive = binary_from_logit(np.array([y, 0.0, 1.0]), np.full(3, z))
    # A mean of two numbers that are two ulp off, with weights that are half an ulp off.
    slack = 4 * np.spacing(max(negative, positive))
    assert min(negative, positive) - slack <= soft <= max(negative, positive) + slack


any_float = st.floats(allow_subnormal=True)
any_row = hnp.arrays(np.float64, (2, 3), elements=any_float)


@given(any_row, any_row, hnp.arrays(np.int64, 2, elements=st.integers(-5, 9)))
def test_no_kernel_raises_or_warns_on_any_row(a, b, k):
    results = [
        binary_from_probability(a[:, 0], b[:, 0]),
        binary_from_logit(a[:, 0], b[:, 0]),
        categorical_from_probabilities(k, b),
        categorical_from_logits(k, b),
        distribution_from_probabilities(a, b, cap=CAP),
        distribution_from_logits(a, b),
        binary_entropy(b[:, 0]),
        entropy(b),
    ]
    assert [r.shape for r in results] == [(2,)] * 8


@pytest.mark.parametrize("shape", [(0, 3), (0, 0)])
def test_no_rows_give_no_losses(shape):
    k, y, p = np.empty(0, dtype=np.int64), np.empty(0), np.empty(shape)
    results = [
        binary_from_probability(y, y),
        binary_from_logit(y, y),
        categorical_from_probabilities(k, p),
        categorical_from_logits(k, p),
        distribution_from_probabilities(p, p),
        distribution_from_logits(p, p),
        binary_entropy(y),
        entropy(p),
    ]
    assert [r.shape for r in results] == [(0,)] * 8


def test_read_only_inputs_are_enough_and_stay_as_they_are():
    k, y, p = np.array([0, 2]), np.array([0.0, 1.0]), np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    originals = [a.copy() for a in (k, y, p)]
    for a in (k, y, p):
        a.setflags(write=False)
    binary_from_probability(y, p[:, 0])
    binary_from_logit(y, p[:, 0])
    categorical_from_probabilities(k, p)
    categorical_from_logits(k, p)
    distribution_from_probabilities(p, p)
    distribution_from_logits(p, p)
    binary_entropy(y)
    entropy(p)
    for a, original in zip((k, y, p), originals, strict=True):
        np.testing.assert_array_equal(a, original)


def test_single_precision_is_scored_in_double():
    p = np.array([0.1, 0.7], dtype=np.float32)
    y = np.array([1, 0], dtype=np.int8)
    actual = binary_from_probability(y, p)
    assert actual.dtype == np.float64
    np.testing.assert_array_equal(actual, binary_from_probability(y.astype(float), p.astype(float)))


def test_a_loss_from_a_logit_runs_on_smoothly_into_its_two_limits():
    # ln(1 + e^-z) -> e^-z, whose relative distance is e^-z / 2, and ln(1 + e^z) -> z.
    z = np.arange(38.0, 700.0)
    np.testing.assert_allclose(binary_from_logit(np.ones_like(z), z), np.exp(-z), rtol=4e-16)
    np.testing.assert_array_equal(binary_from_logit(np.zeros_like(z), z), z)


def test_a_loss_is_continuous_where_the_largest_logit_changes():
    steps = np.array([-1e-12, 0.0, 1e-12])
    z = np.stack([1.0 + steps, np.ones(3), np.zeros(3)], axis=1)
    losses = categorical_from_logits(np.zeros(3, dtype=np.int64), z)
    # The slope is p_0 - 1, between -1 and 0.
    assert (np.diff(losses) <= 0).all()
    assert np.ptp(losses) <= 2e-12


def test_a_capped_loss_is_continuous_at_the_cap():
    p = 1e-15 * np.array([1 - 1e-12, 1.0, 1 + 1e-12])
    # A step of 1e-12 in p moves ln p by as much, give or take the rounding of p.
    np.testing.assert_allclose(binary_from_probability(np.ones(3), p, cap=CAP), CAP, atol=1.1e-12, rtol=0)


def test_a_soft_label_next_to_a_hard_one_costs_almost_the_same():
    z = np.array([5.0, 5.0])
    nearly, fully = binary_from_logit(np.array([BELOW_ONE, 1.0]), z)
    # The share of 2^-53 is worth the difference of both losses, which is z.
    assert 0 <= nearly - fully <= 5.0 * 2.0**-52


def test_entropy_goes_to_zero_with_the_probability():
    p = 10.0 ** np.arange(-300.0, -20.0)
    # H(p) = p (1 - ln p) + O(p^2); NumPy's two logarithms are half an ulp off each.
    np.testing.assert_allclose(binary_entropy(p), p * (1.0 - np.log(p)), rtol=1e-15)


def test_the_mean_of_binary_losses_is_the_log_loss_of_scikit_learn():
    rng = np.random.default_rng(12)
    y, p, w = rng.integers(0, 2, 5000), rng.random(5000), rng.random(5000)
    expected = sklearn.metrics.log_loss(y, p, sample_weight=w)
    # Two means of 5,000 terms that are summed in different orders.
    assert np.average(binary_from_probability(y, p), weights=w) == pytest.approx(expected, rel=1e-12)
    assert np.average(binary_from_logit(y, np.log(p / (1 - p))), weights=w) == pytest.approx(expected, rel=1e-12)


def test_the_mean_of_categorical_losses_is_the_log_loss_of_scikit_learn():
    rng = np.random.default_rng(13)
    k, p = rng.integers(0, 5, 5000), rng.dirichlet(np.ones(5), 5000)
    expected = sklearn.metrics.log_loss(k, p)
    # Two means of 5,000 terms that are summed in different orders.
    assert categorical_from_probabilities(k, p).mean() == pytest.approx(expected, rel=1e-12)
    assert categorical_from_logits(k, np.log(p)).mean() == pytest.approx(expected, rel=1e-12)
    assert distribution_from_probabilities(np.eye(5)[k], p).mean() == pytest.approx(expected, rel=1e-12)
