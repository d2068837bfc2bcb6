"""Sums that keep their rounding error: exact where they claim it, and harmless where infinities come in."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from logloss_spark.kernels.sums import compensated_sum, dot, split_at_head, sum_with_error, two_product, two_sum

pytestmark = pytest.mark.filterwarnings("error")
settings.register_profile("kernels", derandomize=True, deadline=None, database=None)
settings.load_profile("kernels")

# Far from over- and underflow, where the claims of exactness hold.
ordinary = st.floats(-1e100, 1e100).filter(lambda x: x == 0 or abs(x) > 1e-100)


@given(ordinary, ordinary)
def test_a_sum_and_its_error_are_the_exact_sum(a, b):
    s, error = two_sum(np.array([a]), np.array([b]))
    assert Fraction(float(s[0])) + Fraction(float(error[0])) == Fraction(a) + Fraction(b)


@given(ordinary, ordinary)
def test_a_product_and_its_error_are_the_exact_product(a, b):
    product, error = two_product(np.array([a]), np.array([b]))
    assert Fraction(float(product[0])) + Fraction(float(error[0])) == Fraction(a) * Fraction(b)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_heads_and_their_products_add_without_rounding(scale):
    rng = np.random.default_rng(5)
    x, y = scale * rng.gamma(0.5, size=1 << 15), rng.exponential(size=1 << 15)
    (head, rest), (other, _) = split_at_head(x), split_at_head(y)
    assert (head + rest == x).all()
    assert Fraction(float(head.sum())) == sum(map(Fraction, head))
    assert Fraction(dot(head, other)) == sum(Fraction(a) * Fraction(b) for a, b in zip(head, other, strict=True))


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(0, 9)), elements=st.floats(-1e200, 1e200)))
def test_a_compensated_sum_is_the_exact_sum_unless_nearly_all_of_it_cancels(x):
    # Twice the precision, rounded once: half an ulp, plus 2^-100 of what was summed.
    for row, actual in zip(x, compensated_sum(x), strict=True):
        exact = math.fsum(row)
        assert abs(actual - exact) <= np.spacing(abs(exact)) + 2.0**-100 * math.fsum(abs(row))


def test_what_a_large_neighbour_swallows_comes_back():
    assert compensated_sum(np.array([[1.0, 1e100, 1.0, -1e100]])).tolist() == [2.0]


def test_ten_thousand_tenths_are_a_thousand():
    assert compensated_sum(np.full((1, 10_000), 0.1)).tolist() == [1000.0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([np.inf, 1.0], np.inf),
        ([1.0, np.inf, 1e300], np.inf),
        ([-np.inf, 1.0, 2.0], -np.inf),
        ([np.inf, -np.inf], np.nan),
        ([np.inf, 1.0, -np.inf, 1.0], np.nan),
        ([np.nan, 1.0], np.nan),
        ([1e308, 1e308], np.inf),
        ([-0.0, -0.0], 0.0),
        ([], 0.0),
    ],
)
def test_a_compensated_sum_treats_infinities_as_ieee_addition_does(row, expected):
    np.testing.assert_array_equal(compensated_sum(np.array([row], dtype=np.float64)), [expected])


@pytest.mark.parametrize(("a", "b"), [(np.inf, 1.0), (np.inf, -np.inf), (1e308, 1e308), (np.nan, 0.0)])
def test_a_sum_that_is_not_finite_has_no_error(a, b):
    s, error = two_sum(np.array([a]), np.array([b]))
    np.testing.assert_array_equal(s, [np.float64(a + b)])
    assert error.tolist() == [0.0]


def test_the_two_parts_of_a_sum_hold_twice_the_digits():
    total, error = sum_with_error(np.array([[1.0, 1e-20, 1e-20]]))
    assert (total.tolist(), error.tolist()) == ([1.0], [2e-20])


def test_the_axis_may_be_chosen():
    x = np.arange(6.0).reshape(2, 3)
    assert compensated_sum(x, axis=0).tolist() == [3.0, 5.0, 7.0]


def test_no_rows_give_no_sums():
    assert compensated_sum(np.empty((0, 3))).shape == (0,)


def test_read_only_input_is_enough():
    x = np.ones((2, 3))
    x.setflags(write=False)
    assert compensated_sum(x).tolist() == [3.0, 3.0]


def test_single_precision_is_summed_in_double():
    actual = compensated_sum(np.full((1, 3), 0.1, dtype=np.float32))
    assert actual.dtype == np.float64
    assert actual[0] == math.fsum([float(np.float32(0.1))] * 3)
