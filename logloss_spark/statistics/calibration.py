"""Calibration, and the decomposition of a loss, from the cells of a state. NumPy only.

Arrays have one row per slice: sums have the shape (n, bins) unless stated, metrics have the shape (n,). A metric is NaN
where a slice has no weight.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.cross_entropy import share_of
from logloss_spark.kernels.grid import HALF, coarse_bin
from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.distributions import normal_p_value

MOST_CERTAIN = 745.0
"""ln of the smallest double: no logit of a cell is further from 0."""

COX_STEPS = 50
"""Most Newton steps. Coefficients that have not converged by then diverge: the classes are separated."""


@dataclass(frozen=True)
class Cells:
    """Sums over the rows of n slices by bin of the score, (n, bins); 0 where a bin is empty.

    `bins` are the indices of the bins in the grid, ascending. `predictions` is the sum of w p and `of_other` the sum of
    w(1 - p); each keeps its own digits.
    """

    bins: npt.NDArray[np.int64]
    weight: Array
    squares: Array
    labels: Array
    squared_labels: Array
    predictions: Array
    of_other: Array

    @staticmethod
    def of_state(bins: npt.NDArray[np.int64], sums: Mapping[str, Array]) -> "Cells":
        """The cells of a state. A state stores the sum of w(1 - p) as `wp` for bins above one half."""
        w, tail, upper = sums["w"], sums["wp"], bins >= HALF
        return Cells(
            bins=bins,
            weight=w,
            squares=sums["w2"],
            labels=sums["wy"],
            squared_labels=sums["w2y"],
            predictions=np.where(upper, w - tail, tail),
            of_other=np.where(upper, tail, w - tail),
        )

    @property
    def total(self) -> Array:
        """The weight of each slice, (n, 1)."""
        return np.asarray(self.weight.sum(axis=1, keepdims=True))

    @property
    def label_mean(self) -> Array:
        """The mean label of each cell; NaN where it is empty."""
        with np.errstate(all="ignore"):
            return self.labels / self.weight

    def merged(self, group: npt.NDArray[np.int64]) -> "Cells":
        """The same sums over fewer bins. `group` gives each bin its group, ascending; the bins of a group are added."""
        if not group.size:
            return self
        sums = self.weight, self.squares, self.labels, self.squared_labels, self.predictions, self.of_other
        return Cells(group[firsts(group)], *(grouped(of_bins, group) for of_bins in sums))

    def equal_width(self, count: int) -> "Cells":
        """The same sums over bins of equal width."""
        return self.merged(coarse_bin(self.bins, count))


@dataclass(frozen=True)
class ClassCells:
    """Sums over the rows of n slices by class and bin of the class's probability, (n, K, bins).

    `labels` is the weight of the rows in which the class happened. K is 0 if the state has no sums by class and bin.
    """

    weight: Array
    labels: Array


@dataclass(frozen=True)
class Scores:
    """Sums over the rows of n slices by distinct score, ascending, (n, scores): `Cells` that hold one score each."""

    weight: Array
    squares: Array
    labels: Array
    squared_labels: Array


def grouped(sums: Array, group: npt.NDArray[np.int64]) -> Array:
    """Sums of shape (m, bins) by groups of bins, which ascend."""
    return np.add.reduceat(sums, firsts(group), axis=1)


def firsts(group: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """The index at which each group begins."""
    return np.flatnonzero(np.diff(group, prepend=-1))


def variance(share: Array) -> Array:
    """The variance of a binary label with this mean, p(1 - p): its own Brier score."""
    return share * (1.0 - share)


def mean_over(cells: Cells | Scores, values: Array) -> Array:
    """The weighted mean over the cells of a slice, (n,); empty cells do not count."""
    w = cells.weight
    with np.errstate(all="ignore"):
        return np.asarray(np.sum(np.where(w > 0, w * values, 0.0), axis=1) / w.sum(axis=1))


def cross_entropies(cells: Cells, cap: float) -> Array:
    """Cross-entropy of each cell's mean label under its mean prediction, each class's loss at most `cap`."""
    with np.errstate(all="ignore"):
        surprise = np.minimum(surprisal(cells.predictions, cells.of_other), cap)
        surprise_of_other = np.minimum(surprisal(cells.of_other, cells.predictions), cap)
        y = cells.label_mean
        return share_of(y, surprise) + share_of(1.0 - y, surprise_of_other)


def surprisal(part: Array, rest: Array) -> Array:
    """-ln of part / (part + rest), by the smaller of both, which has the digits."""
    whole = part + rest
    return np.where(part > rest, -np.log1p(-rest / whole), -np.log(part / whole))


def quadratic_scores(cells: Cells) -> Array:
    """The Brier score of each cell's mean label under its mean prediction."""
    with np.errstate(all="ignore"):
        gap = (cells.labels - cells.predictions) / cells.weight
        return gap * gap + variance(cells.label_mean)


def binned_decomposition(
    cells: Cells, scores: Array, uncertainty: Callable[[Array], Array], loss: Array
) -> dict[str, Array]:
    """Murphy's decomposition: loss = uncertainty - resolution + reliability + rest.

    Parameters
    ----------
    cells : sums over the bins
    scores : (n, bins), the score of each bin's mean label under its mean prediction
    uncertainty : the score of a share under itself: `binary_entropy`, or `variance` for Brier
    loss : (n,), the mean score of the rows

    Returns
    -------
    `resolution` and `reliability`, at least 0 up to rounding, and `rest`, of either sign, which varies within bins

    References
    ----------
    Murphy, A new vector partition of the probability score, J. Appl. Meteorol. 12 (1973), for Brier; Bröcker,
    Reliability, sufficiency, and the decomposition of proper scores, Q. J. R. Meteorol. Soc. 135 (2009), for all.
    """
    with np.errstate(all="ignore"):
        overall = uncertainty(cells.labels.sum(axis=1) / cells.total[:, 0])
        within = mean_over(cells, uncertainty(cells.label_mean))
        at_means = mean_over(cells, scores)
        return {"resolution": overall - within, "reliability": at_means - within, "rest": loss - at_means}


def corp_decomposition(
    cells: Cells, scores: Array, uncertainty: Callable[[Array], Array], pooled_labels: Array, loss: Array
) -> dict[str, Array]:
    """The decomposition of CORP: loss = uncertainty - discrimination + miscalibration + rest.

    Parameters
    ----------
    cells, scores, uncertainty, loss :
        As in `binned_decomposition`, over the finest bins.
    pooled_labels : (n, bins), the isotonic label means

    References
    ----------
    Dimitriadis, Gneiting, Jordan, Stable reliability diagrams for probabilistic classifiers, PNAS 118 (2021).
    """
    with np.errstate(all="ignore"):
        overall = uncertainty(cells.labels.sum(axis=1) / cells.total[:, 0])
        recalibrated = mean_over(cells, uncertainty(pooled_labels))
        at_means = mean_over(cells, scores)
        return {
            "miscalibration": at_means - recalibrated,
            "discrimination": overall - recalibrated,
            "corp_rest": loss - at_means,
        }


def corp_of_rows(
    scores: Scores, uncertainty: Callable[[Array], Array], pooled_labels: Array, loss: Array
) -> dict[str, Array]:
    """As `corp_decomposition`, from the scores of the rows themselves. This leaves no rest."""
    with np.errstate(all="ignore"):
        overall = uncertainty(scores.labels.sum(axis=1) / scores.weight.sum(axis=1))
        recalibrated = mean_over(scores, uncertainty(pooled_labels))
        return {
            "miscalibration": loss - recalibrated,
            "discrimination": overall - recalibrated,
            "corp_rest": np.where(np.isnan(recalibrated), np.nan, 0.0),
        }


def pooled(weight: Array, labels: Array) -> Array:
    """The isotonic fit to the label means of bins, by pooling adjacent violators.

    Parameters
    ----------
    weight, labels : arrays of shape (n, bins)
        Sums of w and wy, the bins in the order of the score.

    Returns
    -------
    array of shape (n, bins), not decreasing; NaN where a bin is empty

    Examples
    --------
    >>> pooled(np.array([[2.0, 0.0, 1.0, 1.0]]), np.array([[1.0, 0.0, 0.0, 1.0]])).round(4).tolist()
    [[0.3333, nan, 0.3333, 1.0]]

    References
    ----------
    Ayer et al., An empirical distribution function for sampling with incomplete information, Ann. Math. Statist. 26
    (1955).
    """
    filled = weight > 0
    first = np.diff(np.nonzero(filled)[0], prepend=-1) > 0
    start, weights, sums = pooled_groups(first, weight[filled], labels[filled])
    fitted = np.full(weight.shape, np.nan)
    with np.errstate(all="ignore"):
        fitted[filled] = np.repeat(sums / weights, np.diff(start, append=len(first)))
    return fitted


ROUNDS = 50
"""Rounds of pooling in NumPy before the rest is pooled row by row in Python."""


def pooled_groups(first: npt.NDArray[Any], weight: Array, labels: Array) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Pool adjacent violators within groups of rows, and return the blocks.

    Each round pools all runs of neighbours that violate the order at once; in what order they are pooled makes no
    difference. A handful of rounds suffices, unless pools cascade row by row: what `ROUNDS` leave goes one by one.

    Parameters
    ----------
    first : (n,), true where a group begins
    weight, labels : (n,), w > 0 and wy of rows in the order of the score

    Returns
    -------
    the first row of each block, and its sums of w and wy

    Examples
    --------
    >>> first, weight, labels = np.array([1, 0, 0, 1]), np.array([2.0, 1, 1, 1]), np.array([1.0, 0, 1, 0])
    >>> start, weight, labels = pooled_groups(first, weight, labels)
    >>> start.tolist(), weight.tolist(), labels.tolist()
    ([0, 2, 3], [3.0, 1.0, 1.0], [1.0, 1.0, 0.0])
    """
    start = np.arange(len(weight))
    for _ in range(ROUNDS):
        # Compared as products: a quotient of sums would make violators of equal means.
        with np.errstate(all="ignore"):
            violates = (first[1:] == 0) & (labels[:-1] * weight[1:] >= labels[1:] * weight[:-1])
        if not violates.any():
            return start, weight, labels
        block = np.flatnonzero(np.append(True, ~violates))
        start, first = start[block], first[block]
        weight, labels = np.add.reduceat(weight, block), np.add.reduceat(labels, block)
    block, weight, labels = pooled_one_by_one(first, weight, labels)
    return start[block], weight, labels


def pooled_one_by_one(
    first: npt.NDArray[Any], weight: Array, labels: Array
) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """As `pooled_groups`, in one pass whose time grows with the rows alone, however pools cascade."""
    blocks: list[tuple[int, float, float]] = []
    begin = 0
    rows = zip(first.tolist(), weight.tolist(), labels.tolist(), strict=True)
    for row, (begins, w, wy) in enumerate(rows):
        begin, start = (len(blocks) if begins else begin), row
        while len(blocks) > begin and blocks[-1][2] * w >= wy * blocks[-1][1]:
            start, above, labels_above = blocks.pop()
            w, wy = above + w, labels_above + wy
        blocks.append((start, w, wy))
    starts, weights, sums = np.array(blocks, dtype=np.float64).reshape(-1, 3).T
    return starts.astype(np.int64), weights, sums


def calibration_errors(cells: Cells) -> dict[str, Array]:
    """Expected and maximum calibration error, and the debiased root mean square error.

    Parameters
    ----------
    cells : sums over bins of equal width

    Returns
    -------
    `ece`, the mean over the bins of |mean label - mean prediction|, in [0, 1]; `mce`, its maximum; `ece_debiased`, the
    root of the mean square after the part that chance adds, ȳ(1 - ȳ)/(n_eff - 1) per bin, is subtracted; 0 if that
    leaves nothing

    References
    ----------
    Naeini, Cooper, Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015. Kumar, Liang,
    Ma, Verified uncertainty calibration, NeurIPS 2019, for the debiased estimator.
    """
    with np.errstate(all="ignore"):
        gaps = np.abs(cells.labels - cells.predictions) / cells.weight
        rows = cells.weight**2 / cells.squares
        chance = np.where(rows > 1.0, variance(cells.label_mean) / (rows - 1.0), 0.0)
        largest = np.where(cells.weight > 0, gaps, 0.0).max(axis=1, initial=0.0)
        return {
            "ece": mean_over(cells, gaps),
            "mce": np.where(cells.total[:, 0] > 0, largest, np.nan),
            "ece_debiased": np.sqrt(np.maximum(mean_over(cells, gaps**2 - chance), 0.0)),
        }


def adaptive_calibration_error(cells: Cells, count: int) -> Array:
    """Calibration error over `count` groups of nearly equal weight, cut between cells, (n,).

    A cell belongs to the group that holds its middle: of 10 groups the first is all cells whose middle is below 10 % of
    the weight.

    References
    ----------
    Nguyen, O'Connor, Posterior calibration and exploratory analysis for natural language processing models, EMNLP 2015.
    """
    with np.errstate(all="ignore"):
        middle = (np.cumsum(cells.weight, axis=1) - cells.weight / 2.0) / cells.total
        group = np.minimum(np.nan_to_num(middle * count), count - 1).astype(np.intp)
        gaps = np.zeros((len(group), count))
        np.add.at(gaps, (np.arange(len(group))[:, np.newaxis], group), cells.labels - cells.predictions)
        return np.asarray(np.abs(gaps).sum(axis=1) / cells.total[:, 0])


def expectation_tests(moments: Mapping[str, Array]) -> dict[str, Array]:
    """Test whether the Brier score and the log loss are as the forecasts expect: z and its two-sided p-value.

    Each z is the sum over the rows of score minus expected score, divided by the root of the variance that the
    forecasts imply.

    References
    ----------
    Spiegelhalter, Probabilistic prediction in patient management and clinical trials, Statist. Med. 5 (1986).
    """
    with np.errstate(all="ignore"):
        of_brier = _standardised(moments["ws"], moments["w2s"])
        of_loss = _standardised(moments["wl"] - moments["wh"], moments["w2e"])
    return {
        "spiegelhalter_z": of_brier,
        "spiegelhalter_p_value": normal_p_value(of_brier),
        "expected_loss_z": of_loss,
        "expected_loss_p_value": normal_p_value(of_loss),
    }


def _standardised(excess: Array, square: Array) -> Array:
    return np.where((square > 0) & np.isfinite(excess), excess / np.sqrt(square), np.nan)


def cox(cells: Cells, cap: float) -> dict[str, Array]:
    """Cox's calibration: intercept and slope of the logistic regression of the label on the forecast's logit.

    Calibrated forecasts have intercept 0 and slope 1; a slope below 1 means that they are too extreme. Each cell counts
    with the logit of its mean prediction, limited to ±`cap`. The result is NaN if the likelihood has no maximum: with
    one class, with one cell, or if the score separates the classes.

    References
    ----------
    Cox, Two further applications of a model for binary regression, Biometrika 45 (1958).
    """
    end = min(cap, MOST_CERTAIN)
    with np.errstate(all="ignore"):
        x = np.clip(np.log(cells.predictions / cells.of_other), -end, end)
        x = np.where(cells.weight > 0, x, 0.0)
        w, wy = cells.weight / cells.total, cells.labels / cells.total
        intercept, slope = np.zeros((2, len(w), 1))
        moving = np.full(len(w), np.inf)
        for _ in range(COX_STEPS):
            p = 1.0 / (1.0 + np.exp(-(intercept + slope * x)))
            pull, curve = wy - w * p, w * p * (1.0 - p)
            g0, g1 = pull.sum(axis=1), (pull * x).sum(axis=1)
            h0, h1, h2 = curve.sum(axis=1), (curve * x).sum(axis=1), (curve * x * x).sum(axis=1)
            determinant = h0 * h2 - h1 * h1
            steps = (h2 * g0 - h1 * g1) / determinant, (h0 * g1 - h1 * g0) / determinant
            # Far from the optimum a whole step may overshoot: none moves a coefficient by more than 1.
            moving = np.maximum(*np.abs(steps))
            damping = 1.0 / np.maximum(moving, 1.0)
            intercept = intercept + (steps[0] * damping)[:, np.newaxis]
            slope = slope + (steps[1] * damping)[:, np.newaxis]
            if not np.any(moving > 1e-12):
                break
    settled = moving < 1e-6
    return {
        "cox_intercept": np.where(settled, intercept[:, 0], np.nan),
        "cox_slope": np.where(settled, slope[:, 0], np.nan),
    }
