"""Exact ranking and calibration (CORP), from the scores of all rows instead of the cells of a state.

Up to `SMALL` rows the scores of a slice are collected beside its sums, and NumPy computes both. For more rows Spark
first sums by distinct score, then sorts the scores within each bin of the grid. The bins are in order already, so no
task sorts or pools more than one bin of one slice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.cross_entropy import binary_entropy
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.inputs import Rows
from logloss_spark.states.catalyst import valid_rows
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import SCORE
from logloss_spark.states.slices import grouping_id, inner_names, slice_columns
from logloss_spark.statistics.calibration import pooled_groups, variance
from logloss_spark.statistics.ranking import RANKING

SMALL = 10_000
"""Up to this many scored rows one task computes a slice from all its scores; 256 slices take arrays of 20 MB.

For nearly calibrated forecasts CORP by cells is off by 5 to 10 % up to this size, and by 3 % for a hundred thousand
rows.
"""


def with_ranking(table: DataFrame, scores: DataFrame, slices: Sequence[str]) -> DataFrame:
    """Replace the ranking in a table of metrics by the exact one, whose bounds are 0."""
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
    """Replace the CORP decomposition in a table of metrics by the exact one, whose rest is 0."""
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
    """Join a table of metrics with further columns of its slices."""
    keys = [*slices, "grouping_id"]
    renamed = found.withColumnsRenamed({name: f"key_{place}" for place, name in enumerate(keys)})
    same = [F.col(name).eqNullSafe(F.col(f"key_{place}")) for place, name in enumerate(keys)]
    return table.join(renamed, reduce(and_, same), "left")


def score_rows(table: DataFrame, rows: Rows, conventions: Conventions) -> DataFrame:
    """The valid rows of `terms.scored`, each with the slice columns of a state, its own sums `SCORE`, and its score."""
    weight, y = F.col("weight") if rows.form.weighted else F.lit(1.0), F.col("y")
    columns = slice_columns(conventions).values()
    sums = {"w": weight, "w2": weight * weight, "wy": weight * y, "w2y": weight * weight * y}
    return valid_rows(table, rows.form).select(
        *[F.col(key).alias(name) for key, name in zip(rows.slices, columns, strict=True)],
        *[sums[name].alias(name) for name in SCORE],
        F.col("score").alias("place"),
    )


def with_scores(state: LocalTable, scores: pa.Table) -> LocalTable:
    """A small state with the collected `score_rows` as one more part, whose place is the rank of the score."""
    rank = np.unique(scores["place"].to_numpy(), return_inverse=True)[1]
    part = scores.drop_columns("place").append_column("place", pa.array(rank))
    part = part.append_column("part", pa.repeat("score", scores.num_rows))
    return replace(state, rows=pa.concat_tables([state.rows, part], promote_options="permissive"))


def scores_of(table: DataFrame, rows: Rows) -> DataFrame:
    """The sums `SCORE` of the rows of `terms.scored` per slice (`slice_0`, ...) and distinct score, and its bin."""
    table = valid_rows(table, rows.form)
    weight = F.col("weight") if rows.form.weighted else F.lit(1.0)
    names = inner_names(rows.roles.sets)
    slices, sets = list(names.values()), dict.fromkeys([(), *rows.roles.sets])
    return table.groupingSets(
        [[F.col(names[name]) for name in columns] + [F.col("bin"), F.col("score")] for columns in sets],
        *slices,
        "bin",
        "score",
    ).agg(
        grouping_id(slices),
        F.sum(weight).alias("w"),
        F.sum(weight * weight).alias("w2"),
        F.sum(weight * F.col("y")).alias("wy"),
        F.sum(weight * weight * F.col("y")).alias("w2y"),
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

    Scores that are pooled within a bin stay together, so pooling the blocks of all bins equals pooling all scores.
    """
    keys = [*slices, "grouping_id"]
    table = scores.select(*keys, "bin", "score", "w", "wy")
    types = [f"{field.name} {field.dataType.simpleString()}" for field in table.schema]
    blocks = in_order(table, [*keys, "bin"], ["score"]).mapInArrow(blocks_of, ", ".join(types))
    means = [*types[: len(keys)], "pooled_entropy double", "pooled_variance double"]
    return in_order(blocks, keys, ["bin", "score"]).mapInArrow(means_of_blocks, ", ".join(means))


def in_order(table: DataFrame, group: Sequence[str], order: Sequence[str]) -> DataFrame:
    """Sort a table by groups and within each group; the new column `first` is true for the first row of a group.

    A window leaves rows in this order. Python then reads whole partitions; `applyInArrow` would hand over each of
    thousands of groups by itself.
    """
    return table.withColumn("first", F.row_number().over(Window.partitionBy(*group).orderBy(*order)) == 1)


def blocks_of(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pool sorted scores within each group: one row per block, with the keys of its lowest score."""
    for table in whole_groups(batches):
        start, weight, labels = pooled_groups(*(array_of(table, name) for name in ("first", "w", "wy")))
        columns = [name for name in table.column_names if name not in ("first", "w", "wy")]
        found = table.select(columns).take(pa.array(start))
        yield from found.append_column("w", pa.array(weight)).append_column("wy", pa.array(labels)).to_batches()


def means_of_blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pool the sorted blocks of each slice: one row per slice, with the mean entropy and variance of the result."""
    for table in whole_groups(batches):
        first = array_of(table, "first")
        start, weight, labels = pooled_groups(first, array_of(table, "w"), array_of(table, "wy"))
        of_slice = np.flatnonzero(first[start])
        mean, total = labels / weight, np.add.reduceat(weight, of_slice)
        found = table.drop_columns(["first", "bin", "score", "w", "wy"]).take(pa.array(np.flatnonzero(first)))
        for name, of_share in (("pooled_entropy", binary_entropy), ("pooled_variance", variance)):
            column = np.add.reduceat(weight * of_share(mean), of_slice) / total
            found = found.append_column(name, pa.array(column))
        yield from found.to_batches()


def whole_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Regroup sorted batches into tables that end with a group."""
    open_group: list[pa.RecordBatch] = []
    for batch in batches:
        starts = np.flatnonzero(array_of(batch, "first"))
        if starts.size:
            last = int(starts[-1])
            whole = [*open_group, *([batch.slice(0, last)] if last else [])]
            if whole:
                yield pa.Table.from_batches(whole)
            open_group, batch = [], batch.slice(last)
        if batch.num_rows:
            open_group.append(batch)
    if open_group:
        yield pa.Table.from_batches(open_group)


def array_of(table: pa.Table | pa.RecordBatch, name: str) -> Array:
    """A column as a NumPy array."""
    column = table.column(name)
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])
