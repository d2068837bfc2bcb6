"""The status of the rows of an Arrow batch, for columns whose types are known only when a batch arrives.

The public column functions get columns and no table, so they cannot look types up beforehand. `kernels.status` decides;
here Arrow arrays become the arrays that it takes.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from logloss_spark.kernels.status import Codes, Mask, Numbers, statuses
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.arrow import numbers
from logloss_spark.scoring import Label, Scoring, allowed


def arrow_statuses(label: pa.Array, score: pa.Array, weight: pa.Array | None, scoring: Scoring) -> Codes:
    """The status of each row, as its index in `STATUSES`."""
    classes = scoring.classes or (0, 1)
    size = len(classes)
    return statuses(
        entries(label, size) if scoring.soft_labels else indices(label, classes),
        entries(score, size),
        kind=scoring.kind,
        soft_labels=scoring.soft_labels,
        slack=allowed(scoring.sum_tolerance, size),
        weight=None if weight is None else entries(weight, 1),
    )


def entries(values: pa.Array, size: int) -> Numbers:
    """A column of numbers, or of lists with one entry per class."""
    found = numbers(values, size)
    if not is_list(values):
        return Numbers(found, nulls(values))
    return Numbers(found, nulls(values), entries_that(np.isnan, values), lengths(values) != size)


def indices(label: pa.Array, classes: Sequence[Label]) -> Numbers:
    """A column of hard labels, as indices of their classes; -1 where a label is none of them."""
    nan = np.isnan(numbers(label, 1)) if pa.types.is_floating(label.type) else None
    return Numbers(numbers(class_of(label, classes), 1), nulls(label), nan)


def class_of(label: pa.Array, classes: Sequence[Label]) -> pa.Array:
    """The index of each label among the classes, null where it is none of them."""
    if pa.types.is_string(label.type) or pa.types.is_large_string(label.type):
        return pc.index_in(label, value_set=pa.array([str(known) for known in classes], label.type))
    if not all(isinstance(known, (int, float)) for known in classes):
        return pa.nulls(len(label), pa.int32())
    values = numbers(label, len(classes)) + 0.0  # Arrow does not take -0.0 for 0.0
    return pc.index_in(pa.array(values), value_set=pa.array([float(known) for known in classes]))


def is_list(values: pa.Array) -> bool:
    """Whether each row holds one entry per class."""
    return pa.types.is_list(values.type) or pa.types.is_large_list(values.type)


def lengths(values: pa.Array) -> npt.NDArray[np.int64]:
    """The number of entries of each list."""
    return values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)


def nulls(values: pa.Array) -> Mask | None:
    """Rows that are null, or have a null entry; None if there are none."""
    missing = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
    entries_of_lists = values.flatten() if is_list(values) else None
    if entries_of_lists is None or not entries_of_lists.null_count:
        return missing
    inside = any_entry(values, entries_of_lists.is_null().to_numpy(zero_copy_only=False))
    return inside if missing is None else inside | missing


def entries_that(found: Callable[[Array], Mask], values: pa.Array) -> Mask:
    """Rows with an entry that has this property; nulls count as NaN."""
    if not is_list(values):
        return found(numbers(values, 1))
    return any_entry(values, found(numbers(values.flatten(), 1)))


def any_entry(values: pa.Array, found: Mask) -> Mask:
    """Rows with an entry that is true in `found`, which holds the entries of all rows."""
    row = np.repeat(np.arange(len(values)), lengths(values))
    return np.bincount(row[found], minlength=len(values)) > 0
