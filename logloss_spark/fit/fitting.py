"""From a table to a model: blocks, a start from a sample, the solver's passes, and what can be said at the end."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from pyspark.sql import DataFrame

from logloss_spark.checks import one_of
from logloss_spark.errors import SpecError
from logloss_spark.fit import diagnostics, sample
from logloss_spark.fit.checkpoint import Checkpoint
from logloss_spark.fit.contract import (
    check_classes,
    check_sizes,
    check_validation,
    judged,
    rows_by_status,
    rows_held,
)
from logloss_spark.fit.diagnostics import Findings
from logloss_spark.fit.model import LogisticModel, Report
from logloss_spark.fit.objective import Space, Totals, objective, space_of, totals
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.solvers import OPTIMAL, DenseModel, LimitedModel, Minimum, Model, Point, Step, minimised
from logloss_spark.fit.spec import ClassWeight, Family, Solver, Training, columns_or_one, listed_classes
from logloss_spark.fit.table import TrainingTable, training_table
from logloss_spark.kernels.sums import Array
from logloss_spark.scoring import Label

DENSE_PARAMETERS = 2000
"""Up to here the objective's curvature is kept as a matrix on the driver, 32 MB; beyond, steps are remembered."""

DIAGNOSED = 1000
"""Features up to which the Hessian of all rows is looked at in the end."""

Progress = Callable[[Step], None]


def fit_logistic(
    df: DataFrame,
    *,
    features: str | Sequence[str],
    label: str,
    weight: str | None = None,
    offset: str | None = None,
    validation: str | None = None,
    classes: Sequence[Label] | None = None,
    class_weight: ClassWeight | None = None,
    family: Family = "auto",
    reg_param: float = 0.0,
    elastic_net_param: float = 0.0,
    fit_intercept: bool = True,
    standardization: bool = True,
    solver: Solver = "gd",
    max_iter: int = 100,
    tol: float = 1e-12,
    patience: int = 3,
    initial: LogisticModel | None = None,
    checkpoint: str | None = None,
    on_invalid: Literal["count", "fail"] = "count",
    tolerated_share: float | None = None,
    progress: Progress | None = None,
) -> LogisticModel:
    """Fit a logistic regression by distributed gradient descent.

    The objective is Spark ML's: the weighted mean of the log loss plus
    `reg_param ((1 - a)/2 |b|^2 + a |b|_1)`, a = `elastic_net_param`, over the coefficients of standardised features.

    Parameters
    ----------
    df : DataFrame
        One row per observation, classic or over Spark Connect. It is read once, unless blocks cannot be kept.
    features : str, or list of str
        A column of ML vectors (dense or sparse) or arrays, or columns of numbers and booleans.
    label : str
        The class: numbers, booleans or strings.
    weight, offset, validation : str, optional
        What a row counts for; what is added to the logit of two classes; true for rows to hold out. A weight is a
        frequency: a row of weight 3 is three rows, to standard errors too, which fall by the root of c where all
        weights are multiplied by c; with sampling weights they do not hold. Only a penalty with standardization tells
        the two apart: Spark's weighted variance divides by W - sum(w^2)/W, and that of repeated rows by W - 1.
    classes : sequence, optional
        (negative, positive), or K classes; by default those in the table, in order.
    class_weight : "balanced" or mapping from class to factor
        Factors of the weights; "balanced" makes all classes weigh the same. What the report says, log loss and label
        entropy included, is then of the rows so reweighted, and so are the probabilities.
    family : "auto", "binomial" or "multinomial"
        A multinomial fit has a row of coefficients for each class.
    reg_param, elastic_net_param : float
        The strength of the penalty, and its share of L1, which without a strength is nothing, and warned of.
    fit_intercept, standardization : bool
        Without standardization the penalty is over the coefficients of the features as they came. A constant column
        has the coefficient 0 beside an intercept. Without an intercept it takes the intercept's place (in MLlib it has
        0 there, too); under a penalty its scale is its absolute value, as it has no deviation.
    solver : "gd", "lbfgs" or "newton"
        Gradient descent started and preconditioned by a sample; for many features; for few.
    max_iter, tol : int, float
        At most so many steps; how far above the optimum the objective may end, as a share of the labels' entropy.
    patience : int
        With `validation`: iterations without a smaller loss there, after which the fit stops. Whatever ends it, the
        model is that of the iteration with the least loss on the validation rows. `gd` starts at the optimum of a
        sample and has few iterations to choose from; `lbfgs` starts from the classes' shares.
    initial : LogisticModel, optional
        Where to start.
    checkpoint : str, optional
        A folder that keeps each iteration: the same call goes on where it was, its history included.
    on_invalid : "count" or "fail"
        Rows with nulls, NaN or infinite features are left out, with a warning that counts them, or are an error.
    tolerated_share : float, optional
        More such rows than this share of all are an error.
    progress : callable, optional
        Called with each `Step`.

    Returns
    -------
    LogisticModel

    Raises
    ------
    SpecError
        A column that is not there or cannot have its role, or a value that cannot be meant.
    DataError
        One class only, no weight, a label outside the classes, a negative weight, vectors of several lengths.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> rows = [(0.0, 1), (1.0, 0), (2.0, 1), (3.0, 0), (4.0, 1), (5.0, 1)]
    >>> df = spark.createDataFrame(rows, "hour double, late int")
    >>> model = ls.fit_logistic(df, features=["hour"], label="late")
    >>> print(f"{model.report.log_loss:.4f} {model.coefficients[0, 0]:.4f}")
    0.6148 0.2650

    References
    ----------
    Nocedal, Wright, Numerical optimization (2006); Lee, Sun, Saunders, Proximal Newton-type methods for minimizing
    composite functions, SIAM J. Optimization 24 (2014).
    """
    one_of("on_invalid", on_invalid, ("count", "fail"))
    if checkpoint is not None and not isinstance(checkpoint, str):
        raise SpecError(f"checkpoint is the path of a folder, as a string, and {checkpoint!r} came")
    if progress is not None and not callable(progress):
        raise SpecError(f"progress is a function of a Step, and {progress!r} came")
    training = Training(
        features=columns_or_one(features),
        label=label,
        weight=weight,
        offset=offset,
        validation=validation,
        classes=listed_classes(classes),
        class_weight=class_weight,
        family=family,
        reg_param=reg_param,
        elastic_net_param=elastic_net_param,
        fit_intercept=fit_intercept,
        standardization=standardization,
        solver=solver,
        max_iter=max_iter,
        tol=tol,
        patience=patience,
        on_invalid=on_invalid,
        tolerated_share=tolerated_share,
    )
    if training.elastic_net_param and not training.reg_param:
        message = "elastic_net_param is the share of L1 in the penalty, and reg_param = 0 makes it none"
        warnings.warn(message, UserWarning, stacklevel=2)
    return fitted(df, training, initial=initial, checkpoint=checkpoint, progress=progress)


def fitted(
    df: DataFrame,
    training: Training,
    *,
    initial: LogisticModel | None = None,
    checkpoint: str | None = None,
    progress: Progress | None = None,
) -> LogisticModel:
    """The model of a table, as `fit_logistic` describes it."""
    table = training_table(df, training)
    if initial is not None:
        check_initial(initial, table)
    with TrainingRows(table) as rows:
        invalid = judged(rows, training)
        check_validation(rows, training)
        check_classes(rows, table, training)
        found = totals(rows, table.form.width)
        check_sizes(found, table, training)
        space = space_of(training, found, len(table.classes))
        saved = None if checkpoint is None else Checkpoint(checkpoint, training, table, rows.rows, found)
        return Fitting(training, table, rows, found, space, saved, progress).run(initial, invalid)


@dataclass(frozen=True)
class Fitting:
    """A fit under way: what all its stages need."""

    training: Training
    table: TrainingTable
    rows: TrainingRows
    found: Totals
    space: Space
    saved: Checkpoint | None
    progress: Progress | None

    @property
    def size(self) -> int:
        """The number of parameters."""
        return int(self.space.free.sum())

    @property
    def solver(self) -> str:
        """The solver that runs: with very many features gradient descent has no room for its metric."""
        solver = self.training.solver
        if solver == "newton" and self.size > DENSE_PARAMETERS:
            raise SpecError(
                f"newton keeps a matrix of parameters by parameters, up to {DENSE_PARAMETERS:,}, and there are "
                f"{self.size:,}: take solver='lbfgs'"
            )
        return "lbfgs" if solver == "gd" and self.size > DENSE_PARAMETERS else solver

    def run(self, initial: LogisticModel | None, invalid: dict[str, int]) -> LogisticModel:
        """Go from the start to the model."""
        kept = self.saved.resumed() if self.saved is not None else []
        if kept:
            minimum = self.resumed(kept)
        elif initial is not None:
            theta = self.space.from_raw(initial.coefficients, initial.intercepts)
            minimum = self.solved(*self.begun(self.space.coordinates(theta), resume=True))
        else:
            minimum = self.solved(*self.begun(self.null_point(), resume=False))
        return self.model_of(self.certified(minimum), invalid)

    def resumed(self, kept: Sequence[tuple[Step, Array]]) -> Minimum:
        """The solver's way from where a fit was killed, its history with what came before."""
        *earlier, (last, theta) = kept
        best = None
        if earlier and self.training.validation is not None:
            step, best_theta = min(reversed(kept), key=lambda entry: entry[0].validation_loss or 0.0)
            best = None if step is last else (self.evaluate(self.space.coordinates(best_theta)), step)
        start, model = self.begun(self.space.coordinates(theta), resume=True)
        minimum = self.solved(start, model, first=last.iteration, best=best)
        return replace(minimum, history=(*(step for step, _ in earlier), *minimum.history))

    def null_point(self) -> Array:
        """The forecast that knows the shares of the classes alone."""
        theta = np.zeros(self.space.shape)
        shares = np.maximum(self.found.shares, np.finfo(float).tiny)
        if self.space.has_intercept:
            logs = np.log(shares)
            theta[:, -1] = logs[1] - logs[0] if len(theta) == 1 else logs - logs.mean()
        return self.space.coordinates(theta)

    def begun(self, x: Array, *, resume: bool) -> tuple[Point, Model]:
        """Where to start, and the model of the objective there."""
        curvature = sample.mean_curvature(self.space, self.found)
        if self.solver == "lbfgs":
            moments = sample.second_moments(self.space, self.found)
            return self.evaluate(x), LimitedModel(curvature * moments + self.space.penalty.l2)
        drawn = sample.drawn(self.rows, self.space, self.found)
        if drawn is None:
            point = self.evaluate(x)
            return point, sample.model_at(point) if point.hessian is not None else DenseModel(
                np.diag(curvature + self.space.penalty.l2)
            )
        of_sample = sample.model_of_sample if resume else sample.start
        begin, model = of_sample(drawn, self.space, self.found, x)
        point = self.evaluate(begin)
        knowing_nothing = self.found.label_entropy if self.space.has_intercept else math.log(len(self.table.classes))
        if not resume and self.training.offset is None and not point.objective <= knowing_nothing * (1 + 1e-9):
            # The sample misled: start from what is known of all rows.
            begin, model = sample.model_of_sample(drawn, self.space, self.found, x)
            point = self.evaluate(begin)
        return point, sample.model_at(point) if point.hessian is not None else model

    def evaluate(self, x: Array, *, hessian: bool = False) -> Point:
        """A pass: the objective at a point."""
        return objective(self.rows, self.space, self.found, x, hessian=hessian or self.solver == "newton")

    def solved(
        self, start: Point, model: Model, first: int = 0, *, told: int = -1, best: tuple[Point, Step] | None = None
    ) -> Minimum:
        """The solver's way from a start; iterations up to `told` have been told of."""

        def note(step: Step, point: Point) -> None:
            if step.iteration > told:
                self.noted(step, point)

        return minimised(
            self.evaluate,
            start,
            model,
            self.space.penalty,
            gap=self.training.tol * self.found.label_entropy,
            max_iter=max(self.training.max_iter - first, 0),
            patience=self.training.patience if self.training.validation is not None else None,
            on_step=note,
            first=first,
            best=best,
            evaluate_last=partial(self.evaluate, hessian=self.size <= DIAGNOSED),
        )

    def noted(self, step: Step, point: Point) -> None:
        """Keep an iteration, and tell of it."""
        if self.saved is not None:
            self.saved.keep(step, self.space.theta(point.x))
        if self.progress is not None:
            self.progress(step)

    def certified(self, minimum: Minimum) -> Minimum:
        """The end again with the Hessian of all rows; where that sees a gap still, Newton goes on from there."""
        if self.size > DIAGNOSED:
            return minimum
        point = minimum.point if minimum.point.hessian is not None else self.evaluate(minimum.point.x, hessian=True)
        if minimum.status != "gradient":
            return replace(minimum, point=point)
        done = minimum.step.iteration
        last = self.solved(point, sample.model_at(point), done, told=done)
        seen = replace(minimum.step, gap=last.history[0].gap)
        history = (*minimum.history[:-1], seen, *last.history[1:])
        if last.point.hessian is None:
            # One step from an optimum the Hessian is the same to all digits that a standard error has.
            near = len(last.history) <= 2
            exact = replace(last.point, hessian=point.hessian) if near else self.evaluate(last.point.x, hessian=True)
            last = replace(last, point=exact)
        return replace(last, step=seen if last.step.iteration == done else last.step, history=history)

    def model_of(self, minimum: Minimum, invalid: dict[str, int]) -> LogisticModel:
        """The model at a minimum, with all that can be said of it."""
        seen = self.findings(minimum)
        coefficients, intercepts = self.space.raw(self.settled(self.space.theta(minimum.point.x), seen.flat))
        return LogisticModel(
            features=self.training.features,
            feature_names=self.table.names,
            classes=self.table.classes,
            coefficients=coefficients,
            intercepts=intercepts,
            standard_errors=None if seen.errors is None else seen.errors[0],
            intercept_errors=None if seen.errors is None else seen.errors[1],
            offset=self.training.offset,
            report=self.report(minimum, seen, invalid),
        )

    def findings(self, minimum: Minimum) -> Findings:
        """What the Hessian at a minimum says; its flat directions are looked into with passes of their own."""
        point, space = minimum.point, self.space
        flat = np.zeros((self.table.form.width, 0))
        if point.hessian is None or not self.size:
            return Findings(None, flat, (), None, None)
        curvature = diagnostics.curvature_of(point, diagnostics.contrasts(space))
        if self.training.reg_param:
            return Findings(curvature, flat, (), None, None)
        separated = None
        if diagnostics.suspicious(curvature, point.loss, self.found.label_entropy):
            flat = diagnostics.collinear_directions(self.rows, space, self.found.weight)
            separated = diagnostics.separation(self.rows, space, point, flat, self.found.shares)
        collinear = (*diagnostics.involved(flat), *diagnostics.undetermined_constants(space, flat))
        unique = minimum.status in OPTIMAL and separated is None and not collinear
        errors = diagnostics.standard_errors(space, point, self.found.weight) if unique else None
        return Findings(curvature, flat, collinear, separated, errors)

    def settled(self, theta: Array, flat: Array) -> Array:
        """Of all parameters that forecast the same those of least norm, centred over the classes.

        Under a penalty coefficients are one solution's alone, and intercepts still are many's.
        """
        if flat.shape[1]:
            theta = np.column_stack([theta[:, :-1] - (theta[:, :-1] @ flat) @ flat.T, theta[:, -1]])
        if len(theta) == 1:
            return theta
        width = theta.shape[1]
        moved = np.ones(width) if self.training.reg_param == 0.0 else np.eye(width)[-1]
        return np.where(self.space.free, theta - theta.mean(axis=0) * moved, theta)

    def report(self, minimum: Minimum, seen: Findings, invalid: dict[str, int]) -> Report:
        """What the fit did."""
        point, step, names = minimum.point, minimum.step, self.table.names
        curvature, separated = seen.curvature, seen.separation
        return Report(
            status="separated" if separated is not None else minimum.status,
            converged=minimum.converged and separated is None,
            solver=self.solver,
            iterations=minimum.history[-1].iteration,
            best_iteration=step.iteration,
            passes=self.rows.passes,
            read=sum(rows_by_status(self.rows).values()),
            rows=self.rows.rows - rows_held(self.rows),
            held=rows_held(self.rows),
            weight=self.found.weight,
            invalid=invalid,
            objective=point.objective,
            log_loss=point.loss,
            label_entropy=self.found.label_entropy,
            normalized_entropy=point.loss / self.found.label_entropy,
            validation_loss=step.validation_loss,
            gradient_norm=step.gradient_norm,
            gap=step.gap,
            smallest_curvature=None if curvature is None else curvature.smallest,
            largest_curvature=None if curvature is None else curvature.largest,
            condition=None if curvature is None else curvature.condition,
            collinear=tuple(names[place] for place in seen.collinear),
            separation=None if separated is None else "complete" if separated.complete else "quasi-complete",
            separating=() if separated is None else tuple(names[place] for place in separated.columns),
            streamed=self.rows.streamed,
            rebuilds=self.rows.rebuilds,
            history=minimum.history,
        )


def check_initial(initial: LogisticModel, table: TrainingTable) -> None:
    """Raise SpecError unless a model fits a table."""
    if not isinstance(initial, LogisticModel):
        raise SpecError(f"initial is a LogisticModel, and {initial!r} came")
    if initial.feature_names != table.names or initial.classes != table.classes:
        raise SpecError(
            f"the initial model must have the fit's features and classes; it has {len(initial.feature_names)} features "
            f"and classes {list(initial.classes)}, the table {table.form.width} and {list(table.classes)}"
        )
