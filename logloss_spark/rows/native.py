"""The cross-entropy of a row as Catalyst expressions: the formulas of `kernels.cross_entropy` without Python.

Spark's `ln(0)` and `log1p(-1)` are null, and `least` skips nulls: every logarithm here is given its infinity back
before anything is compared or summed. Rows whose status is not `ok` get any number.
"""

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

from logloss_spark.rows.inputs import Inputs
from logloss_spark.spec import Predictions

INFINITY = float("inf")


def cross_entropy(rows: Inputs, spec: Predictions) -> Column:
    """The loss of each row of a scored table (columns `label`, `index`, `prediction`), in nats."""
    if rows.scalar:
        surprise, surprise_of_other = binary_surprisals(F.col("prediction"), spec)
        positive, negative = capped(surprise, spec), capped(surprise_of_other, spec)
        if not rows.soft:
            return F.when(F.col("index") == 1, positive).otherwise(negative)
        return share_of(F.col("label"), positive) + share_of(1 - F.col("label"), negative)
    losses = class_losses(F.col("prediction"), spec)
    if not rows.soft:
        return F.get(losses, F.col("index")) if spec.score == "logit" else one_class(F.col("prediction"), spec)
    return compensated_sum(F.zip_with(F.col("label"), losses, share_of))


def binary_surprisals(score: Column, spec: Predictions) -> tuple[Column, Column]:
    """-ln p and -ln(1 - p) of a probability or a logit."""
    if spec.score == "probability":
        return -logarithm(score), -F.coalesce(F.log1p(-score), F.lit(-INFINITY))
    rest = F.log1p(F.exp(-F.abs(score)))
    return F.greatest(-score, F.lit(0.0)) + rest, F.greatest(score, F.lit(0.0)) + rest


def class_losses(scores: Column, spec: Predictions) -> Column:
    """The loss that each class would bring, as an array."""
    if spec.score == "probability":
        return F.transform(scores, lambda p: capped(-logarithm(p), spec))
    known = F.struct(F.array_max(scores).alias("top"), F.log1p(rest_over_top(scores)).alias("rest"))

    def loss(z: Column, known: Column) -> Column:
        return F.when(z == known["top"], 0.0).otherwise(known["top"] - z) + known["rest"]

    return once(known, lambda known: F.transform(scores, lambda z: loss(z, known)))


def one_class(probabilities: Column, spec: Predictions) -> Column:
    """-ln of the true class's probability."""
    return capped(-logarithm(F.get(probabilities, F.col("index"))), spec)


def rest_over_top(logits: Column) -> Column:
    """The sum of e^(z_k - max z) over all classes but the first largest."""
    return compensated_sum(behind_top(logits))


def behind_top(logits: Column) -> Column:
    """e^(z_k - max z) of each class, 0 for the first largest, as an array.

    Each term is corrected by the rounding error of its difference (TwoSum): at -700 that error alone is 256 ulp.
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
    """What `then` makes of a value that is computed once: a lambda computes all in it anew for each entry of an array.

    Without it the losses of K logits take K^3 steps.
    """
    return F.get(F.transform(F.array(value), then), F.lit(0))


def logarithm(p: Column) -> Column:
    """ln p, and -inf at 0."""
    return F.coalesce(F.ln(p), F.lit(-INFINITY))


def capped(loss: Column, spec: Predictions) -> Column:
    """The loss of a class, at most -ln eps; adding 0 makes the loss of a certain forecast 0 instead of -0."""
    return F.least(loss + 0.0, F.lit(spec.cap)) if spec.cap < INFINITY else loss + 0.0


def share_of(share: Column, loss: Column) -> Column:
    """share * loss, where nothing of an infinite loss is nothing."""
    return F.when(share == 0, 0.0).otherwise(share * loss)


def compensated_sum(terms: Column) -> Column:
    """The sum of an array with its rounding errors added back (Neumaier), so that 1,000 classes keep their digits."""

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
