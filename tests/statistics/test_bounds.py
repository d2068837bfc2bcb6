"""P-values and intervals against a range of allowed values, beside SciPy. No Spark."""

import numpy as np
import pytest
import scipy.stats

from logloss_spark.statistics.bounds import distance_beyond, p_value_beyond, quantiles, upper_tail

DF = np.array([1.0, 5.0, 63.0, np.inf])


def of_scipy(df):
    return scipy.stats.norm if np.isinf(df) else scipy.stats.t(df)


@pytest.mark.parametrize("t", [-40.0, -3.0, -1e-3, 0.0, 0.3, 2.5, 12.0])
def test_the_upper_tail_is_that_of_student_or_of_the_normal_distribution(t):
    found = upper_tail(np.full(4, t), DF)
    np.testing.assert_allclose(found, [of_scipy(df).sf(t) for df in DF], rtol=1e-11)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_an_interval_reaches_as_many_errors_as_scipy_says(confidence):
    expected = [of_scipy(df).ppf(0.5 + confidence / 2) for df in DF]
    np.testing.assert_allclose(quantiles(confidence, DF), expected, rtol=1e-11)


@pytest.mark.parametrize("estimate", [0.2, 0.89, 1.0, 1.1, 1.5])
def test_a_p_value_is_the_largest_over_the_values_that_are_allowed(estimate):
    low, high, error = 0.9, 1.1, 0.15
    found = p_value_beyond(np.full(4, estimate), np.full(4, error), DF, low, high)
    away = max(estimate - high, low - estimate)
    for df, p in zip(DF, found, strict=True):
        truths = np.linspace(low, high, 401)
        tail = of_scipy(df)
        # The chance of an estimate that far beyond either end.
        chances = tail.sf((high + away - truths) / error) + tail.cdf((low - away - truths) / error)
        assert p == pytest.approx(min(chances.max(), 1.0), rel=1e-9)


def test_one_end_is_a_one_sided_test_and_a_single_value_a_two_sided_one():
    estimate, error, df = np.array([1.2]), np.array([0.1]), np.array([np.inf])
    one_sided, two_sided = scipy.stats.norm.sf(2.0), 2 * scipy.stats.norm.sf(2.0)
    assert p_value_beyond(estimate, error, df, -np.inf, 1.0) == pytest.approx(one_sided, rel=1e-12)
    assert p_value_beyond(-estimate, error, df, -1.0, np.inf) == pytest.approx(one_sided, rel=1e-12)
    assert p_value_beyond(estimate, error, df, 1.0, 1.0) == pytest.approx(two_sided, rel=1e-12)


@pytest.mark.parametrize(
    ("estimate", "error", "p"),
    [(1.0, 0.0, 1.0), (np.nextafter(1.0, 2.0), 0.0, 0.0), (np.inf, np.nan, 0.0), (-np.inf, np.nan, 1.0)],
)
def test_what_is_certain_is_over_or_not(estimate, error, p):
    assert p_value_beyond(np.array([estimate]), np.array([error]), np.array([np.inf]), -np.inf, 1.0) == p


def test_without_an_error_there_is_no_p_value():
    assert np.isnan(p_value_beyond(np.array([2.0]), np.array([np.nan]), np.array([np.inf]), 0.0, 1.0))
    assert distance_beyond(np.array([2.0, 0.25, -1.0]), 0.0, 1.0).tolist() == [1.0, -0.25, 1.0]
