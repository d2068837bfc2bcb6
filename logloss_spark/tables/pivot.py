"""From a state to NumPy: all sums of a slice in one row, then as arrays; and from metrics back to Arrow."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, DoubleType, LongType, StringType

from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array, two_sum
from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import (
    BINARY_MOMENTS,
    BUCKET,
    BUCKET_CLASS,
    BUCKET_STRIDE,
    CELL,
    CLASS,
    CLASS_CELL,
    MOMENTS,
    PARTIAL,
    RANKS,
    SCORE,
    low_of,
)
from logloss_spark.states.slices import slice_text
from logloss_spark.statistics.calibration import Cells, ClassCells, Scores
from logloss_spark.statistics.catalogue import Metric
from logloss_spark.statistics.metrics import Sums

PIECE = 256
"""Number of slices that are computed together. With clusters their sums by bucket and bin take some 100 MB."""


def unscaled_weight(weight: Column, conventions: Conventions) -> Column:
    """A sum of weights in units of 1; null if it is beyond a double."""
    if not conventions.weight_exponent:
        return weight
    first = conventions.weight_exponent // 2  # the whole power need not be a double
    found = weight * 2.0**first * 2.0 ** (conventions.weight_exponent - first)
    return F.when(found < F.lit(float("inf")), found)


def in_reading_order(table: DataFrame, inner: Mapping[str, str], columns: Sequence[str]) -> DataFrame:
    """A table of metrics with its columns in order: slices, the slice in words, these columns, and statuses last.

    `inner` maps the slice columns to their names in the table.
    """
    slices = [F.col(alias).alias(name) for name, alias in inner.items()]
    return table.select(*slices, "slice", *columns, "grouping_id", *STATUSES)


def one_row_per_slice(
    rolled: DataFrame, conventions: Conventions, slices: Sequence[str], scores: DataFrame | None = None
) -> DataFrame:
    """All sums of a slice in one row: moments as columns; cells, classes and `scores` as arrays of structs."""

    def of_part(part: str, name: str, alias: str) -> Column:
        return F.expr(f"sum({name}) FILTER (WHERE part = '{part}') AS {alias}")

    def entries(part: str, names: Sequence[str], alias: str) -> Column:
        return F.expr(f"collect_list(struct(place, {', '.join(names)})) FILTER (WHERE part = '{part}') AS {alias}")

    inner = [slice_name(place) for place in range(len(slices))]
    by_score = []
    if scores is not None:
        found = scores.select(*inner, "grouping_id", "score", *SCORE, F.lit("score").alias("part"))
        rolled = rolled.unionByName(found, allowMissingColumns=True)
        sums = ", ".join(SCORE)
        by_score = [F.expr(f"collect_list(struct(score AS place, {sums})) FILTER (WHERE part = 'score') AS scores")]
    wide = rolled.groupBy(*inner, "grouping_id").agg(
        *[of_part(status, "n", status) for status in STATUSES],
        *[of_part("moments", name, name) for name in ("n", *moments_of(conventions))],
        *[of_part(part, name, f"{part}_{name}") for part in ("clipped", "zero") for name in ("n", *PARTIAL)],
        entries("cell", CELL, "cells"),
        entries("class", class_columns(conventions), "classes"),
        entries("rank", ("w",), "ranks"),
        entries("class_cell", CLASS_CELL, "class_cells"),
        entries("bucket", BUCKET, "buckets"),
        entries("bucket_class", BUCKET_CLASS, "bucket_classes"),
        *by_score,
    )
    counted = wide.fillna(0, ["n", *STATUSES])
    return counted.withColumns({"rows": F.expr(" + ".join(STATUSES)), "slice": slice_text(slices)})


def moments_of(conventions: Conventions) -> tuple[str, ...]:
    """The moments that a slice of these conventions has, besides `n`."""
    return MOMENTS + (BINARY_MOMENTS if conventions.scalar else ())


def class_columns(conventions: Conventions) -> tuple[str, ...]:
    """The sums that a class of these conventions has."""
    return ("n", "wl") if conventions.scalar else ("n", *CLASS)


def sums_of(batch: pa.RecordBatch, conventions: Conventions, of_rows: Collection[str]) -> Sums:
    """The sums of a batch of slices as NumPy arrays; 0 for a sum that a slice does not have."""
    classes = np.arange(len(conventions.classes))
    bins = np.unique(places_of(batch.column("cells")))
    thin = np.unique(places_of(batch.column("buckets")) % BUCKET_STRIDE)
    scores = scores_in(batch.column("scores")) if "scores" in batch.schema.names else None
    return Sums(
        moments=in_full({name: sums_in(batch, name) for name in ("n", *moments_of(conventions))}),
        classes=in_full(matrices(batch.column("classes"), class_columns(conventions), classes)),
        cells=Cells.of_state(bins, matrices(batch.column("cells"), CELL, bins)),
        ranks=matrices(batch.column("ranks"), ("w",), np.arange(RANKS)),
        class_cells=class_cells_of(batch.column("class_cells"), len(classes)),
        clipped={name: sums_in(batch, f"clipped_{name}") for name in ("n", *PARTIAL)},
        zero={name: sums_in(batch, f"zero_{name}") for name in ("n", *PARTIAL)},
        buckets=by_bucket(batch.column("buckets"), BUCKET, BUCKET_STRIDE, thin, conventions),
        bucket_classes=by_bucket(batch.column("bucket_classes"), BUCKET_CLASS, len(classes), classes, conventions),
        thin=thin,
        scalar=conventions.scalar,
        soft_labels=conventions.soft_labels,
        clustered=conventions.buckets > 0,
        shift=conventions.shift,
        cap=conventions.cap,
        least_loss=conventions.least_loss,
        weight_exponent=conventions.weight_exponent,
        ranked=scores if "auc" in of_rows else None,
        pooled=scores if "calibration" in of_rows else None,
    )


def sums_in(batch: pa.RecordBatch, name: str) -> Array:
    """A column as doubles; 0 for null."""
    return batch.column(name).cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)


def scores_in(lists: pa.ListArray) -> Scores:
    """Sums by score as arrays."""
    return Scores(*matrices(lists, SCORE, np.unique(places_of(lists))).values())


def class_cells_of(lists: pa.ListArray, classes: int) -> ClassCells:
    """Cells by class as arrays; they are empty if the state has none."""
    places = places_of(lists)
    if not places.size:
        return ClassCells(*(np.zeros((len(lists), 0, 0)) for _ in CLASS_CELL))
    bins = np.unique(places % BUCKET_STRIDE)
    wanted = (np.arange(classes)[:, np.newaxis] * BUCKET_STRIDE + bins).ravel()
    shape = len(lists), classes, len(bins)
    found = matrices(lists, CLASS_CELL, wanted)
    return ClassCells(*(found[name].reshape(shape) for name in CLASS_CELL))


def in_full(sums: Mapping[str, Array]) -> dict[str, Array]:
    """Normalise sums that have two columns: the first becomes the nearest double, the second the rest."""
    together = {name: two_sum(sums[name], sums[low_of(name)]) for name in sums if low_of(name) in sums}
    return {**sums} | {
        column: values
        for name, parts in together.items()
        for column, values in zip((name, low_of(name)), parts, strict=True)
    }


def by_bucket(
    lists: pa.ListArray, names: Sequence[str], stride: int, bins: npt.NDArray[np.int64], conventions: Conventions
) -> dict[str, Array]:
    """Lists of structs whose `place` is stride * bucket + bin, as one (n, buckets, bins) array for each other field."""
    places = (np.arange(conventions.buckets)[:, np.newaxis] * stride + bins).ravel()
    return {
        name: matrix.reshape(len(lists), conventions.buckets, len(bins))
        for name, matrix in matrices(lists, names, places).items()
    }


def matrices(lists: pa.ListArray, names: Sequence[str], places: npt.NDArray[Any]) -> dict[str, Array]:
    """Lists of structs with a `place` as one (n, places) matrix for each of the other fields; places ascend."""
    entries = lists.flatten()
    row = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy(zero_copy_only=False))
    column = np.searchsorted(places, places_of(lists))
    filled = {}
    for name in names:
        matrix = np.zeros((len(lists), len(places)))
        matrix[row, column] = entries.field(name).to_numpy(zero_copy_only=False)
        filled[name] = matrix
    return filled


def places_of(lists: pa.ListArray) -> npt.NDArray[Any]:
    """The place of every struct in lists."""
    return lists.flatten().field("place").to_numpy(zero_copy_only=False)


def spark_type(metric: Metric, *, scalar: bool) -> DataType:
    """The Spark type of a metric's column, and of the columns of its interval."""
    if metric.is_list(scalar=scalar):
        return ArrayType(DoubleType())
    return {"number": DoubleType(), "count": LongType(), "flag": BooleanType(), "text": StringType()}[metric.type]


def arrow_metric(metric: Metric, values: Array) -> pa.Array:
    """A metric as an Arrow array; null for NaN."""
    if metric.type == "flag":
        return pa.array(values != 0.0)
    if values.ndim == 1 and metric.is_list(scalar=True):
        return pa.nulls(len(values), pa.list_(pa.float64()))
    entries = pa.array(values.ravel(), from_pandas=True)
    if metric.type == "count":
        return entries.cast(pa.int64())
    if values.ndim == 1:
        return entries
    return pa.ListArray.from_arrays(np.arange(0, values.size + 1, values.shape[1], dtype=np.int32), entries)
