"""The table of a drift: two states side by side, one row per slice that either state has."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, StructField, StructType

from logloss_spark.errors import SpecError
from logloss_spark.kernels.grid import BINS, THIN_BINS
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import BUCKET_STRIDE, WHOLE, low_of
from logloss_spark.states.slices import map_slices, slice_text, with_names
from logloss_spark.statistics.catalogue import DRIFT, OF_LABELS, OF_SCORES, by_column
from logloss_spark.statistics.drift import BIN, WORST, Population, measures
from logloss_spark.tables.pivot import arrow_metric, by_bucket, matrices, spark_type, unscaled_weight
from logloss_spark.tables.verdicts import with_adjusted

COMPARED = ("kind", "classes", "scalar", "grid")
"""Conventions that two states must share so that their scores and classes mean the same. The loss, its cap, and whether
labels are classes or shares change neither scores nor classes."""


PARTS = ("moments", "cell", "class", "bucket", "bucket_class", *WHOLE, *STATUSES)
"""The parts of a state that are rolled up. A slice of which no row can be scored has only statuses."""


SUMS = {
    "moments": ("n", "w", "w2", "wy", "w2y", "w2yy"),
    "cell": ("w", "w2"),
    "class": ("wy", "w2y"),
    "bucket": ("w", "wy"),
    "bucket_class": ("wy",),
}
"""The sums of each part that are compared. A state need not have all of them."""


OF_LABEL = {"wy": "weight", "w2y": "w2"}
"""Maps the sums of the positive class to those of both classes; the negative class has the rest."""


PIECE = 64
"""Number of slices that are computed together. With clusters their sums by bucket and bin take some 20 MB."""


SIDES = ("reference", "current")


COUNTED = tuple(f"{side}_{name}" for name in ("n", "weight") for side in SIDES)


MEASURES = by_column((*OF_SCORES, *OF_LABELS))


WORST_TYPE = ArrayType(StructType([StructField(name, DoubleType()) for name in BIN]))


SMALL_PSI = 0.1
"""Below this index a population counts as stable by convention (Siddiqi, Credit Risk Scorecards, 2006), even if it is
certain that it is not quite the same."""


def check_comparable(reference: Conventions, current: Conventions) -> None:
    """Raise SpecError unless the scores and classes of two states mean the same."""
    differing = [
        f"{name} {getattr(reference, name)!r} and {getattr(current, name)!r}"
        for name in COMPARED
        if getattr(reference, name) != getattr(current, name)
    ]
    if differing:
        raise SpecError(
            f"only states of one kind of prediction can be compared; these differ in {', '.join(differing)}"
        )


def check_types(reference: Mapping[str, str], current: Mapping[str, str], slices: Sequence[str]) -> None:
    """Raise SpecError unless slice columns have the same types on both sides."""
    for name in slices:
        if reference[name] != current[name]:
            raise SpecError(
                f"slice column {name!r} must have the same type in both states, got {reference[name]} and "
                f"{current[name]}: cast it in one"
            )


def both_sides(reference: DataFrame, current: DataFrame, slices: Sequence[str]) -> DataFrame:
    """Join two states that were rolled up: one row per slice (`slice_0`, ...) that either state has."""
    keys = [slice_name(place) for place in range(len(slices))]
    names = dict.fromkeys(name for names in SUMS.values() for name in names if name in reference.columns)
    halves = [name for name in names if low_of(name) in reference.columns]
    in_full = {name: F.expr(f"{name} + coalesce({low_of(name)}, 0D)") for name in halves}
    sums = [in_full.get(name, F.col(name)).alias(name) for name in names]
    together = [
        rolled.select(*keys, "grouping_id", "part", "place", *sums, F.lit(side).alias("side"))
        for side, rolled in zip(SIDES, (reference, current), strict=True)
    ]
    columns = [column for side in SIDES for column in sums_of_side(side, names)]
    return together[0].unionByName(together[1]).groupBy(*keys, "grouping_id").agg(*columns)


def sums_of_side(side: str, names: Iterable[str]) -> list[Column]:
    """The sums for `Population` of one side of a slice: moments as columns, other parts as arrays of structs."""
    columns = []
    for part, sums in SUMS.items():
        of_part = f"FILTER (WHERE side = '{side}' AND part = '{part}')"
        if part == "moments":
            columns += [
                F.expr(f"coalesce(sum({name}) {of_part}, 0) AS {side}_{name}") for name in sums if name in names
            ]
        else:
            fields = ", ".join(name for name in sums if name in names)
            columns.append(F.expr(f"collect_list(struct(place, {fields})) {of_part} AS {side}_{part}"))
    return columns


def with_measures(wide: DataFrame, slices: Sequence[str], both: Sequence[Conventions]) -> DataFrame:
    """The measures of each slice of `both_sides`."""
    wide = wide.withColumnsRenamed({f"{side}_w": f"{side}_weight" for side in SIDES})
    kept = [*map(slice_name, range(len(slices))), "grouping_id", *COUNTED]
    fields = [StructField(name, spark_type(metric, scalar=both[0].scalar)) for name, metric in MEASURES.items()]
    fields += [StructField("worst", WORST_TYPE)]
    table = map_slices(wide, partial(measures_of_batch, both=tuple(both)), kept=kept, fields=fields, piece=PIECE)
    weights = {f"{side}_weight": conventions for side, conventions in zip(SIDES, both, strict=True)}
    return table.withColumns({name: unscaled_weight(F.col(name), conventions) for name, conventions in weights.items()})


def judged(table: DataFrame, confidence: float) -> DataFrame:
    """Add p-values that are adjusted over the slices of each grouping set, and verdicts."""
    for of in ("", "label_"):
        table = with_adjusted(table, f"{of}p_value", f"{of}p_adjusted", ["grouping_id"])
    moved = [F.col(f"{of}p_adjusted") <= 1.0 - confidence for of in ("", "label_")]
    of_scores = F.when(moved[0], F.when(F.col("psi") < SMALL_PSI, "hardly moved").otherwise("moved"))
    return table.withColumns(
        {
            "scores_verdict": F.coalesce(of_scores, F.lit("no evidence")),
            "labels_verdict": F.when(moved[1], "moved").otherwise("no evidence"),
        }
    )


def named_slices(table: DataFrame, slices: Sequence[str]) -> DataFrame:
    """The result of `drift`: its columns in order, slices under their own names."""
    columns = ["grouping_id", "slice", *by_column(DRIFT)]
    return with_names(table.withColumn("slice", slice_text(slices)), slices, columns)


def measures_of_batch(batch: pa.RecordBatch, *, both: Sequence[Conventions]) -> list[pa.Array]:
    """The measures of a batch of `both_sides`, the worst bins last."""
    found, bins = measures(*(population(batch, place, both) for place in range(len(SIDES))))
    worst = arrow_bins(bins, np.where(np.isnan(found["psi"]), 0, found["bins"]))
    return [*(arrow_metric(metric, found[name]) for name, metric in MEASURES.items()), worst]


def population(batch: pa.RecordBatch, place: int, both: Sequence[Conventions]) -> Population:
    """One side of a batch of slices as NumPy arrays. Clusters count only if both sides have them."""
    side, conventions = SIDES[place], both[place]
    clustered = all(one.buckets for one in both)

    def moment(name: str) -> Array:
        return np.asarray(batch.column(f"{side}_{name}").to_numpy(zero_copy_only=False), dtype=np.float64)

    weight, classes, thin = moment("weight"), np.arange(len(conventions.classes)), np.arange(THIN_BINS)
    cells = matrices(batch.column(f"{side}_cell"), SUMS["cell"], np.arange(BINS))
    labels = {name: np.stack([moment(total) - moment(name), moment(name)], axis=1) for name, total in OF_LABEL.items()}
    if not conventions.scalar:
        labels = matrices(batch.column(f"{side}_class"), SUMS["class"], classes)
    of_none = {name: np.zeros((len(weight), 0, 1)) for name in SUMS["bucket"]}
    buckets = (
        by_bucket(batch.column(f"{side}_bucket"), SUMS["bucket"], BUCKET_STRIDE, thin, conventions)
        if clustered
        else of_none
    )
    positives = buckets["wy"].sum(axis=2, keepdims=True)
    bucket_labels = np.concatenate([buckets["w"].sum(axis=2, keepdims=True) - positives, positives], axis=2)
    if clustered and not conventions.scalar:
        of_classes = batch.column(f"{side}_bucket_class")
        bucket_labels = by_bucket(of_classes, SUMS["bucket_class"], len(classes), classes, conventions)["wy"]
    return Population(
        n=moment("n"),
        w=weight,
        w2=moment("w2"),
        cells=cells["w"],
        squares_of_cells=cells["w2"],
        labels=labels["wy"],
        squares_of_labels=labels["w2y"],
        squared_labels=moment("w2yy"),
        bucket_cells=buckets["w"],
        bucket_labels=bucket_labels,
        scalar=conventions.scalar,
        soft_labels=conventions.soft_labels,
    )


def arrow_bins(fields: dict[str, Array], bins: Array) -> pa.Array:
    """The worst bins as an Arrow array of lists, which are no longer than a slice has bins; null without bins."""
    listed = np.minimum(bins, WORST).astype(np.int32)
    kept = np.arange(WORST) < listed[:, np.newaxis]
    entries = pa.StructArray.from_arrays([pa.array(fields[name][kept]) for name in BIN], names=list(BIN))
    offsets = np.concatenate([[0], np.cumsum(listed, dtype=np.int32)]).astype(np.int32)
    # A list is null if its offset is null.
    return pa.ListArray.from_arrays(pa.array(offsets, mask=np.append(listed == 0, False)), entries)
