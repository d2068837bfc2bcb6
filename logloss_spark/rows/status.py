"""The status of a row, as a Spark column: `ok`, or the first reason why the row cannot be scored.

Spark decides the status before any other term. Later it could not: Spark hands a null to Python as NaN, takes a NaN
back as null, and leaves nulls out of averages without a word.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.columns import index_name
from logloss_spark.rows.inputs import Rows, rows_of
from logloss_spark.rows.labels import label_index, label_is_nan
from logloss_spark.scoring import allowed

ROW_STATUS = "row_status"
"""The name of the column that says why a row was not scored."""


def status_code(rows: Rows) -> Column:
    """The status of each row of `rows.table`, as its index in `STATUSES`."""
    missing = {"unlabelled": ~F.col("labelled")} if rows.roles.labelled else {}
    reasons = (
        missing | label_reasons(rows) | prediction_reasons(rows) | (weight_reasons() if rows.form.weighted else {})
    )
    if rows.form.clustered:
        reasons["null_cluster"] = F.col("bucket").isNull()
    chain = reduce(
        lambda found, reason: found.when(reasons[reason], STATUSES.index(reason)), reasons, F.when(F.lit(False), 0)
    )
    return chain.otherwise(0)


def status_name(code: Column) -> Column:
    """The name of each status code."""
    return F.element_at(F.array(*[F.lit(status) for status in STATUSES]), code + 1)


def invalid_rows(rows: Rows) -> DataFrame:
    """The rows of the user's table that cannot be scored, with all their columns and `row_status`, which says why.

    An existing column of that name is replaced: rows that were invalid before have one.
    """
    df = rows.source
    kept = [place for place, name in enumerate(df.columns) if name.casefold() != ROW_STATUS]
    columns = [F.col(index_name(place)) for place in kept]
    whole = rows_of(df, rows.roles, rows.scoring, engine=rows.engine, beside=lambda _: {"row": F.struct(*columns)})
    marked = whole.table.withColumn("status", status_code(whole)).where("status != 0")
    names = [df.columns[place] for place in kept]
    return marked.select("row.*", status_name(F.col("status"))).toDF(*names, ROW_STATUS)


def reasons_in(counts: Mapping[Any, Any]) -> dict[str, int]:
    """The number of rows that could not be scored, by reason, from the counts of all statuses."""
    return {status: int(counts[status]) for status in STATUSES[1:] if counts[status]}


def label_reasons(rows: Rows) -> dict[str, Column]:
    """Conditions for a label to be invalid, in the order in which they are checked."""
    label, form = F.col("label"), rows.form
    nan = label_is_nan(form)
    if not form.soft_labels:
        return {"null_label": label.isNull(), "nan_label": nan, "unknown_label": label_index(form).isNull()}
    if form.scalar:
        return {"null_label": label.isNull(), "nan_label": nan, "label_range": (label < 0) | (label > 1)}
    slack = allowed(rows.scoring.sum_tolerance, form.size)
    return {
        "null_label": label.isNull() | F.exists(label, lambda q: q.isNull()),
        "nan_label": nan,
        "label_length": F.size(label) != form.size,
        "label_range": out_of_unit_interval(label, slack),
        "label_sum": off_one(label, slack),
    }


def prediction_reasons(rows: Rows) -> dict[str, Column]:
    """Conditions for a prediction to be invalid, in the order in which they are checked."""
    score, form, kind = F.col("prediction"), rows.form, rows.scoring.kind
    if form.scalar and kind != "margin":
        reasons = {"null_prediction": score.isNull(), "nan_prediction": F.isnan(score)}
        return reasons | ({"prediction_range": (score < 0) | (score > 1)} if kind == "probability" else {})
    reasons = {
        "null_prediction": score.isNull() | F.exists(score, lambda s: s.isNull()),
        "nan_prediction": F.exists(score, F.isnan),
        "prediction_length": F.size(score) != form.size,
    }
    if kind == "margin":
        return reasons
    if kind == "probability":
        slack = allowed(rows.scoring.sum_tolerance, form.size)
        return reasons | {
            "prediction_range": out_of_unit_interval(score, slack),
            "prediction_sum": off_one(score, slack),
        }
    infinite = F.lit(float("inf"))
    certain_classes = F.size(F.filter(score, lambda z: z == infinite))
    return reasons | {"prediction_range": (certain_classes > 1) | (F.array_max(score) == -infinite)}


def weight_reasons() -> dict[str, Column]:
    """Conditions for a weight to be invalid, in the order in which they are checked."""
    weight = F.col("weight")
    return {
        "null_weight": weight.isNull(),
        "nan_weight": F.isnan(weight) | (F.abs(weight) == F.lit(float("inf"))),
        "negative_weight": weight < 0,
    }


def out_of_unit_interval(distribution: Column, slack: float) -> Column:
    """Whether an entry of an array lies outside [0, 1] by more than `slack`."""
    return F.exists(distribution, lambda share: (share < -slack) | (share > 1 + slack))


def off_one(distribution: Column, slack: float) -> Column:
    """Whether the sum of an array is off 1 by more than `slack`."""
    return F.abs(total(distribution) - 1) > slack


def total(distribution: Column) -> Column:
    """The sum of the entries of an array."""
    return F.aggregate(distribution, F.lit(0.0), lambda total, share: total + share)
