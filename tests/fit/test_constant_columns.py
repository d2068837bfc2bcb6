"""A constant column: beside an intercept it says nothing; without one it is a feature like any other."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from logloss_spark.fit import sample
from tests.fit.local import fit_locally

ROWS = 900
RNG = np.random.default_rng(31)
X = RNG.normal(size=(ROWS, 3)) * [1.0, 5.0, 0.3] + [3.0, -100.0, 0.0]
LOGITS = (X - X.mean(axis=0)) / X.std(axis=0) @ RNG.normal(size=(3, 3)) + [0.9, -0.6, 0.0]
Y = (LOGITS + RNG.gumbel(size=(ROWS, 3))).argmax(axis=1)
BINARY = (Y == 0).astype(int)
NEAR = X - [0.0, -100.0, 0.0]  # no column of these says almost what a constant says
WEIGHT = RNG.integers(1, 4, ROWS).astype(float)

# A gap of 1e-14 of the entropy is about 1e-7 of a coefficient's own scale (its square by the curvature).
TIGHT = {"tol": 1e-14, "fit_intercept": False}
CLOSE = {"rtol": 2e-5, "atol": 1e-7}


def beside(*constants: float, x=X):
    """The features with constant columns before them."""
    return np.column_stack([*(np.full(len(x), constant) for constant in constants), x])


def scaled(x, weight):
    """What features are divided by under a penalty: Spark's weighted deviation, of a constant its absolute value."""
    mean = np.average(x, axis=0, weights=weight)
    freedom = weight.sum() - (weight @ weight) / weight.sum()
    deviation = np.sqrt(weight @ (x - mean) ** 2 / freedom)
    return np.where(deviation > 1e-12 * np.abs(mean), deviation, np.abs(mean))


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "newton"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("constant", [1.0, -2.5, 1e-8, 1e8])
def test_without_an_intercept_a_constant_column_takes_its_place(solver, sparse, constant) -> None:
    with_intercept = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky").fit(X - X.mean(axis=0), BINARY)
    coefficients = with_intercept.coef_[0]
    intercept = with_intercept.intercept_[0] - coefficients @ X.mean(axis=0)
    model = fit_locally(beside(constant), BINARY, sparse=sparse, solver=solver, **TIGHT)
    np.testing.assert_allclose(model.coefficients[0] * [constant, 1, 1, 1], [intercept, *coefficients], **CLOSE)
    assert (model.report.status, model.report.collinear) == ("gradient", ())
    assert model.intercepts[0] == 0.0


def test_its_standard_error_is_that_of_the_whole_information_matrix() -> None:
    x = beside(-4.0)
    model = fit_locally(x, BINARY, WEIGHT, **TIGHT)
    p = 1 / (1 + np.exp(-x @ model.coefficients[0]))
    information = (x.T * (WEIGHT * p * (1 - p))) @ x
    # A matrix of condition 1e6 has the digits of its inverse to 1e-10; the coefficients are exact to 1e-7.
    np.testing.assert_allclose(model.standard_errors[0], np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-6)
    assert np.isnan(model.intercept_errors[0])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("solver", ["gd", "lbfgs", "newton"])
@pytest.mark.parametrize(("l1_ratio", "penalty"), [(0.0, "l2"), (1.0, "l1")])
def test_under_a_penalty_on_raw_coefficients_it_is_that_of_liblinear(l1_ratio, penalty, solver, sparse) -> None:
    x, reg_param = beside(2.0, x=NEAR), 0.02
    theirs = LogisticRegression(
        l1_ratio=l1_ratio,
        C=1 / (reg_param * ROWS),
        solver="liblinear",
        fit_intercept=False,
        tol=1e-10,
        max_iter=100_000,
    ).fit(x, BINARY)
    model = fit_locally(
        x,
        BINARY,
        sparse=sparse,
        solver=solver,
        reg_param=reg_param,
        elastic_net_param=l1_ratio,
        standardization=False,
        **TIGHT,
    )
    np.testing.assert_allclose(model.coefficients, theirs.coef_, rtol=1e-4, atol=1e-6)  # LIBLINEAR's own tolerance
    assert model.coefficients[0, 0] != 0


@pytest.mark.parametrize("solver", ["gd", "lbfgs", "newton"])
@pytest.mark.parametrize("sparse", [False, True])
def test_under_a_penalty_with_standardization_its_scale_is_its_absolute_value(solver, sparse) -> None:
    x = beside(-1e6, x=NEAR)
    scale = scaled(x, WEIGHT)
    theirs = LogisticRegression(
        C=1 / (0.05 * WEIGHT.sum()), tol=1e-12, solver="newton-cholesky", fit_intercept=False
    ).fit(x / scale, BINARY, sample_weight=WEIGHT)
    model = fit_locally(x, BINARY, WEIGHT, sparse=sparse, solver=solver, reg_param=0.05, **TIGHT)
    np.testing.assert_allclose(model.coefficients * scale, theirs.coef_, **CLOSE)
    assert abs(model.coefficients[0, 0] * 1e6) > 0.01


@pytest.mark.parametrize("standardization", [True, False])
def test_under_an_elastic_net_no_direction_makes_the_objective_smaller(standardization) -> None:
    x, share, reg_param = beside(3.0, x=NEAR), 0.4, 0.03
    scale = scaled(x, WEIGHT) if standardization else np.ones(4)
    model = fit_locally(
        x,
        BINARY,
        WEIGHT,
        reg_param=reg_param,
        elastic_net_param=share,
        standardization=standardization,
        solver="newton",
        **TIGHT,
    )
    b = model.coefficients[0] * scale
    slope = (x / scale).T @ (WEIGHT * (1 / (1 + np.exp(-(x / scale) @ b)) - BINARY)) / WEIGHT.sum()
    slope += reg_param * (1 - share) * b
    # The optimality conditions, to what a gap of 1e-14 leaves of a gradient: the root of the gap times the curvature.
    np.testing.assert_allclose(slope[b != 0], -reg_param * share * np.sign(b[b != 0]), atol=1e-5)
    assert (np.abs(slope[b == 0]) <= reg_param * share).all()
    assert b[0] != 0


@pytest.mark.parametrize("reg_param", [0.0, 0.05])
@pytest.mark.parametrize("solver", ["gd", "lbfgs", "newton"])
@pytest.mark.parametrize("sparse", [False, True])
def test_of_several_classes_each_has_its_coefficient(reg_param, solver, sparse) -> None:
    x = beside(0.5)
    scale = scaled(x, np.ones(ROWS))
    # The mean of a column is 20 of its deviations, so scikit-learn's fit is of features that are not centred, either.
    theirs = LogisticRegression(
        C=1 / (reg_param * ROWS) if reg_param else np.inf,
        tol=1e-10,
        max_iter=10_000,
        solver="newton-cg",
        fit_intercept=False,
    ).fit(x / scale, Y)
    model = fit_locally(x, Y, sparse=sparse, solver=solver, reg_param=reg_param, **TIGHT)
    wanted = theirs.coef_ - theirs.coef_.mean(axis=0)
    np.testing.assert_allclose(model.coefficients * scale, wanted, rtol=1e-3, atol=2e-4)
    z = x @ model.coefficients.T
    loss = (np.log(np.exp(z).sum(axis=1)) - z[np.arange(ROWS), Y]).mean()
    assert model.report.log_loss == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
def test_several_constant_columns_share_what_one_would_have_and_are_named(sparse) -> None:
    one = fit_locally(beside(1.0), BINARY, sparse=sparse, **TIGHT)
    three = fit_locally(beside(1.0, -20.0, 1e-8), BINARY, sparse=sparse, **TIGHT)
    # The same share of the logit each: of all ways to divide it that of least norm, over columns scaled to 1.
    logit = three.coefficients[0, :3] * [1.0, -20.0, 1e-8]
    np.testing.assert_allclose(logit, one.coefficients[0, 0] / 3, rtol=1e-9)
    np.testing.assert_allclose(three.coefficients[0, 3:], one.coefficients[0, 1:], rtol=1e-9)
    assert three.report.collinear == ("x0", "x1", "x2")
    assert three.standard_errors is None


def test_a_constant_column_is_collinear_with_columns_that_add_up_to_a_constant() -> None:
    group = np.eye(3)[RNG.integers(0, 3, ROWS)]
    model = fit_locally(np.column_stack([np.full(ROWS, 7.0), group, X[:, 0]]), BINARY, **TIGHT)
    assert sorted(model.report.collinear) == ["x0", "x1", "x2", "x3"]
    alone = fit_locally(np.column_stack([group, X[:, 0]]), BINARY, **TIGHT)
    assert model.report.log_loss == pytest.approx(alone.report.log_loss, rel=1e-12)
    assert alone.report.collinear == ()


@pytest.mark.parametrize("reg_param", [0.0, 0.1])
def test_a_column_of_zeros_moves_nothing_and_gets_zero(reg_param) -> None:
    zero = fit_locally(beside(0.0, 1.0), BINARY, reg_param=reg_param, **TIGHT)
    one = fit_locally(beside(1.0), BINARY, reg_param=reg_param, **TIGHT)
    assert zero.coefficients[0, 0] == 0.0
    np.testing.assert_allclose(zero.coefficients[0, 1:], one.coefficients[0], rtol=1e-9)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("constant", [0.1, 1 / 3, 1e-8, 1e8, -7.7])
def test_beside_an_intercept_a_constant_column_gets_zero(sparse, constant) -> None:
    # 0.1 and 1/3 have no exact double: their mean is rounded, and of compressed rows the variance cancels.
    model = fit_locally(beside(constant), BINARY, WEIGHT, sparse=sparse, parts=7)
    plain = fit_locally(X, BINARY, WEIGHT, sparse=sparse, parts=7)
    assert model.coefficients[0, 0] == 0.0
    np.testing.assert_allclose(model.coefficients[0, 1:], plain.coefficients[0], rtol=1e-6)
    assert np.isnan(model.standard_errors[0, 0])


@pytest.mark.parametrize("reg_param", [0.0, 0.001])
@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_constant_in_the_sample_need_not_be_in_all_rows(monkeypatch, reg_param, sparse) -> None:
    monkeypatch.setattr(sample, "SAMPLE_ROWS", (100, 100))
    monkeypatch.setattr(sample, "PER_PARAMETER", 1)
    nearly = np.where(np.arange(ROWS) % 300 == 0, 2.0, 1.0)
    x = np.column_stack([nearly, np.ones(ROWS), X[:, 0] - 3.0])
    scale = scaled(x, np.ones(ROWS)) if reg_param else np.ones(3)

    def objective(b):
        z = (x / scale) @ b
        p = 1 / (1 + np.exp(-z))
        value = np.logaddexp(0, np.where(BINARY == 1, -z, z)).mean() + reg_param / 2 * b @ b
        return value, (x / scale).T @ (p - BINARY) / ROWS + reg_param * b

    best = minimize(objective, np.zeros(3), jac=True, options={"gtol": 1e-10})
    model = fit_locally(x, BINARY, sparse=sparse, reg_param=reg_param, **TIGHT)
    assert model.report.converged
    assert model.report.objective == pytest.approx(best.fun, rel=1e-11)
    np.testing.assert_allclose(model.coefficients[0] * scale, best.x, rtol=1e-3, atol=1e-5)


def test_features_far_from_zero_beside_a_constant_column_are_fitted_as_beside_an_intercept() -> None:
    far = X * [1.0, 0.2, 3.0] + [1e7, 0.0, 0.0]
    with_intercept = fit_locally(far, BINARY, tol=1e-14)
    model = fit_locally(beside(1.0, x=far), BINARY, **TIGHT)
    np.testing.assert_allclose(model.coefficients[0, 1:], with_intercept.coefficients[0], rtol=1e-9)
    assert model.coefficients[0, 0] == pytest.approx(with_intercept.intercepts[0], rel=1e-9)


def test_a_model_is_the_start_of_the_next_fit_with_its_constant_column() -> None:
    model = fit_locally(beside(-2.0), BINARY, **TIGHT)
    again = fit_locally(beside(-2.0), BINARY, initial=model, fit_intercept=False)
    assert again.report.iterations == 0
    np.testing.assert_allclose(again.coefficients, model.coefficients, rtol=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_classes_that_a_constant_column_helps_to_separate_are_found_separated(classes) -> None:
    x = np.column_stack([np.ones(60), np.arange(60.0)])
    model = fit_locally(x, np.arange(60) * classes // 60, fit_intercept=False)
    assert (model.report.status, model.report.separation) == ("separated", "complete")
    assert model.standard_errors is None
