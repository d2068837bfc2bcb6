"""A weight is a frequency; what a penalty with standardization makes of that."""

import numpy as np
import pytest

from tests.fit.local import fit_locally

RNG = np.random.default_rng(41)
X = RNG.normal(size=(300, 2)) + np.array([0.0, 3.0])
Y = (X @ [1.0, -0.5] + 1.0 + RNG.logistic(size=300) > 0).astype(int)
REPEATED = RNG.integers(1, 4, 300)
REPEATED[7] = 400  # one row that is most of the table


@pytest.mark.parametrize("given", [{}, {"reg_param": 0.1, "standardization": False}])
def test_a_row_of_weight_n_is_n_rows(given) -> None:
    weighted = fit_locally(X, Y, REPEATED.astype(float), tol=1e-14, **given)
    repeated = fit_locally(X.repeat(REPEATED, axis=0), Y.repeat(REPEATED), tol=1e-14, **given)
    np.testing.assert_allclose(weighted.coefficients, repeated.coefficients, rtol=1e-6)
    if not given:  # under a penalty there are none
        np.testing.assert_allclose(weighted.standard_errors, repeated.standard_errors, rtol=1e-6)
    assert weighted.report.log_loss == pytest.approx(repeated.report.log_loss, rel=1e-12)


def test_under_a_penalty_with_standardization_weights_make_the_deviation_larger_by_a_known_factor() -> None:
    total = REPEATED.sum()
    factor = np.sqrt((total - 1) / (total - (REPEATED**2).sum() / total))
    assert factor > 1.09  # one row is two fifths of all
    weighted = fit_locally(X, Y, REPEATED.astype(float), reg_param=0.1, tol=1e-14)
    # A deviation larger by a factor makes the penalty of a raw coefficient larger by its square.
    repeated = fit_locally(X.repeat(REPEATED, axis=0), Y.repeat(REPEATED), reg_param=0.1 * factor**2, tol=1e-14)
    np.testing.assert_allclose(weighted.coefficients, repeated.coefficients, rtol=1e-6)
