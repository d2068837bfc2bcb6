"""Minimise a penalised loss on the driver, where each evaluation of the loss is a pass over the data. NumPy only.

One loop for all solvers: descend to the minimum of a model (`descent`), search along that line, update the model. What
stays fixed is a `Problem`; what moves is a `Position`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from logloss_spark.fit.descent import Descent, Model, Penalty, Point, descent_from, stationarity
from logloss_spark.fit.status import Status
from logloss_spark.kernels.sums import Array

ARMIJO = 1e-4
"""A step is good enough if the objective falls by this share of what the slope promises."""

MOST_TRIALS = 12
"""Steps tried along a direction."""

ROUNDING = 4e-15
"""Relative differences of objectives up to this are rounding."""

SURPRISE = 2.0
"""Factor by which the gap may shrink faster than in the previous step for the next point to be expected as the last."""

Objective = Callable[[Array], Point]


@dataclass(frozen=True)
class Step:
    """One iteration in the history of a fit.

    Attributes
    ----------
    iteration : its number; 0 is the start
    objective, loss, gradient_norm : of the point; the largest entry of the gradient counts as its norm
    gap : how far above the optimum the model believes the objective to be, in nats
    step : the length of the step that led here, as a share of the step to the model's minimum
    passes : how many passes it took to find the point
    seconds : how long the last of these passes took
    validation_loss : the loss of the validation rows, if there are any
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


OnStep = Callable[[Step, Point], None]
Best = tuple[Point, Step]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What stays fixed while a solver runs.

    Attributes
    ----------
    evaluate : evaluates the objective at a point; a pass
    penalty : its penalty
    gap : how far above the optimum the objective may end, by the model's estimate, in nats
    max_iter : the number of the last iteration
    patience : iterations without a smaller loss on the validation rows, after which the solver stops; None if there are
        no such rows
    evaluate_last : evaluates a point that is expected to be the last; None if it is evaluated as any other
    """

    evaluate: Objective
    penalty: Penalty
    gap: float
    max_iter: int
    patience: int | None = None
    evaluate_last: Objective | None = None


@dataclass(frozen=True)
class Position:
    """What moves while a solver runs.

    Attributes
    ----------
    point : the point that the solver has reached
    model : the model of the objective there
    iteration, step, passes : the number of the iteration, and the length and passes of the step that led here
    best : the best point so far with its step, None at the start: the last point, unless the loss of the validation
        rows was smaller before
    history : the steps of this run
    """

    point: Point
    model: Model
    iteration: int = 0
    step: float = 0.0
    passes: int = 1
    best: Best | None = None
    history: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Minimum:
    """Where a solver ended, and why; `step` is the step of the history that led to the point."""

    point: Point
    step: Step
    status: Status
    history: tuple[Step, ...] = ()


def ignore_step(step: Step, point: Point) -> None:
    """Do nothing after an iteration."""


def minimise(problem: Problem, start: Position, on_step: OnStep = ignore_step) -> Minimum:
    """Go from a position to the minimum, or with validation rows to the point with the least loss on them.

    Parameters
    ----------
    problem : Problem
    start : Position
        To resume a fit, start from its iteration and its best point.
    on_step : callable
        Called at each iteration with its step and its point.

    Returns
    -------
    Minimum, whose status is `gradient` if the gap is small enough, `objective` if no step changes the objective by more
    than rounding, `validation` if an earlier point was better on the validation rows, else `max_iter` or `line_search`
    """
    position = start
    while True:
        descent = descent_from(position.point, position.model, problem.penalty)
        position = with_step(position, descent, problem.penalty)
        on_step(position.history[-1], position.point)
        status = status_at(position, descent, problem)
        if status is not None:
            return minimum_of(position, status)
        found = search_line(next_evaluation(problem, position.history), position.point, descent)
        if found is None:
            flat = abs(descent.slope) <= 1e3 * ROUNDING * abs(position.point.objective)
            return minimum_of(position, Status.OBJECTIVE if flat else Status.LINE_SEARCH)
        point, step, passes = found
        position = replace(
            position,
            point=point,
            model=position.model.updated(position.point, point),
            iteration=position.iteration + 1,
            step=step,
            passes=passes,
        )


def with_step(position: Position, descent: Descent, penalty: Penalty) -> Position:
    """A position whose history and best point include the point that it has reached."""
    point = position.point
    step = Step(
        iteration=position.iteration,
        objective=point.objective,
        loss=point.loss,
        gradient_norm=float(np.abs(stationarity(point, penalty)).max(initial=0.0)),
        gap=descent.gain,
        step=position.step,
        passes=position.passes,
        seconds=point.seconds,
        validation_loss=point.held_loss,
    )
    best = position.best
    if best is None or is_as_good(step, best[1]):
        best = point, step
    return replace(position, best=best, history=(*position.history, step))


def status_at(position: Position, descent: Descent, problem: Problem) -> Status | None:
    """Why a solver ends at a position, or None if it goes on."""
    assert position.best is not None
    if descent.gain <= problem.gap:
        return Status.GRADIENT
    if not descent.slope < 0:
        return Status.OBJECTIVE
    if problem.patience is not None and position.iteration - position.best[1].iteration >= problem.patience:
        return Status.VALIDATION
    return Status.MAX_ITER if position.iteration >= problem.max_iter else None


def minimum_of(position: Position, status: Status) -> Minimum:
    """The best point of a run. If it comes before an optimum, the validation rows have chosen it."""
    assert position.best is not None
    point, step = position.best
    if status.optimal and step is not position.history[-1]:
        status = Status.VALIDATION
    return Minimum(point, step, status, position.history)


def next_evaluation(problem: Problem, history: Sequence[Step]) -> Objective:
    """How to evaluate the next point: in another way if it is expected to be the last."""
    if problem.evaluate_last is not None and is_expected_last(history, problem.gap):
        return problem.evaluate_last
    return problem.evaluate


def is_expected_last(history: Sequence[Step], gap: float) -> bool:
    """Whether the gap will be small enough at the next point if it shrinks as in the previous step, or a bit faster."""
    if len(history) < 2:
        return False
    before, now = history[-2].gap, history[-1].gap
    return now * now <= SURPRISE * gap * before


def is_as_good(step: Step, best: Step) -> bool:
    """Whether a point is as good as an earlier one on the validation rows; without such rows, every point is."""
    if step.validation_loss is None or best.validation_loss is None:
        return True
    return step.validation_loss <= best.validation_loss


def search_line(evaluate: Objective, point: Point, descent: Descent) -> tuple[Point, float, int] | None:
    """Search along a direction for a point where the objective is smaller by enough.

    The step 1 is tried first, because evaluating it also gives the gradient of the next iteration. A step that is too
    long is shortened to the minimum of the parabola through the known values.

    Returns
    -------
    the point, the step to it and how many passes it took, or None if `MOST_TRIALS` steps found no such point
    """
    slope = descent.slope
    step, slack = 1.0, ROUNDING * abs(point.objective)
    for passes in range(1, MOST_TRIALS + 1):
        new = evaluate(point.x + step * descent.direction)
        if new.objective <= point.objective + ARMIJO * step * slope + slack:
            return new, step, passes
        curved = 2.0 * (new.objective - point.objective - step * slope)
        at = -slope * step * step / curved if math.isfinite(curved) and curved > 0 else 0.0
        step = min(max(at, 0.05 * step), 0.5 * step)
    return None
