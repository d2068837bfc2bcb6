"""Where to go from a point: quadratic models of a penalised loss, and the way to their minimum. NumPy only.

A model of the objective around a point says where its minimum is. The way there is the direction of the next step, and
the decrease that the model expects along it estimates how far the optimum is. The solvers differ in the model's matrix:

- `gd` starts from the Hessian of a sample: a step is gradient descent in that metric, and each step updates the metric;
- `newton` takes the Hessian of all rows at each point;
- `lbfgs` has no matrix: it remembers its last steps.

The model keeps an L1 penalty as it is (proximal Newton), so that coefficients become exactly zero.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from logloss_spark.kernels.sums import Array

REMEMBERED = 20
"""Steps that L-BFGS remembers: more than is usual, because a pass costs more than they do."""


@dataclass(frozen=True)
class Penalty:
    """The penalty l2/2 |x|^2 + l1 |x|_1, with weights for each coordinate."""

    l2: Array
    l1: Array

    def value(self, x: Array) -> float:
        """The penalty at a point."""
        return float(0.5 * (self.l2 * x) @ x + self.l1 @ np.abs(x))


@dataclass(frozen=True)
class Point:
    """What is known of the objective at a point.

    Attributes
    ----------
    x : the coordinates
    loss : the mean loss of the rows
    objective : the loss and the penalty
    gradient : the gradient of the objective without its L1 part
    held_loss : the mean loss of the validation rows, if there are any
    hessian : the Hessian of the objective without its L1 part, if it was asked for
    seconds : how long the pass took
    """

    x: Array
    loss: float
    objective: float
    gradient: Array
    held_loss: float | None = None
    hessian: Array | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Descent:
    """The way from a point to the minimum of a model.

    Attributes
    ----------
    direction : the step to the minimum
    slope : the change of the objective along the whole direction to first order; an L1 penalty changes exactly
    gain : the decrease of the objective that the model expects, in nats
    """

    direction: Array
    slope: float
    gain: float


Factor = tuple[Array, Array, float, float]
"""B s, y, s'Bs and s'y of a step, where B is the matrix before the step."""


class Model(Protocol):
    """A quadratic model of the objective around a point."""

    def direction(self, point: Point, penalty: Penalty) -> Array:
        """The step to the minimum of the model."""

    def product(self, d: Array) -> Array:
        """The product of the model's matrix and a vector."""

    def updated(self, old: Point, new: Point) -> "Model":
        """The model after a step."""


def descent_from(point: Point, model: Model, penalty: Penalty) -> Descent:
    """The way from a point to the minimum of a model."""
    d = model.direction(point, penalty)
    slope = float(point.gradient @ d + penalty.l1 @ (np.abs(point.x + d) - np.abs(point.x)))
    # At the model's minimum its curvature along the step is the slope, unless an L1 penalty has a part in that.
    curved = float(d @ model.product(d)) if penalty.l1.any() else -slope
    return Descent(d, slope, max(-(slope + 0.5 * curved), 0.0))


def stationarity(point: Point, penalty: Penalty) -> Array:
    """The smallest subgradient of the objective; 0 at the optimum."""
    towards = point.gradient + penalty.l1 * np.sign(point.x)
    at_zero = np.sign(point.gradient) * np.maximum(np.abs(point.gradient) - penalty.l1, 0.0)
    return np.asarray(np.where(point.x != 0, towards, at_zero))


@dataclass(frozen=True)
class DenseModel:
    """A model with a matrix: the Hessian of a sample, which each step updates (BFGS), or the Hessian of each point."""

    matrix: Array

    def direction(self, point: Point, penalty: Penalty) -> Array:
        """The step to the minimum: by a linear system, or with an L1 penalty by coordinate descent."""
        if not penalty.l1.any():
            return -solution(self.matrix, point.gradient)
        return by_coordinate_descent(self.matrix, point.gradient, point.x, penalty.l1) - point.x

    def product(self, d: Array) -> Array:
        """The product of the matrix and a vector."""
        return np.asarray(self.matrix @ d)

    def updated(self, old: Point, new: Point) -> "DenseModel":
        """The matrix nearest to the old one that agrees with the change of the gradient.

        References
        ----------
        Nocedal, Wright, Numerical optimization (2006), formula 6.19.
        """
        if new.hessian is not None:
            return DenseModel(new.hessian)
        s, y = new.x - old.x, new.gradient - old.gradient
        bs = self.matrix @ s
        if not s @ y > 1e-12 * (s @ bs):  # the change is nothing but rounding
            return self
        return DenseModel(self.matrix + np.outer(y, y) / (s @ y) - np.outer(bs, bs) / (s @ bs))


@dataclass(frozen=True)
class LimitedModel:
    """A model without a matrix: a multiple of the diagonal it began with, and the last steps."""

    diagonal: Array
    steps: tuple[Array, ...] = ()
    changes: tuple[Array, ...] = ()

    def direction(self, point: Point, penalty: Penalty) -> Array:
        """The step to the minimum: by the two loops of L-BFGS, or with an L1 penalty by proximal steps on the model."""
        if not penalty.l1.any():
            return -self.inverse_product(point.gradient)
        return by_proximal_steps(self, point.gradient, point.x, penalty.l1) - point.x

    def inverse_product(self, gradient: Array) -> Array:
        """The product of the inverse of the matrix and a vector.

        References
        ----------
        Nocedal, Wright, Numerical optimization (2006), algorithm 7.4.
        """
        q, weights = gradient.copy(), []
        for s, y in reversed(list(zip(self.steps, self.changes, strict=True))):
            weights.append((s @ q) / (s @ y))
            q -= weights[-1] * y
        q /= self.scaled_diagonal()
        for s, y in zip(self.steps, self.changes, strict=True):
            q += s * (weights.pop() - (y @ q) / (s @ y))
        return q

    def product(self, d: Array) -> Array:
        """The product of the matrix and a vector, unrolled from the diagonal by the steps."""
        return product_after_steps(self.scaled_diagonal(), self.factors(), d)

    def factors(self) -> list[Factor]:
        """What each step added to the matrix."""
        factors: list[Factor] = []
        diagonal = self.scaled_diagonal()
        for s, y in zip(self.steps, self.changes, strict=True):
            bs = product_after_steps(diagonal, factors, s)
            factors.append((bs, y, float(s @ bs), float(s @ y)))
        return factors

    def scaled_diagonal(self) -> Array:
        """The diagonal, scaled to the curvature along the last step."""
        if not self.steps:
            return self.diagonal
        s, y = self.steps[-1], self.changes[-1]
        return self.diagonal * float((y / self.diagonal) @ y / (s @ y))

    def updated(self, old: Point, new: Point) -> "LimitedModel":
        """The model that also remembers this step, and forgets the oldest."""
        s, y = new.x - old.x, new.gradient - old.gradient
        if not s @ y > 1e-12 * math.sqrt((s @ s) * (y @ y)):
            return self
        return replace(self, steps=(*self.steps, s)[-REMEMBERED:], changes=(*self.changes, y)[-REMEMBERED:])


def product_after_steps(diagonal: Array, factors: Sequence[Factor], d: Array) -> Array:
    """The product of a vector and the matrix that steps have made of a diagonal."""
    total = diagonal * d
    for bs, y, sbs, sy in factors:
        total = total + y * (y @ d) / sy - bs * (bs @ d) / sbs
    return total


def solution(matrix: Array, gradient: Array) -> Array:
    """The solution of a linear system with a positive matrix; if the matrix is singular, the solution of least norm."""
    scale = np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    balanced = matrix / np.outer(scale, scale)
    with suppress(np.linalg.LinAlgError):
        factor = np.linalg.cholesky(balanced)
        if np.diag(factor).min(initial=1.0) > 1e-6:
            half = np.linalg.solve(factor, gradient / scale)
            return np.asarray(np.linalg.solve(factor.T, half) / scale)
    return solution_of_least_norm(matrix, gradient)


def solution_of_least_norm(matrix: Array, gradient: Array) -> Array:
    """The solution of least norm of a singular system."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-13 * len(values) * max(values.max(initial=0.0), 0.0)
    return np.asarray(vectors[:, kept] @ ((vectors[:, kept].T @ gradient) / values[kept]))


def soft_threshold(x: float, threshold: float) -> float:
    """The number x moved towards 0 by the threshold, and at most to 0."""
    return math.copysign(max(abs(x) - threshold, 0.0), x)


def by_coordinate_descent(matrix: Array, gradient: Array, x: Array, l1: Array, sweeps: int = 1000) -> Array:
    """The minimum of gradient'(z - x) + (z - x)'matrix(z - x)/2 + l1'|z| over z, by coordinate descent.

    Sweeps over all coordinates alternate with sweeps over those that are not zero.

    References
    ----------
    Friedman, Hastie, Tibshirani, Regularization paths for generalized linear models via coordinate descent, Journal of
    Statistical Software 33 (2010).
    """
    z, slope, diagonal = x.copy(), gradient.copy(), np.diag(matrix)
    everything = np.flatnonzero(diagonal > 0)
    first, coordinates = None, everything
    for _ in range(sweeps):
        moved = 0.0
        for j in coordinates:
            new = soft_threshold(z[j] - slope[j] / diagonal[j], l1[j] / diagonal[j])
            change = new - z[j]
            if change:
                z[j] = new
                slope += change * matrix[j]
                moved = max(moved, abs(change) * math.sqrt(diagonal[j]))
        if first is None:
            first = moved
        if moved <= 1e-9 * first:
            if len(coordinates) == len(everything):
                break
            coordinates = everything
        else:
            coordinates = np.flatnonzero(z) if len(coordinates) == len(everything) else coordinates
    return z


def by_proximal_steps(model: LimitedModel, gradient: Array, x: Array, l1: Array, steps: int = 500) -> Array:
    """The same minimum for a model without a matrix, by accelerated proximal steps in the metric of its diagonal.

    References
    ----------
    Beck, Teboulle, A fast iterative shrinkage-thresholding algorithm, SIAM J. Imaging Sciences 2 (2009); restarted as
    in O'Donoghue, Candes, Adaptive restart for accelerated gradient schemes, Found. Comput. Math. 15 (2015).
    """
    diagonal = model.scaled_diagonal()
    product = partial(product_after_steps, diagonal, model.factors())
    probe = np.ones_like(x)
    for _ in range(20):  # power iterations for the largest eigenvalue in that metric
        probe = product(probe) / diagonal
        probe /= math.sqrt(float((diagonal * probe) @ probe))
    metric = diagonal * 1.1 * float(probe @ product(probe))
    z, ahead, momentum, first = x.copy(), x.copy(), 1.0, None
    for _ in range(steps):
        slope = gradient + product(ahead - x)
        trial = ahead - slope / metric
        new = np.sign(trial) * np.maximum(np.abs(trial) - l1 / metric, 0.0)
        moved = float(np.abs(new - z).max())
        if (metric * (ahead - new)) @ (new - z) > 0:
            momentum = 1.0
        following = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * momentum * momentum))
        ahead = new + (momentum - 1.0) / following * (new - z)
        z, momentum = new, following
        first = moved if first is None else first
        if moved <= 1e-8 * first:
            break
    return z
