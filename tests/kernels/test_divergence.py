"""Kullback-Leibler divergence: its digits where two distributions nearly agree, and its limits where they exclude."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from logloss_spark.kernels.divergence import binary_kl, kl, kl_from_logits

pytestmark = pytest.mark.filterwarnings("error")
settings.register_profile("kernels", derandomize=True, deadline=None, database=None)
settings.load_profile("kernels")

INF = np.inf
SMALLEST = 5e-324

# What the design promises for a divergence, which is ill-conditioned by nature.
RELATIVE = 1e-14

# A divergence of shares near 1e-30 is of that order, and the logarithms that cancel in it are of order 1; where
# subnormal shares come in, 100 digits are not enough for the oracle itself.
DIGITS = 100
DIGITS_FOR_SUBNORMALS = 400


def exactly(x):
    return mp.mpf(float(x))


def exact_kl(q, p):
    """Divergence of the normalised rows; the double inputs are normalised without rounding."""
    q, p = [exactly(v) for v in q], [exactly(v) for v in p]
    q_total, p_total = mp.fsum(q), mp.fsum(p)
    shares = [(a / q_total, b / p_total) for a, b in zip(q, p, strict=True) if a]
    return mp.fsum(a * mp.log(a / b) if b else mp.inf for a, b in shares)


def exact_binary_kl(q, p):
    q, p = exactly(q), exactly(p)
    return mp.fsum((a * mp.log(a / b) if b else mp.inf) for a, b in ((q, p), (1 - q, 1 - p)) if a)


def assert_relatively_close(actual, exact):
    for i, (a, e) in enumerate(zip(actual, exact, strict=True)):
        if mp.isinf(e) or e == 0:
            assert a == float(e), f"row {i}: {a!r} is not {float(e)}"
        else:
            off = abs(exactly(a) / e - 1)
            assert off <= RELATIVE, f"row {i}: {a!r} is {float(off):.3g} off {mp.nstr(e, 20)}"


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("apart", [0.3, 1e-3, 1e-6, 1e-9, 1e-12, 1e-15])
@pytest.mark.parametrize("normalised", [True, False])
def test_kl_of_nearly_equal_distributions_keeps_its_digits(classes, apart, normalised):
    rng = np.random.default_rng(21)
    q = rng.dirichlet(np.ones(classes), 1 if classes == 1000 else 20)
    p = q * (1.0 + apart * rng.uniform(-1, 1, q.shape))
    if normalised:
        p /= p.sum(axis=1, keepdims=True)
    with mp.workdps(DIGITS):
        assert_relatively_close(kl(q, p), list(map(exact_kl, q, p)))


@pytest.mark.parametrize("concentration", [1.0, 0.1])
def test_kl_of_unlike_distributions_keeps_its_digits(concentration):
    q, p = np.random.default_rng(22).dirichlet(np.full(4, concentration), (2, 200))
    with mp.workdps(DIGITS):
        assert_relatively_close(kl(q, p), list(map(exact_kl, q, p)))


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("apart", [1e-6, 1e-9, 1e-15])
def test_kl_around_equal_shares_keeps_its_digits(classes, apart):
    rng = np.random.default_rng(24)
    q, p = 1.0 / classes * (1.0 + apart * rng.uniform(-1, 1, (2, 20, classes)))
    with mp.workdps(DIGITS):
        assert_relatively_close(kl(q, p), list(map(exact_kl, q, p)))


def test_kl_of_a_concentrated_from_a_flat_distribution_keeps_its_digits():
    flat, concentrated = np.full((1, 1000), 1e-3), np.full((1, 1000), 1e-9)
    concentrated[0, 3] = 1.0
    with mp.workdps(DIGITS):
        assert_relatively_close(kl(flat, concentrated), [exact_kl(flat[0], concentrated[0])])
        assert_relatively_close(kl(concentrated, flat), [exact_kl(concentrated[0], flat[0])])


@pytest.mark.parametrize("apart", [1.0, 0.3, 1e-3, 1e-6, 1e-9, 1e-13])
def test_binary_kl_keeps_its_digits_at_both_ends(apart):
    rng = np.random.default_rng(23)
    low = np.where(rng.random(60) < 0.5, rng.uniform(0, 0.5, 60), 10.0 ** rng.uniform(-15, 0, 60) / 2)
    q = np.concatenate([low, 1.0 - low])
    p = np.concatenate([low, low]) * (1.0 + apart * rng.uniform(-1, 1, 120))
    p[60:] = 1.0 - p[60:]
    with mp.workdps(DIGITS):
        assert_relatively_close(binary_kl(q, p), list(map(exact_binary_kl, q, p)))


def test_kl_with_subnormal_shares_keeps_its_digits():
    tiny = np.array([SMALLEST, 1e-320, 1e-310, 1e-300, 1e-200])
    q, p = (grid.ravel() for grid in np.meshgrid(tiny, np.append(tiny, [0.25, 0.5])))
    pairs = np.stack([1.0 - q, q], axis=1), np.stack([1.0 - p, p], axis=1)
    with mp.workdps(DIGITS_FOR_SUBNORMALS):
        exact = list(map(exact_kl, *pairs))
        normal = np.array([e > 2.0**-1000 or e == 0 for e in exact])
        assert_relatively_close(kl(*pairs)[normal], [e for e, keep in zip(exact, normal, strict=True) if keep])
        # Below it a double keeps absolute digits only: a few roundings to the smallest double.
        off = [abs(exactly(a) - e) for a, e in zip(kl(*pairs), exact, strict=True)]
        assert max(o for o, keep in zip(off, normal, strict=True) if not keep) <= 4 * exactly(SMALLEST)


@pytest.mark.parametrize(
    ("q", "p", "expected"),
    [
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 0.0),
        (0.3, 0.3, 0.0),
        (0.0, 0.5, np.log(2)),
        (1.0, 0.5, np.log(2)),
        (0.5, 0.0, INF),
        (0.5, 1.0, INF),
        (0.0, 1.0, INF),
        (1.0, 0.0, INF),
        (SMALLEST, 0.0, INF),
        (0.0, SMALLEST, SMALLEST),
        (1.0, SMALLEST, 1074 * np.log(2)),
        (SMALLEST, 1.0, INF),
        (0.0, 1.0 - 2.0**-53, 53 * np.log(2)),
    ],
)
def test_table_of_binary_divergences(q, p, expected):
    # The expected values are computed in double themselves.
    np.testing.assert_allclose(binary_kl(np.array([q]), np.array([p])), [expected], rtol=4e-16)


@pytest.mark.parametrize(
    ("q", "p", "expected"),
    [
        ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5], 0.0),
        ([0.25, 0.25, 0.5], [0.5, 0.5, 1.0], 0.0),
        ([1.0, 0.0, 0.0], [1.0, 0.0, 0.0], 0.0),
        ([1.0, 0.0, 0.0], [0.25, 0.25, 0.5], np.log(4)),
        ([0.5, 0.5, 0.0], [0.25, 0.25, 0.5], np.log(2)),
        ([0.5, 0.0, 0.5], [0.5, 0.5, 0.0], INF),
        ([SMALLEST, 0.0, 1.0], [0.0, 0.5, 0.5], INF),
        ([0.0, SMALLEST, 1.0], [0.0, 1.0, SMALLEST], 1074 * np.log(2)),
    ],
)
def test_table_of_divergences(q, p, expected):
    # The expected values are computed in double themselves.
    np.testing.assert_allclose(kl(np.array([q]), np.array([p])), [expected], rtol=4e-16)


@given(st.integers(0, 2**20), st.integers(0, 2**20))
def test_binary_kl_is_kl_of_two_classes(q, p):
    # Multiples of 2^-20, whose complements are exact.
    q, p = np.array([q / 2**20]), np.array([p / 2**20])
    of_two_classes = kl(np.stack([q, 1 - q], axis=1), np.stack([p, 1 - p], axis=1))
    np.testing.assert_allclose(binary_kl(q, p), of_two_classes, rtol=2 * RELATIVE)


@given(hnp.arrays(np.float64, (2, 3, 4), elements=st.floats(0.0, 1.0)))
def test_kl_is_never_negative(rows):
    q, p = rows
    divergence = kl(q, p)
    both_have_a_sum = (q.sum(axis=1) > 0) & (p.sum(axis=1) > 0)
    assert (divergence[both_have_a_sum] >= 0).all()


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_binary_kl_is_zero_only_between_equals(q, p):
    divergence = binary_kl(np.array([q]), np.array([p]))[0]
    assert divergence >= 0
    # Squares of differences below 1e-150 are lost to underflow.
    assert (divergence > 0) == (q != p) or abs(q - p) < 1e-150


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(2.0**-20, 1.0)), st.integers(-900, 900))
def test_the_scale_of_both_rows_does_not_matter(q, exponent):
    p = q[:, ::-1]
    # A power of two scales without rounding.
    np.testing.assert_array_equal(kl(q * 2.0**exponent, p * 2.0**exponent), kl(q, p))


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(2.0**-20, 1.0)), st.integers(-900, 900))
def test_the_scale_of_one_row_does_not_matter(q, exponent):
    p = q[:, ::-1]
    np.testing.assert_allclose(kl(q * 2.0**exponent, p), kl(q, p), rtol=2 * RELATIVE, atol=0)


def test_the_series_meets_the_logarithm_without_a_step():
    # The two forms change over at p/q = 2/3 and 3/2.
    for ratio in (2 / 3, 3 / 2):
        p = 0.25 * ratio * (1.0 + np.arange(-50, 51) * 2.0**-52)
        q = np.full_like(p, 0.25)
        with mp.workdps(DIGITS):
            assert_relatively_close(binary_kl(q, p), list(map(exact_binary_kl, q, p)))


def test_kl_goes_to_its_limit_as_a_share_vanishes():
    vanishing = 10.0 ** -np.arange(20.0, 320.0, 10.0)
    divergences = binary_kl(vanishing, np.full_like(vanishing, 0.5))
    # q ln q is below 1e-18 from the start.
    np.testing.assert_allclose(divergences, np.log(2), rtol=4e-16)


any_row = hnp.arrays(np.float64, (2, 3), elements=st.floats(allow_subnormal=True))


@given(any_row, any_row)
def test_no_kernel_raises_or_warns_on_any_row(q, p):
    assert kl(q, p).shape == (2,)
    assert binary_kl(q[:, 0], p[:, 0]).shape == (2,)


@pytest.mark.parametrize("shape", [(0, 3), (0, 0)])
def test_no_rows_give_no_divergences(shape):
    assert kl(np.empty(shape), np.empty(shape)).shape == (0,)
    assert binary_kl(np.empty(0), np.empty(0)).shape == (0,)


def test_read_only_inputs_are_enough_and_stay_as_they_are():
    q, p = np.array([[0.2, 0.3, 0.5]]), np.array([[0.5, 0.3, 0.2]])
    originals = q.copy(), p.copy()
    q.setflags(write=False)
    p.setflags(write=False)
    kl(q, p)
    binary_kl(q[:, 0], p[:, 0])
    np.testing.assert_array_equal((q, p), originals)


def test_single_precision_is_compared_in_double():
    q, p = np.array([[0.2, 0.8]], dtype=np.float32), np.array([[0.3, 0.7]], dtype=np.float32)
    assert kl(q, p).dtype == np.float64
    np.testing.assert_array_equal(kl(q, p), kl(q.astype(float), p.astype(float)))


def softmax(z):
    shares = [mp.exp(exactly(x)) for x in z]
    return [share / mp.fsum(shares) for share in shares]


@pytest.mark.parametrize("classes", [2, 10])
# What the rounding of a surprisal of order 10 leaves of a ratio that is `apart` from 1.
@pytest.mark.parametrize(("apart", "relative"), [(100.0, 1e-13), (3.0, 1e-13), (1e-2, 1e-11), (1e-6, 1e-7)])
def test_kl_of_logits_is_that_of_their_distributions(classes, apart, relative):
    rng = np.random.default_rng(23)
    z = rng.normal(size=(20, classes)) * 5
    v = z + apart * rng.normal(size=z.shape)
    with mp.workdps(DIGITS):
        exact = [
            mp.fsum(a * mp.log(a / b) for a, b in zip(softmax(q), softmax(p), strict=True))
            for q, p in zip(z, v, strict=True)
        ]
    np.testing.assert_allclose(kl_from_logits(z, v), np.array(exact, dtype=float), rtol=relative)


def test_a_binary_divergence_of_logits_is_that_of_two_classes():
    z, v = np.random.default_rng(24).normal(size=(2, 50)) * 10
    p, q = (1 / (1 + np.exp(-logit)) for logit in (v, z))
    # 1 / (1 + e^-z) has lost what it rounds away of 1 - p: up to 1e-13 of it at z = 10, and more beyond.
    np.testing.assert_allclose(kl_from_logits(z, v), binary_kl(q, p), rtol=1e-9)


@pytest.mark.parametrize(
    ("z", "v", "nats"),
    [
        (0.0, 0.0, 0.0),
        (INF, INF, 0.0),
        (-INF, -INF, 0.0),
        (0.0, INF, INF),
        (INF, 0.0, np.log(2)),
        (INF, -INF, INF),
        (0.0, -1000.0, 500 - np.log(2)),  # e^-1000 is 0 to a double
        (-1000.0, 0.0, np.log(2)),
    ],
)
def test_divergence_of_logits_at_its_limits(z, v, nats):
    assert kl_from_logits(np.array([z]), np.array([v]))[0] == pytest.approx(nats, rel=1e-15, abs=0.0)
