"""Minimising a penalised loss on the driver, where each look at the loss is a pass over the data. NumPy only.

One road for all solvers: a quadratic model of the objective around the point says where its minimum is; that is the
direction, and what the model expects to gain there is how far the optimum is. The solvers differ in the model's matrix:

- `gd` starts from the Hessian of a sample: a step is gradient descent in that metric, which learns from its steps;
- `newton` takes the Hessian of all rows at each point;
- `lbfgs` has no matrix: it remembers its last steps.

An L1 penalty stays as it is in the model (proximal Newton), so that coefficients become exactly zero.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np

from logloss_spark.kernels.sums import Array

ARMIJO = 1e-4
"""The share of the decrease that the slope promises with which a step is good enough."""

MOST_TRIALS = 12
"""Steps tried along a direction."""

ROUNDING = 4e-15
"""Relative differences of objectives that rounding explains."""

OPTIMAL = ("gradient", "objective")
"""The ends of a fit whose point is an optimum of the objective."""

SURPRISE = 2.0
"""So many times more than the step before it a step may close the gap: steps learn."""

REMEMBERED = 20
"""Steps that L-BFGS remembers: more than is usual, as a pass costs more than they do."""


@dataclass(frozen=True)
class Penalty:
    """l2/2 |x|^2 + l1 |x|_1, with weights for each coordinate."""

    l2: Array
    l1: Array

    def value(self, x: Array) -> float:
        """The penalty of a point."""
        return float(0.5 * (self.l2 * x) @ x + self.l1 @ np.abs(x))


@dataclass(frozen=True)
class Point:
    """A point that was passed over: mean `loss`, whole `objective`, and the gradient of its smooth part.

    `seconds` is what the pass took.
    """

    x: Array
    loss: float
    objective: float
    gradient: Array
    held_loss: float | None = None
    hessian: Array | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Step:
    """A line of the history of a fit.

    `gap` is how far the model believes the optimum to be, in nats; `step` the length of the step that led here,
    `passes` how many it took to find, `seconds` what the last of them took.
    """

    iteration: int
    objective: float
    loss: float
    gradient_norm: float
    gap: float
    step: float
    passes: int
    seconds: float
    validation_loss: float | None = None


@dataclass(frozen=True)
class Minimum:
    """Where a solver ended, and why; `step` is the line of the history that led to the point."""

    point: Point
    step: Step
    status: str
    converged: bool
    history: tuple[Step, ...] = field(default=())


Evaluate = Callable[[Array], Point]
Factor = tuple[Array, Array, float, float]
"""B s, y, s'Bs and s'y of a step, B being the matrix before it."""


class Model(Protocol):
    """A quadratic model of the objective around a point."""

    def direction(self, point: Point, penalty: Penalty) -> Array:
        """The step to the minimum of the model."""

    def product(self, d: Array) -> Array:
        """The model's matrix times a vector."""

    def learned(self, old: Point, new: Point) -> "Model":
        """The model after a step."""


@dataclass(frozen=True)
class DenseModel:
    """A model with a matrix: that of a sample at first, updated by each step (BFGS), or each point's own Hessian."""

    matrix: Array

    def direction(self, point: Point, penalty: Penalty) -> Array:
        """The step to the minimum: a linear system, or with an L1 penalty coordinate descent."""
        if not penalty.l1.any():
            return -solved(self.matrix, point.gradient)
        return descended(self.matrix, point.gradient, point.x, penalty.l1) - point.x

    def product(self, d: Array) -> Array:
        """The matrix times a vector."""
        return np.asarray(self.matrix @ d)

    def learned(self, old: Point, new: Point) -> "DenseModel":
        """The matrix after a step, as near to the old one as agrees with the change of the gradient.

        References
        ----------
        Nocedal, Wright, Numerical optimization (2006), formula 6.19.
        """
        if new.hessian is not None:
            return DenseModel(new.hessian)
        s, y = new.x - old.x, new.gradient - old.gradient
        bs = self.matrix @ s
        if not s @ y > 1e-12 * (s @ bs):  # rounding alone
            return self
        return DenseModel(self.matrix + np.outer(y, y) / (s @ y) - np.outer(bs, bs) / (s @ bs))


@dataclass(frozen=True)
class LimitedModel:
    """A model without a matrix: a multiple of the diagonal it began with, and the last steps."""

    diagonal: Array
    steps: tuple[Array, ...] = ()
    changes: tuple[Array, ...] = ()

    def direction(self, point: Point, penalty: Penalty) -> Array:
        """The step to the minimum: the two loops of L-BFGS, or with an L1 penalty proximal steps on the model."""
        if not penalty.l1.any():
            return -self.solved(point.gradient)
        return approached(self, point.gradient, point.x, penalty.l1) - point.x

    def solved(self, gradient: Array) -> Array:
        """The inverse of the matrix times a vector.

        References
        ----------
        Nocedal, Wright, Numerical optimization (2006), algorithm 7.4.
        """
        q, weights = gradient.copy(), []
        for s, y in reversed(list(zip(self.steps, self.changes, strict=True))):
            weights.append((s @ q) / (s @ y))
            q -= weights[-1] * y
        q /= self.scaled()
        for s, y in zip(self.steps, self.changes, strict=True):
            q += s * (weights.pop() - (y @ q) / (s @ y))
        return q

    def product(self, d: Array) -> Array:
        """The matrix times a vector, unrolled from the diagonal by the steps."""
        return unrolled(self.scaled(), self.factors(), d)

    def factors(self) -> list[Factor]:
        """What each step added to the matrix."""
        found: list[Factor] = []
        diagonal = self.scaled()
        for s, y in zip(self.steps, self.changes, strict=True):
            bs = unrolled(diagonal, found, s)
            found.append((bs, y, float(s @ bs), float(s @ y)))
        return found

    def scaled(self) -> Array:
        """The diagonal, in the size that the last step saw."""
        if not self.steps:
            return self.diagonal
        s, y = self.steps[-1], self.changes[-1]
        return self.diagonal * float((y / self.diagonal) @ y / (s @ y))

    def learned(self, old: Point, new: Point) -> "LimitedModel":
        """The model with one step more, and the oldest forgotten."""
        s, y = new.x - old.x, new.gradient - old.gradient
        if not s @ y > 1e-12 * math.sqrt((s @ s) * (y @ y)):
            return self
        return replace(self, steps=(*self.steps, s)[-REMEMBERED:], changes=(*self.changes, y)[-REMEMBERED:])


def unrolled(diagonal: Array, factors: Sequence[Factor], d: Array) -> Array:
    """The product of a vector with the matrix that steps made of a diagonal."""
    total = diagonal * d
    for bs, y, sbs, sy in factors:
        total = total + y * (y @ d) / sy - bs * (bs @ d) / sbs
    return total


def minimised(
    evaluate: Evaluate,
    start: Point,
    model: Model,
    penalty: Penalty,
    *,
    gap: float,
    max_iter: int,
    patience: int | None = None,
    on_step: Callable[[Step, Point], None] = lambda step, point: None,
    first: int = 0,
    best: tuple[Point, Step] | None = None,
    evaluate_last: Evaluate | None = None,
) -> Minimum:
    """Go from a point to the minimum; where points have a loss on rows held out, to the point with the least.

    Parameters
    ----------
    gap : float
        How far above the optimum the objective may end, by the model's estimate, in nats.
    patience : int, optional
        Iterations without a better loss on the rows held out, after which to stop.
    on_step : called after each iteration
    first, best : the number of the start, and the best point before it, where a fit goes on
    evaluate_last : how to look at a point that is expected to be the last; by default as at any other

    Returns
    -------
    Minimum: `converged` if the gap is small enough (status `gradient`) or no step changes the objective by more than
    rounding (`objective`), or if an earlier point than that was better on the rows held out (`validation`); otherwise
    status `max_iter` or `line_search`.
    """
    point, history = start, list[Step]()
    step, passes = 0.0, 1
    for iteration in range(first, first + max_iter + 1):
        d = model.direction(point, penalty)
        slope = float(point.gradient @ d + penalty.l1 @ (np.abs(point.x + d) - np.abs(point.x)))
        # At the model's minimum its curvature along the step is the slope, unless an L1 penalty has a part in that.
        curved = float(d @ model.product(d)) if penalty.l1.any() else -slope
        expected = max(-(slope + 0.5 * curved), 0.0)
        norm = float(np.abs(stationarity(point, penalty)).max(initial=0.0))
        line = Step(
            iteration, point.objective, point.loss, norm, expected, step, passes, point.seconds, point.held_loss
        )
        history.append(line)
        on_step(line, point)
        if best is None or at_least_as_good(line, best[1]):
            best = point, line
        if expected <= gap:
            return ended(best, history, "gradient")
        if not slope < 0:
            return ended(best, history, "objective")
        if patience is not None and iteration - best[1].iteration >= patience:
            return ended(best, history, "validation")
        if iteration == first + max_iter:
            break
        look = evaluate_last if evaluate_last is not None and is_last(history, gap) else evaluate
        new, step, passes = searched(look, point, d, slope, penalty)
        if new is None:
            flat = abs(slope) <= 1e3 * ROUNDING * abs(point.objective)
            return ended(best, history, "objective" if flat else "line_search")
        model, point = model.learned(point, new), new
    assert best is not None
    return ended(best, history, "max_iter")


def is_last(history: Sequence[Step], gap: float) -> bool:
    """Whether the next gap may well be small enough, if it shrinks as it did before."""
    if len(history) < 2:
        return False
    before, now = history[-2].gap, history[-1].gap
    return now * now <= SURPRISE * gap * before


def at_least_as_good(line: Step, best: Step) -> bool:
    """Whether a point is as good as an earlier one on the rows held out; without such rows each is."""
    if line.validation_loss is None or best.validation_loss is None:
        return True
    return line.validation_loss <= best.validation_loss


def ended(best: tuple[Point, Step], history: Sequence[Step], status: str) -> Minimum:
    """The best point; where that comes before an optimum, it is the validation that chose it."""
    point, step = best
    if status in OPTIMAL and step is not history[-1]:
        status = "validation"
    return Minimum(point, step, status, status in (*OPTIMAL, "validation"), tuple(history))


def searched(
    evaluate: Evaluate, point: Point, d: Array, slope: float, penalty: Penalty
) -> tuple[Point | None, float, int]:
    """A point along a direction that is lower by enough, the step to it, and the passes that took.

    The step 1 is tried first: the look at it is the next iteration's gradient, too. A step too long is shortened to
    the minimum of the parabola through what is known.
    """
    step, slack = 1.0, ROUNDING * abs(point.objective)
    for passes in range(1, MOST_TRIALS + 1):
        new = evaluate(point.x + step * d)
        if new.objective <= point.objective + ARMIJO * step * slope + slack:
            return new, step, passes
        curved = 2.0 * (new.objective - point.objective - step * slope)
        at = -slope * step * step / curved if math.isfinite(curved) and curved > 0 else 0.0
        step = min(max(at, 0.05 * step), 0.5 * step)
    return None, step, MOST_TRIALS


def stationarity(point: Point, penalty: Penalty) -> Array:
    """The smallest subgradient of the objective; 0 at the optimum."""
    towards = point.gradient + penalty.l1 * np.sign(point.x)
    at_zero = np.sign(point.gradient) * np.maximum(np.abs(point.gradient) - penalty.l1, 0.0)
    return np.asarray(np.where(point.x != 0, towards, at_zero))


def solved(matrix: Array, gradient: Array) -> Array:
    """The solution of a system whose matrix is positive, or nearly: where it is singular, that of least norm."""
    scale = np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    balanced = matrix / np.outer(scale, scale)
    with suppress(np.linalg.LinAlgError):
        factor = np.linalg.cholesky(balanced)
        if np.diag(factor).min(initial=1.0) > 1e-6:
            half = np.linalg.solve(factor, gradient / scale)
            return np.asarray(np.linalg.solve(factor.T, half) / scale)
    return of_least_norm(matrix, gradient)


def of_least_norm(matrix: Array, gradient: Array) -> Array:
    """The solution of least norm of a singular system."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-13 * len(values) * max(values.max(initial=0.0), 0.0)
    return np.asarray(vectors[:, kept] @ ((vectors[:, kept].T @ gradient) / values[kept]))


def soft(x: float, threshold: float) -> float:
    """The nearest number to x after its size has been cut by the threshold."""
    return math.copysign(max(abs(x) - threshold, 0.0), x)


def descended(matrix: Array, gradient: Array, x: Array, l1: Array, sweeps: int = 1000) -> Array:
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
            new = soft(z[j] - slope[j] / diagonal[j], l1[j] / diagonal[j])
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


def approached(model: LimitedModel, gradient: Array, x: Array, l1: Array, steps: int = 500) -> Array:
    """The same minimum for a model without a matrix, by accelerated proximal steps in the metric of its diagonal.

    References
    ----------
    Beck, Teboulle, A fast iterative shrinkage-thresholding algorithm, SIAM J. Imaging Sciences 2 (2009); restarted as
    in O'Donoghue, Candes, Adaptive restart for accelerated gradient schemes, Found. Comput. Math. 15 (2015).
    """
    diagonal = model.scaled()
    product = partial(unrolled, diagonal, model.factors())
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
