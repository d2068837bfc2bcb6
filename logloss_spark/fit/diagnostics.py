"""What can be said of a fit at its end: curvature, standard errors, columns that are collinear or that separate."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from logloss_spark.fit.objective import Space
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.solvers import Point
from logloss_spark.kernels.logistic import gram, lead
from logloss_spark.kernels.sums import Array

COLLINEAR = 1e-10
"""An eigenvalue of the features' correlations below this is none: doubles give 1e-16 times the number of columns."""

SEPARATED = 1e-5
"""A direction in which the loss has this share of the curvature that its features have may separate the classes."""

PERFECT = 1e-6
"""A loss below this share of the labels' entropy is that of classes that are all but told apart."""

SUSPICIOUS = 1e-4
"""A condition number above the inverse of this is looked into: columns may be collinear, or classes separated."""

INVOLVED = 1e-3
"""A column is one of the collinear with this share of the largest weight."""

SEPARATING = 0.05
"""A column separates if it moves some row's logit by this share of the most that any column moves one."""

TOUCHING = 1e-6
"""A lead this small, beside the largest, is none: the solver's direction is that exact."""


@dataclass(frozen=True)
class Curvature:
    """The Hessian of the mean objective at the end, over what the data can tell apart."""

    smallest: float
    largest: float

    @property
    def condition(self) -> float:
        """Largest by smallest; infinite where the objective is flat in a direction."""
        return self.largest / self.smallest if self.smallest > 0 else math.inf


@dataclass(frozen=True)
class Separation:
    """A direction along which no row is on the wrong side: `complete`, or with rows on the border."""

    complete: bool
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Findings:
    """What is found at the end of a fit: its curvature, the directions in which features do not vary, a separation.

    `collinear` are the places of the columns that take part in flat directions; `errors` are those of coefficients
    (C, d) and intercepts (C,), where there are any.
    """

    curvature: Curvature | None
    flat: Array
    collinear: tuple[int, ...]
    separation: Separation | None
    errors: tuple[Array, Array] | None


def suspicious(curvature: Curvature, loss: float, label_entropy: float) -> bool:
    """Whether a fit's end is worth the passes that look for columns that are collinear or that separate."""
    return curvature.smallest <= SUSPICIOUS * curvature.largest or loss <= PERFECT * label_entropy


def contrasts(space: Space) -> Array:
    """A basis of the coordinates without shifts of all classes together, which change no probability.

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
    """The extreme eigenvalues of a Hessian; one that is rounding is 0."""
    assert point.hessian is not None
    values = np.linalg.eigvalsh(basis.T @ point.hessian @ basis)
    if not len(values):
        return Curvature(0.0, 0.0)
    rounding = len(values) * np.finfo(float).eps * values[-1]
    return Curvature(float(values[0]) if values[0] > rounding else 0.0, float(values[-1]))


def collinear_directions(rows: TrainingRows, space: Space, weight: float) -> Array:
    """Directions in which the standardised features do not vary, of shape (features, directions), orthonormal."""
    used = space.free[0, :-1]
    of_features = rows.sums(partial(gram, standard=space.standard))["gram"][:-1, :-1] / weight
    values, vectors = np.linalg.eigh(of_features[np.ix_(used, used)])
    rounding = np.finfo(float).eps * values.max(initial=0.0)  # large where features are not centred
    flat = vectors[:, values < max(COLLINEAR, rounding) * len(values)]
    directions = np.zeros((len(used), flat.shape[1]))
    directions[used] = flat
    return directions


def involved(directions: Array) -> tuple[int, ...]:
    """The places of the columns that take part in some directions, those of the largest weight first."""
    return places_above(np.sqrt((directions * directions).sum(axis=1)), INVOLVED)


def undetermined_constants(space: Space, flat: Array) -> tuple[int, ...]:
    """The places of constant columns that stand in for an intercept but are not alone in saying what it says.

    Several of them are collinear, and so is one with features that add up to a constant in a direction of `flat`.
    """
    places = np.flatnonzero(space.stand_in)
    means = space.standard.scale * space.standard.mean
    shifts = np.abs(flat.T @ means) > TOUCHING * (1.0 + np.abs(flat).T @ np.abs(means))
    return tuple(map(int, places)) if len(places) > 1 or shifts.any() else ()


def places_above(size: Array, share: float) -> tuple[int, ...]:
    """The places of what is larger than a share of the largest, the largest first."""
    order = np.argsort(-size, kind="stable")
    return tuple(int(place) for place in order if size[place] > share * size.max(initial=0.0))


def separation(rows: TrainingRows, space: Space, point: Point, collinear: Array, shares: Array) -> Separation | None:
    """The direction in which an unpenalised fit runs away, if there is one.

    Where the loss is all but flat although the features vary, Newton's step goes on towards infinity. A pass over all
    rows says whether any of them is on the wrong side of that direction; only then are the classes separated.
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
    # Where every row is separated the loss is flat everywhere, and the coefficients themselves are such a direction.
    for direction in (step, point.x):
        found = separated_along(rows, space, direction)
        if found is not None:
            return found
    return None


def separated_along(rows: TrainingRows, space: Space, direction: Array) -> Separation | None:
    """Whether a direction, in the solver's coordinates, separates the classes; a pass."""
    size = np.abs(direction).max(initial=0.0)
    if not size > 0:
        return None
    found = rows.sums(partial(lead, theta=space.theta(direction / size), standard=space.standard))
    low, high = float(found["low"][0]), float(found["high"][0])
    if not (high > 0 and low >= -TOUCHING * high):
        return None
    return Separation(low > TOUCHING * high, places_above(found["reach"], SEPARATING))


def complement(space: Space, basis: Array, collinear: Array) -> Array:
    """What is orthogonal to collinear directions, in coordinates of a basis."""
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
    """The covariance of coefficients and intercepts as they came, of shape (C (d + 1), C (d + 1)).

    The inverse of the summed Hessian; with several classes its generalised inverse, that of centred coefficients. None
    where the Hessian has no inverse.

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
    # From standardised to raw: a coefficient is scaled, and what that takes off every row goes to the intercept.
    turn = np.diag(np.append(space.standard.scale, 1.0))
    turn[-1, :-1] = -space.standard.scale * space.standard.mean
    if space.stand_in.any():
        turn[:-1] += np.outer(space.stand_in, turn[-1])
        turn[-1] = 0.0
    whole = np.kron(np.eye(rows), turn)
    return np.asarray(whole @ flat @ whole.T)


def standard_errors(space: Space, point: Point, weight: float) -> tuple[Array, Array] | None:
    """Standard errors of coefficients (C, d) and intercepts (C,); NaN where nothing was estimated, None without any."""
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
