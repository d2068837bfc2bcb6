"""The objective of a fit in the coordinates of its solver: standardised features, without those that are constant."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from logloss_spark.fit.descent import Penalty, Point
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.spec import Training
from logloss_spark.kernels.logistic import (
    AS_THEY_CAME,
    Block,
    Standardization,
    loss_and_gradient,
    loss_gradient_and_hessian,
    raw_parameters,
    standardised_gradient,
)
from logloss_spark.kernels.sums import Array

CONSTANT = 1e-14
"""If the standard deviation of a column is below this share of its mean, it is rounding: the column is constant."""


@dataclass(frozen=True)
class Totals:
    """Sums of the pass that writes the blocks.

    Attributes
    ----------
    weight_of_class : array of shape (K,), the weight of the rows of each class
    mean, deviation : arrays of shape (d,), the mean and standard deviation of each feature
    held : the weight of the validation rows
    """

    weight_of_class: Array
    mean: Array
    deviation: Array
    held: float

    @property
    def weight(self) -> float:
        """The weight of all rows."""
        return float(self.weight_of_class.sum())

    @property
    def spread(self) -> Array:
        """The standard deviation of each feature, or if it is constant its absolute value."""
        return np.where(self.deviation > 0, self.deviation, np.abs(self.mean))

    @property
    def shares(self) -> Array:
        """The share of the weight that each class has."""
        return self.weight_of_class / self.weight

    @property
    def label_entropy(self) -> float:
        """The log loss of a forecast that knows only the shares of the classes, in nats."""
        shares = self.shares[self.shares > 0]
        return float(-(shares * np.log(shares)).sum())


@np.errstate(over="ignore", invalid="ignore")
def totals_of_rows(rows: TrainingRows, width: int) -> Totals:
    """The weights, means and deviations of all rows, from the moments of each block about its own centre.

    The variance is Spark's, the sum of squares over W - sum(w^2)/W, and not finite if numbers are too large to square.

    References
    ----------
    Chan, Golub, LeVeque, Algorithms for computing the sample variance, The American Statistician 37 (1983).
    """
    parts = [sums for sums in rows.parts if sums["w"][0] > 0]
    w = np.array([sums["w"][0] for sums in parts])
    total = w.sum()
    offsets = [sums["wx"] / sums["w"] for sums in parts]
    means = [np.broadcast_to(sums["centre"], width) + offset for sums, offset in zip(parts, offsets, strict=True)]
    mean = np.zeros(width)
    for share, of_part in zip(w / total, means, strict=True):
        mean = mean + share * of_part
    squares = np.zeros(width)
    for sums, offset, of_part in zip(parts, offsets, means, strict=True):
        within = sums["wxx"] - sums["wx"] * offset
        squares = squares + np.maximum(within, 0.0) + sums["w"][0] * (of_part - mean) ** 2
    freedom = total - sum(sums["w2"][0] for sums in parts) / total
    deviation = np.sqrt(squares / freedom) if freedom > 0 else np.zeros(width)
    deviation[deviation <= CONSTANT * np.abs(mean)] = 0.0
    if "low" in parts[0]:
        low = np.min([sums["low"] for sums in parts], axis=0)
        high = np.max([sums["high"] for sums in parts], axis=0)
        deviation[high - low <= CONSTANT * np.abs(mean)] = 0.0
    return Totals(
        weight_of_class=np.sum([sums["weight_of_class"] for sums in rows.parts], axis=0),
        mean=mean,
        deviation=deviation,
        held=float(sum(sums["held"][0] for sums in rows.parts)),
    )


@dataclass(frozen=True)
class Space:
    """The solver's coordinates.

    Parameters theta have the shape (C, d + 1), with the intercept last and C = 1 for two classes. The free ones are the
    coordinates.

    Attributes
    ----------
    standard : how features are standardised
    free : array of shape (C, d + 1), true for the parameters that the solver may change
    penalty : the penalty of each coordinate
    stand_in : array of shape (d,); without an intercept, the coefficient that a constant column takes over for each
        unit of the solver's intercept
    """

    standard: Standardization
    free: npt.NDArray[np.bool_]
    penalty: Penalty
    stand_in: Array

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the parameters, (C, d + 1)."""
        rows, width = self.free.shape
        return rows, width

    @property
    def has_intercept(self) -> bool:
        """Whether the solver has an intercept."""
        return bool(self.free[0, -1])

    def theta(self, x: Array) -> Array:
        """The parameters at some coordinates; those that are not free are 0."""
        theta = np.zeros(self.shape)
        theta[self.free] = x
        return theta

    def coordinates(self, theta: Array) -> Array:
        """The coordinates of parameters."""
        return np.asarray(theta[self.free])

    def raw(self, theta: Array) -> tuple[Array, Array]:
        """Coefficients of shape (C, d) and intercepts of shape (C,), for the features as they came."""
        coefficients = theta[:, :-1] * self.standard.scale
        intercepts = theta[:, -1] - coefficients @ self.standard.mean
        if not self.stand_in.any():
            return coefficients, intercepts
        return coefficients + np.outer(intercepts, self.stand_in), np.zeros_like(intercepts)

    def from_raw(self, coefficients: Array, intercepts: Array) -> Array:
        """The parameters that `raw` turned into these coefficients and intercepts."""
        scale = self.standard.scale
        scaled = np.divide(coefficients, scale, out=np.zeros_like(coefficients), where=scale > 0)
        return np.column_stack([scaled, intercepts + coefficients @ self.standard.mean])


def space_of(training: Training, totals: Totals, classes: int) -> Space:
    """The coordinates of a fit.

    Beside an intercept, constant columns are left out. Without an intercept and without a penalty, a constant column
    does what an intercept does: the solver gets an intercept, so that features can be centred, and in the end the
    constant columns share it. Under a penalty, a constant column is a feature as any other, and features are not
    centred.
    """
    constant = (totals.deviation == 0) & (totals.mean != 0)
    stands_in = not training.fit_intercept and training.reg_param == 0 and bool(constant.any())
    centred = training.fit_intercept or stands_in
    spread = totals.deviation if centred else totals.spread
    used = spread > 0
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=used)
    rows = 1 if classes == 2 and training.family != "multinomial" else classes
    free = np.tile(np.append(used, centred), (rows, 1))
    # The coefficient of a feature as it came is the standardised one times the scale.
    own = np.ones_like(scale) if training.standardization else scale
    l2 = training.reg_param * (1 - training.elastic_net_param) * np.append(own * own, 0.0)
    l1 = training.reg_param * training.elastic_net_param * np.append(own, 0.0)
    return Space(
        standard=Standardization(totals.mean if centred else np.zeros_like(totals.mean), scale),
        free=free,
        penalty=Penalty(np.tile(l2, (rows, 1))[free], np.tile(l1, (rows, 1))[free]),
        stand_in=np.divide(
            1 / max(constant.sum(), 1), totals.mean, out=np.zeros_like(scale), where=constant & stands_in
        ),
    )


def evaluate_objective(rows: TrainingRows, space: Space, totals: Totals, x: Array, *, hessian: bool) -> Point:
    """Pass over all rows, and return the objective at some coordinates, with its Hessian if asked.

    Compressed rows are not centred, and may have very many columns. Their workers get the parameters of the features as
    they came, and need neither means nor scales.
    """
    began = time.monotonic()
    theta, standard = space.theta(x), space.standard
    if hessian:
        sums = rows.sums(partial(loss_gradient_and_hessian, theta=theta, standard=standard))
    elif rows.form.sparse:
        sums = rows.sums(partial(loss_and_gradient, theta=raw_parameters(theta, standard), standard=AS_THEY_CAME))
        sums["gradient"] = standardised_gradient(sums["gradient"], standard)
    else:
        sums = rows.sums(partial(loss_and_gradient, theta=theta, standard=standard))
    point = point_of(x, sums, space, totals.weight, totals.held)
    return replace(point, seconds=time.monotonic() - began)


def local_objective(block: Block, space: Space) -> Callable[[Array], Point]:
    """The objective of a block in memory as a function of coordinates, always with its Hessian."""
    weight = float(block.weight.sum())

    def evaluate(x: Array) -> Point:
        sums = loss_gradient_and_hessian(block, space.theta(x), space.standard)
        return point_of(x, sums, space, weight, 0.0)

    return evaluate


def point_of(x: Array, sums: dict[str, Array], space: Space, weight: float, held: float) -> Point:
    """The point of the solver that sums over rows describe."""
    loss = float(sums["loss"][0]) / weight
    flat = space.free.ravel()
    hessian = None
    if "hessian" in sums:
        hessian = sums["hessian"][np.ix_(flat, flat)] / weight + np.diag(space.penalty.l2)
    return Point(
        x=x,
        loss=loss,
        objective=loss + space.penalty.value(x),
        gradient=sums["gradient"][space.free] / weight + space.penalty.l2 * x,
        held_loss=float(sums["held"][0]) / held if held else None,
        hessian=hessian,
    )
