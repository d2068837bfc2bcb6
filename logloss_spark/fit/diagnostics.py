"""What the Hessian at the end of a fit shows: curvature, standard errors, collinear and separating columns."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from logloss_spark.fit.descent import Point
from logloss_spark.fit.objective import Space
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.kernels.logistic import gram, lead
from logloss_spark.kernels.sums import Array

COLLINEAR = 1e-10
"""An eigenvalue of the correlations below this times the number of columns counts as 0; rounding gives 1e-16 of it."""

SEPARATED = 1e-5
"""If the loss has less than this share of its usual curvature in a direction, that may separate the classes."""

PERFECT = 1e-6
"""If the loss is below this share of the labels' entropy, the classes may be separated."""

SUSPICIOUS = 1e-4
"""If the condition number is above the inverse of this, columns may be collinear or classes separated."""

INVOLVED = 1e-3
"""A column counts as collinear if its weight in the null direction is at least this share of the largest."""

SEPARATING = 0.05
"""A column counts as separating if it moves some row's logit by this share of the largest move of any column."""

TOUCHING = 1e-6
"""A lead below this share of the largest counts as 0: the solver's direction is no more exact."""


@dataclass(frozen=True)
class Curvature:
    """The extreme eigenvalues of the Hessian of the mean objective, over the directions that change a probability."""

    smallest: float
    largest: float

    @property
    def condition(self) -> float:
        """The largest by the smallest; infinite if the objective is flat in a direction."""
        return self.largest / self.smallest if self.smallest > 0 else math.inf


@dataclass(frozen=True)
class Separation:
    """A direction along which no row is on the wrong side.

    `complete` says that no row is on the border, either; `columns` are the indices of the columns that separate.
    """

    complete: bool
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Findings:
    """What the Hessian at the end of a fit shows.

    Attributes
    ----------
    curvature : None if there is no Hessian
    flat : array of shape (d, directions), the directions in which the features do not vary
    collinear : the indices of the columns that take part in flat directions
    separation : None if the classes are not separated
    errors : standard errors of coefficients (C, d) and intercepts (C,), or None
    """

    curvature: Curvature | None
    flat: Array
    collinear: tuple[int, ...]
    separation: Separation | None
    errors: tuple[Array, Array] | None


def suspicious(curvature: Curvature, loss: float, label_entropy: float) -> bool:
    """Whether columns may be collinear or separate the classes, so that passes that look for them are worth it."""
    return curvature.smallest <= SUSPICIOUS * curvature.largest or loss <= PERFECT * label_entropy


def contrasts(space: Space) -> Array:
    """A basis of the coordinates, without the shifts of all classes together, which change no probability.

    Returns
    -------
    array of shape (coordinates, directions), orthonormal
    """
    rows, width = space.shape
    if rows == 1:
        return np.eye(int(space.free.sum()))
    across = np.linalg.qr(np.column_stack([np.ones(rows), np.eye(rows)[:, :-1]]))[0][:, 1:]
    basis = np.kron(across, np.eye(width))
    columns = np.tile(space.free[0], rows - 1)
    return basis[np.ix_(space.free.ravel(), columns)]


def curvature_of(point: Point, basis: Array) -> Curvature:
    """The extreme eigenvalues of a Hessian; an eigenvalue that is nothing but rounding counts as 0."""
    assert point.hessian is not None
    values = np.linalg.eigvalsh(basis.T @ point.hessian @ basis)
    if not len(values):
        return Curvature(0.0, 0.0)
    rounding = len(values) * np.finfo(float).eps * values[-1]
    return Curvature(float(values[0]) if values[0] > rounding else 0.0, float(values[-1]))


def find_collinear(rows: TrainingRows, space: Space, weight: float) -> Array:
    """Pass over the rows, and return the directions in which the standardised features do not vary.

    Returns
    -------
    array of shape (features, directions), orthonormal
    """
    used = space.free[0, :-1]
    of_features = rows.sums(partial(gram, standard=space.standard))["gram"][:-1, :-1] / weight
    values, vectors = np.linalg.eigh(of_features[np.ix_(used, used)])
    rounding = np.finfo(float).eps * values.max(initial=0.0)  # large where features are not centred
    flat = vectors[:, values < max(COLLINEAR, rounding) * len(values)]
    directions = np.zeros((len(used), flat.shape[1]))
    directions[used] = flat
    return directions


def involved(directions: Array) -> tuple[int, ...]:
    """The indices of the columns that take part in some directions, the column with the largest weight first."""
    return indices_above(np.sqrt((directions * directions).sum(axis=1)), INVOLVED)


def undetermined_constants(space: Space, flat: Array) -> tuple[int, ...]:
    """The indices of constant columns that stand in for an intercept and are collinear with other columns.

    Several constant columns are collinear with each other; a single one is collinear with features that add up to a
    constant along a direction of `flat`.
    """
    places = np.flatnonzero(space.stand_in)
    means = space.standard.scale * space.standard.mean
    shifts = np.abs(flat.T @ means) > TOUCHING * (1.0 + np.abs(flat).T @ np.abs(means))
    return tuple(map(int, places)) if len(places) > 1 or shifts.any() else ()


def indices_above(size: Array, share: float) -> tuple[int, ...]:
    """The indices of the entries that are larger than a share of the largest, the largest first."""
    order = np.argsort(-size, kind="stable")
    return tuple(int(index) for index in order if size[index] > share * size.max(initial=0.0))


def find_separation(
    rows: TrainingRows, space: Space, point: Point, collinear: Array, shares: Array
) -> Separation | None:
    """Find the direction along which an unpenalised fit runs away, if there is one.

    If the loss is almost flat along directions in which the features vary, Newton's step points towards infinity. A
    pass over all rows tells whether any of them is on the wrong side of that direction. If none is, the classes are
    separated.
    """
    assert point.hessian is not None
    basis = contrasts(space)
    basis = basis @ complement(space, basis, collinear)
    values, vectors = np.linalg.eigh(basis.T @ point.hessian @ basis)
    usual = float(np.min(shares[shares > 0] * (1 - shares[shares > 0])))
    flat = values < SEPARATED * usual
    if not flat.any():
        return None
    towards, curved = basis @ vectors[:, flat], values[flat]
    floor = max(curved.max() * 1e-8, np.finfo(float).tiny)  # below it an eigenvalue is rounding
    step = -towards @ ((towards.T @ point.gradient) / np.maximum(curved, floor))
    # If every row is separated, the loss is flat everywhere, and the coefficients themselves are such a direction.
    for direction in (step, point.x):
        separation = check_direction(rows, space, direction)
        if separation is not None:
            return separation
    return None


def check_direction(rows: TrainingRows, space: Space, direction: Array) -> Separation | None:
    """Pass over the rows, and return the separation along a direction in the solver's coordinates, if it is one."""
    size = np.abs(direction).max(initial=0.0)
    if not size > 0:
        return None
    sums = rows.sums(partial(lead, theta=space.theta(direction / size), standard=space.standard))
    low, high = float(sums["low"][0]), float(sums["high"][0])
    if not (high > 0 and low >= -TOUCHING * high):
        return None
    return Separation(low > TOUCHING * high, indices_above(sums["reach"], SEPARATING))


def complement(space: Space, basis: Array, collinear: Array) -> Array:
    """A basis of what is orthogonal to collinear directions, in the coordinates of another basis."""
    if not collinear.shape[1]:
        return np.eye(basis.shape[1])
    rows, _ = space.shape
    flat = []
    for place in range(rows):
        for direction in collinear.T:
            theta = np.zeros(space.shape)
            theta[place, :-1] = direction
            flat.append(basis.T @ space.coordinates(theta))
    left, sizes, _ = np.linalg.svd(np.array(flat).T)
    return np.asarray(left[:, int((sizes > 1e-8).sum()) :])


def covariance(space: Space, point: Point, weight: float) -> Array | None:
    """The covariance of coefficients and intercepts for the features as they came.

    It is the inverse of the summed Hessian, or with several classes the generalised inverse for centred coefficients.

    Returns
    -------
    array of shape (C (d + 1), C (d + 1)), or None if the Hessian has no inverse

    References
    ----------
    McCullagh, Nelder, Generalized linear models (1989), section 4.4.
    """
    assert point.hessian is not None
    basis = contrasts(space)
    try:
        inner = np.linalg.inv(basis.T @ point.hessian @ basis) / weight
    except np.linalg.LinAlgError:
        return None
    rows, width = space.shape
    flat = np.zeros((rows * width, rows * width))
    free = space.free.ravel()
    flat[np.ix_(free, free)] = basis @ inner @ basis.T
    # From standardised to raw: a coefficient is scaled, and the intercept takes what that shifts every row by.
    turn = np.diag(np.append(space.standard.scale, 1.0))
    turn[-1, :-1] = -space.standard.scale * space.standard.mean
    if space.stand_in.any():
        turn[:-1] += np.outer(space.stand_in, turn[-1])
        turn[-1] = 0.0
    whole = np.kron(np.eye(rows), turn)
    return np.asarray(whole @ flat @ whole.T)


def standard_errors(space: Space, point: Point, weight: float) -> tuple[Array, Array] | None:
    """Standard errors of coefficients (C, d) and intercepts (C,), NaN if not estimated; None if all are unknown."""
    spread = covariance(space, point, weight)
    if spread is None:
        return None
    errors = np.sqrt(np.maximum(np.diag(spread), 0.0)).reshape(space.shape)
    estimated = space.free.copy()
    if space.stand_in.any():
        estimated[:, :-1] |= space.stand_in != 0
        estimated[:, -1] = False
    errors = np.where(estimated, errors, np.nan)
    return errors[:, :-1], errors[:, -1]
