"""Tails against mpmath, quantiles against SciPy, whose tails have seven digits near 0."""

import mpmath
import numpy as np
import pytest
from scipy import stats

from logloss_spark.kernels.distributions import (
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


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_quantiles_are_those_of_scipy(confidence):
    np.testing.assert_allclose(
        student_quantile(confidence, DEGREES), stats.t.ppf(0.5 + confidence / 2, DEGREES), rtol=1e-12
    )
    assert normal_quantile(confidence) == pytest.approx(stats.norm.ppf(0.5 + confidence / 2), rel=1e-14)


def test_nothing_is_known_without_degrees_of_freedom():
    assert np.isnan(student_p_value(np.array([1.0, np.nan]), np.array([0.0, 3.0]))).all()
    assert np.isnan(student_quantile(0.95, np.array([0.0, np.nan]))).all()


def test_an_infinite_statistic_has_no_tail():
    assert student_p_value(np.array([np.inf, -np.inf]), np.array(5.0)).tolist() == [0.0, 0.0]
