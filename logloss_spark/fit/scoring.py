"""Score a table with a fitted logistic regression."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.fit.batches import FeatureForm, features_of
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import feature_columns, layout_of
from logloss_spark.io.names import quoted
from logloss_spark.kernels.logistic import multinomial_derivatives
from logloss_spark.kernels.matrix import times
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.columns import finder, has_vectors, with_index_names
from logloss_spark.rows.form import Fields
from logloss_spark.rows.terms import MOST_PARTITIONS
from logloss_spark.scoring import Label
from logloss_spark.workers.columns import vectorised

LOGIT = "logit of logloss_spark"
"""The column of logits while a table is scored; no table has a column of this name."""


WIDE = 1000
"""Vectors with more features than this are scored in compressed form."""


Outputs = Callable[[Column, Column], Mapping[str, Column]]
"""From the logit and the probability of a row to the new columns, by their names."""


@dataclass(frozen=True)
class Predictor:
    """The part of a model that scores a row.

    Attributes
    ----------
    features : the columns that hold the features, one name or several
    coefficients, intercepts : arrays of shape (C, d) and (C,)
    classes : the K labels
    offset : the column that is added to the logit, if any
    """

    features: str | tuple[str, ...]
    coefficients: Array
    intercepts: Array
    classes: tuple[Label, ...]
    offset: str | None


def forecasts(classes: tuple[Label, ...], *, probability: str, logit: str, prediction: str) -> Outputs:
    """The outputs with these names: the probability, the logit and the most probable class."""

    def outputs(score: Column, chance: Column) -> dict[str, Column]:
        if len(classes) == 2:
            best = F.when(score > 0, F.lit(classes[1])).when(score.isNotNull(), F.lit(classes[0]))
        else:
            index = F.array_position(score, F.array_max(score)).cast("int") - 1
            best = F.when(score.isNotNull(), F.get(F.array(*map(F.lit, classes)), index))
        return {probability: chance, logit: score, prediction: best}

    return outputs


def with_forecasts(df: DataFrame, predictor: Predictor, outputs: Outputs) -> DataFrame:
    """The table with the columns that `outputs` makes of the logit and the probability of each row, lazy."""
    training = Training(features=predictor.features, label="", offset=predictor.offset)
    table, fields = with_plain_names(df, training)
    score = score_column(fields, training, predictor)
    # A scan must not hand ML vectors to Python directly: see `rows.terms`.
    table = table.coalesce(MOST_PARTITIONS) if has_vectors(df.schema) else table
    logit = quoted(LOGIT)
    several = len(predictor.classes) > 2
    chance = vectorised(softmax_of, "array<double>")(logit) if several else probability_of(logit)
    added = outputs(logit, chance)
    columns = [column.alias(name) for name, column in added.items()]
    whole = table.select("*", score.alias(LOGIT)).select("*", *columns).drop(LOGIT)
    return whole if table.columns == df.columns else whole.toDF(*df.columns, *added)


def probability_of(logit: Column) -> Column:
    """The probability of a logit, e^z / (1 + e^z), without overflow."""
    odds = F.exp(-F.abs(logit))
    return F.when(logit >= 0, 1 / (1 + odds)).otherwise(odds / (1 + odds))


def with_plain_names(df: DataFrame, training: Training) -> tuple[DataFrame, Fields]:
    """A table and the columns of a model in it, by plain names.

    The table stays as it is if its own names identify these columns, so that `df["x"]` is a column of the result, too.
    If a name occurs twice, or is a path, columns get the names of `with_index_names`.
    """
    find = finder(df, endless=True)
    names = {"feature": training.feature_columns, "offset": (training.offset,) if training.offset else ()}
    fields = {name: find(role, name) for role, of_role in names.items() for name in of_role}
    known = [name.casefold() for name in df.columns]
    if any(known.count(name.casefold()) != 1 for name in fields):
        return with_index_names(df), fields
    return df, {name: replace(field, column=quoted(name)) for name, field in fields.items()}


def score_column(fields: Fields, training: Training, predictor: Predictor) -> Column:
    """The logit of each row, or for more than two classes an array of logits."""
    layout = layout_of(fields, training)
    coefficients, intercepts = predictor.coefficients, predictor.intercepts
    width = coefficients.shape[1]
    form = FeatureForm(width, width > WIDE)
    names = [f"feature_{place}" for place in range(width)] if layout == "columns" else ["features"]
    if len(predictor.classes) == 2 and len(coefficients) == 2:
        # A multinomial model of two classes has two logits. The logit of the second class is their difference.
        coefficients, intercepts = np.diff(coefficients, axis=0), np.diff(intercepts)
    type_ = "double" if len(coefficients) == 1 else "array<double>"
    function = partial(logits_of, names=tuple(names), form=form, coefficients=coefficients, intercepts=intercepts)
    score = vectorised(function, type_)(*feature_columns(fields, training, layout))
    return score if predictor.offset is None else score + fields[predictor.offset].column.cast("double")


def logits_of(
    *columns: pa.Array, names: tuple[str, ...], form: FeatureForm, coefficients: Array, intercepts: Array
) -> pa.Array:
    """The logits of an Arrow batch; null for rows whose features cannot be used."""
    x, codes = features_of(pa.RecordBatch.from_arrays(list(columns), names=list(names)), form)
    with np.errstate(all="ignore"):
        if len(coefficients) == 1:
            return pa.array(times(x, coefficients[0]) + intercepts[0], mask=codes != 0)
        z = times(x, coefficients.T) + intercepts
    return lists_of(z, codes != 0)


def softmax_of(logits: pa.Array) -> pa.Array:
    """The probabilities of arrays of logits; null where the logits are."""
    known = logits.drop_null()
    if not len(known):
        return logits
    z = known.flatten().to_numpy(zero_copy_only=False).reshape(len(known), -1)
    null = logits.is_null().to_numpy(zero_copy_only=False)
    p = np.zeros((len(logits), z.shape[1]))
    p[~null] = multinomial_derivatives(z, np.zeros(len(z)))[2]
    return lists_of(p, null)


def lists_of(matrix: Array, null: Array) -> pa.Array:
    """The rows of a matrix as an Arrow array of lists, some of them null."""
    ends = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(matrix.ravel()), mask=pa.array(null))
