"""What rules judge: values of a metric in some slices, or their changes against a baseline, with standard errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from logloss_spark.errors import SpecError
from logloss_spark.gates.patterns import Name, Pattern, names_of
from logloss_spark.gates.rules import Rule
from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.bounds import quantiles
from logloss_spark.statistics.influences import error_of_difference, paired_error_of_difference
from logloss_spark.wording import did_you_mean

Index = npt.NDArray[np.int64]

Mask = npt.NDArray[np.bool_]

ABSENT = -1
"""The row of a slice that a table does not have."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """The metrics of a state, and what its clusters add to their errors.

    Attributes
    ----------
    table : DataFrame
        One row per slice (and challenger), as `State.metrics` or `State.comparison` gives it.
    slices : the slice columns of the table, in the order of its `grouping_id`
    filled : array of shape (n, 64), which buckets of clusters hold rows of a slice; None without clusters
    influences : arrays of shape (n, m) by metric, from `influences_of`; none without clusters
    """

    table: pd.DataFrame
    slices: tuple[str, ...]
    filled: Mask | None = None
    influences: Mapping[str, Array] = field(default_factory=dict)

    @cached_property
    def names(self) -> list[Name]:
        """The slice of each row."""
        return names_of(self.table, self.slices)

    @cached_property
    def rows_by_columns(self) -> dict[tuple[str, ...], list[int]]:
        """The rows of each grouping set, by its columns in alphabetical order."""
        found: dict[tuple[str, ...], list[int]] = {}
        for row, name in enumerate(self.names):
            found.setdefault(tuple(column for column, _ in name), []).append(row)
        return found

    def named_by(self, patterns: Sequence[Pattern]) -> Mask:
        """Whether one of these patterns names the slice of a row."""
        named = np.zeros(len(self.names), dtype=np.bool_)
        for pattern in patterns:
            rows = self.rows_by_columns.get(pattern.columns, [])
            named[rows if pattern.is_whole else [row for row in rows if pattern.names(self.names[row])]] = True
        return named

    def numbers(self, column: str, rows: Index) -> Array:
        """A column of some rows as doubles; NaN for null, and for `ABSENT`."""
        if column not in self.table:
            raise SpecError(f"metric {column!r} is not in the table; {did_you_mean(column, self.table.columns)}")
        cells = self.table[column]
        if cells.dtype == object and cells.map(lambda cell: isinstance(cell, (list, np.ndarray))).any():
            raise SpecError(f"metric must have one number for each slice, and {column!r} has one for each class")
        return np.append(cells.to_numpy(dtype=np.float64, na_value=np.nan), np.nan)[rows]

    def rows_of(self, model: str | None) -> Index:
        """The rows of a challenger; all rows of an evaluation."""
        if "challenger" not in self.table:
            if model is not None:
                raise SpecError(f"model {model!r} needs a comparison, and an evaluation has one model: leave model out")
            return np.arange(len(self.table))
        challengers = self.table["challenger"].unique().tolist()
        if model is None and len(challengers) > 1:
            raise SpecError(f"a rule on a comparison must name its model; {did_you_mean('', challengers)}")
        if model is not None and model not in challengers:
            raise SpecError(f"model {model!r} is not compared; {did_you_mean(model, challengers)}")
        return np.flatnonzero(self.table["challenger"] == (challengers[0] if model is None else model))


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a rule compares with.

    Attributes
    ----------
    measured : Measurement, or None where there is none
    states : int
        How many states it is the sum of.
    first, last : str, optional
        The first and the last of their days.
    because : str
        Why there is none, or where it comes from.
    """

    measured: Measurement | None
    states: int = 0
    first: str | None = None
    last: str | None = None
    because: str = ""


@dataclass(frozen=True, eq=False)
class Estimates:
    """Values of n slices with their standard errors, NaN where there is none, and degrees of freedom; all (n,)."""

    value: Array
    error: Array
    df: Array

    def interval(self, confidence: float) -> tuple[Array, Array]:
        """The ends of their intervals."""
        with np.errstate(all="ignore"):
            reach = quantiles(confidence, self.df) * self.error
            return self.value - reach, self.value + reach


def estimates(rule: Rule, measured: Measurement, rows: Index) -> Estimates:
    """The values of a rule's metric in some rows of a table."""
    with np.errstate(all="ignore"):
        parts = [measured.numbers(column, rows) for column in rule.columns]
        value = parts[0] if len(parts) == 1 else np.where(parts[1] == 0.0, np.nan, parts[0] / parts[1])
    error, df = np.full(len(rows), np.nan), np.full(len(rows), np.inf)
    if rule.has_interval:
        error = measured.numbers(f"{rule.metric}_se", rows)
        buckets = measured.numbers("buckets", rows)
        df = np.where(buckets > 0.0, buckets - 1.0, np.inf)
    return Estimates(value, np.where(np.isinf(value), 0.0, error), df)


def counted_rows(rule: Rule, measured: Measurement, rows: Index) -> Array:
    """How many rows the metric of a rule rests on, to compare with `min_rows`: those scored; of a quotient its divisor.

    A count is exact, so it rests on any number of rows: infinity.
    """
    if rule.is_count:
        return np.full(len(rows), np.inf)
    return measured.numbers(rule.columns[-1] if len(rule.columns) == 2 else "n", rows)


Rows = tuple[Measurement, Index]
"""Some rows of a table of metrics."""


def change_of(rule: Rule, now: Rows, then: Rows) -> Estimates:
    """The changes of a rule's metric: differences, or differences as shares of the baseline's absolute value.

    The error of a share (x - y)/|y| is, to first order, that of x - (x/y) y in units of |y|.
    """
    values, before = (estimates(rule, *side) for side in (now, then))
    relative = rule.corridor.relative
    with np.errstate(all="ignore"):
        size = np.where(before.value == 0.0, np.nan, np.abs(before.value)) if relative else np.ones_like(before.value)
        ratio = values.value / before.value if relative else np.ones_like(size)
        change = (values.value - before.value) / size
    error, df = error_of_change(rule, now, then, ratio)
    return Estimates(change, np.where(np.isinf(change), 0.0, error / size), df)


def error_of_change(rule: Rule, now: Rows, then: Rows, ratio: Array) -> tuple[Array, Array]:
    """The error of a metric now - ratio * the metric then, and its degrees of freedom."""
    values, before = (estimates(rule, *side) for side in (now, then))
    infinite = np.full(len(ratio), np.inf)
    clustered = np.isfinite(values.df) | np.isfinite(before.df)
    if not (rule.has_interval and clustered.any()):
        return error_of_difference(values.error, before.error, ratio), infinite
    metric = "log_loss" if rule.metric == "loss" else rule.metric
    (mine, rows), (theirs, earlier) = now, then
    if mine.filled is None or theirs.filled is None or metric not in mine.influences:
        if rule.judge == "point":
            return np.full(len(ratio), np.nan), infinite
        raise SpecError(f'the change of {rule.metric!r} has no error by clusters: write judge = "point"')
    filled = np.count_nonzero(mine.filled[rows] | theirs.filled[earlier], axis=1).astype(np.float64)
    error = paired_error_of_difference(mine.influences[metric][rows], theirs.influences[metric][earlier], filled, ratio)
    return np.where(earlier == ABSENT, np.nan, error), filled - 1.0
