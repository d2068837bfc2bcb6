"""The cross-entropy of a row as Spark expressions: the formulas of `kernels.cross_entropy` without Python.

Spark's `ln(0)` and `log1p(-1)` are null, and `least` skips nulls. So every logarithm here is made infinite again before
it is compared or summed. For rows whose status is not `ok` the value is unspecified.
"""

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

from logloss_spark.rows.inputs import Rows
from logloss_spark.scoring import Score

INFINITY = float("inf")


def cross_entropy(rows: Rows) -> Column:
    """The loss of each row of a scored table (columns `label`, `index`, `prediction`), in nats."""
    score, label, index = F.col("prediction"), F.col("label"), F.col("index")
    kind, cap = rows.scoring.score, rows.scoring.cap
    if rows.form.scalar:
        positive, negative = (capped(surprisal, cap) for surprisal in binary_surprisals(score, kind))
        if not rows.form.soft_labels:
            return F.when(index == 1, positive).otherwise(negative)
        return share_of(label, positive) + share_of(1 - label, negative)
    if rows.form.soft_labels:
        return compensated_sum(F.zip_with(label, class_losses(score, kind, cap), share_of))
    if kind == "logit":
        return F.get(class_losses(score, kind, cap), index)
    return capped(-logarithm(F.get(score, index)), cap)


def binary_surprisals(score: Column, kind: Score) -> tuple[Column, Column]:
    """-ln p and -ln(1 - p) of a probability or a logit."""
    if kind == "probability":
        return -logarithm(score), -F.coalesce(F.log1p(-score), F.lit(-INFINITY))
    rest = F.log1p(F.exp(-F.abs(score)))
    return F.greatest(-score, F.lit(0.0)) + rest, F.greatest(score, F.lit(0.0)) + rest


def class_losses(scores: Column, kind: Score, cap: float) -> Column:
    """The loss of each class, if it happened, as an array. `cap` limits the losses of probabilities, not of logits."""
    if kind == "probability":
        return F.transform(scores, lambda p: capped(-logarithm(p), cap))
    known = F.struct(F.array_max(scores).alias("top"), F.log1p(rest_over_top(scores)).alias("rest"))

    def loss(z: Column, known: Column) -> Column:
        return F.when(z == known["top"], 0.0).otherwise(known["top"] - z) + known["rest"]

    return once(known, lambda known: F.transform(scores, lambda z: loss(z, known)))


def rest_over_top(logits: Column) -> Column:
    """The sum of e^(z_k - max z) over all classes but the first largest."""
    return compensated_sum(behind_top(logits))


def behind_top(logits: Column) -> Column:
    """e^(z_k - max z) of each class as an array, with 0 for the first of the largest.

    Each term is corrected by the rounding error of its difference (TwoSum), which at -700 would cost 256 ulp.
    """
    highest = F.array_max(logits)
    known = F.struct(highest.alias("top"), (F.array_position(logits, highest) - 1).alias("place"))

    def term(z: Column, place: Column, top: Column, place_of_top: Column) -> Column:
        difference = z - top
        shifted = difference - z
        rounding = (z - (difference - shifted)) - (top + shifted)
        power = F.exp(difference)
        exact = F.when(power == 0, 0.0).otherwise(power + power * rounding)
        return F.when(place == place_of_top, 0.0).when(top == INFINITY, 0.0).otherwise(exact)

    return once(known, lambda known: F.transform(logits, lambda z, place: term(z, place, known["top"], known["place"])))


def once(value: Column, then: Callable[[Column], Column]) -> Column:
    """Bind `value` once and apply `then` to it.

    Inside a higher-order function Spark would re-evaluate the value for every entry of the array: the losses of K
    logits would take K^3 steps.
    """
    return F.get(F.transform(F.array(value), then), F.lit(0))


def logarithm(p: Column) -> Column:
    """ln p, and -inf at 0."""
    return F.coalesce(F.ln(p), F.lit(-INFINITY))


def capped(loss: Column, cap: float) -> Column:
    """The loss of a class, limited to `cap`. Adding 0 turns the loss of a certain and right forecast from -0 into 0."""
    return F.least(loss + 0.0, F.lit(cap)) if cap < INFINITY else loss + 0.0


def share_of(share: Column, loss: Column) -> Column:
    """share * loss, which is 0 for a share of 0 even if the loss is infinite."""
    return F.when(share == 0, 0.0).otherwise(share * loss)


def compensated_sum(terms: Column) -> Column:
    """The sum of an array, with rounding errors added back (Neumaier), so that 1,000 classes lose no digits."""

    def add(state: Column, term: Column) -> Column:
        total = state["total"] + term
        lost = F.when(F.abs(state["total"]) >= F.abs(term), (state["total"] - total) + term).otherwise(
            (term - total) + state["total"]
        )
        return F.struct(total.alias("total"), (state["lost"] + lost).alias("lost"))

    def finish(state: Column) -> Column:
        return F.when(F.abs(state["total"]) == INFINITY, state["total"]).otherwise(state["total"] + state["lost"])

    start = F.struct(F.lit(0.0).alias("total"), F.lit(0.0).alias("lost"))
    return F.aggregate(terms, start, add, finish)
