"""The status of the rows of an Arrow batch, for columns whose types are known only when a batch arrives.

The public column functions get columns and no table, so they cannot look types up beforehand. Reasons and their order
are those of `rows.status`; a test compares the two.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array, compensated_sum
from logloss_spark.rows.arrow import numbers
from logloss_spark.scoring import Label, Scoring, allowed

Mask = npt.NDArray[np.bool_]
Reasons = dict[str, Mask]


def statuses(label: pa.Array, score: pa.Array, weight: pa.Array | None, scoring: Scoring) -> npt.NDArray[np.int64]:
    """The status of each row, as its index in `STATUSES`."""
    classes = scoring.classes or (0, 1)
    of_label = (
        soft_label_reasons(label, scoring, len(classes)) if scoring.soft_labels else class_reasons(label, classes)
    )
    reasons = (
        of_label | score_reasons(score, scoring, len(classes)) | ({} if weight is None else weight_reasons(weight))
    )
    return np.select(list(reasons.values()), [STATUSES.index(reason) for reason in reasons], 0)


def class_of(label: pa.Array, classes: Sequence[Label]) -> pa.Array:
    """The index of each label among the classes, null where it is none of them."""
    if pa.types.is_string(label.type) or pa.types.is_large_string(label.type):
        return pc.index_in(label, value_set=pa.array([str(known) for known in classes], label.type))
    if not all(isinstance(known, (int, float)) for known in classes):
        return pa.nulls(len(label), pa.int32())
    values = numbers(label, len(classes)) + 0.0  # Arrow does not take -0.0 for 0.0
    return pc.index_in(pa.array(values), value_set=pa.array([float(known) for known in classes]))


def class_reasons(label: pa.Array, classes: Sequence[Label]) -> Reasons:
    """Conditions for a hard label to be invalid, in the order in which they are checked."""
    nan = np.isnan(numbers(label, 1)) if pa.types.is_floating(label.type) else np.zeros(len(label), bool)
    return {"null_label": nulls(label), "nan_label": nan, "unknown_label": nulls(class_of(label, classes))}


def soft_label_reasons(label: pa.Array, scoring: Scoring, size: int) -> Reasons:
    """Conditions for a soft label to be invalid, in the order in which they are checked."""
    reasons = {"null_label": nulls(label), "nan_label": entries_that(np.isnan, label)}
    if not is_list(label):
        return reasons | {"label_range": out_of_unit_interval(label)}
    slack = allowed(scoring.sum_tolerance, size)
    return reasons | {
        "label_length": lengths(label) != size,
        "label_range": out_of_unit_interval(label, slack),
        "label_sum": off_one(numbers(label, size), slack),
    }


def score_reasons(score: pa.Array, scoring: Scoring, size: int) -> Reasons:
    """Conditions for a prediction to be invalid, in the order in which they are checked."""
    reasons = {"null_prediction": nulls(score), "nan_prediction": entries_that(np.isnan, score)}
    if not is_list(score):
        return reasons | ({"prediction_range": out_of_unit_interval(score)} if scoring.kind == "probability" else {})
    reasons["prediction_length"] = lengths(score) != size
    if scoring.kind == "margin":
        return reasons
    matrix = numbers(score, size)
    if scoring.kind == "logit":
        no_class, two_certain = (matrix == -np.inf).all(axis=1), (matrix == np.inf).sum(axis=1) > 1
        return reasons | {"prediction_range": no_class | two_certain}
    slack = allowed(scoring.sum_tolerance, size)
    return reasons | {
        "prediction_range": out_of_unit_interval(score, slack),
        "prediction_sum": off_one(matrix, slack),
    }


def weight_reasons(weight: pa.Array) -> Reasons:
    """Conditions for a weight to be invalid, in the order in which they are checked."""
    values = numbers(weight, 1)
    return {"null_weight": nulls(weight), "nan_weight": ~np.isfinite(values), "negative_weight": values < 0}


def is_list(values: pa.Array) -> bool:
    """Whether each row holds one entry per class."""
    return pa.types.is_list(values.type) or pa.types.is_large_list(values.type)


def lengths(values: pa.Array) -> npt.NDArray[np.int64]:
    """The number of entries of each list."""
    return values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)


def nulls(values: pa.Array) -> Mask:
    """Rows that are null, or have a null entry."""
    missing = values.is_null().to_numpy(zero_copy_only=False)
    if not is_list(values):
        return missing
    return missing | any_entry(values, values.flatten().is_null().to_numpy(zero_copy_only=False))


def entries_that(found: Callable[[Array], Mask], values: pa.Array) -> Mask:
    """Rows with an entry that has this property; nulls count as NaN."""
    if not is_list(values):
        return found(numbers(values, 1))
    return any_entry(values, found(numbers(values.flatten(), 1)))


def out_of_unit_interval(values: pa.Array, slack: float = 0.0) -> Mask:
    """Rows with an entry that lies outside [0, 1] by more than `slack`."""
    return entries_that(lambda entry: (entry < -slack) | (entry > 1 + slack), values)


def any_entry(values: pa.Array, found: Mask) -> Mask:
    """Rows with an entry that is true in `found`, which holds the entries of all rows."""
    row = np.repeat(np.arange(len(values)), lengths(values))
    return np.bincount(row[found], minlength=len(values)) > 0


def off_one(distribution: Array, slack: float) -> Mask:
    """Rows whose sum is off 1 by more than `slack`."""
    return np.abs(compensated_sum(distribution) - 1) > slack
