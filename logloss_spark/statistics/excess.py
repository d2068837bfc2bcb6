"""By how much the loss of slices is larger than that of other rows, beside slices that are named. NumPy only.

The excess of a slice is its mean loss less that of the rest, the rows outside of it. Independent rows are tested by
Welch's t; rows that depend on each other by clusters through the spread of 64 buckets. Beside named slices it is the
last coefficient of a regression of the loss on membership in the named slices and in this one. With nothing named the
regression is Welch's comparison with the rest. Its errors are those of White (1980): each row has the variance that
its own group shows.

References
----------
Welch, The generalization of Student's problem when several different population variances are involved, Biometrika 34
(1947). White, A heteroskedasticity-consistent covariance matrix estimator, Econometrica 48 (1980).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.distributions import student_p_value
from logloss_spark.statistics.intervals import (
    FEW_BUCKETS,
    NOISE,
    difference_of_sums,
    square_of_terms,
)
from logloss_spark.statistics.slice_sums import IN_FULL, Buckets, Candidates, FinestSlices, Index, added, slices_of

TOGETHER = 4_000_000
"""Numbers of a matrix of slices, groups and buckets that are computed together: 32 MB."""


NOTHING_LEFT = 1e-9
"""A slice is a combination of named ones if no more than this share of its weight is left beside them."""


@dataclass(frozen=True, eq=False)
class Excesses:
    """How m slices compare with other rows; all arrays have the shape (m,).

    `excess` is the mean loss of a slice less that of the others, `error` its standard error and `df` the degrees of
    freedom of that. `p_value` is NaN where nothing can be said.
    """

    excess: Array
    error: Array
    df: Array
    statistic: Array
    p_value: Array

    def of(self, wanted: Index) -> "Excesses":
        """Those of these slices alone."""
        return Excesses(**{name: getattr(self, name)[wanted] for name in COMPARED})


COMPARED = ("excess", "error", "df", "statistic", "p_value")


@dataclass(frozen=True, eq=False)
class Named:
    """The slices that are named, as a design of a regression: cells of one group belong to the same ones.

    Attributes
    ----------
    group : integer array of shape (cells,)
    design : array of shape (groups, 1 + slices): 1, then 1 or 0 for each named slice
    """

    group: Index
    design: Array

    @staticmethod
    def none(cells: int) -> "Named":
        """Nothing is named yet: all cells are one group."""
        return Named(np.zeros(cells, dtype=np.int64), np.ones((1, 1)))

    def and_(self, members: npt.NDArray[np.bool_]) -> "Named":
        """One more slice is named, which holds these cells."""
        found, group = np.unique(2 * self.group + members, return_inverse=True)
        return Named(group, np.column_stack([self.design[found // 2], found % 2]))


def compared(cells: FinestSlices, slices: Candidates, named: Named) -> Excesses:
    """Compare slices with all other rows, beside the named ones: what these leave open of the excess of each slice."""
    groups = len(named.design)
    whole = gathered(cells, np.zeros_like(named.group), named.group, 1, groups)
    width = groups * (Buckets.COUNT if cells.buckets else 1)
    step = max(1, TOGETHER // width)
    found = [np.zeros((0, 4))]
    order = np.argsort(slices.set_, kind="stable")
    for of_set in np.split(order, np.flatnonzero(np.diff(slices.set_[order])) + 1):
        number, count = slices_of(cells, slices.sets[slices.set_[of_set[0]]]) if len(of_set) else (named.group, 0)
        for start in range(0, len(of_set), step):
            some = of_set[start : start + step]
            place = np.full(count + 1, -1)  # the last entry is that of -1
            place[slices.number[some]] = np.arange(len(some))
            inside = gathered(cells, place[number], named.group, len(some), groups)
            found.append(regression(inside, whole, named.design, cells.shift))
    excess, error, df, statistic = np.concatenate(found)[np.argsort(order)].T
    two_sided = student_p_value(statistic, df)
    p_value = np.where(statistic > 0.0, two_sided / 2.0, 1.0 - two_sided / 2.0)
    return Excesses(excess, error, df, statistic, p_value)


@dataclass(frozen=True, eq=False)
class Grouped:
    """The sums of m slices by k groups of cells.

    Attributes
    ----------
    sums : arrays of shape (m, k) by the names of `SUMMED` without those that end in `_low`, which are added here
    buckets : arrays `w` and `wl` of shape (m, k, 64), or None where rows are independent
    """

    sums: Mapping[str, Array]
    buckets: Mapping[str, Array] | None


def gathered(cells: FinestSlices, slice_: Index, group: Index, slices: int, groups: int) -> Grouped:
    """The sums of cells by slice and group; a cell of the slice -1 is in none."""
    place = np.where(slice_ >= 0, slice_ * groups + group, -1)
    sums = added(cells, place, slices * groups)
    sums = {name: (sums[name] + sums.get(f"{name}_low", 0.0)).reshape(slices, groups) for name in IN_FULL}
    if cells.buckets is None:
        return Grouped(sums, None)
    at = place[cells.buckets.cell]
    inside = at >= 0
    of_bucket = at[inside] * Buckets.COUNT + cells.buckets.bucket[inside]
    size, shape = slices * groups * Buckets.COUNT, (slices, groups, Buckets.COUNT)
    by_bucket = {name: getattr(cells.buckets, name)[inside] for name in ("w", "wl")}
    found = {name: np.bincount(of_bucket, values, size) for name, values in by_bucket.items()}
    return Grouped(sums, {name: values.reshape(shape).astype(np.float64) for name, values in found.items()})


def regression(inside: Grouped, whole: Grouped, design: Array, shift: float) -> Array:
    """Regress the loss on the design of the named slices and on each slice, from sums.

    With x the indicator of a slice, r what the design leaves of it, and f the fit with it, the coefficient of x is
    sum of w r l / sum of w r x, and its variance sum of w^2 r^2 (l - f)^2 / (sum of w r x)^2 (Frisch, Waugh 1933).

    Returns
    -------
    array of shape (m, 4): `excess`, `error`, `df` and `statistic` of `Excesses`
    """
    with np.errstate(all="ignore"):
        outside = remainder(inside.sums, whole.sums)
        weight, loss = whole.sums["w"][0], whole.sums["wl"][0]
        inverse = np.linalg.pinv(design.T @ (weight[:, np.newaxis] / weight.sum() * design)) / weight.sum()
        explained = inside.sums["w"] @ design @ inverse @ design.T
        without = design @ inverse @ (design.T @ loss) if np.isfinite(loss).all() else np.full(len(loss), np.nan)
        left = (inside.sums["w"] * (1.0 - explained)).sum(axis=1)
        parts = inside.sums["wl"] * (1.0 - explained), -outside["wl"] * explained
        numerator = parts[0].sum(axis=1) + parts[1].sum(axis=1)
        size = np.abs(parts[0]).sum(axis=1) + np.abs(parts[1]).sum(axis=1)
        numerator = np.where(np.abs(numerator) <= NOISE * size, 0.0, numerator)
        excess = np.where(left > NOTHING_LEFT * inside.sums["w"].sum(axis=1), numerator / left, np.nan)
        fits = without + excess[:, np.newaxis] * (1.0 - explained), without - excess[:, np.newaxis] * explained
        own: Side = (1.0 - explained, inside.sums, fits[0])
        others: Side = (explained, outside, fits[1])
        variance, df = variance_of_rows(own, others, shift)
        if inside.buckets is not None and whole.buckets is not None:
            rest = {name: whole.buckets[name] - inside.buckets[name] for name in ("w", "wl")}
            of_buckets, df = variance_of_buckets([(own, inside.buckets), (others, rest)])
            variance = np.maximum(variance, of_buckets)  # NaN where clusters are too few
        error = np.sqrt(variance) / left
        statistic = np.where(error > 0.0, excess / error, np.where(excess == 0.0, error, np.nan))
        return np.column_stack([excess, error, df, statistic])


Side = tuple[Array, Mapping[str, Array], Array]
"""The rows inside of slices, or outside of them, by group of cells: the factor r of residuals, sums, and the fit; each
(m, k)."""


def remainder(inside: Mapping[str, Array], whole: Mapping[str, Array]) -> dict[str, Array]:
    """The sums of the rows outside of slices; exactly 0 where there are none."""
    any_row = whole["n"] > inside["n"]
    return {name: np.where(any_row, whole[name] - inside[name], 0.0) for name in inside}


def variance_of_rows(inside: Side, outside: Side, shift: float) -> tuple[Array, Array]:
    """The sum of w^2 r^2 (l - f)^2 of independent rows, and its degrees of freedom, (m,).

    With one group they are Welch's, but for the floor of the variance of a slice: that of a row outside. By chance a
    slice may lack the rare low losses of a table that is mostly wrong. Its mean is then high and its own variance low,
    and Welch's test names a slice in 18 % of such tables where none is worse.
    """
    (own, n_eff), (others, n_eff_of_others) = (squares_by_group(*side, shift) for side in (inside, outside))
    of_row = others.sum(axis=1) / (outside[0] ** 2 * outside[1]["w2"]).sum(axis=1)
    floor = inside[0] ** 2 * inside[1]["w2"] * of_row[:, np.newaxis]
    own = np.where(own.sum(axis=1, keepdims=True) >= floor.sum(axis=1, keepdims=True), own, floor)
    variance = own.sum(axis=1) + others.sum(axis=1)
    uncertainty = (own**2 / n_eff).sum(axis=1) + (others**2 / n_eff_of_others).sum(axis=1)
    return variance, variance**2 / uncertainty


def squares_by_group(factor: Array, sums: Mapping[str, Array], fit: Array, shift: float) -> tuple[Array, Array]:
    """The sum of w^2 r^2 (l - f)^2 of each group times n/(n - 1), and the group's degrees of freedom, at least 1."""
    rows = sums["n"].sum(axis=1, keepdims=True)
    n_eff = np.where(sums["n"] > 0.0, sums["w"] ** 2 / sums["w2"], 0.0)
    return factor**2 * squares_about(sums, fit, shift) * rows / (rows - 1.0), np.maximum(n_eff - 1.0, 1.0)


def squares_about(sums: Mapping[str, Array], fit: Array, shift: float) -> Array:
    """Sum of w^2 (l - f)^2, as `metrics.squared_deviation_of_loss` has it about the mean."""
    about_zero = square_of_terms(sums["w2ll"], -2.0 * fit * sums["w2l"], fit**2 * sums["w2"])
    away = fit - shift
    about_chance = square_of_terms(sums["w2dd"], -2.0 * away * sums["w2d"], away**2 * sums["w2"])
    return np.where(sums["w2dd"] < sums["w2ll"], about_chance, about_zero)


def variance_of_buckets(sides: Sequence[tuple[Side, Mapping[str, Array]]]) -> tuple[Array, Array]:
    """B/(B - 1) times the sum over buckets of (sum of w r (l - f))^2, and B - 1, (m,).

    B is the number of buckets that hold rows of the slice. The rows outside may fill more, and add little to the error.
    Both are NaN for fewer than `FEW_BUCKETS`.
    """
    influence = np.zeros((len(sides[0][0][0]), Buckets.COUNT))
    for sign, ((factor, _, fit), buckets) in zip((1.0, -1.0), sides, strict=True):
        away = difference_of_sums(buckets["wl"], fit[:, :, np.newaxis] * buckets["w"])
        influence += sign * np.einsum("mk,mkb->mb", factor, away)
    filled = np.count_nonzero(sides[0][1]["w"].sum(axis=1), axis=1).astype(np.float64)
    filled = np.where(filled >= FEW_BUCKETS, filled, np.nan)
    return filled / (filled - 1.0) * (influence**2).sum(axis=1), filled - 1.0
