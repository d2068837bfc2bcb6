"""The status of each row of a batch: `ok`, or the first reason why the row cannot be scored. NumPy only.

The names here are the vocabulary of the whole package: a code in a state or a column is an index into `STATUSES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array, compensated_sum

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Reasons = dict[str, Mask | None]

MEANING: Mapping[str, str] = {
    "ok": "The row is scored.",
    "unlabelled": "No label has arrived yet; labels have a table of their own.",
    "null_label": "The label is null, or an entry of a soft label is.",
    "nan_label": "The label is NaN, or an entry of a soft label is.",
    "label_length": "A soft label has more or fewer entries than there are classes.",
    "label_range": "A soft label, or an entry of it, lies outside [0, 1].",
    "label_sum": "The entries of a soft label do not sum to 1 within `sum_tolerance`.",
    "unknown_label": "The label is none of the `classes`.",
    "null_prediction": "The prediction is null, or an entry of it is.",
    "nan_prediction": "The prediction is NaN, or an entry of it is.",
    "prediction_length": "The prediction has more or fewer entries than there are classes.",
    "prediction_range": "A probability lies outside [0, 1]; of K logits, all are -inf or two are +inf.",
    "prediction_sum": "The probabilities do not sum to 1 within `sum_tolerance`.",
    "null_weight": "The weight is null.",
    "nan_weight": "The weight is NaN or infinite.",
    "negative_weight": "The weight is below 0.",
    "null_cluster": "The cluster is null.",
}
"""The meaning of each status. A row gets the first of these reasons that applies, in this order."""


STATUSES = tuple(MEANING)
"""Every status. A code is an index into this."""


@dataclass(frozen=True)
class Numbers:
    """A column of a batch as arrays: one number a row, or one per class.

    Attributes
    ----------
    values : array of shape (n,) or (n, K)
        Where a row is null, or its list has another length than K, it holds any numbers.
    null : array of shape (n,), or None if no row is
        Whether the row, or an entry of its list, is null.
    nan : array of shape (n,), optional
        Whether the row, or an entry of its list, is NaN. If it is None, `values` tell.
    misfit : array of shape (n,), or None if no row is
        Whether the list of the row has more or fewer than K entries.
    """

    values: npt.NDArray[Any]
    null: Mask | None = None
    nan: Mask | None = None
    misfit: Mask | None = None

    def is_nan(self) -> Mask:
        """Whether each row, or an entry of its list, is NaN.

        Examples
        --------
        >>> Numbers(np.array([[0.2, 0.8], [np.nan, 0.5]])).is_nan().tolist()
        [False, True]
        """
        if self.nan is not None:
            return self.nan
        nan = np.isnan(self.values)
        return np.asarray(nan.any(axis=1) if nan.ndim == 2 else nan)


def statuses(
    label: Numbers,
    prediction: Numbers,
    *,
    kind: Literal["probability", "logit", "margin"],
    soft_labels: bool = False,
    slack: float = 0.0,
    weight: Numbers | None = None,
    null_cluster: Mask | None = None,
) -> Codes:
    """Status of each row, as its index in `STATUSES`.

    Parameters
    ----------
    label : of hard labels the index of the class of each row, outside 0..K-1 where it is none of them; else the share
        of the positive class, or one share per class
    prediction : the probability or logit of the positive class, (n,); one of each class, (n, K); or a margin, (n,) or
        (n, 2)
    kind : the kind of the prediction
    soft_labels : whether labels are shares
    slack : how far the entries of a distribution may lie outside [0, 1], and their sum off 1
    weight, null_cluster : weights, and which clusters are null, where there are any

    Returns
    -------
    integer array of shape (n,)

    Examples
    --------
    >>> labels, scores = np.array([1, 0, 7]), np.array([0.9, 1.5, np.nan])
    >>> found = statuses(Numbers(labels), Numbers(scores), kind="probability")
    >>> [STATUSES[code] for code in found]
    ['ok', 'prediction_range', 'unknown_label']
    """
    size = prediction.values.shape[1] if prediction.values.ndim == 2 else 2
    if null_cluster is None and not soft_labels and is_plain(label, prediction, kind, weight):
        return np.zeros(len(prediction.values), dtype=np.int8)
    reasons = share_reasons(label, slack) if soft_labels else class_reasons(label, size)
    reasons |= prediction_reasons(prediction, kind, slack)
    reasons |= {} if weight is None else weight_reasons(weight)
    reasons |= {} if null_cluster is None else {"null_cluster": null_cluster}
    found = np.zeros(len(prediction.values), dtype=np.int8)
    for code in reversed(range(len(STATUSES))):
        mask = reasons.get(STATUSES[code])
        if mask is not None and mask.any():
            found[mask] = code
    return found


def is_plain(label: Numbers, prediction: Numbers, kind: str, weight: Numbers | None) -> bool:
    """Whether labels of two classes, forecasts that are one number, and weights are all valid: it takes a moment."""
    values = prediction.values
    if values.ndim == 2 or not len(values) or has_nulls(label) or has_nulls(prediction):
        return False
    lowest, highest = (0.0, 1.0) if kind == "probability" else (-np.inf, np.inf)
    if weight is not None and (has_nulls(weight) or not (weight.values.min() >= 0 and weight.values.max() < np.inf)):
        return False
    labels = label.values
    return bool(labels.min() >= 0 and labels.max() < 2 and values.min() >= lowest and values.max() <= highest)


def has_nulls(column: Numbers) -> bool:
    """Whether a row of a column is null."""
    return column.null is not None and bool(column.null.any())


def class_reasons(label: Numbers, size: int) -> Reasons:
    """The reasons why the index of a class cannot be scored, each with its rows."""
    with np.errstate(invalid="ignore"):
        known = (label.values >= 0) & (label.values < size)
    return {"null_label": label.null, "nan_label": label.is_nan(), "unknown_label": ~known}


def share_reasons(label: Numbers, slack: float) -> Reasons:
    """The reasons why a soft label, a share or a distribution, cannot be scored."""
    reasons = {"null_label": label.null, "nan_label": label.is_nan()}
    if label.values.ndim == 1:
        return reasons | {"label_range": outside_unit_interval(label.values)}
    return reasons | {
        "label_length": label.misfit,
        "label_range": outside_unit_interval(label.values, slack),
        "label_sum": off_one(label.values, slack),
    }


def prediction_reasons(prediction: Numbers, kind: str, slack: float) -> Reasons:
    """The reasons why a prediction cannot be scored."""
    values = prediction.values
    reasons = {"null_prediction": prediction.null, "nan_prediction": prediction.is_nan()}
    if values.ndim == 1:
        return reasons | ({"prediction_range": outside_unit_interval(values)} if kind == "probability" else {})
    reasons["prediction_length"] = prediction.misfit
    if kind == "probability":
        reasons |= {"prediction_range": outside_unit_interval(values, slack), "prediction_sum": off_one(values, slack)}
    elif kind == "logit":
        impossible, certain = np.isneginf(values).all(axis=1), np.isposinf(values).sum(axis=1)
        reasons["prediction_range"] = impossible | (certain > 1)
    return reasons


def weight_reasons(weight: Numbers) -> Reasons:
    """The reasons why a weight cannot be used."""
    with np.errstate(invalid="ignore"):
        negative = weight.values < 0
    return {"null_weight": weight.null, "nan_weight": ~np.isfinite(weight.values), "negative_weight": negative}


def outside_unit_interval(values: Array, slack: float = 0.0) -> Mask:
    """Whether a number, or an entry of a distribution, lies outside [0, 1] by more than `slack`."""
    with np.errstate(invalid="ignore"):
        outside = (values < -slack) | (values > 1 + slack)
    return np.asarray(outside.any(axis=1) if outside.ndim == 2 else outside)


def off_one(distributions: Array, slack: float) -> Mask:
    """Whether the sum of a distribution is off 1 by more than `slack`."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(compensated_sum(distributions) - 1.0) > slack)
