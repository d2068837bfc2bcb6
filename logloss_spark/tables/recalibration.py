"""The recalibration of a state: the curve of its cells, and what it gains on rows that it was not fitted to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from logloss_spark.checks import between, one_of
from logloss_spark.errors import DataError, SpecError
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import Entries, grouped_entries
from logloss_spark.states.schema import BUCKET, BUCKET_STRIDE, CELL
from logloss_spark.states.slices import check_slices
from logloss_spark.states.small import SMALL_STATE, collected, rolled_up_here
from logloss_spark.states.state import CheckedState, coarser, differences
from logloss_spark.statistics.recalibration import (
    METHODS,
    Curve,
    Fall,
    Gain,
    Isotonic,
    Method,
    ScoreSums,
    coefficients_of,
    error_of_buckets,
    error_of_fit,
    error_of_rows,
    fall_of,
    fitted,
    mean_fall,
    of_buckets,
    of_cells,
    reach_of,
    sums_of_others,
)

OF_FIT = {"cell": ("n", *CELL), "bucket": BUCKET}
"""The parts of a state that a recalibration is made from, and their sums."""


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """What is asked for: the method, the slice column over which the gain is measured, and the gain's confidence."""

    method: Method = "isotonic"
    over: str | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        one_of("method", self.method, METHODS)
        between("confidence", self.confidence, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class CellsOfSlices:
    """The cells of n slices of a state and, with clusters, its buckets by thin bin; none is empty.

    `cell_scores` and `bucket_scores` have an entry for each of `cells` and `buckets`.
    """

    cells: Entries
    buckets: Entries
    cell_scores: ScoreSums
    bucket_scores: ScoreSums
    clustered: bool

    @property
    def rows(self) -> int:
        """The number of rows of all slices."""
        return int(self.cells.sums["n"].sum())


def recalibration(
    state: CheckedState, held_out: CheckedState | None, asked: Recalibration
) -> tuple[Curve, int, Gain | None]:
    """The curve of a state, the number of its rows, and its gain.

    The gain is measured on the held-out state, or on each slice of a column by the curve of all other slices; it is
    None if there is neither.
    """
    check_recalibrable(state.conventions, asked.method)
    if held_out is not None:
        check_held_out(state, held_out, asked)
    slices = slices_of_column(state, asked.over)
    conventions, cells = state.conventions, slices.cells
    whole = grouped_entries(1, np.zeros_like(cells.row), cells.place, cells.sums)
    curve = fitted_curve(whole.place, whole.sums, conventions, asked.method)
    gain = None
    if held_out is not None:
        gain = gain_on(slices_of_column(held_out, None), [curve], asked.confidence, "held-out rows")
    elif asked.over is not None:
        curves = curves_of_others(slices, conventions, asked)
        where = f"each of {len(curves)} slices by {asked.over}, held out"
        gain = gain_on(slices, curves, asked.confidence, where, coefficients_of(curve))
    return curve, slices.rows, gain


def check_recalibrable(conventions: Conventions, method: Method) -> None:
    """Raise SpecError unless the cells of a state determine the curve of this method."""
    if conventions.loss != "cross_entropy":
        raise SpecError(f"a calibrator needs a state of the log loss, got one of the loss {conventions.loss!r}")
    if conventions.scalar:
        return
    classes = len(conventions.classes)
    if classes > 2:
        raise SpecError(
            f"a calibrator needs a forecast of two classes, got {classes}, of which the cells hold only the likeliest: "
            "evaluate the entry of one class as a number, with whether it happened as the label"
        )
    if method != "temperature":
        raise SpecError(
            f"method must be 'temperature' for a forecast with an entry for each of two classes, got {method!r}: for "
            "other methods evaluate the entry of the second class as a number"
        )


def check_held_out(state: CheckedState, held_out: CheckedState, asked: Recalibration) -> None:
    """Raise SpecError unless a held-out state has other rows, scored alike, and the gain is measured on it alone."""
    if asked.over is not None:
        raise SpecError(f"one of held_out and over must be left out, got both, with over={asked.over!r}")
    own, other = (replace(one.conventions, slices=(), buckets=0, weight_exponent=0) for one in (state, held_out))
    differing = differences(own, other)
    if differing:
        raise SpecError(f"held_out must be a state that was made alike; it differs in {', '.join(differing)}")
    if state.sources & held_out.sources:
        raise SpecError(
            "held_out must be a state of other rows, got one that shares an evaluation with this state: cut both by a "
            'slice, as in state.where("day < 25") and state.where("day >= 25")'
        )


def slices_of_column(state: CheckedState, over: str | None) -> CellsOfSlices:
    """The sums of each slice of a column; of the whole state if there is none. They are collected if they are few."""
    by: tuple[tuple[str, ...], ...] = () if over is None else ((over,),)
    check_slices(state.conventions, by)
    local, conventions = state.local, state.conventions
    if local is None:
        smaller = coarser(state, [] if over is None else [over])
        parts = smaller.table.where(f"part IN {tuple(OF_FIT)}")
        local, conventions = collected(parts, smaller.conventions), smaller.conventions
    if local is None:
        raise SpecError(
            f"over must be a slice column of few plain values, got {over!r}, of which a state has more than "
            f"{SMALL_STATE:,} rows: roll it up, as by day to month"
        )
    rolled = rolled_up_here(local, conventions, by, OF_FIT)
    wanted = np.arange(0 if over is None else 1, rolled.keys.num_rows)
    cells, buckets = (weighted(rolled.parts[name].of(wanted)) for name in OF_FIT)
    cap = conventions.cap
    return CellsOfSlices(
        cells,
        buckets,
        of_cells(cells.place, cells.sums, cap),
        of_buckets(buckets.place % BUCKET_STRIDE, buckets.sums, cap),
        conventions.buckets > 0,
    )


def weighted(entries: Entries) -> Entries:
    """The entries that have a weight."""
    kept = entries.sums["w"] > 0
    sums = {name: values[kept] for name, values in entries.sums.items()}
    return Entries(entries.slices, entries.row[kept], entries.place[kept], sums)


def fitted_curve(
    place: npt.NDArray[np.int64], sums: Mapping[str, npt.NDArray[np.float64]], conventions: Conventions, method: Method
) -> Curve:
    """The curve of some cells; DataError if they do not determine one."""
    scores = of_cells(place, sums, conventions.cap)
    positive, total = scores.labels.sum(), scores.weight.sum()
    if not 0.0 < positive < total:
        raise DataError(
            f"a calibrator needs rows of both classes to be fitted to, got {only(conventions, positive, total)}"
        )
    curve = fitted(method, scores, conventions.eps)
    if not isinstance(curve, Isotonic) and not np.isfinite([curve.a, curve.b, curve.c]).all():
        raise DataError(
            f"method {method!r} has no best fit to scores that separate the classes: take method='isotonic', or a "
            "state of more rows"
        )
    return curve


def only(conventions: Conventions, positive: float, total: float) -> str:
    """Which rows there are where all of them are positive, or none is."""
    if not total:
        return "none at all"
    if conventions.scalar:
        return f"only those of class {conventions.classes[int(positive > 0)]!r}"
    return f"only those whose likeliest class {'happened' if positive > 0 else 'did not happen'}"


def curves_of_others(slices: CellsOfSlices, conventions: Conventions, asked: Recalibration) -> list[Curve]:
    """For each slice, the curve of all other slices."""
    cells = slices.cells
    if cells.slices < 2:
        raise SpecError(f"over must be a slice column of two values or more, got {asked.over!r}, which has one")
    names, places = ("w", "w2", "wy", "w2y", "wp", "wl"), np.unique(cells.place)
    matrices = cells.matrices(names, places)
    others = dict(zip(names, sums_of_others(list(matrices.values())), strict=True))
    curves = []
    for index in range(cells.slices):
        held = others["w"][index] > 0
        sums = {name: matrix[index, held] for name, matrix in others.items()}
        curves.append(fitted_curve(places[held], sums, conventions, asked.method))
    return curves


def gain_on(
    slices: CellsOfSlices, curves: Sequence[Curve], confidence: float, measured: str, coefficients: int = 0
) -> Gain:
    """The gain of a curve for each slice, on all rows of the slices.

    `coefficients` are those of the curves if they were fitted to other slices of the same state, and 0 if not.
    """
    if not slices.rows:
        raise DataError("held_out must have scored rows, got none")
    sums, buckets = slices.cell_scores, None
    fall = falls(sums, slices.cells.row, curves)
    error = of_rows = error_of_rows(sums, fall, slices.rows)
    if slices.clustered:
        by_bucket = falls(slices.bucket_scores, slices.buckets.row, curves)
        error, buckets = error_of_buckets(slices.bucket_scores, by_bucket, slices.buckets.place // BUCKET_STRIDE)
    inflation = (error / of_rows) ** 2 if of_rows > 0.0 else 1.0
    error = math.hypot(error, inflation * error_of_fit(sums, coefficients))
    value, reach = mean_fall(sums, fall), reach_of(error, confidence, buckets)
    se, low, high = (float(x) if np.isfinite(x) else None for x in (error, value - reach, value + reach))
    return Gain(value, se, low, high, confidence, slices.rows, measured)


def falls(sums: ScoreSums, row: npt.NDArray[np.int64], curves: Sequence[Curve]) -> Fall:
    """By how much the curve of each slice lets the losses of its entries fall. `row` is the slice of each entry."""
    ends = np.searchsorted(row, np.arange(len(curves) + 1))
    parts = [
        fall_of(sums.at(np.arange(start, end)), curve)
        for curve, start, end in zip(curves, ends[:-1], ends[1:], strict=True)
    ]
    return Fall(np.concatenate([part.positive for part in parts]), np.concatenate([part.negative for part in parts]))
