"""Which of many slices are worse than all other rows, and which of them say the same. NumPy only.

A slice is a value of one column, or of several together: `slice_sums` adds them up. `excess` compares them with other
rows; the test is one-sided, because bad slices are searched for. A p-value counts as many times as slices are looked
at (Bonferroni), so that in 95 % of tables without a bad slice none is named. The adjustment of Benjamini and Hochberg
would not do: it bounds the share of false ones among all that are worse, and most of these say the same as others and
are left out.

Slices that say the same are named once, by forward selection:

1. The slice that is most clearly worse than the rest is named.
2. All others are compared again, beside those that are named. Nothing is left of a parent that is bad because of a
   named child, of a child that is no worse than its named parents together say, of another name of the same rows, and
   of a slice that merely shares many rows with a named one. A slice that was hidden by the named ones among its rest
   shows now. The clearest is named, as long as there is one.
3. In the end a named slice is dropped if those that were named after it leave it no clear excess.

The excesses of the named slices beside each other, times their shares of the weight, add up to what they add to the
mean loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from logloss_spark.checks import at_least_one, between
from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.excess import COMPARED, Excesses, Named, compared
from logloss_spark.statistics.intervals import quantile_of, with_interval
from logloss_spark.statistics.multiplicity import family_wise_p_values
from logloss_spark.statistics.slice_sums import (
    SUMMED,
    Candidates,
    FinestSlices,
    Key,
    deepest,
    effective_rows,
    large_enough,
    mean_loss,
)

MOST_NAMED = 20
"""A search names no more slices than this."""


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
class RankedSlices:
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


def worst_slices(cells: FinestSlices, search: Search) -> RankedSlices:
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
        return RankedSlices(
            keys=[slices.key(cells, at) for at in chosen[order].tolist()],
            same_rows=[twins(cells, every, slices.rows[at]) for at in chosen[order].tolist()],
            measured={name: values[order] for name, values in measured.items()},
            looked_at=tests,
            worse=int(np.count_nonzero(family_wise_p_values(alone.p_value) <= most)),
            max_depth=depth,
            min_rows=min_rows,
        )


def forward(cells: FinestSlices, slices: Candidates, most: np.float64) -> list[int]:
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


def backward(
    cells: FinestSlices, slices: Candidates, named: Sequence[int], most: np.float64
) -> tuple[list[int], Excesses]:
    """Drop the least clear of the named slices while one is not worse beside the others; return how those kept are."""
    kept, members = list(named), {at: slices.members(cells, at) for at in named}
    while True:
        found = [compared(cells, slices.of(np.array([at])), beside_others(members, kept, at)) for at in kept]
        alike = {name: np.concatenate([[], *(getattr(one, name) for one in found)]) for name in COMPARED}
        p_value = alike["p_value"]
        if np.all(p_value <= most):
            return kept, Excesses(**alike)
        kept.pop(int(np.argmax(np.where(np.isnan(p_value), np.inf, p_value))))


def beside_others(members: Mapping[int, npt.NDArray[np.bool_]], kept: Sequence[int], at: int) -> Named:
    """The named slices but for one."""
    beside = Named.none(len(members[at]))
    for other in kept:
        beside = beside.and_(members[other]) if other != at else beside
    return beside


def twins(cells: FinestSlices, slices: Candidates, rows: np.uint64) -> list[Key]:
    """The slices that hold exactly the same rows as the first of them, without those that only add columns to one."""
    keys: list[Key] = []
    for at in np.flatnonzero(slices.rows == rows).tolist():
        columns, values = slices.key(cells, at)
        pairs = set(zip(columns, values, strict=True))
        if not any(pairs.issuperset(zip(*key, strict=True)) for key in keys):
            keys.append((columns, values))
    return keys[1:]


def measures(cells: FinestSlices, slices: Candidates, alone: Excesses, confidence: float) -> dict[str, Array]:
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
