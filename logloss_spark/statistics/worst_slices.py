"""Which of many slices are worse than all other rows, and which of them say the same. NumPy only.

A slice is a value of one column, or of several together. Its excess is its mean loss less that of the rest, the rows
outside of it, and its test is one-sided, because bad slices are searched for. Independent rows are tested by Welch's t;
rows that depend on each other by clusters through the spread of 64 buckets. A p-value counts as many times as slices
are looked at (Bonferroni), so that in 95 % of tables without a bad slice none is named. The adjustment of Benjamini and
Hochberg would not do: it bounds the share of false ones among all that are worse, and most of these say the same as
others and are left out.

Slices that say the same are named once, by forward selection:

1. The slice that is most clearly worse than the rest is named.
2. All others are compared again, beside those that are named: a regression of the loss on membership in the named
   slices and in this one, whose last coefficient is the excess of its own. Nothing is left of a parent that is bad
   because of a named child, of a child that is no worse than its named parents together say, of another name of the
   same rows, and of a slice that merely shares many rows with a named one. A slice that was hidden by the named ones
   among its rest shows now. The clearest is named, as long as there is one.
3. In the end a named slice is dropped if those that were named after it leave it no clear excess.

With nothing named the regression is Welch's comparison with the rest. Its errors are those of White (1980): each row
has the variance that its own group shows. The excesses of the named slices beside each other, times their shares of the
weight, add up to what they add to the mean loss.

References
----------
Welch, The generalization of Student's problem when several different population variances are involved, Biometrika 34
(1947). White, A heteroskedasticity-consistent covariance matrix estimator, Econometrica 48 (1980).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from logloss_spark.checks import at_least_one, between
from logloss_spark.kernels.hashing import splitmix64
from logloss_spark.kernels.sums import Array, ratio_of_sums
from logloss_spark.statistics.distributions import student_p_value
from logloss_spark.statistics.intervals import (
    FEW_BUCKETS,
    NOISE,
    difference_of_sums,
    quantile_of,
    square_of_terms,
    with_interval,
)
from logloss_spark.statistics.multiplicity import family_wise_p_values

Index = npt.NDArray[np.int64]

Key = tuple[tuple[int, ...], tuple[int, ...]]
"""A slice: the indices of its columns, and the index of the value of each."""

SUMMED = ("n", "w", "w_low", "wl", "wl_low", "w2", "w2l", "w2ll", "w2d", "w2dd")
"""The moments of a state that a search needs; `states.schema` says what they are."""

IN_FULL = tuple(name for name in SUMMED if not name.endswith("_low"))
"""Those of them that are no rests of others."""

OTHER = -1
"""The value of a column that is in no slice: one of few rows."""

MOST_SETS = 2_000
"""A search goes only so deep that it has at most this many sets of columns: pairs of 62 columns, or triples of 22."""

MOST_SLICES = 100_000
"""A search looks at no more slices than this, the largest. Their tests take some seconds."""

DENSE = 1 << 20
"""Up to this many combinations of values are counted as they are; more are numbered by those that occur."""

MOST_NAMED = 20
"""A search names no more slices than this."""

TOGETHER = 4_000_000
"""Numbers of a matrix of slices, groups and buckets that are computed together: 32 MB."""

NOTHING_LEFT = 1e-9
"""A slice is a combination of named ones if no more than this share of its weight is left beside them."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched for.

    Parameters
    ----------
    max_depth : int
        The most columns that a slice combines.
    min_rows : int
        Slices of a smaller effective number of rows are not looked at, and neither are those whose rest is smaller.
    confidence : float in (0, 1)
        The chance that nothing is named where no slice is worse than the rest; also the coverage of the intervals.

    Raises
    ------
    SpecError
        An argument has an invalid value.
    """

    max_depth: int = 2
    min_rows: int = 100
    confidence: float = 0.95

    def __post_init__(self) -> None:
        at_least_one("max_depth", self.max_depth)
        at_least_one("min_rows", self.min_rows)
        between("confidence", self.confidence, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Buckets:
    """The sums of the buckets of clusters: entry i has the sums of a `bucket` in a `cell`, each of shape (m,)."""

    cell: Index
    bucket: Index
    w: Array
    wl: Array

    COUNT = 64


@dataclass(frozen=True, eq=False)
class Cells:
    """The sums of n cells, the finest slices of a state. All slices are unions of them.

    Attributes
    ----------
    values : integer array of shape (columns, n)
        The index of each cell's value in each column, or `OTHER`.
    sums : arrays of shape (n,) by the names of `SUMMED`
    shift : float
        The c in d = l - c.
    buckets : Buckets, or None where rows are independent
    """

    values: Index
    sums: Mapping[str, Array]
    shift: float
    buckets: Buckets | None = None


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices that are looked at, m of them.

    Attributes
    ----------
    sets : the sets of columns, each the indices of its columns
    set_, number : integer arrays of shape (m,)
        The set of each slice, and its number among the slices of that set, as `slices_of` counts them.
    cell : integer array of shape (m,)
        A cell of each slice.
    rows : array of shape (m,)
        A hash of the cells of each slice. Two slices have the same one if they hold the same rows.
    sums : arrays of shape (m,) by the names of `SUMMED`
    """

    sets: Sequence[tuple[int, ...]]
    set_: Index
    number: Index
    cell: Index
    rows: npt.NDArray[np.uint64]
    sums: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.set_)

    def of(self, wanted: npt.NDArray[Any]) -> "Slices":
        """These slices alone."""
        sums = {name: values[wanted] for name, values in self.sums.items()}
        return Slices(self.sets, self.set_[wanted], self.number[wanted], self.cell[wanted], self.rows[wanted], sums)

    def key(self, cells: Cells, at: int) -> Key:
        """The columns and the values of a slice."""
        columns = self.sets[self.set_[at]]
        return columns, tuple(cells.values[list(columns), self.cell[at]].tolist())

    def members(self, cells: Cells, at: int) -> npt.NDArray[np.bool_]:
        """Which cells a slice holds, (n,)."""
        return np.asarray(slices_of(cells, self.sets[self.set_[at]])[0] == self.number[at])


@dataclass(frozen=True, eq=False)
class Comparison:
    """How m slices compare with other rows; all arrays have the shape (m,).

    `excess` is the mean loss of a slice less that of the others, `error` its standard error and `df` the degrees of
    freedom of that. `p_value` is NaN where nothing can be said.
    """

    excess: Array
    error: Array
    df: Array
    statistic: Array
    p_value: Array

    def of(self, wanted: Index) -> "Comparison":
        """Those of these slices alone."""
        return Comparison(**{name: getattr(self, name)[wanted] for name in COMPARED})


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


@dataclass(frozen=True, eq=False)
class Found:
    """The slices that a search names, those that add most to the loss first.

    Attributes
    ----------
    keys : for each slice the indices of its columns, and those of their values
    same_rows : for each slice the keys of further slices that hold exactly its rows
    measured : arrays of shape (slices,) by the names of `statistics.catalogue.WORST_SLICES`
    looked_at : int
        How many slices were compared with their rest. Those that hold the same rows count once.
    worse : int
        How many of them are worse, before those that say the same are left out.
    max_depth, min_rows : int
        Those of the search, or what had to take their place where there were too many combinations.
    """

    keys: Sequence[Key]
    same_rows: Sequence[Sequence[Key]]
    measured: Mapping[str, Array]
    looked_at: int
    worse: int
    max_depth: int
    min_rows: int


def worst_slices(cells: Cells, search: Search) -> Found:
    """Name the slices that are worse than the rest: see the docstring of this module.

    Where the mean loss is infinite nothing can be compared, and nothing is named.
    """
    with np.errstate(all="ignore"):
        depth, most = deepest(len(cells.values), search.max_depth), np.float64(1.0 - search.confidence)
        every, min_rows = large_enough(cells, depth, search.min_rows)
        slices = every.of(np.sort(np.unique(every.rows, return_index=True)[1]))  # of equals the one of fewest columns
        alone = compared(cells, slices, Named.none(len(cells.sums["n"])))
        tests = int(np.count_nonzero(~np.isnan(alone.p_value)))
        listed, beside = backward(cells, slices, forward(cells, slices, most / tests), most / tests)
        chosen = np.array(listed, dtype=np.int64)
        measured = measures(cells, slices.of(chosen), alone.of(chosen), search.confidence) | {
            "own_excess": beside.excess,
            "p_adjusted": np.minimum(beside.p_value * tests, 1.0),
        }
        measured["contribution"] = measured["share"] * beside.excess
        order = np.argsort(-measured["contribution"], kind="stable")
        return Found(
            keys=[slices.key(cells, at) for at in chosen[order].tolist()],
            same_rows=[twins(cells, every, slices.rows[at]) for at in chosen[order].tolist()],
            measured={name: values[order] for name, values in measured.items()},
            looked_at=tests,
            worse=int(np.count_nonzero(family_wise_p_values(alone.p_value) <= most)),
            max_depth=depth,
            min_rows=min_rows,
        )


def deepest(columns: int, wanted: int) -> int:
    """The most columns that slices combine: as many as wanted, and fewer beyond `MOST_SETS`.

    Examples
    --------
    >>> deepest(3, 2), deepest(3, 9), deepest(40, 3)
    (2, 3, 2)
    """
    depth = min(wanted, columns)
    while depth > 1 and sum(comb(columns, size) for size in range(1, depth + 1)) > MOST_SETS:
        depth -= 1
    return depth


def slices_of(cells: Cells, columns: Sequence[int]) -> tuple[Index, int]:
    """The number of each cell's slice by these columns, -1 where a value is `OTHER`, and how many numbers there are."""
    number, count = np.zeros(cells.values.shape[1], dtype=np.int64), 1
    known = np.all(cells.values[list(columns)] >= 0, axis=0)
    for column in columns:
        size = int(cells.values[column].max(initial=OTHER)) + 1
        number, count = number * size + cells.values[column], count * size
        if count > DENSE:
            found, number = np.unique(np.where(known, number, -1), return_inverse=True)
            number, count = number - int(found[0] < 0), len(found)
    return np.where(known, number, -1), count


def added(cells: Cells, number: Index, count: int) -> dict[str, Array]:
    """The sums of slices, (count,), from the number of each cell's; -1 is in none."""
    inside = number >= 0
    return {
        name: np.bincount(number[inside], values[inside], count).astype(np.float64)
        for name, values in cells.sums.items()
    }


def large_enough(cells: Cells, depth: int, min_rows: int) -> tuple[Slices, int]:
    """The slices of enough rows, those of fewest columns first, and how many rows are enough.

    Beyond `MOST_SLICES` the largest are kept: what is looked at must not depend on losses.
    """
    sets = [columns for size in range(1, depth + 1) for columns in combinations(range(len(cells.values)), size)]
    total = {name: values.sum() for name, values in cells.sums.items()}
    hashes = splitmix64(np.arange(1, cells.values.shape[1] + 1, dtype=np.uint64))
    least, found = min_rows, [no_slices(sets)]
    for at, columns in enumerate(sets):
        number, count = slices_of(cells, columns)
        inside = np.flatnonzero(number >= 0)
        sums = added(cells, number, count)
        outside = {name: total[name] - values for name, values in sums.items()}
        kept = np.flatnonzero((effective_rows(sums) >= least) & (effective_rows(outside) >= min_rows))
        cell, rows = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.uint64)
        cell[number[inside]] = inside
        np.add.at(rows, number[inside], hashes[inside])
        of_set = Slices(sets, np.full(count, at), np.arange(count), cell, rows, sums).of(kept)
        found.append(of_set)
        if sum(map(len, found)) > MOST_SLICES:
            sizes = np.concatenate([effective_rows(slices.sums) for slices in found])
            least = int(np.partition(sizes, -MOST_SLICES - 1)[-MOST_SLICES - 1]) + 1
            found = [slices.of(np.flatnonzero(effective_rows(slices.sums) >= least)) for slices in found]
    return together(found), least


def effective_rows(sums: Mapping[str, Array]) -> Array:
    """The effective number of rows, at most their number; 0 where there are none."""
    with np.errstate(all="ignore"):
        weight = sums["w"] + sums["w_low"]
        return np.where(sums["n"] > 0.0, np.minimum(weight * weight / sums["w2"], sums["n"]), 0.0)


def no_slices(sets: Sequence[tuple[int, ...]]) -> Slices:
    """No slice at all."""
    none = np.zeros(0, dtype=np.int64)
    return Slices(sets, none, none, none, np.zeros(0, dtype=np.uint64), {name: np.zeros(0) for name in SUMMED})


def together(found: Sequence[Slices]) -> Slices:
    """The slices of several sets, one after the other."""
    return Slices(
        found[0].sets,
        set_=np.concatenate([slices.set_ for slices in found]),
        number=np.concatenate([slices.number for slices in found]),
        cell=np.concatenate([slices.cell for slices in found]),
        rows=np.concatenate([slices.rows for slices in found]),
        sums={name: np.concatenate([slices.sums[name] for slices in found]) for name in SUMMED},
    )


def compared(cells: Cells, slices: Slices, named: Named) -> Comparison:
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
    return Comparison(excess, error, df, statistic, p_value)


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


def gathered(cells: Cells, slice_: Index, group: Index, slices: int, groups: int) -> Grouped:
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
    array of shape (m, 4): `excess`, `error`, `df` and `statistic` of a `Comparison`
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


def forward(cells: Cells, slices: Slices, most: np.float64) -> list[int]:
    """Name the clearest slice, then the clearest of those that are worse beside it, and so on; their indices.

    `most` is the largest p-value. All slices are compared in each step: one that is hidden, because a worse slice is
    among its rest, shows once that is named.
    """
    named: list[int] = []
    beside = Named.none(cells.values.shape[1])
    while len(named) < min(MOST_NAMED, len(slices)):
        found = compared(cells, slices, beside)
        clearest = int(np.lexsort((-found.statistic, found.p_value))[0])
        if not found.p_value[clearest] <= most:
            break
        named.append(clearest)
        beside = beside.and_(slices.members(cells, clearest))
    return named


def backward(cells: Cells, slices: Slices, named: Sequence[int], most: np.float64) -> tuple[list[int], Comparison]:
    """Drop the least clear of the named slices while one is not worse beside the others; return how those kept are."""
    kept, members = list(named), {at: slices.members(cells, at) for at in named}
    while True:
        found = [compared(cells, slices.of(np.array([at])), beside_others(members, kept, at)) for at in kept]
        alike = {name: np.concatenate([[], *(getattr(one, name) for one in found)]) for name in COMPARED}
        p_value = alike["p_value"]
        if np.all(p_value <= most):
            return kept, Comparison(**alike)
        kept.pop(int(np.argmax(np.where(np.isnan(p_value), np.inf, p_value))))


def beside_others(members: Mapping[int, npt.NDArray[np.bool_]], kept: Sequence[int], at: int) -> Named:
    """The named slices but for one."""
    beside = Named.none(len(members[at]))
    for other in kept:
        beside = beside.and_(members[other]) if other != at else beside
    return beside


def twins(cells: Cells, slices: Slices, rows: np.uint64) -> list[Key]:
    """The slices that hold exactly the same rows as the first of them, without those that only add columns to one."""
    keys: list[Key] = []
    for at in np.flatnonzero(slices.rows == rows).tolist():
        columns, values = slices.key(cells, at)
        pairs = set(zip(columns, values, strict=True))
        if not any(pairs.issuperset(zip(*key, strict=True)) for key in keys):
            keys.append((columns, values))
    return keys[1:]


def measures(cells: Cells, slices: Slices, alone: Comparison, confidence: float) -> dict[str, Array]:
    """What is told of each slice by itself, by the names of `statistics.catalogue.WORST_SLICES`."""
    total = {name: values.sum() for name, values in cells.sums.items()}
    loss, of_rest = mean_loss(slices.sums), mean_loss({name: total[name] - slices.sums[name] for name in SUMMED})
    share = (slices.sums["w"] + slices.sums["w_low"]) / (total["w"] + total["w_low"])
    excess = loss - of_rest
    reach = quantile_of(confidence, alone.df + 1.0 if cells.buckets else None)
    return {
        "n": slices.sums["n"],
        "n_eff": effective_rows(slices.sums),
        "share": share,
        "log_loss": loss,
        "log_loss_of_rest": of_rest,
        **with_interval("excess", excess, alone.error, reach),
        "p_value": alone.p_value,
    }


def mean_loss(sums: Mapping[str, Array]) -> Array:
    """The mean loss, rounded once."""
    return ratio_of_sums(sums["wl"], sums["wl_low"], sums["w"], sums["w_low"])
