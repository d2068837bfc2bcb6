"""Adjusted p-values against SciPy."""

import numpy as np
import scipy.stats

from logloss_spark.statistics.multiplicity import adjusted_p_values


def test_p_values_are_adjusted_within_each_family_as_scipy_does():
    rng = np.random.default_rng(3)
    p, family = rng.random(200).round(2), rng.integers(0, 4, 200)
    p[rng.random(200) < 0.1] = np.nan
    found = adjusted_p_values(p, family)
    for one in range(4):
        known = (family == one) & ~np.isnan(p)
        np.testing.assert_allclose(found[known], scipy.stats.false_discovery_control(p[known]), rtol=1e-14)
    assert np.isnan(found[np.isnan(p)]).all()


def test_no_p_value_is_adjusted_to_nothing():
    assert adjusted_p_values(np.array([]), np.array([], dtype=np.int64)).size == 0
    assert np.isnan(adjusted_p_values(np.array([np.nan]), np.array([0]))).all()
