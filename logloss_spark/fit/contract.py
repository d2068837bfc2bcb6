"""The contract of a training table, checked against the sums of its first reading: before the first pass."""

import warnings
from functools import reduce

import numpy as np

from logloss_spark.errors import DataError, InvalidRowsWarning
from logloss_spark.fit.batches import TRAINING_STATUSES
from logloss_spark.fit.objective import Totals
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import TrainingTable
from logloss_spark.kernels.sums import Array
from logloss_spark.wording import counted, listed

BROKEN = ("unknown_label", "feature_length", "negative_weight")
"""Statuses that always end the fit. Nulls are expected in real tables and are only counted; these are mistakes."""


def rows_by_status(rows: TrainingRows) -> dict[str, int]:
    """The number of rows with each status that some row has."""
    statuses = summed_over_parts(rows, "statuses") if rows.parts else np.zeros(len(TRAINING_STATUSES))
    return {status: int(n) for status, n in zip(TRAINING_STATUSES, statuses, strict=True) if n}


def check_rows(rows: TrainingRows, training: Training) -> dict[str, int]:
    """Return the number of rows that cannot be fitted on by reason, and warn of them.

    Raises DataError if rows break the table's contract, if more are invalid than the fit tolerates, or if none is left.
    """
    counts = rows_by_status(rows)
    total = sum(counts.values())
    invalid = {status: n for status, n in counts.items() if status != "ok"}
    check_contract(invalid, total, training)
    left_out = sum(invalid.values())
    if left_out > training.tolerance * total:
        share = training.tolerated_share
        why = "on_invalid = 'fail'" if share is None else f"tolerated_share = {share:g}"
        raise DataError(
            f"the share of invalid rows must be at most {training.tolerance:g} ({why}), got {left_out:,} of "
            f"{counted(total, 'row')}: {listed(invalid)}; correct them, or raise tolerated_share"
        )
    if not rows.rows:
        why = f": {listed(invalid)}" if invalid else ""
        raise DataError(f"a fit needs rows of positive weight, got none among {counted(total, 'row')}{why}")
    if invalid:
        warnings.warn(
            f"{counted(left_out, 'row')} of {total:,} left out of the fit: {listed(invalid)}",
            InvalidRowsWarning,
            stacklevel=4,
        )
    return invalid


def check_contract(invalid: dict[str, int], total: int, training: Training) -> None:
    """Raise DataError if rows have a status that always ends the fit."""
    rules = {
        "unknown_label": f"labels must be among the classes that were given, but column {training.label!r} has others",
        "feature_length": f"vectors of features must have one length, but column {training.features!r} has several",
        "negative_weight": f"weights must not be negative, but column {training.weight!r} has negative ones",
    }
    for status in BROKEN:
        if status in invalid:
            raise DataError(f"{rules[status]}: {counted(invalid[status], 'row')} of {total:,}")


def rows_held(rows: TrainingRows) -> int:
    """The number of rows that are held out for validation."""
    return rows.rows - int(summed_over_parts(rows, "rows_of_class").sum())


def check_validation(rows: TrainingRows, training: Training) -> None:
    """Raise DataError unless validation holds out some of the rows, but not all."""
    if training.validation is None:
        return
    held = rows_held(rows)
    if held in (0, rows.rows):
        raise DataError(
            "validation must hold out some rows and leave others to fit on, but column "
            f"{training.validation!r} holds out {'all' if held else 'none'} of {counted(rows.rows, 'row')}"
        )


def check_every_class(rows: TrainingRows, table: TrainingTable) -> None:
    """Raise DataError unless every class has rows of positive weight."""
    weights = summed_over_parts(rows, "weight_of_class")
    empty = [label for label, weight in zip(table.classes, weights, strict=True) if not weight > 0]
    if empty:
        raise DataError(
            f"a fit needs rows of every class, but no row of positive weight has {table.training.label} = {empty[0]!r} "
            f"(classes {list(table.classes)})"
        )


def check_sizes(totals: Totals, table: TrainingTable) -> None:
    """Raise DataError if weights or features are too large for doubles to hold their sums or their squares."""
    if not np.isfinite(totals.weight * totals.weight):
        raise DataError(
            "weights must add up to a number that a double can square, but those of column "
            f"{table.training.weight!r} do not: scale them"
        )
    finite = np.isfinite(totals.mean) & np.isfinite(totals.deviation)
    if not finite.all():
        name = table.names[int(np.argmin(finite))]
        raise DataError(
            f"features must have a variance that a double can hold, but {name!r} has numbers too large to square: "
            "scale it, or leave such rows out"
        )


def summed_over_parts(rows: TrainingRows, name: str) -> Array:
    """The sum with this name over all partitions, from the reading of the rows."""
    return np.asarray(reduce(np.add, [sums[name] for sums in rows.parts]))
