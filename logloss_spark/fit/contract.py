"""What the rows of a training table must be, judged by what was summed while they were read: before the first pass."""

import warnings
from functools import reduce

import numpy as np

from logloss_spark.errors import DataError, InvalidRowsWarning
from logloss_spark.fit.batches import STATUSES
from logloss_spark.fit.objective import Totals
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import TrainingTable
from logloss_spark.kernels.sums import Array
from logloss_spark.wording import counted, listed

BROKEN = ("unknown_label", "feature_length", "negative_weight")
"""What breaks a training table's contract, as a null does not: nobody meant it."""


def rows_by_status(rows: TrainingRows) -> dict[str, int]:
    """How many rows of the table have each status, for those that some row has."""
    statuses = summed(rows, "statuses") if rows.parts else np.zeros(len(STATUSES))
    return {status: int(n) for status, n in zip(STATUSES, statuses, strict=True) if n}


def judged(rows: TrainingRows, training: Training) -> dict[str, int]:
    """How many rows of the table cannot be fitted on, by reason.

    Raises DataError where rows break the table's contract, or where `on_invalid` tolerates none.
    """
    invalid = rows_by_status(rows)
    total = sum(invalid.values())
    invalid.pop("ok", None)
    broken = {status: n for status, n in invalid.items() if status in BROKEN}
    if broken:
        rules = {
            "unknown_label": f"labels are among the classes that were given, and column {training.label!r} has others",
            "feature_length": f"vectors of features have one length, and column {training.features!r} has several",
            "negative_weight": f"weights are not negative, and column {training.weight!r} has such",
        }
        worst = next(status for status in rules if status in broken)
        raise DataError(f"{rules[worst]}: {counted(broken[worst], 'row')} of {total:,}")
    if sum(invalid.values()) > training.tolerance * total:
        share = training.tolerated_share
        rule = "on_invalid = 'fail' lets no row be invalid" if share is None else f"tolerated_share is {share:g}"
        raise DataError(
            f"{rule}, and {sum(invalid.values()):,} of {counted(total, 'row')} cannot be fitted on: {listed(invalid)}"
        )
    if not rows.rows:
        why = f": {listed(invalid)}" if invalid else ""
        raise DataError(f"a fit needs rows of positive weight, and none of {total:,} is one{why}")
    if invalid:
        warnings.warn(
            f"{counted(sum(invalid.values()), 'row')} of {total:,} left out of the fit: {listed(invalid)}",
            InvalidRowsWarning,
            stacklevel=4,
        )
    return invalid


def rows_held(rows: TrainingRows) -> int:
    """How many rows are held out for validation."""
    return rows.rows - int(summed(rows, "rows_of_class").sum())


def check_validation(rows: TrainingRows, training: Training) -> None:
    """Raise DataError unless validation rows are some of the rows, and not all."""
    if training.validation is None:
        return
    held = rows_held(rows)
    if held in (0, rows.rows):
        raise DataError(
            "validation holds some rows out and leaves the others to fit on, and column "
            f"{training.validation!r} holds out {'all' if held else 'none'} of {counted(rows.rows, 'row')}"
        )


def check_classes(rows: TrainingRows, table: TrainingTable, training: Training) -> None:
    """Raise DataError unless every class has weight."""
    weights = summed(rows, "weight_of_class")
    empty = [label for label, weight in zip(table.classes, weights, strict=True) if not weight > 0]
    if empty:
        raise DataError(
            f"a fit needs rows of every class, and none of positive weight has {training.label} = {empty[0]!r} "
            f"(classes {list(table.classes)})"
        )


def check_sizes(found: Totals, table: TrainingTable, training: Training) -> None:
    """Raise DataError where weights or features are too large for doubles to hold their sums or their squares."""
    if not np.isfinite(found.weight * found.weight):
        raise DataError(
            f"weights add up to a number that a double can square, and those of column {training.weight!r} do not: "
            "scale them"
        )
    finite = np.isfinite(found.mean) & np.isfinite(found.deviation)
    if not finite.all():
        name = table.names[int(np.argmin(finite))]
        raise DataError(
            f"features have a variance that a double can hold, and {name!r} has numbers too large to square: scale it, "
            "or leave such rows out"
        )


def summed(rows: TrainingRows, name: str) -> Array:
    """What was summed under a name while rows were read, over all partitions."""
    return np.asarray(reduce(np.add, [sums[name] for sums in rows.parts]))
