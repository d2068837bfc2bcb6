"""Ranking and CORP of the rows themselves, where the cells of a state leave a bound: one sort of the scores.

Rows are first added up by distinct score, and scores sorted within the bins of the grid, which are in order already:
so that no task sorts or pools more than one bin of one slice.
"""

from collections.abc import Sequence
from functools import reduce
from operator import and_

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from logloss_spark.evaluate.calibration import entropy, pooled, variance
from logloss_spark.evaluate.state import grouping_id, inner_names
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.inputs import Inputs
from logloss_spark.rows.scored import scored
from logloss_spark.spec import Predictions

RANKING = ("auc", "average_precision", "ks")


def with_ranking(table: DataFrame, scores: DataFrame, slices: Sequence[str]) -> DataFrame:
    """A table of metrics whose ranking is that of the rows, so that its bounds are 0."""
    found = exact_ranking(scores, slices)
    joined = beside(table, found.withColumnsRenamed({name: f"exact_{name}" for name in RANKING}), slices)
    moved = F.col("exact_auc") - F.col("auc")
    replaced = {name: F.col(f"exact_{name}") for name in RANKING}
    bounds = {f"{name}_bound": F.when(F.col(f"exact_{name}").isNotNull(), 0.0) for name in RANKING}
    ends = {
        "auc_low": F.greatest(F.col("auc_low") + moved, F.lit(0.0)),
        "auc_high": F.least(F.col("auc_high") + moved, F.lit(1.0)),
    }
    return joined.withColumns(replaced | bounds | ends).select(*table.columns)


def with_pooling(table: DataFrame, scores: DataFrame, slices: Sequence[str]) -> DataFrame:
    """A table of metrics whose CORP decomposition is that of the rows, which leaves no rest."""
    joined = beside(table, exact_pooling(scores, slices), slices)
    mean = F.col("label_mean")
    parts: dict[str, Column] = {}
    for score, uncertainty, after in (
        ("log_loss", F.col("label_entropy"), F.col("pooled_entropy")),
        ("brier", mean * (1 - mean), F.col("pooled_variance")),
    ):
        parts |= {
            f"{score}_miscalibration": F.col(score) - after,
            f"{score}_discrimination": uncertainty - after,
            f"{score}_corp_rest": F.when(after.isNotNull(), 0.0),
        }
    return joined.withColumns(parts).select(*table.columns)


def beside(table: DataFrame, found: DataFrame, slices: Sequence[str]) -> DataFrame:
    """A table of metrics with what was found of each of its slices."""
    keys = [*slices, "grouping_id"]
    renamed = found.withColumnsRenamed({name: f"key_{place}" for place, name in enumerate(keys)})
    same = [F.col(name).eqNullSafe(F.col(f"key_{place}")) for place, name in enumerate(keys)]
    return table.join(renamed, reduce(and_, same), "left")


def scores_of(rows: Inputs, spec: Predictions) -> DataFrame:
    """Weight and weighted label of each distinct score of each slice (`slice_0`, ...), with its bin of the grid."""
    table = scored(rows, spec).where((F.col("status") == 0) & (F.col("weight") > 0 if rows.weighted else F.lit(True)))
    weight = F.col("weight") if rows.weighted else F.lit(1.0)
    names = inner_names(spec.by)
    slices, sets = list(names.values()), dict.fromkeys([(), *spec.by])
    return table.groupingSets(
        [[F.col(names[name]) for name in columns] + [F.col("bin"), F.col("score")] for columns in sets],
        *slices,
        "bin",
        "score",
    ).agg(
        grouping_id(slices),
        F.sum(weight).alias("w"),
        F.sum(weight * F.col("y")).alias("wy"),
    )


def exact_ranking(scores: DataFrame, slices: Sequence[str]) -> DataFrame:
    """AUC, average precision and KS of each slice, from its distinct scores."""
    keys = [*map(F.col, slices), F.col("grouping_id")]
    of_slice = Window.partitionBy(*keys)
    above = of_slice.orderBy(F.desc("bin")).rowsBetween(Window.unboundedPreceding, -1)
    positive, negative = F.col("wy"), F.col("w") - F.col("wy")
    cells = scores.groupBy(*keys, "bin").agg(F.sum(positive).alias("of_bin"), F.sum(negative).alias("others_of_bin"))
    starts = cells.select(
        *[key.alias(f"key_{place}") for place, key in enumerate([*keys, F.col("bin")])],
        F.coalesce(F.sum("of_bin").over(above), F.lit(0.0)).alias("true_above"),
        F.coalesce(F.sum("others_of_bin").over(above), F.lit(0.0)).alias("false_above"),
        F.sum("of_bin").over(of_slice).alias("positives"),
        F.sum("others_of_bin").over(of_slice).alias("negatives"),
    )
    same = [key.eqNullSafe(F.col(f"key_{place}")) for place, key in enumerate([*keys, F.col("bin")])]
    in_bin = Window.partitionBy(*keys, "bin").orderBy(F.desc("score"))
    summed = scores.withColumns({"true": F.sum(positive).over(in_bin), "false": F.sum(negative).over(in_bin)})
    steps = summed.join(F.broadcast(starts), reduce(and_, same)).withColumns(
        {"true": F.col("true") + F.col("true_above"), "false": F.col("false") + F.col("false_above")}
    )
    true, false = F.col("true"), F.col("false")
    positives, negatives = F.col("positives"), F.col("negatives")
    return (
        steps.groupBy(*keys, positives, negatives)
        .agg(
            F.try_divide(F.sum(negative * (true - positive / 2)), positives * negatives).alias("auc"),
            F.try_divide(F.sum(positive * true / (true + false)), positives).alias("average_precision"),
            F.max(F.abs(F.try_divide(true, positives) - F.try_divide(false, negatives))).alias("ks"),
        )
        .drop("positives", "negatives")
    )


def exact_pooling(scores: DataFrame, slices: Sequence[str]) -> DataFrame:
    """The mean entropy and variance of the isotonic label means of each slice, from its distinct scores.

    Blocks that are pooled within a bin stay together: pooling them again over all bins is pooling all scores.
    """
    keys = [*map(F.col, slices), F.col("grouping_id")]
    inner = [*slices, "grouping_id"]
    types = [f"{field.name} {field.dataType.simpleString()}" for field in scores.select(*keys).schema]

    def in_bin(frame: pd.DataFrame) -> pd.DataFrame:
        return blocks_of(frame, inner)

    def in_slice(frame: pd.DataFrame) -> pd.DataFrame:
        return pooled_scores(frame, inner)

    by_bin = scores.select(*keys, "bin", "score", "w", "wy").groupBy(*inner, "bin")
    blocks = by_bin.applyInPandas(in_bin, ", ".join([*types, "bin int, score double, w double, wy double"]))
    by_slice = blocks.groupBy(*inner)
    return by_slice.applyInPandas(in_slice, ", ".join([*types, "pooled_entropy double, pooled_variance double"]))


def blocks_of(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The scores of a bin, pooled: one row per block, at its lowest score."""
    frame = frame.sort_values("score", ignore_index=True)
    fitted = isotonic(frame)
    block = np.cumsum(np.diff(fitted, prepend=-1.0) > 0)
    first = frame.loc[np.flatnonzero(np.diff(block, prepend=-1)), [*keys, "bin", "score"]].reset_index(drop=True)
    sums = frame.groupby(block)[["w", "wy"]].sum().reset_index(drop=True)
    return pd.concat([first, sums], axis=1)


def pooled_scores(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The blocks of a slice, pooled: one row with the mean entropy and variance of what comes out."""
    frame = frame.sort_values(["bin", "score"], ignore_index=True)
    fitted, share = isotonic(frame), frame["w"].to_numpy() / frame["w"].sum()
    means = {"pooled_entropy": [share @ entropy(fitted)], "pooled_variance": [share @ variance(fitted)]}
    return pd.concat([frame.loc[[0], list(keys)], pd.DataFrame(means)], axis=1)


def isotonic(frame: pd.DataFrame) -> Array:
    """The isotonic label means of rows in order."""
    return np.asarray(pooled(frame[["w"]].to_numpy().T, frame[["wy"]].to_numpy().T)[0])
