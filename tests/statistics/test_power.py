"""What is called detectable is detected as often as it claims; and rows that a difference needs find it."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from logloss_spark.statistics.power import detectable, rows_for
from logloss_spark.statistics.reporting import Coverage

ONE = np.ones(1)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("power", [0.6, 0.8, 0.95])
def test_of_independent_rows_the_power_at_the_detectable_difference_is_the_one_asked_for(confidence, power):
    found = detectable(0.01 * ONE, Coverage(confidence=confidence), 1e4 * ONE, power=power)[0]
    reach = scipy.stats.norm.ppf(0.5 + confidence / 2)
    assert scipy.stats.norm.sf(reach, loc=found / 0.01) == pytest.approx(power, rel=1e-12)


@pytest.mark.parametrize("buckets", [8, 30, 64])
def test_with_clusters_the_power_is_that_of_the_noncentral_t_within_a_percent(buckets):
    found = detectable(ONE, Coverage(), 1e4 * ONE, buckets * ONE)[0]
    reach = scipy.stats.t.ppf(0.975, buckets - 1)
    # Bloom's sum of two quantiles approximates the quantile of the noncentral t.
    assert scipy.stats.nct.sf(reach, buckets - 1, found) == pytest.approx(0.8, abs=0.01)


def test_an_any_time_interval_detects_less():
    rows = np.array([1e3])
    any_time = detectable(ONE, Coverage(intervals="any_time"), rows)
    assert any_time[0] - detectable(ONE, Coverage(), rows)[0] == pytest.approx(3.035 - 1.96, abs=1e-3)


def test_nothing_is_detectable_without_an_error_and_everything_without_spread():
    found = detectable(np.array([np.nan, 0.0]), Coverage(), 1e3 * np.ones(2))
    assert np.isnan(found[0])
    assert found[1] == 0


def test_so_many_rows_as_are_needed_find_the_difference_in_four_of_five_samples():
    rng, spread, difference = np.random.default_rng(15), 0.3, 0.02
    known = 500
    smallest = detectable(spread / np.sqrt(known) * ONE, Coverage(), known * ONE)[0]
    rows = rows_for(difference, smallest, known)
    assert rows == np.ceil(((scipy.stats.norm.ppf(0.975) + scipy.stats.norm.ppf(0.8)) * spread / difference) ** 2)
    samples = rng.normal(difference, spread, (4000, rows))
    found = scipy.stats.ttest_1samp(samples, 0.0, axis=1).pvalue <= 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.02)  # three standard errors of 4,000 samples


def test_the_rows_of_a_paired_t_test_are_a_few_more_than_the_normal_approximation_says():
    def power(n):
        reach = scipy.stats.t.ppf(0.975, n - 1)
        return scipy.stats.nct.sf(reach, n - 1, np.sqrt(n) * 0.1) + scipy.stats.nct.cdf(-reach, n - 1, np.sqrt(n) * 0.1)

    exact = scipy.optimize.brentq(lambda n: power(n) - 0.8, 10, 2000)
    assert 0 < exact - rows_for(0.1, detectable(ONE, Coverage(), ONE)[0], 1) < 3
