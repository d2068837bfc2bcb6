"""Recalibration: a curve from forecasts to better ones, fitted to cells of the score, and what it gains. NumPy only.

A forecast is a pair of arrays, p and 1 - p, each with its own digits. A curve of log odds is

    ln(q / (1 - q)) = a ln p - b ln(1 - p) + c

with a = b for Platt's scaling, a = b and c = 0 for a temperature, and both slopes free for beta calibration. Each cell
counts with its mean forecast.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.cross_entropy import share_of
from logloss_spark.kernels.grid import BINS, HALF, THIN_BINS
from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.calibration import pooled, surprisal
from logloss_spark.statistics.intervals import quantile_of, standard_error

Method = Literal["isotonic", "platt", "beta", "temperature"]
METHODS: tuple[str, ...] = get_args(Method)

NEWTON_STEPS = 50
"""Most Newton steps; ten suffice where there is a minimum."""

SETTLED = 1e-10
"""A fit ends when a step changes no coefficient by more than this, relative to its size or to 1."""

HALVINGS = 40
"""Most halvings of a Newton step, which ends where the loss does not rise."""

ROUNDING = 1e-14
"""A loss that rises by this part did not rise: near its minimum rounding decides."""


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """Sums over rows of nearly the same score, (m,) each.

    Attributes
    ----------
    weight, squares, labels, squared_labels : the sums of w, w^2, w y and w^2 y
    p, other : the mean forecast, and the mean of 1 - p; NaN where there is no weight
    loss_of_positive, loss_of_negative : the loss of a row that is positive, and of one that is not
    """

    weight: Array
    squares: Array
    labels: Array
    squared_labels: Array
    p: Array
    other: Array
    loss_of_positive: Array
    loss_of_negative: Array

    def at(self, chosen: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "ScoreSums":
        """The sums of some of the cells."""
        return ScoreSums(*(values[chosen] for values in vars(self).values()))


def of_cells(place: npt.NDArray[np.int64], sums: Mapping[str, Array], cap: float) -> ScoreSums:
    """The part `cell` of a state, in which `wp` is the sum of w (1 - p) for bins above one half.

    Parameters
    ----------
    place : array of shape (m,), the bins in the grid of scores
    sums : arrays of shape (m,): `w`, `w2`, `wy`, `w2y`, `wp` and `wl`
    cap : the largest loss of a class
    """
    w, tail, upper = sums["w"], sums["wp"], place >= HALF
    parts = np.where(upper, w - tail, tail), np.where(upper, tail, w - tail)
    return _score_sums(sums, parts, (place <= 1, place >= BINS - 2), cap)


def of_buckets(thin: npt.NDArray[np.int64], sums: Mapping[str, Array], cap: float) -> ScoreSums:
    """The part `bucket` of a state by thin bin, in which `wp` is the sum of w p; it has no sums of squares."""
    parts = sums["wp"], np.maximum(sums["w"] - sums["wp"], 0.0)
    unknown = dict.fromkeys(("w2", "w2y"), np.full(len(thin), np.nan))
    return _score_sums({**unknown, **sums}, parts, (thin <= 1, thin >= THIN_BINS - 2), cap)


def _score_sums(
    sums: Mapping[str, Array], parts: tuple[Array, Array], outer: tuple[npt.NDArray[np.bool_], ...], cap: float
) -> ScoreSums:
    w, wy, wl, (lowest, highest) = sums["w"], sums["wy"], sums["wl"], outer
    with np.errstate(all="ignore"):
        loss_of_positive, loss_of_negative = (np.minimum(surprisal(*pair), cap) for pair in (parts, parts[::-1]))
        # The outermost bins have no lower end, and their mean says little about the loss of a row that they ruled out:
        # there its mean is what the loss of the others leaves.
        rest, rest_of_negative = wl - share_of(w - wy, loss_of_negative), wl - share_of(wy, loss_of_positive)
        ruled_out, ruled_in = lowest & (wy > 0), highest & (w > wy)
        loss_of_positive = np.where(ruled_out, np.maximum(rest / wy, 0.0), loss_of_positive)
        loss_of_negative = np.where(ruled_in, np.maximum(rest_of_negative / (w - wy), 0.0), loss_of_negative)
        p, other = (part / w for part in parts)
    return ScoreSums(w, sums["w2"], wy, sums["w2y"], p, other, loss_of_positive, loss_of_negative)


@dataclass(frozen=True, eq=False)
class Isotonic:
    """A curve that is linear between points, and constant beyond the first and the last.

    Attributes
    ----------
    scores : array of shape (k,), not decreasing
    probabilities : array of shape (k,), not decreasing, inside (0, 1)
    """

    scores: Array
    probabilities: Array


@dataclass(frozen=True)
class LogOdds:
    """A curve of log odds, a ln p - b ln(1 - p) + c, whose input and output keep `eps` away from 0 and 1."""

    a: float
    b: float
    c: float
    eps: float


Curve = Isotonic | LogOdds


def recalibrated(curve: Curve, p: Array, other: Array) -> tuple[Array, Array]:
    """The forecasts q and 1 - q that a curve makes of p and 1 - p; NaN where these are."""
    if isinstance(curve, Isotonic):
        q = np.interp(p, curve.scores, curve.probabilities)
        return q, 1.0 - q
    log_p, log_other = (np.log(np.maximum(part, curve.eps)) for part in (p, other))
    end = math.log1p(-curve.eps) - math.log(curve.eps)
    z = np.clip(curve.a * log_p - curve.b * log_other + curve.c, -end, end)
    odds = np.exp(-np.abs(z))
    smaller, larger = odds / (1.0 + odds), 1.0 / (1.0 + odds)
    return np.where(z < 0, smaller, larger), np.where(z < 0, larger, smaller)


def fitted(method: Method, sums: ScoreSums, eps: float) -> Curve:
    """The curve of a method that minimises the log loss of some cells, in ascending order of their score.

    No curve reverses the order of scores: a slope that would be negative becomes 0.

    Parameters
    ----------
    method : "isotonic", "platt", "beta" or "temperature"
    sums : cells with a positive weight, of both classes
    eps : a curve of log odds keeps this away from 0 and 1

    Returns
    -------
    Isotonic or LogOdds, whose coefficients are NaN if there are no best ones

    References
    ----------
    Platt, Probabilistic outputs for support vector machines (1999); here with the labels themselves and not with his
    targets. Kull, Silva Filho, Flach, Beta calibration, AISTATS 2017. Guo et al., On calibration of modern neural
    networks, ICML 2017, for the temperature.
    """
    if method == "isotonic":
        return isotonic(sums)
    if separates(sums, at_half=method == "temperature"):
        return LogOdds(math.nan, math.nan, math.nan, eps)
    log_p, log_other = (np.log(np.maximum(part, eps)) for part in (sums.p, sums.other))
    if method == "beta":
        a, b, c = non_negative_slopes(np.column_stack([log_p, -log_other, np.ones(len(log_p))]), 2, sums)
        return LogOdds(a, b, c, eps)
    columns = [log_p - log_other, *([np.ones(len(log_p))] if method == "platt" else [])]
    slope, *intercept = non_negative_slopes(np.column_stack(columns), 1, sums)
    return LogOdds(slope, slope, intercept[0] if intercept else 0.0, eps)


def isotonic(sums: ScoreSums) -> Isotonic:
    """The isotonic curve through the mean scores of cells, linear between blocks as in scikit-learn.

    A block without a positive row is given 1/2 / (m + 1) instead of 0, m being its effective number of rows, but no
    more than the next block has; likewise a block of positive rows alone. That is the estimate of Krichevsky and
    Trofimov (1981), whose log loss is never much above that of the true share.
    """
    share = pooled(sums.weight[np.newaxis], sums.labels[np.newaxis])[0]
    least, most = share.min(), share.max()
    bottom, top = share <= 0.0, share >= 1.0
    if least <= 0.0:
        least = min(chance_of_unseen(sums.at(bottom)), share[~bottom].min(initial=1.0))
    if most >= 1.0:
        most = max(1.0 - chance_of_unseen(sums.at(top)), share[~top].max(initial=0.0))
    inside = np.clip(share, least, most)
    ends = np.append(True, np.diff(inside) != 0.0)
    corner = ends | np.append(ends[1:], True)
    return Isotonic(sums.p[corner], inside[corner])


def chance_of_unseen(sums: ScoreSums) -> float:
    """The chance of a class that none of these rows has."""
    return float(0.5 / (sums.weight.sum() ** 2 / sums.squares.sum() + 1.0))


def separates(sums: ScoreSums, *, at_half: bool) -> bool:
    """Whether a threshold of the score, or that of one half, has no positive row below and no other row above it.

    Slopes then grow without end, while the loss falls to 0 on one side of the threshold or on both.
    """
    positive, negative = sums.labels > 0.0, sums.labels < sums.weight
    if at_half:
        return not np.any(positive & (sums.p < sums.other)) and not np.any(negative & (sums.p > sums.other))
    return bool(np.argmax(positive) >= len(negative) - 1 - np.argmax(negative[::-1]))


def non_negative_slopes(x: Array, slopes: int, sums: ScoreSums) -> list[float]:
    """The coefficients of a logistic regression on the columns of `x`, of which the first `slopes` are at least 0.

    Columns whose slope would be negative are left out, the most negative first.
    """
    kept = np.arange(x.shape[1])
    while True:
        found = logistic_fit(x[:, kept], (kept < slopes).astype(np.float64), sums)
        wrong = np.flatnonzero((kept < slopes) & (found < 0.0))
        if not wrong.size:
            coefficients = np.zeros(x.shape[1])
            coefficients[kept] = found
            return [float(value) for value in coefficients]
        kept = np.delete(kept, wrong[np.argmin(found[wrong])])


def logistic_fit(x: Array, start: Array, sums: ScoreSums) -> Array:
    """The coefficients that minimise the log loss of cells, by Newton's method with the exact curvature.

    Where the minimum is at infinity they are those of the last step, far in its direction.
    """
    w, wy = sums.weight / sums.weight.sum(), sums.labels / sums.weight.sum()

    def loss(coefficients: Array) -> float:
        z = x @ coefficients
        return float(w @ np.logaddexp(0.0, z) - wy @ z)

    found, now = start, loss(start)
    for _ in range(NEWTON_STEPS):
        q = 0.5 * (1.0 + np.tanh(x @ found / 2.0))
        step = np.linalg.lstsq((x.T * (w * q * (1.0 - q))) @ x, x.T @ (wy - w * q), rcond=None)[0]
        if np.all(np.abs(step) <= SETTLED * np.maximum(np.abs(found), 1.0)):
            return np.asarray(found + step)
        for _ in range(HALVINGS):
            then = loss(found + step)
            if then <= now * (1.0 + ROUNDING):
                break
            step = step / 2.0
        found, now = found + step, then
    return found


@dataclass(frozen=True)
class Gain:
    """What the log loss falls by if forecasts are recalibrated.

    Attributes
    ----------
    value : float
        The fall, in nats; below 0 the loss rises.
    se : float or None
        Its standard error, None where it is not defined.
    low, high : float or None
        Between these lies, with the `confidence`, the fall on as many new rows as it was measured on. The interval of
        the expected fall is narrower by the root of 2.
    confidence : float
    rows : int
        The number of rows that it was measured on, none of which the curve was fitted to.
    measured : str
        What these rows are, in words.
    """

    value: float
    se: float | None
    low: float | None
    high: float | None
    confidence: float
    rows: int
    measured: str


@dataclass(frozen=True, eq=False)
class Fall:
    """By how much the loss of a row of each cell falls, if the row is positive and if it is not, (m,) each."""

    positive: Array
    negative: Array


def fall_of(sums: ScoreSums, curve: Curve) -> Fall:
    """By how much a curve lets the loss of a row of each cell fall."""
    with np.errstate(all="ignore"):
        q, other = recalibrated(curve, sums.p, sums.other)
        return Fall(sums.loss_of_positive + np.log(q), sums.loss_of_negative + np.log(other))


def total_fall(sums: ScoreSums, fall: Fall) -> Array:
    """The sum of w d over the rows of each cell, d being the fall of a row's loss, (m,)."""
    with np.errstate(all="ignore"):
        return share_of(sums.labels, fall.positive) + share_of(sums.weight - sums.labels, fall.negative)


def mean_fall(sums: ScoreSums, fall: Fall) -> float:
    """The mean of d over all rows."""
    return float(total_fall(sums, fall).sum() / sums.weight.sum())


def error_of_rows(sums: ScoreSums, fall: Fall, rows: float) -> float:
    """The standard error of the mean fall if rows are independent.

    Rows of a cell have its mean score. With soft labels it is at most too large, since y^2 <= y.
    """
    mean = mean_fall(sums, fall)
    with np.errstate(all="ignore"):
        squares = share_of(sums.squared_labels, (fall.positive - mean) ** 2)
        squares = squares + share_of(sums.squares - sums.squared_labels, (fall.negative - mean) ** 2)
    return float(standard_error(squares.sum() / sums.weight.sum() ** 2, np.array(rows)))


def error_of_buckets(sums: ScoreSums, fall: Fall, bucket: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The standard error of the mean fall if rows depend on each other by clusters, and the number of filled buckets.

    `bucket` is the bucket of clusters of each entry.
    """
    _, place = np.unique(bucket, return_inverse=True)
    falls, weight = np.bincount(place, total_fall(sums, fall)), np.bincount(place, sums.weight)
    away = (falls - weight * mean_fall(sums, fall)) / weight.sum()
    return float(standard_error(np.sum(away**2), np.array(float(len(weight))))), float(len(weight))


def coefficients_of(curve: Curve) -> int:
    """How many coefficients a curve has; those of an isotonic one are its distinct values.

    References
    ----------
    Meyer, Woodroofe, On the degrees of freedom in shape-restricted regression, Ann. Statist. 28 (2000).
    """
    if isinstance(curve, Isotonic):
        return len(np.unique(curve.probabilities))
    return 1 + (curve.c != 0.0) + (curve.a != curve.b)


def error_of_fit(sums: ScoreSums, coefficients: int) -> float:
    """The standard error that a fit adds to a gain which is measured by cross-fitting.

    Rows to which k coefficients are fitted have a log likelihood that is half a chi-square of k degrees of freedom too
    large (Wilks), and the rows of all slices are such rows: sqrt(2 k) / n_eff. Where forecasts are calibrated already
    this is all the error there is.
    """
    return float(math.sqrt(2.0 * coefficients) * sums.squares.sum() / sums.weight.sum() ** 2)


def reach_of(error: float, confidence: float, buckets: float | None) -> float:
    """Half the width of the interval for as many new rows: the error of both means counts."""
    filled = None if buckets is None else np.array(buckets)
    return float(quantile_of(confidence, filled) * math.sqrt(2.0) * error)


def sums_of_others(sums: Sequence[Array]) -> list[Array]:
    """The sums over all slices but one, for each of n slices, of sums of shape (n, bins).

    They are added and not subtracted: where only one slice has rows, exactly 0 is left for it.
    """
    others = []
    for of_slices in sums:
        before, after = np.zeros_like(of_slices), np.zeros_like(of_slices)
        before[1:] = np.cumsum(of_slices[:-1], axis=0)
        after[:-1] = np.cumsum(of_slices[:0:-1], axis=0)[::-1]
        others.append(before + after)
    return others
