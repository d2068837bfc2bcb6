"""Two populations of forecasts, and how far the scores and the classes of one are from those of the other. NumPy only.

Divergences compare the shares of weight in bins of the score. The bins are merged from the grid's cells, from low to
high: a bin ends as soon as it holds a twentieth of the reference's weight. So no bin is rare in the reference, and
there are at most 20. Half a row is added to each bin of both sides (Krichevsky & Trofimov 1981), so no share is 0.

Arrays have one row per slice. Sums that a slice does not have are 0; results are NaN if either side has no rows.
"""

from dataclasses import dataclass

import numpy as np

from logloss_spark.kernels.divergence import binary_kl, kl
from logloss_spark.kernels.grid import EDGES, Bins
from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.catalogue import OF_LABELS, OF_SCORES, complete
from logloss_spark.statistics.distributions import normal_p_value
from logloss_spark.statistics.homogeneity import (
    Chance,
    chance_of_buckets,
    chance_of_rows,
    influences_of_buckets,
    p_value,
)
from logloss_spark.statistics.intervals import centred_square, standard_error

MOST_BINS = 20
"""The most bins: each holds at least this fraction of the reference's weight, one twentieth."""

SLACK = 1e-12
"""Relative rounding of sums. It lets a bin that holds just enough end whatever the order its weights were added in."""

WORST = 3
"""The number of worst bins that are listed."""

LOW: Array = np.concatenate([[0.0], EDGES])
HIGH: Array = np.concatenate([[0.0], EDGES[1:], [1.0]])
"""Where each cell of the grid begins and ends. Exactly 0 and exactly 1 are cells that end where they begin."""

BIN = ("low", "high", "reference_share", "current_share", "contribution")


@dataclass(frozen=True, kw_only=True)
class Population:
    """One side of n slices.

    `n`, `w`, `w2` are rows and sums of w and w^2, (n,). `cells` and `squares_of_cells` are sums of w and w^2 by cell of
    the grid, (n, BINS); `labels` and `squares_of_labels` those of w y and w^2 y by class, (n, K), and `squared_labels`
    is the sum of w^2 y^2 of the last one. `bucket_cells` and `bucket_labels` are of shape (n, B, thin bins) and
    (n, B, K); without clusters there are no buckets, and B is 0.
    """

    n: Array
    w: Array
    w2: Array
    cells: Array
    squares_of_cells: Array
    labels: Array
    squares_of_labels: Array
    squared_labels: Array
    bucket_cells: Array
    bucket_labels: Array
    scalar: bool = True
    soft_labels: bool = False

    @property
    def one_over_n_eff(self) -> Array:
        """Sum of w^2 over the square of the sum of w; NaN where there are no rows."""
        with np.errstate(all="ignore"):
            return self.w2 / self.w / self.w

    @property
    def class_shares(self) -> Array:
        """The mean label of each class, (n, K)."""
        with np.errstate(all="ignore"):
            return np.asarray(self.labels / self.w[:, np.newaxis])

    @property
    def label_mean(self) -> Array:
        """The mean label: (n,) of the positive class where the forecast is one number, else (n, K)."""
        return np.asarray(self.class_shares[:, 1]) if self.scalar else self.class_shares

    @property
    def filled_buckets(self) -> Array:
        """How many buckets hold rows, (n,)."""
        return np.asarray(np.count_nonzero(self.bucket_cells.any(axis=2), axis=1), dtype=np.float64)


def measures(reference: Population, current: Population) -> tuple[dict[str, Array], dict[str, Array]]:
    """Every measure of every slice, and the bins that add most to psi, as `worst_bins` gives them."""
    starts = merged_bins(reference.cells)
    shares = [smoothed_shares(side, side.cells, starts) for side in (reference, current)]
    bins = (starts < reference.cells.shape[1]).sum(axis=1)
    middle = (shares[0] + shares[1]) / 2.0
    forward, backward = kl(shares[1], shares[0]), kl(shares[0], shares[1])
    jensen_shannon = (kl(shares[1], middle) + kl(shares[0], middle)) / 2.0
    chance = chance_of_scores(reference, current, starts, shares)
    labels = current.label_mean, reference.label_mean
    between = {
        "bins": bins,
        "kl": forward,
        "reverse_kl": backward,
        "psi": forward + backward,
        "psi_expected": chance.mean,
        "p_value": p_value(forward + backward, chance),
        "jensen_shannon": jensen_shannon,
        "jensen_shannon_distance": np.sqrt(jensen_shannon),
        "label_kl": binary_kl(*labels) if current.scalar else kl(*labels),
        "label_p_value": label_p_value(reference, current),
    }
    if reference.bucket_cells.shape[1]:
        between |= clustered_scores(reference, current, chance)
    both = (reference.n > 0) & (current.n > 0)
    of_one = {"reference_label_mean": reference.label_mean, "current_label_mean": current.label_mean}
    computed = {name: np.where(both, values, np.nan) for name, values in between.items()} | of_one
    found = complete(computed, (*OF_SCORES, *OF_LABELS), scalar=current.scalar, n=len(both))
    return found, worst_bins(starts, *shares)


def merged_bins(weights: Array) -> Bins:
    """Cells of the grid merged from low to high into bins of a twentieth of the weight or more.

    Parameters
    ----------
    weights : array of shape (n, C), of the reference

    Returns
    -------
    integer array of shape (n, MOST_BINS): the first cell of each bin, C where there is no such bin. The cells that
    are left over belong to the last bin.

    Examples
    --------
    >>> weights = np.zeros((1, 9))
    >>> weights[0, [3, 5, 6, 7]] = [50.0, 46.0, 3.0, 1.0]
    >>> merged_bins(weights)[0, :3].tolist() == [0, 4, 9]
    True
    """
    cells = weights.shape[1]
    enough = weights.sum(axis=1) / MOST_BINS * (1.0 - SLACK)
    starts = np.zeros((len(weights), MOST_BINS + 1), dtype=np.int64)
    count, held = np.zeros(len(weights), dtype=np.int64), np.zeros(len(weights))
    for cell in range(cells):
        held += weights[:, cell]
        full = np.flatnonzero((held > 0.0) & (held >= enough))
        count[full] += 1
        starts[full, count[full]] = cell + 1
        held[full] = 0.0
    unused = np.arange(MOST_BINS + 1) >= np.maximum(count, 1)[:, np.newaxis]
    return np.where(unused, cells, starts)[:, :MOST_BINS]


def in_bins(cells: Array, starts: Bins) -> Array:
    """Sums by cell, (n, ..., C), as sums by merged bins, (n, ..., MOST_BINS), 0 for a bin that there is not."""
    bin_of_cell = (starts[:, np.newaxis, :] <= np.arange(cells.shape[-1])[:, np.newaxis]).sum(axis=2) - 1
    belongs = (bin_of_cell[:, :, np.newaxis] == np.arange(MOST_BINS)).astype(np.float64)
    return np.asarray(np.einsum("n...c,ncg->n...g", cells, belongs, optimize=True))


def smoothed_shares(side: Population, cells: Array, starts: Bins) -> Array:
    """Shares of weight in merged bins, (n_eff W_b/W + 1/2) / (n_eff + G/2), of shape (n, MOST_BINS); 0 for no bin."""
    used = starts < cells.shape[1]
    with np.errstate(all="ignore"):
        half = (0.5 * side.one_over_n_eff)[:, np.newaxis]
        shares = in_bins(cells, starts) / side.w[:, np.newaxis] + half
        return np.where(used, shares / (1.0 + half * used.sum(axis=1, keepdims=True)), 0.0)


def common_shares(reference: Population, current: Population, shares: list[Array]) -> Array:
    """The shares of both sides together, each side counting as many rows as its weights let it."""
    with np.errstate(all="ignore"):
        of_reference = current.one_over_n_eff / (reference.one_over_n_eff + current.one_over_n_eff)
        return shares[1] + of_reference[:, np.newaxis] * (shares[0] - shares[1])


def row_sizes(side: Population, sums: Array, squares: Array) -> Array:
    """The mean weight of a row of each category over the weight of the side, (n, G); 1/n without weights."""
    with np.errstate(all="ignore"):
        typical = (side.w2 / side.w)[:, np.newaxis]
        return np.where(sums > 0.0, squares / sums, typical) / side.w[:, np.newaxis]


def chance_of_scores(reference: Population, current: Population, starts: Bins, shares: list[Array]) -> Chance:
    """The distribution of psi by chance if rows are independent."""
    sizes = [
        row_sizes(side, in_bins(side.cells, starts), in_bins(side.squares_of_cells, starts))
        for side in (reference, current)
    ]
    return chance_of_rows(sizes[0] + sizes[1], common_shares(reference, current, shares))


def clustered_scores(reference: Population, current: Population, independent: Chance) -> dict[str, Array]:
    """The p-value and the expectation of psi if rows of a cluster depend on each other.

    States count buckets in coarser bins, and the p-value belongs to psi over those. The expectation for independent
    rows is multiplied by the factor that clusters bring over the coarser bins.
    """
    thin = [side.bucket_cells.sum(axis=1) for side in (reference, current)]
    starts = merged_bins(thin[0])
    shares = [smoothed_shares(side, cells, starts) for side, cells in zip((reference, current), thin, strict=True)]
    common = common_shares(reference, current, shares)
    of_sides = [
        influences_of_buckets(in_bins(side.bucket_cells, starts), side.bucket_cells.sum(axis=2), side.w)
        for side in (reference, current)
    ]
    chance = chance_of_buckets(of_sides[1] - of_sides[0], common, fewest_buckets(reference, current))
    with np.errstate(all="ignore"):
        typical = (reference.one_over_n_eff + current.one_over_n_eff)[:, np.newaxis] * np.ones(common.shape)
        stretch = chance.mean / chance_of_rows(typical, common).mean
        psi = kl(shares[1], shares[0]) + kl(shares[0], shares[1])
        return {"psi_expected": independent.mean * stretch, "p_value": p_value(psi, chance)}


def fewest_buckets(reference: Population, current: Population) -> Array:
    """The number of buckets of clusters that hold rows, on the side that fills fewer, (n,)."""
    return np.minimum(reference.filled_buckets, current.filled_buckets)


def label_p_value(reference: Population, current: Population) -> Array:
    """The probability that chance alone moves the shares of the classes as far, (n,); NaN for soft labels of K classes.

    Pearson's chi-square. A share does not determine the variance of soft labels, so for them it is the z of the
    difference.
    """
    difference = current.class_shares - reference.class_shares
    common = common_shares(reference, current, [reference.class_shares, current.class_shares])
    with np.errstate(all="ignore"):
        divergence = np.where(common > 0.0, difference**2 / common, 0.0).sum(axis=1)
    if reference.bucket_labels.shape[1]:
        of_sides = [
            influences_of_buckets(side.bucket_labels, side.bucket_cells.sum(axis=2), side.w)
            for side in (reference, current)
        ]
        return p_value(
            divergence, chance_of_buckets(of_sides[1] - of_sides[0], common, fewest_buckets(reference, current))
        )
    if not (reference.soft_labels or current.soft_labels):
        sizes = [row_sizes(side, side.labels, side.squares_of_labels) for side in (reference, current)]
        return p_value(divergence, chance_of_rows(sizes[0] + sizes[1], common))
    if common.shape[1] > 2:
        return np.full(common.shape[0], np.nan)
    with np.errstate(all="ignore"):
        errors = [error_of_label(side) for side in (reference, current)]
        error = np.hypot(*errors)
        moved = difference[:, 1]
        return normal_p_value(np.where(error > 0.0, moved / error, np.where(moved == 0.0, error, np.nan)))


def error_of_label(side: Population) -> Array:
    """The standard error of the mean label of the second of two classes, (n,)."""
    with np.errstate(all="ignore"):
        squares = centred_square(side.squared_labels, side.squares_of_labels[:, 1], side.w2, side.class_shares[:, 1])
        return standard_error(squares / side.w**2, side.n)


def worst_bins(starts: Bins, reference_shares: Array, current_shares: Array) -> dict[str, Array]:
    """The bins that add most to psi, the worst first: each field of `BIN` as an array of shape (n, WORST)."""
    used = starts < len(LOW)
    with np.errstate(all="ignore"):
        terms = (current_shares - reference_shares) * np.log(current_shares / reference_shares)
    contribution = np.where(used, terms, -1.0)
    after = np.concatenate([starts[:, 1:], np.full((len(starts), 1), len(LOW))], axis=1)
    fields = {
        "low": LOW[np.where(used, starts, 0)],
        "high": HIGH[after - 1],
        "reference_share": reference_shares,
        "current_share": current_shares,
        "contribution": contribution,
    }
    order = np.argsort(-contribution, axis=1, kind="stable")[:, :WORST]
    return {name: np.take_along_axis(values, order, axis=1) for name, values in fields.items()}
