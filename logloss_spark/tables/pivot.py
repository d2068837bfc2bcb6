"""From a state to NumPy: all sums of a slice in one row, then as arrays; and from metrics back to Arrow."""

from collections.abc import Collection, Mapping, Sequence

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
from logloss_spark.states.entries import PLACELESS, Entries
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
from logloss_spark.states.small import as_doubles
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


def in_reading_order(
    table: DataFrame, inner: Mapping[str, str], columns: Sequence[str], first: Sequence[Column] = ()
) -> DataFrame:
    """A table of metrics with its columns in order: slices, the slice in words, these columns, and statuses last.

    `inner` maps the slice columns to their names in the table; the columns `first` come before them.
    """
    slices = [F.col(alias).alias(name) for name, alias in inner.items()]
    return table.select(*first, *slices, "slice", *columns, "grouping_id", *STATUSES)


def one_row_per_slice(
    rolled: DataFrame,
    conventions: Conventions,
    slices: Sequence[str],
    scores: DataFrame | None = None,
    *,
    within: Sequence[str] = (),
    beside: Sequence[Column] = (),
) -> DataFrame:
    """All sums of a slice in one row: one column for each sum of a part without places, and for each other part a list.

    The list is called as the part, and its structs have the sums and the `place`. The columns `within` are keys beside
    the slices, and `beside` are further aggregates.
    """
    inner = [slice_name(place) for place in range(len(slices))]
    if scores is not None:
        found = scores.select(*inner, "grouping_id", "score", *SCORE, F.lit("score").alias("part"))
        rolled = rolled.unionByName(found, allowMissingColumns=True)
    sums = []
    for part, names in parts_of(conventions, scores=scores is not None).items():
        among = f"FILTER (WHERE part = '{part}')"
        if part in WITHOUT_PLACE:
            sums += [F.expr(f"sum({name}) {among} AS {column_of(part, name)}") for name in names]
        else:
            place = "score AS place" if part == "score" else "place"
            sums.append(F.expr(f"collect_list(struct({place}, {', '.join(names)})) {among} AS {part}"))
    counted = rolled.groupBy(*within, *inner, "grouping_id").agg(*sums, *beside).fillna(0, ["n", *STATUSES])
    return counted.withColumns({"rows": F.expr(" + ".join(STATUSES)), "slice": slice_text(slices)})


WITHOUT_PLACE = (*STATUSES, "moments", "clipped", "zero")
"""Parts of a state that have no place."""


def parts_of(conventions: Conventions, *, scores: bool = False) -> dict[str, tuple[str, ...]]:
    """The parts of a state from which metrics are computed, each with its sums; the scores of the rows are one more."""
    parts = {
        **dict.fromkeys(STATUSES, ("n",)),
        "moments": ("n", *moments_of(conventions)),
        **dict.fromkeys(("clipped", "zero"), ("n", *PARTIAL)),
        "cell": CELL,
        "class": class_columns(conventions),
        "rank": ("w",),
        "class_cell": CLASS_CELL,
        "bucket": BUCKET,
        "bucket_class": BUCKET_CLASS,
    }
    return parts | ({"score": SCORE} if scores else {})


def column_of(part: str, name: str) -> str:
    """The column of a sum of a part without places."""
    return name if part == "moments" else part if part in STATUSES else f"{part}_{name}"


def parts_in(batch: pa.RecordBatch, parts: Mapping[str, Sequence[str]]) -> dict[str, Entries]:
    """The sums of a batch of `one_row_per_slice`."""
    return {
        part: one_entry_each({name: sums_in(batch, column_of(part, name)) for name in names})
        if part in WITHOUT_PLACE
        else entries_in(batch.column(part), names)
        for part, names in parts.items()
    }


def one_entry_each(sums: Mapping[str, Array]) -> Entries:
    """Sums of slices, (n,), as entries without a place, one for each slice."""
    n = len(next(iter(sums.values())))
    return Entries(n, np.arange(n), np.full(n, PLACELESS), sums)


def entries_in(lists: pa.ListArray, names: Sequence[str]) -> Entries:
    """Lists of structs, whose fields are a `place` and sums, as entries; the slices are the lists."""
    structs = lists.flatten()
    row = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy(zero_copy_only=False))
    place = structs.field("place").to_numpy(zero_copy_only=False)
    return Entries(len(lists), row, place, {name: as_doubles(structs.field(name)) for name in names})


def moments_of(conventions: Conventions) -> tuple[str, ...]:
    """The moments that a slice of these conventions has, besides `n`."""
    return MOMENTS + (BINARY_MOMENTS if conventions.scalar else ())


def class_columns(conventions: Conventions) -> tuple[str, ...]:
    """The sums that a class of these conventions has."""
    return ("n", "wl") if conventions.scalar else ("n", *CLASS)


def sums_of(parts: Mapping[str, Entries], conventions: Conventions, of_rows: Collection[str] = ()) -> Sums:
    """The sums of some slices as NumPy arrays; 0 for a sum that a slice does not have."""
    classes = np.arange(len(conventions.classes))
    cells, buckets = parts["cell"], parts["bucket"]
    bins, thin = np.unique(cells.place), np.unique(buckets.place % BUCKET_STRIDE)
    scores = Scores(*parts["score"].matrices(SCORE, np.unique(parts["score"].place)).values()) if of_rows else None
    return Sums(
        moments=in_full(parts["moments"].totals()),
        classes=in_full(parts["class"].matrices(class_columns(conventions), classes)),
        cells=Cells.of_state(bins, cells.matrices(CELL, bins)),
        ranks=parts["rank"].matrices(("w",), np.arange(RANKS)),
        class_cells=class_cells_of(parts["class_cell"], len(classes)),
        clipped=parts["clipped"].totals(),
        zero=parts["zero"].totals(),
        buckets=by_bucket(buckets, BUCKET, BUCKET_STRIDE, thin, conventions),
        bucket_classes=by_bucket(parts["bucket_class"], BUCKET_CLASS, len(classes), classes, conventions),
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
    return as_doubles(batch.column(name))


def class_cells_of(entries: Entries, classes: int) -> ClassCells:
    """Cells by class as arrays; they are empty if the state has none."""
    if not entries.place.size:
        return ClassCells(*(np.zeros((entries.slices, 0, 0)) for _ in CLASS_CELL))
    bins = np.unique(entries.place % BUCKET_STRIDE)
    wanted = (np.arange(classes)[:, np.newaxis] * BUCKET_STRIDE + bins).ravel()
    shape = entries.slices, classes, len(bins)
    found = entries.matrices(CLASS_CELL, wanted)
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
    entries: Entries, names: Sequence[str], stride: int, bins: npt.NDArray[np.int64], conventions: Conventions
) -> dict[str, Array]:
    """Entries whose place is stride * bucket + bin, as one (n, buckets, bins) array for each sum."""
    places = (np.arange(conventions.buckets)[:, np.newaxis] * stride + bins).ravel()
    return {
        name: matrix.reshape(entries.slices, conventions.buckets, len(bins))
        for name, matrix in entries.matrices(names, places).items()
    }


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
