"""Tails against mpmath, quantiles against SciPy, whose tails have seven digits near 0."""

import mpmath
import numpy as np
import pytest
from scipy import stats

from logloss_spark.statistics.distributions import (
    chi_square_p_value,
    f_p_value,
    normal_p_value,
    normal_quantile,
    student_p_value,
    student_quantile,
)

DEGREES = np.array([1.0, 2.0, 3.0, 9.0, 30.0, 63.0, 500.0])


def exact_student_p_value(t, df):
    """I_x(df/2, 1/2) in 50 digits."""
    with mpmath.workdps(50):
        t, df = mpmath.mpf(float(t)), mpmath.mpf(float(df))
        return float(mpmath.betainc(df / 2, mpmath.mpf(1) / 2, 0, df / (df + t * t), regularized=True))


def test_normal_p_values_are_twice_the_tail():
    z = np.array([0.0, 1e-8, 0.5, 1.96, 8.0, 20.0, 37.0, -3.0])
    with mpmath.workdps(50):
        expected = [float(mpmath.erfc(abs(mpmath.mpf(value)) / mpmath.sqrt(2))) for value in z.tolist()]
    # The rounding of z / sqrt 2 grows z^2-fold in the tail: 1,400 times 2e-16.
    np.testing.assert_allclose(normal_p_value(z), expected, rtol=5e-13)


def test_student_p_values_are_those_of_mpmath():
    t, df = np.meshgrid([0.0, 1e-8, 0.3, 1.0, 1.96, 4.0, 12.0, 100.0], DEGREES)
    expected = np.vectorize(exact_student_p_value)(t, df)
    # x^(df/2) has the rounding of x df/2-fold.
    np.testing.assert_allclose(student_p_value(t, df), expected, rtol=1e-11, atol=1e-300)


def exact_chi_square_p_value(x, df):
    """Q(df/2, x/2) in 60 digits."""
    with mpmath.workdps(60):
        return float(mpmath.gammainc(mpmath.mpf(float(df)) / 2, mpmath.mpf(float(x)) / 2, regularized=True))


@pytest.mark.parametrize("df", [1.0, 1.5, 2.0, 7.3, 19.0, 31.9, 32.0, 33.0, 999.0, 10_000.0])
def test_chi_square_p_values_are_those_of_mpmath_far_into_the_tail(df):
    around = df * np.array([0.01, 0.5, 0.9, 1.0, 1.1, 1.5, 3.0])
    x = np.concatenate([[0.0, 1e-9, 0.1], around, df + np.array([2.0, 50.0, 300.0, 1200.0])])
    expected = np.vectorize(exact_chi_square_p_value)(x, df)
    found = chi_square_p_value(x, df)
    # e^-x has the rounding of x x-fold; so a tail of 1e-300 keeps 12 digits.
    seen = expected > 1e-300
    off = np.abs(found - expected)[seen] / expected[seen]
    assert (off <= 10 * 2.0**-52 * (1 - np.log(expected[seen]))).all()


def test_f_p_values_are_those_of_mpmath():
    f, (first, second) = (
        np.array([1e-8, 0.3, 1.0, 4.0, 60.0])[:, np.newaxis],
        np.array([[1.0, 3.0, 2.5, 19.0, 19.0], [3.0, 20.0, 157.5, 1197.0, 6.0]]),
    )

    def exact(f, first, second):
        with mpmath.workdps(50):
            f, first, second = (mpmath.mpf(float(x)) for x in (f, first, second))
            x = second / (second + first * f)
            return float(mpmath.betainc(second / 2, first / 2, 0, x, regularized=True))

    # x^(d2/2) has the rounding of x d2/2-fold.
    np.testing.assert_allclose(f_p_value(f, first, second), np.vectorize(exact)(f, first, second), rtol=1e-11)
    # Without end of degrees of freedom of the denominator F is a chi-square over its own.
    np.testing.assert_allclose(
        f_p_value(np.array(1.6), np.array(19.0), np.array(1e7)),
        chi_square_p_value(np.array(19 * 1.6), np.array(19.0)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_quantiles_are_those_of_scipy(confidence):
    np.testing.assert_allclose(
        student_quantile(confidence, DEGREES), stats.t.ppf(0.5 + confidence / 2, DEGREES), rtol=1e-12
    )
    assert normal_quantile(confidence) == pytest.approx(stats.norm.ppf(0.5 + confidence / 2), rel=1e-14)


def test_nothing_is_known_without_degrees_of_freedom():
    assert np.isnan(student_p_value(np.array([1.0, np.nan]), np.array([0.0, 3.0]))).all()
    assert np.isnan(chi_square_p_value(np.array([1.0, np.nan, 1.0]), np.array([0.0, 3.0, np.nan]))).all()
    assert np.isnan(f_p_value(np.array([1.0, np.nan]), np.array([0.0, 3.0]), np.array(5.0))).all()
    assert np.isnan(student_quantile(0.95, np.array([0.0, np.nan]))).all()


def test_an_infinite_statistic_has_no_tail():
    assert chi_square_p_value(np.array(np.inf), np.array(5.0)) == f_p_value(np.array(np.inf), *np.ones((2, 1))) == 0
    assert student_p_value(np.array([np.inf, -np.inf]), np.array(5.0)).tolist() == [0.0, 0.0]
