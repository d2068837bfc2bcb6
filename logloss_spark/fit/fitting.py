"""From a table to a model: read the rows, start, run the solver, and report what can be said at the end."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from logloss_spark.checks import one_of
from logloss_spark.errors import SpecError
from logloss_spark.fit import diagnostics, sample
from logloss_spark.fit.checkpoint import Checkpoint
from logloss_spark.fit.contract import (
    check_every_class,
    check_rows,
    check_sizes,
    check_validation,
    rows_by_status,
    rows_held,
)
from logloss_spark.fit.descent import DenseModel, LimitedModel, Point
from logloss_spark.fit.diagnostics import Findings
from logloss_spark.fit.model import LogisticModel
from logloss_spark.fit.objective import Space, Totals, evaluate_objective, space_of, totals_of_rows
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.report import Report
from logloss_spark.fit.solvers import Minimum, Position, Problem, Step, minimise
from logloss_spark.fit.spec import ClassWeight, Family, FitEngine, Solver, Training, columns_or_one, listed_classes
from logloss_spark.fit.status import Status
from logloss_spark.fit.table import TrainingTable, training_table
from logloss_spark.io.files import Table, table_and_files
from logloss_spark.kernels.sums import Array
from logloss_spark.scoring import Label

DENSE_PARAMETERS = 2000
"""Up to this many parameters the driver keeps a matrix of curvatures, 32 MB; beyond, `lbfgs` remembers steps."""

DIAGNOSED = 1000
"""Up to this many parameters the Hessian of all rows is evaluated in the end."""

Progress = Callable[[Step], None]


def fit_logistic(
    table: Table,
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
    engine: FitEngine = "auto",
    progress: Progress | None = None,
) -> LogisticModel:
    """Fit a logistic regression by distributed gradient descent.

    The objective is Spark ML's: the weighted mean of the log loss plus `reg_param ((1 - a)/2 |b|^2 + a |b|_1)`, where a
    is `elastic_net_param` and b are the coefficients of standardised features.

    Parameters
    ----------
    table : DataFrame, str, or list of str
        One row per observation: a DataFrame, classic or over Spark Connect, or a path or paths of Parquet files. It is
        read once, unless blocks cannot be kept.
    features : str, or list of str
        A column of ML vectors (dense or sparse) or arrays, or columns of numbers and booleans.
    label : str
        The column of the class: numbers, booleans or strings.
    weight, offset, validation : str, optional
        The columns of a row's weight, of a number that is added to the logit of two classes, and of whether a row is
        held out for validation. A weight is a frequency: a row of weight 3 is three rows. So standard errors fall by
        the root of c if all weights are multiplied by c; with sampling weights they are not valid. Only with a penalty
        and standardization do weights and repeated rows differ: Spark's weighted variance divides by W - sum(w^2)/W,
        that of repeated rows by W - 1.
    classes : sequence, optional
        (negative, positive), or K classes. By default they are read from the table and sorted.
    class_weight : "balanced" or mapping from class to factor
        Factors that multiply the weights; "balanced" makes all classes weigh the same. The report, including the log
        loss and the label entropy, and the model's probabilities are then for the reweighted rows.
    family : "auto", "binomial" or "multinomial"
        A multinomial model has a row of coefficients for each class.
    reg_param, elastic_net_param : float
        The strength of the penalty, and the share of L1 in it.
    fit_intercept, standardization : bool
        Without standardization, the penalty is over the coefficients of the features as they came. Beside an intercept,
        a constant column has the coefficient 0. Without an intercept, it takes the place of one (in MLlib it has the
        coefficient 0 there, too); under a penalty it is scaled by its absolute value.
    solver : "gd", "lbfgs" or "newton"
        "gd" is gradient descent, which a sample of the rows starts and preconditions; "lbfgs" is for many features,
        "newton" for few.
    max_iter, tol : int, float
        The largest number of iterations, and how far above the optimum the objective may end, as a share of the
        entropy of the labels.
    patience : int
        With `validation`, the fit stops after so many iterations without a smaller loss on the validation rows. The
        model is always the iteration with the least loss on them. `gd` starts at the optimum of a sample and has few
        iterations to choose from; `lbfgs` starts from the shares of the classes.
    initial : LogisticModel, optional
        A model to start from.
    checkpoint : str, optional
        A folder that keeps each iteration. If a fit was killed, the same call resumes it, with its history.
    on_invalid : "count" or "fail"
        Rows with nulls, NaN or infinite features are left out with a warning that counts them, or they are an error.
    tolerated_share : float, optional
        If more rows than this share are invalid, it is an error.
    engine : "auto", "arrow" or "native"
        With "arrow", Python workers read the rows from Parquet files themselves, which is faster; with "native", Spark
        reads the table. "auto" is "arrow" if the table is nothing but Parquet files that workers can read.
        `report.engine` says which one ran, and why.
    progress : callable, optional
        Called with each `Step`.

    Returns
    -------
    LogisticModel

    Raises
    ------
    SpecError
        A column is not in the table or has a type that its role does not allow, or an argument has an invalid value.
    DataError
        The table has one class only, no weight, a label outside the classes, a negative weight, or vectors of several
        lengths.

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
    check_arguments(on_invalid, checkpoint, progress)
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
        engine=engine,
    )
    if training.elastic_net_param and not training.reg_param:
        message = "elastic_net_param is the share of L1 in the penalty, and reg_param = 0 makes it none"
        warnings.warn(message, UserWarning, stacklevel=2)
    df, files = table_and_files(table)
    analysed = training_table(df, training, files)
    return fit_table(analysed, initial=initial, checkpoint=checkpoint, progress=progress)


def check_arguments(on_invalid: str, checkpoint: object, progress: object) -> None:
    """Raise SpecError for arguments of `fit_logistic` that `Training` does not hold."""
    one_of("on_invalid", on_invalid, ("count", "fail"))
    if checkpoint is not None and not isinstance(checkpoint, str):
        raise SpecError(f"checkpoint must be the path of a folder, got {checkpoint!r}")
    if progress is not None and not callable(progress):
        raise SpecError(f"progress must be a function of a Step, got {progress!r}")


def fit_table(
    table: TrainingTable,
    *,
    initial: LogisticModel | None = None,
    checkpoint: str | None = None,
    progress: Progress | None = None,
) -> LogisticModel:
    """Fit a model to a table that has been analysed, as `fit_logistic` describes."""
    if initial is not None:
        check_initial(initial, table)
    with TrainingRows(table) as rows:
        invalid = check_rows(rows, table.training)
        check_validation(rows, table.training)
        check_every_class(rows, table)
        totals = totals_of_rows(rows, table.form.width)
        check_sizes(totals, table)
        space = space_of(table.training, totals, len(table.classes))
        saved = None if checkpoint is None else Checkpoint(checkpoint, table, rows.rows, totals)
        return Fitting(table, rows, totals, space, saved, progress).run(initial, invalid)


@dataclass(frozen=True)
class Fitting:
    """A fit under way: what all its stages need.

    Attributes
    ----------
    table : the training table
    rows : its rows, to pass over
    totals : their sums
    space : the solver's coordinates
    saved : where iterations are kept, if anywhere
    progress : called with each step, if given
    """

    table: TrainingTable
    rows: TrainingRows
    totals: Totals
    space: Space
    saved: Checkpoint | None
    progress: Progress | None

    @property
    def training(self) -> Training:
        """What the fit was asked for."""
        return self.table.training

    @property
    def size(self) -> int:
        """The number of parameters."""
        return int(self.space.free.sum())

    @property
    def solver(self) -> str:
        """The solver that runs: with very many parameters, `lbfgs` in the place of `gd`, whose metric has no room."""
        solver = self.training.solver
        if solver == "newton" and self.size > DENSE_PARAMETERS:
            raise SpecError(
                f"solver='newton' keeps a matrix of parameters by parameters, so it takes up to {DENSE_PARAMETERS:,} "
                f"parameters, got {self.size:,}: take solver='lbfgs'"
            )
        return "lbfgs" if solver == "gd" and self.size > DENSE_PARAMETERS else solver

    def run(self, initial: LogisticModel | None, invalid: dict[str, int]) -> LogisticModel:
        """Fit the model; it starts from the checkpoint, or the initial model, or from nothing."""
        kept = self.saved.read() if self.saved is not None else []
        if kept:
            minimum = self.resume(kept)
        elif initial is not None:
            theta = self.space.from_raw(initial.coefficients, initial.intercepts)
            minimum = self.solve(self.start_at(self.space.coordinates(theta)))
        else:
            minimum = self.solve(self.start())
        return self.model_of(self.certify(minimum), invalid)

    def resume(self, kept: Sequence[tuple[Step, Array]]) -> Minimum:
        """Run the solver from the last of the iterations that were kept; its history includes all of them."""
        *earlier, (last, theta) = kept
        best = None
        if earlier and self.training.validation is not None:
            step, best_theta = min(reversed(kept), key=lambda entry: entry[0].validation_loss or 0.0)
            best = None if step is last else (self.evaluate(self.space.coordinates(best_theta)), step)
        start = replace(self.start_at(self.space.coordinates(theta)), iteration=last.iteration, best=best)
        minimum = self.solve(start)
        return replace(minimum, history=(*(step for step, _ in earlier), *minimum.history))

    def null_point(self) -> Array:
        """The coordinates of the forecast that knows only the shares of the classes."""
        theta = np.zeros(self.space.shape)
        shares = np.maximum(self.totals.shares, np.finfo(float).tiny)
        if self.space.has_intercept:
            logs = np.log(shares)
            theta[:, -1] = logs[1] - logs[0] if len(theta) == 1 else logs - logs.mean()
        return self.space.coordinates(theta)

    def start(self) -> Position:
        """Find where to start: `gd` at the optimum of a sample, the others at the null point."""
        x = self.null_point()
        drawn = None if self.solver == "lbfgs" else sample.draw_sample(self.rows, self.space)
        if drawn is None:
            return self.start_without_sample(x)
        begin, model = sample.optimum_of_sample(drawn, self.rows.rows, self.space, self.totals, x)
        point = self.evaluate(begin)
        knows_nothing = self.totals.label_entropy if self.space.has_intercept else math.log(len(self.table.classes))
        if self.training.offset is None and not point.objective <= knows_nothing * (1 + 1e-9):
            # The sample is misleading: start from the null point after all.
            model = sample.model_of_sample(drawn, self.space, self.totals, x)
            point = self.evaluate(x)
        return Position(point, self.model_at(point, model))

    def start_at(self, x: Array) -> Position:
        """Start at coordinates that are known to be good."""
        drawn = None if self.solver == "lbfgs" else sample.draw_sample(self.rows, self.space)
        if drawn is None:
            return self.start_without_sample(x)
        model = sample.model_of_sample(drawn, self.space, self.totals, x)
        point = self.evaluate(x)
        return Position(point, self.model_at(point, model))

    def start_without_sample(self, x: Array) -> Position:
        """Start at some coordinates, with a model that knows only the curvature of standardised features."""
        curvature = sample.mean_curvature(self.space, self.totals)
        point = self.evaluate(x)
        if self.solver == "lbfgs":
            moments = sample.second_moments(self.space, self.totals)
            return Position(point, LimitedModel(curvature * moments + self.space.penalty.l2))
        return Position(point, self.model_at(point, DenseModel(np.diag(curvature + self.space.penalty.l2))))

    def model_at(self, point: Point, otherwise: DenseModel) -> DenseModel:
        """The model with the Hessian at a point, or another one if the Hessian is not known."""
        return otherwise if point.hessian is None else sample.model_at(point)

    def evaluate(self, x: Array, *, hessian: bool = False) -> Point:
        """Pass over the rows, and return the objective at some coordinates."""
        with_hessian = hessian or self.solver == "newton"
        return evaluate_objective(self.rows, self.space, self.totals, x, hessian=with_hessian)

    def solve(self, start: Position, *, reported: int = -1) -> Minimum:
        """Run the solver from a position; report the iterations after `reported`."""

        def on_step(step: Step, point: Point) -> None:
            if step.iteration > reported:
                self.report_step(step, point)

        problem = Problem(
            evaluate=self.evaluate,
            penalty=self.space.penalty,
            gap=self.training.tol * self.totals.label_entropy,
            max_iter=self.training.max_iter,
            patience=self.training.patience if self.training.validation is not None else None,
            evaluate_last=partial(self.evaluate, hessian=self.size <= DIAGNOSED),
        )
        return minimise(problem, start, on_step)

    def report_step(self, step: Step, point: Point) -> None:
        """Keep an iteration in the checkpoint, and call `progress` with it."""
        if self.saved is not None:
            self.saved.write(step, self.space.theta(point.x))
        if self.progress is not None:
            self.progress(step)

    def certify(self, minimum: Minimum) -> Minimum:
        """Evaluate the Hessian of all rows at a minimum. If it shows that a gap is left, go on from there by Newton."""
        if self.size > DIAGNOSED:
            return minimum
        point = minimum.point if minimum.point.hessian is not None else self.evaluate(minimum.point.x, hessian=True)
        if minimum.status != Status.GRADIENT:
            return replace(minimum, point=point)
        done = minimum.step.iteration
        last = self.solve(Position(point, sample.model_at(point), iteration=done), reported=done)
        seen = replace(minimum.step, gap=last.history[0].gap)
        history = (*minimum.history[:-1], seen, *last.history[1:])
        if last.point.hessian is None:
            # One step from an optimum, the Hessian is the same to all digits that a standard error has.
            near = len(last.history) <= 2
            exact = replace(last.point, hessian=point.hessian) if near else self.evaluate(last.point.x, hessian=True)
            last = replace(last, point=exact)
        return replace(last, step=seen if last.step.iteration == done else last.step, history=history)

    def model_of(self, minimum: Minimum, invalid: dict[str, int]) -> LogisticModel:
        """The model at a minimum, with everything that can be said about it."""
        findings = self.diagnose(minimum)
        coefficients, intercepts = self.space.raw(self.settled(self.space.theta(minimum.point.x), findings.flat))
        return LogisticModel(
            features=self.training.features,
            feature_names=self.table.names,
            classes=self.table.classes,
            coefficients=coefficients,
            intercepts=intercepts,
            standard_errors=None if findings.errors is None else findings.errors[0],
            intercept_errors=None if findings.errors is None else findings.errors[1],
            offset=self.training.offset,
            report=self.report(minimum, findings, invalid),
        )

    def diagnose(self, minimum: Minimum) -> Findings:
        """Read the Hessian at a minimum; if it looks flat in a direction, pass over the rows to learn why."""
        point, space = minimum.point, self.space
        flat = np.zeros((self.table.form.width, 0))
        if point.hessian is None or not self.size:
            return Findings(None, flat, (), None, None)
        curvature = diagnostics.curvature_of(point, diagnostics.contrasts(space))
        if self.training.reg_param:
            return Findings(curvature, flat, (), None, None)
        separation = None
        if diagnostics.suspicious(curvature, point.loss, self.totals.label_entropy):
            flat = diagnostics.find_collinear(self.rows, space, self.totals.weight)
            separation = diagnostics.find_separation(self.rows, space, point, flat, self.totals.shares)
        collinear = (*diagnostics.involved(flat), *diagnostics.undetermined_constants(space, flat))
        unique = minimum.status.optimal and separation is None and not collinear
        errors = diagnostics.standard_errors(space, point, self.totals.weight) if unique else None
        return Findings(curvature, flat, collinear, separation, errors)

    def settled(self, theta: Array, flat: Array) -> Array:
        """Of all parameters that give the same forecasts, those of least norm, centred over the classes.

        A penalty determines the coefficients, but not the intercepts of several classes.
        """
        if flat.shape[1]:
            theta = np.column_stack([theta[:, :-1] - (theta[:, :-1] @ flat) @ flat.T, theta[:, -1]])
        if len(theta) == 1:
            return theta
        width = theta.shape[1]
        moved = np.ones(width) if self.training.reg_param == 0.0 else np.eye(width)[-1]
        return np.where(self.space.free, theta - theta.mean(axis=0) * moved, theta)

    def report(self, minimum: Minimum, findings: Findings, invalid: dict[str, int]) -> Report:
        """What the fit did."""
        point, step, names = minimum.point, minimum.step, self.table.names
        curvature, separation = findings.curvature, findings.separation
        status = minimum.status if separation is None else Status.SEPARATED
        return Report(
            status=status,
            converged=status.converged,
            solver=self.solver,
            iterations=minimum.history[-1].iteration,
            best_iteration=step.iteration,
            passes=self.rows.passes,
            read=sum(rows_by_status(self.rows).values()),
            rows=self.rows.rows - rows_held(self.rows),
            held=rows_held(self.rows),
            weight=self.totals.weight,
            invalid=invalid,
            objective=point.objective,
            log_loss=point.loss,
            label_entropy=self.totals.label_entropy,
            normalized_entropy=point.loss / self.totals.label_entropy,
            validation_loss=step.validation_loss,
            gradient_norm=step.gradient_norm,
            gap=step.gap,
            smallest_curvature=None if curvature is None else curvature.smallest,
            largest_curvature=None if curvature is None else curvature.largest,
            condition=None if curvature is None else curvature.condition,
            collinear=tuple(names[index] for index in findings.collinear),
            separation=None if separation is None else "complete" if separation.complete else "quasi-complete",
            separating=() if separation is None else tuple(names[index] for index in separation.columns),
            streamed=self.rows.streamed,
            rebuilds=self.rows.rebuilds,
            engine=self.rows.ran,
            history=minimum.history,
        )


def check_initial(initial: LogisticModel, table: TrainingTable) -> None:
    """Raise SpecError unless a model has the features and classes of a table."""
    if not isinstance(initial, LogisticModel):
        raise SpecError(f"initial must be a LogisticModel, got {initial!r}")
    if initial.feature_names != table.names or initial.classes != table.classes:
        raise SpecError(
            f"the initial model must have the fit's {table.form.width} features and classes {list(table.classes)}, "
            f"got {len(initial.feature_names)} features and classes {list(initial.classes)}"
        )
