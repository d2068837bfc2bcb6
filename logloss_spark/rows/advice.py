"""Advice on rows that could not be scored, in the same words in a notebook and in a job."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.inputs import Rows
from logloss_spark.rows.status import reasons_in, status_code, total
from logloss_spark.scoring import allowed
from logloss_spark.wording import shortened

LARGEST_TOLERANCE = 0.1
"""Rounding does not move a sum further from 1 than this: such forecasts are no probabilities."""


def advice(counts: Mapping[Any, Any], rows: Rows) -> str:
    """How to get rows scored that were not, for the most frequent reason; "" where the reason does not tell.

    Reads the rows again if more than half of them were not scored and their numbers may tell why.

    Parameters
    ----------
    counts : mapping from each status to its rows
    rows : Rows
        The table that was scored.
    """
    reasons = reasons_in({**counts, "unlabelled": 0})
    if not reasons:
        return ""
    reason = max(reasons, key=lambda status: reasons[status])
    if reason == "unknown_label":
        return f"name the labels that the column holds with classes, which are {shortened(rows.form.classes)} now"
    if sum(reasons.values()) <= counts["ok"] or reason not in WAYS_OUT:
        return ""
    return WAYS_OUT[reason](rows, reason)


def of_length(rows: Rows, reason: str) -> str:
    """Advice on predictions with more or fewer entries than classes."""
    entries = rows.table.where(status_code(rows) == STATUSES.index(reason)).select(F.size("prediction")).first()
    if entries is None:
        return ""
    if rows.scoring.kind == "margin":
        return f"kind='margin' reads two entries, [-z, z], and there are {entries[0]}: K logits have kind='logit'"
    return (
        f"a prediction has one entry per class, and there are {rows.form.size} classes "
        f"({shortened(rows.form.classes)}) but {entries[0]} entries in column {rows.roles.prediction!r}: "
        "name the classes in the prediction's order with classes"
    )


def of_label(rows: Rows, _: str) -> str:
    """Advice on soft labels that are no distributions."""
    return of_distribution(rows, "label", ("label_range", "label_sum")) or "soft labels are shares that sum to 1"


def of_prediction(rows: Rows, reason: str) -> str:
    """Advice on predictions that are no probabilities."""
    return of_distribution(rows, "prediction", ("prediction_range", "prediction_sum")) or of_numbers(rows, reason)


def of_numbers(rows: Rows, reason: str) -> str:
    """Advice on numbers that are no probabilities, by where they lie."""
    score = F.col("prediction")
    ends = (score, score) if rows.form.scalar else (F.array_min(score), F.array_max(score))
    refused = rows.table.where(status_code(rows) == STATUSES.index(reason))
    found = refused.agg(F.min(ends[0]).alias("low"), F.max(ends[1]).alias("high")).first()
    if found is None or found["low"] is None:
        return ""
    if found["low"] < 0:
        return "probabilities lie in [0, 1]: logits have kind='logit', and Spark's rawPrediction has kind='margin'"
    if rows.form.scalar and 2 < found["high"] <= 100:
        return "probabilities lie in [0, 1], and these look like percentages: divide them by 100"
    return "probabilities lie in [0, 1] and those of all classes sum to 1: logits have kind='logit'"


def of_distribution(rows: Rows, column: str, reasons: tuple[str, ...]) -> str:
    """The tolerance that would accept the refused distributions, if most of them look rounded."""
    if rows.form.scalar or (rows.scoring.kind == "logit" and column == "prediction"):
        return ""
    shares = F.col(column)
    off = F.greatest(F.abs(total(shares) - 1), F.array_max(shares) - 1, -F.array_min(shares))
    refused = rows.table.select(off.alias("off"), status_code(rows).alias("status")).where(
        F.col("status").isin(*[STATUSES.index(reason) for reason in reasons])
    )
    near: Column = F.col("off") <= LARGEST_TOLERANCE
    found = refused.agg(
        F.count_if(near).alias("near"), F.count(F.lit(1)).alias("all"), F.max(F.when(near, F.col("off"))).alias("off")
    ).first()
    assert found is not None
    if 2 * found["near"] <= found["all"]:
        return ""
    enough = rounded_up(found["off"] - allowed(0.0, rows.form.size))
    return f"sum_tolerance={enough:g} lets {found['near']:,} of {found['all']:,} be scored, whose sums look rounded"


def rounded_up(x: float) -> float:
    """The next number of two digits: 0.0123 becomes 0.013."""
    digits = 1 - math.floor(math.log10(x))
    return round(math.ceil(round(x * 10.0**digits, 6)) / 10.0**digits, digits)


WAYS_OUT: Mapping[str, Callable[[Rows, str], str]] = {
    "label_length": of_length,
    "label_range": of_label,
    "label_sum": of_label,
    "prediction_length": of_length,
    "prediction_range": of_prediction,
    "prediction_sum": of_prediction,
}
"""The function that gives advice, by reason."""
