"""The solvers on problems in memory, whose answers are known."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from logloss_spark.fit.descent import DenseModel, LimitedModel, Penalty, Point, by_coordinate_descent, stationarity
from logloss_spark.fit.solvers import Position, Problem, minimise

RNG = np.random.default_rng(5)
X = RNG.normal(size=(400, 6)) @ RNG.normal(size=(6, 6))
Y = (RNG.uniform(size=400) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)


def evaluate(penalty, *, hessian=False):
    def at(theta):
        z = X @ theta
        p = expit(z)
        loss = float(np.logaddexp(0, np.where(Y == 1, -z, z)).mean())
        curvature = (X.T * (p * (1 - p))) @ X / len(Y) + np.diag(penalty.l2) if hessian else None
        gradient = X.T @ (p - Y) / len(Y) + penalty.l2 * theta
        return Point(theta, loss, loss + penalty.value(theta), gradient, hessian=curvature)

    return at


def models(penalty):
    start = evaluate(penalty, hessian=True)(np.zeros(6))
    return {
        "sampled": (DenseModel(start.hessian), False),
        "newton": (DenseModel(start.hessian), True),
        "limited": (LimitedModel(np.diag(start.hessian).copy()), False),
    }


@pytest.mark.parametrize("l1", [0.0, 0.02])
@pytest.mark.parametrize("name", ["sampled", "newton", "limited"])
def test_every_model_leads_to_the_same_optimum(name, l1):
    penalty = Penalty(np.full(6, 0.01), np.full(6, l1))
    model, hessian = models(penalty)[name]
    at = evaluate(penalty, hessian=hessian)
    found = minimise(Problem(evaluate=at, penalty=penalty, gap=1e-14, max_iter=200), Position(at(np.zeros(6)), model))
    exact, with_hessian = evaluate(penalty, hessian=True), models(penalty)["newton"][0]
    best = minimise(
        Problem(evaluate=exact, penalty=penalty, gap=1e-20, max_iter=100), Position(exact(np.zeros(6)), with_hessian)
    )
    assert found.status.converged
    assert found.point.objective == pytest.approx(best.point.objective, abs=1e-13)
    assert np.abs(stationarity(best.point, penalty)).max() < 1e-9
    if l1:
        assert (found.point.x == 0).tolist() == (best.point.x == 0).tolist()
        assert (found.point.x == 0).any()


def test_the_point_that_ends_a_fit_is_looked_at_as_the_last_and_few_others_are():
    penalty = Penalty(np.full(6, 0.01), np.zeros(6))
    at, last, looks = evaluate(penalty), evaluate(penalty, hessian=True), []

    def at_last(theta):
        looks.append(theta)
        return last(theta)

    model = models(penalty)["sampled"][0]
    found = minimise(
        Problem(evaluate=at, penalty=penalty, gap=1e-12, max_iter=50, evaluate_last=at_last),
        Position(at(np.zeros(6)), model),
    )
    assert found.status.converged
    assert found.point.hessian is not None
    assert len(found.history) > 3
    assert len(looks) <= 2


def test_the_optimum_is_that_of_scipy():
    penalty = Penalty(np.full(6, 0.01), np.zeros(6))
    at = evaluate(penalty, hessian=True)
    found = minimise(
        Problem(evaluate=at, penalty=penalty, gap=1e-16, max_iter=50),
        Position(at(np.zeros(6)), DenseModel(at(np.zeros(6)).hessian)),
    )
    best = minimize(lambda t: (at(t).objective, at(t).gradient), np.zeros(6), jac=True, options={"gtol": 1e-12})
    np.testing.assert_allclose(found.point.x, best.x, rtol=1e-6)


def test_a_step_far_too_long_is_shortened():
    penalty = Penalty(np.full(6, 0.01), np.zeros(6))
    at = evaluate(penalty)
    found = minimise(
        Problem(evaluate=at, penalty=penalty, gap=1e-14, max_iter=200),
        Position(at(np.zeros(6)), DenseModel(np.eye(6) * 1e-4)),
    )
    assert found.status.converged
    assert max(step.passes for step in found.history) > 1


def test_the_objective_never_rises():
    penalty = Penalty(np.full(6, 0.001), np.full(6, 0.01))
    for name in ("sampled", "newton", "limited"):
        model, hessian = models(penalty)[name]
        at = evaluate(penalty, hessian=hessian)
        found = minimise(
            Problem(evaluate=at, penalty=penalty, gap=1e-15, max_iter=100), Position(at(np.ones(6)), model)
        )
        values = [step.objective for step in found.history]
        assert all(after <= before + 1e-14 for before, after in itertools.pairwise(values))


def test_max_iter_is_told_from_convergence():
    penalty = Penalty(np.zeros(6), np.zeros(6))
    at = evaluate(penalty)
    found = minimise(
        Problem(evaluate=at, penalty=penalty, gap=1e-15, max_iter=1),
        Position(at(np.zeros(6)), LimitedModel(np.ones(6))),
    )
    assert (found.status, found.status.converged, len(found.history)) == ("max_iter", False, 2)


def test_coordinate_descent_finds_the_minimum_of_its_model():
    root = RNG.normal(size=(8, 8))
    matrix, gradient, l1 = root @ root.T + np.eye(8), RNG.normal(size=8) * 3, np.full(8, 1.5)
    z = by_coordinate_descent(matrix, gradient, np.zeros(8), l1)
    slope = gradient + matrix @ z
    np.testing.assert_allclose(slope[z != 0], -l1[z != 0] * np.sign(z[z != 0]), atol=1e-7)
    assert (np.abs(slope[z == 0]) <= l1[z == 0] + 1e-9).all()
    assert (z == 0).any()


def test_a_singular_model_gives_the_step_of_least_norm():
    direction = np.array([1.0, 1.0]) / np.sqrt(2)
    model = DenseModel(np.outer(direction, direction))
    point = Point(np.zeros(2), 1.0, 1.0, 3 * direction)
    np.testing.assert_allclose(model.direction(point, Penalty(np.zeros(2), np.zeros(2))), -3 * direction, atol=1e-12)
