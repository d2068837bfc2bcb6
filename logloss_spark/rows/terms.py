"""The status, the loss and the other terms of each row, from which sums are made.

Both engines end here. Nothing after this depends on which of them ran.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.rows import arrow, native
from logloss_spark.rows.bins import certain_bin, corrected_bin
from logloss_spark.rows.form import Form
from logloss_spark.rows.inputs import Rows, in_unit_interval, score_of
from logloss_spark.rows.labels import label_index
from logloss_spark.rows.losses import other_loss
from logloss_spark.rows.native import INFINITY, compensated_sum
from logloss_spark.rows.status import status_code

CROSS_ENTROPY = {"pandas": arrow.cross_entropy, "native": native.cross_entropy}

MOST_PARTITIONS = 2**31 - 1
"""Coalescing to this many partitions changes nothing, but puts a row-based step between a scan and Python."""


def with_loss(rows: Rows) -> DataFrame:
    """The table with the columns `status` (a code) and `loss`, and for hard labels `index`, the class."""
    table = rows.table
    if rows.form.has_vectors and rows.engine_in_spark == "pandas":
        # Spark 4.3 hands the columns of a scan to Python directly, and fails if one of them holds ML vectors.
        table = table.coalesce(MOST_PARTITIONS)
    index = {} if rows.form.soft_labels else {"index": F.coalesce(label_index(rows.form), F.lit(-1))}
    judged = table.withColumns({"status": status_code(rows), **index})
    judged = judged.withColumns(settled_columns(rows))
    loss_of_row = CROSS_ENTROPY[rows.engine_in_spark] if rows.scoring.loss == "cross_entropy" else other_loss
    return judged.withColumn("loss", loss_of_row(rows))


def settled_columns(rows: Rows) -> dict[str, Column]:
    """The columns of roles in the form in which they are summed, once the status is known.

    Margins become logits and distributions are clipped to [0, 1]. Nulls become numbers: the status has recorded them,
    and a nullable column costs a branch in every sum.
    """
    nan = F.lit(float("nan"))
    score, label = score_of(rows, F.col("prediction")), F.col("label")
    settled = {"prediction": F.coalesce(score, nan) if rows.form.scalar else score}
    if rows.form.soft_labels:
        settled["label"] = F.coalesce(label, nan) if rows.form.scalar else in_unit_interval(label)
    if rows.form.weighted:
        settled["weight"] = F.coalesce("weight", F.lit(0.0))
    return settled


def scored(rows: Rows) -> DataFrame:
    """The table with all terms of each row.

    Columns, besides the slices, `weight` and `bucket` (if there are any) and `status`
    -------
    loss : that of `rows.scoring`; cross-entropy in nats
    brier : (p - y)^2, or its sum over the classes
    entropy : the loss that the forecast itself expects, nats
    y : the binary label or share; for K classes, whether the top class happened, or its share
    tail : min(p, 1 - p) of the (top) probability, with all digits near 1
    upper : whether that probability is one half or more
    bin : its bin of the score grid
    clipped, zero : whether a class that happened had a probability below eps; whether it had a probability of 0
    score, variance, logit_variance : the prediction, p(1 - p) and p(1 - p) logit(p)^2 (binary only)
    probabilities, labels : one entry per class (K classes only)
    rank : how many classes are ranked before the one that happened; of equal scores the first class comes first
        (K classes with hard labels only)
    """
    table = with_loss(rows)
    terms = binary_terms(table, rows) if rows.form.scalar else class_terms(table, rows)
    return terms.selectExpr(*rows.slices, *role_columns(rows.form), "status", "loss", *added_columns(rows.form))


def role_columns(form: Form) -> list[str]:
    """The names of the optional columns of roles that a table has."""
    return (["weight"] if form.weighted else []) + (["bucket"] if form.clustered else [])


def added_columns(form: Form) -> list[str]:
    """The names of the terms beside the loss."""
    both = ["brier", "entropy", "y", "tail", "upper", "bin", "clipped", "zero"]
    if form.scalar:
        return [*both, "score", "variance", "logit_variance"]
    return [*both, "probabilities", "labels", *([] if form.soft_labels else ["rank"])]


def binary_terms(table: DataFrame, rows: Rows) -> DataFrame:
    """The table with the terms of a forecast that is one number."""
    score = F.col("prediction")
    upper = score >= (0.5 if rows.scoring.score == "probability" else 0.0)
    surprise, surprise_of_other = native.binary_surprisals(score, rows.scoring.score)
    label = F.col("label") if rows.form.soft_labels else F.col("index")
    if rows.scoring.score == "probability":
        tail = F.when(upper, 1 - score).otherwise(score)
    else:
        odds = F.exp(-F.abs(score))
        tail = odds / (1 + odds)
    table = table.withColumns(
        {
            "y": label.cast("double") if rows.form.soft_labels else label,
            "upper": upper,
            "tail": tail,
            "surprise": surprise,
            "surprise_of_other": surprise_of_other,
        }
    )
    tail, upper = F.col("tail"), F.col("upper")
    tail_surprisal = F.greatest(F.col("surprise"), F.col("surprise_of_other"))
    table = table.withColumn("certain_bin", certain_bin(tail=tail, tail_surprisal=tail_surprisal, upper=upper))
    p, one_minus_p = F.when(upper, 1 - tail).otherwise(tail), F.when(upper, tail).otherwise(1 - tail)
    # A probability of 0 has an infinite surprisal, and 0 times infinity is NaN.
    finite = [F.when(F.col(name) < INFINITY, F.col(name)).otherwise(0.0) for name in ("surprise", "surprise_of_other")]
    variance = tail * (1 - tail)
    y = F.col("y")
    if rows.form.soft_labels:
        error = p - y
        happened = F.least(F.when(y > 0, p), F.when(y < 1, one_minus_p))
    else:
        error = F.when(y == 1, one_minus_p).otherwise(p)
        happened = F.when(y == 1, p).otherwise(one_minus_p)
    return table.withColumns(
        {
            "brier": error * error,
            "entropy": p * finite[0] + one_minus_p * finite[1],
            "bin": corrected_bin(F.col("prediction"), rows.scoring.score, F.col("certain_bin")),
            **extremes(happened, rows),
            "score": F.col("prediction"),
            "variance": variance,
            "logit_variance": variance * (finite[1] - finite[0]) * (finite[1] - finite[0]),
        }
    )


def class_terms(table: DataFrame, rows: Rows) -> DataFrame:
    """The table with the terms of a forecast of K classes. Bin and `y` belong to the top class, the first of equals."""
    score = F.col("prediction")
    if rows.scoring.score == "probability":
        table = table.withColumn("probabilities", score)
        tail_of_top = 1 - F.array_max(score)
    else:
        place = F.array_position(score, F.array_max(score))
        table = table.withColumns({"behind": native.behind_top(score), "place": place})
        table = table.withColumn("rest", compensated_sum(F.col("behind")))
        share = F.lit(1.0) / (1 + F.col("rest"))
        table = table.withColumn(
            "probabilities",
            F.transform("behind", lambda power, at: F.when(at == F.col("place") - 1, share).otherwise(power * share)),
        )
        tail_of_top = F.col("rest") * share
    labels = (
        F.col("label")
        if rows.form.soft_labels
        else F.transform("probabilities", lambda _, at: F.when(at == F.col("index"), 1.0).otherwise(0.0))
    )
    table = table.withColumns({"labels": labels, "top": F.array_max("probabilities"), "tail_of_top": tail_of_top})
    table = table.withColumn("place_of_top", F.array_position("probabilities", F.col("top")).cast("int") - 1)
    probabilities, labels, top = F.col("probabilities"), F.col("labels"), F.col("top")
    upper = top >= 0.5
    tail = F.when(upper, F.col("tail_of_top")).otherwise(top)
    near = F.least(top, 1 - top)
    surprisal = -native.logarithm(near)
    table = table.withColumn("certain_bin", certain_bin(tail=near, tail_surprisal=surprisal, upper=upper))
    happened = F.array_min(F.zip_with(labels, probabilities, lambda q, p: F.when(q > 0, p)))
    right = F.col("place_of_top") == F.col("index")
    if rows.scoring.score == "probability":
        entropy = compensated_sum(F.transform(probabilities, surprisal_share))
    else:  # ln p of an almost certain class has no digits left, but its loss has
        losses = native.class_losses(score, rows.scoring.score, rows.scoring.cap)
        entropy = compensated_sum(F.zip_with(probabilities, losses, native.share_of))
    ranked = {} if rows.form.soft_labels else {"rank": rank_of(score, F.col("index"))}
    return table.withColumns(
        {
            "brier": compensated_sum(F.zip_with(labels, probabilities, lambda q, p: (p - q) * (p - q))),
            "entropy": entropy,
            "y": F.get(labels, F.col("place_of_top")) if rows.form.soft_labels else right.cast("int"),
            "upper": upper,
            "tail": tail,
            "bin": corrected_bin(top, "probability", F.col("certain_bin")),
            **extremes(happened, rows),
            **ranked,
        }
    )


def rank_of(scores: Column, index: Column) -> Column:
    """How many classes are ranked before the class `index`; of equal scores the first class comes first."""
    own = F.get(scores, index)
    ahead = F.filter(scores, lambda score, place: (score > own) | ((score == own) & (place < index)))
    return F.size(ahead)


def surprisal_share(p: Column) -> Column:
    """The part of the entropy that one class adds: -p ln p, and 0 at 0."""
    return F.when(p > 0, -p * F.ln(p)).otherwise(0.0)


def extremes(happened: Column, rows: Rows) -> dict[str, Column]:
    """Whether the class that happened (of several, the least likely) had a probability below eps, and of 0.

    Logits are never clipped, and mean probability 0 only if they are infinite: e^-800 is 0 as a double, but not 0.
    """
    if rows.scoring.score == "logit":
        loss = F.col("loss") if rows.scoring.loss == "cross_entropy" else native.cross_entropy(rows)
        return {"clipped": F.lit(False), "zero": loss == INFINITY}
    return {"clipped": happened < rows.scoring.eps, "zero": happened == 0}
