"""The status of a row: `ok`, or the first reason why it cannot be scored. Spark columns only.

Status is decided natively and first, because afterwards it cannot be told any more: Spark hands a null to Python as
NaN, takes a NaN back as null, and averages as if neither had been there.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from logloss_spark.rows.inputs import Inputs
from logloss_spark.spec import Predictions

STATUSES = (
    "ok",
    "null_label",
    "nan_label",
    "label_length",
    "label_range",
    "label_sum",
    "unknown_label",
    "null_prediction",
    "nan_prediction",
    "prediction_length",
    "prediction_range",
    "prediction_sum",
    "null_weight",
    "nan_weight",
    "negative_weight",
    "null_cluster",
)
"""Every status, the reasons in the order in which they are looked for. A code is a place in here."""


def status_code(rows: Inputs, spec: Predictions) -> Column:
    """The status of each row of `rows.table`, as its place in `STATUSES`."""
    reasons = label_reasons(rows, spec) | prediction_reasons(rows, spec) | (weight_reasons() if rows.weighted else {})
    if rows.clustered:
        reasons["null_cluster"] = F.col("bucket").isNull()
    chain = reduce(
        lambda found, reason: found.when(reasons[reason], STATUSES.index(reason)), reasons, F.when(F.lit(False), 0)
    )
    return chain.otherwise(0)


def status_name(code: Column) -> Column:
    """The word for a code."""
    return F.element_at(F.array(*[F.lit(status) for status in STATUSES]), code + 1)


def reasons_in(counts: Mapping[Any, Any]) -> dict[str, int]:
    """How many rows could not be scored, by reason, from what has a count for every status."""
    return {status: int(counts[status]) for status in STATUSES[1:] if counts[status]}


def label_reasons(rows: Inputs, spec: Predictions) -> dict[str, Column]:
    """What can be wrong with a label, in order."""
    label = F.col("label")
    if not rows.soft:
        assert rows.index is not None
        return {"null_label": label.isNull(), "nan_label": rows.label_nan, "unknown_label": rows.index.isNull()}
    if rows.scalar:
        return {"null_label": label.isNull(), "nan_label": rows.label_nan, "label_range": (label < 0) | (label > 1)}
    return {
        "null_label": label.isNull() | F.exists(label, lambda q: q.isNull()),
        "nan_label": rows.label_nan,
        "label_length": F.size(label) != rows.size,
        "label_range": F.exists(label, lambda q: (q < 0) | (q > 1)),
        "label_sum": off_one(label, spec.sum_tolerance),
    }


def prediction_reasons(rows: Inputs, spec: Predictions) -> dict[str, Column]:
    """What can be wrong with a prediction, in order."""
    score = F.col("prediction")
    if rows.scalar and spec.kind != "margin":
        reasons = {"null_prediction": score.isNull(), "nan_prediction": F.isnan(score)}
        return reasons | ({"prediction_range": (score < 0) | (score > 1)} if spec.kind == "probability" else {})
    reasons = {
        "null_prediction": score.isNull() | F.exists(score, lambda s: s.isNull()),
        "nan_prediction": F.exists(score, F.isnan),
        "prediction_length": F.size(score) != rows.size,
    }
    if spec.kind == "margin":
        return reasons
    if spec.kind == "probability":
        out_of_range = F.exists(score, lambda s: (s < 0) | (s > 1))
        return reasons | {"prediction_range": out_of_range, "prediction_sum": off_one(score, spec.sum_tolerance)}
    infinite = F.lit(float("inf"))
    certain_classes = F.size(F.filter(score, lambda z: z == infinite))
    return reasons | {"prediction_range": (certain_classes > 1) | (F.array_max(score) == -infinite)}


def weight_reasons() -> dict[str, Column]:
    """What can be wrong with a weight, in order."""
    weight = F.col("weight")
    return {
        "null_weight": weight.isNull(),
        "nan_weight": F.isnan(weight) | (F.abs(weight) == F.lit(float("inf"))),
        "negative_weight": weight < 0,
    }


def off_one(distribution: Column, tolerance: float) -> Column:
    """Whether the entries of an array do not sum to 1."""
    total = F.aggregate(distribution, F.lit(0.0), lambda total, share: total + share)
    return F.abs(total - 1) > tolerance
