"""The table of a drift: two states side by side, one row per slice that either state has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, DoubleType, LongType, StringType, StructField, StructType

from logloss_spark.errors import SpecError
from logloss_spark.io.local import LocalTable
from logloss_spark.io.names import quoted
from logloss_spark.kernels.grid import BINS, THIN_BINS
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.roles import slices_of
from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import Entries, Index
from logloss_spark.states.schema import BUCKET_STRIDE, WHOLE, low_of
from logloss_spark.states.slices import OF_SLICE, map_slices, rolled_up, slice_columns, slice_text, with_names
from logloss_spark.states.small import SMALL_STATE, RolledUp, rolled_up_here
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import DRIFT, OF_LABELS, OF_SCORES, by_column
from logloss_spark.statistics.drift import BIN, WORST, Population, measures
from logloss_spark.statistics.intervals import true_weight
from logloss_spark.statistics.multiplicity import adjusted_p_values
from logloss_spark.tables.local import table_of_results
from logloss_spark.tables.pivot import (
    arrow_metric,
    by_bucket,
    entries_in,
    one_entry_each,
    spark_type,
    sums_in,
)
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


PIECE = 64
"""Number of slices that are computed together. With clusters their sums by bucket and bin take some 20 MB."""


SIDES = ("reference", "current")


COUNTED = tuple(f"{side}_{name}" for name in ("n", "weight") for side in SIDES)


MEASURES = by_column((*OF_SCORES, *OF_LABELS))


COMPUTED = by_column(metric for metric in DRIFT if metric.name in COUNTED) | MEASURES


WORST_TYPE = ArrayType(StructType([StructField(name, DoubleType()) for name in BIN]))


SMALL_PSI = 0.1
"""Below this index a population counts as stable by convention (Siddiqi, Credit Risk Scorecards, 2006), even if it is
certain that it is not quite the same."""


def check_comparable(reference: Conventions, current: Conventions) -> None:
    """Raise SpecError unless both are states of evaluations, whose scores and classes mean the same."""
    if models := reference.models or current.models:
        raise SpecError(
            f"drift compares the states of evaluations, got that of a comparison of {', '.join(models)}: "
            "evaluate one of these, and take its state"
        )
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


def drift_table(
    both: Sequence[CheckedState], by: tuple[tuple[str, ...], ...], partition: tuple[str, ...], confidence: float
) -> DataFrame | LocalTable:
    """The result of `drift`, computed where the states are.

    `partition` is the column whose values are compared with the one reference, if any.
    """
    return drift_here(both, by, partition, confidence) or drift_in_spark(both, by, partition, confidence)


def drift_in_spark(
    both: Sequence[CheckedState], by: tuple[tuple[str, ...], ...], partition: tuple[str, ...], confidence: float
) -> DataFrame:
    """The drift of a large state."""
    conventions, common = [state.conventions for state in both], slices_of(by)
    before, after = (state.table.where(F.col("part").isin(*PARTS)) for state in both)
    reference = rolled_up(before, conventions[0], by)
    if partition:
        value = quoted(slice_columns(conventions[1])[partition[0]]).alias(slice_name(0))
        for place in reversed(range(len(common))):
            reference = reference.withColumnRenamed(slice_name(place), slice_name(place + 1))
        reference = reference.crossJoin(after.where(~F.col("part").isin(*WHOLE)).select(value).distinct())
        # The partition's bit is the highest: once its total is gone, grouping_id is what the reference has.
        of_each = rolled_up(after, conventions[1], [(*partition, *names) for names in ((), *by)])
        current = of_each.where(F.col("grouping_id") < 2 ** len(common))
    else:
        current = rolled_up(after, conventions[1], by)
    slices = (*partition, *common)
    found = judged(with_measures(both_sides(reference, current, slices), slices, conventions), confidence)
    return named_slices(found, slices)


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
    kept = [*map(slice_name, range(len(slices))), "grouping_id"]
    fields = [StructField(name, type_) for name, type_ in types_of_measures(both[0]).items()]
    return map_slices(wide, partial(measures_of_batch, both=tuple(both)), kept=kept, fields=fields, piece=PIECE)


def types_of_measures(conventions: Conventions) -> dict[str, DataType]:
    """The columns that NumPy computes, with their types."""
    types = {name: spark_type(metric, scalar=conventions.scalar) for name, metric in COMPUTED.items()}
    return types | {"worst": WORST_TYPE}


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
    return list(measures_of_parts([side_in(batch, side) for side in SIDES], both).values())


def measures_of_parts(sides: Sequence[Mapping[str, Entries]], both: Sequence[Conventions]) -> dict[str, pa.Array]:
    """The measures of some slices, from the parts of both sides, by their columns."""
    clustered = all(one.buckets for one in both)
    populations = [population(parts, one, clustered=clustered) for parts, one in zip(sides, both, strict=True)]
    found, bins = measures(*populations)
    for side, one, conventions in zip(SIDES, populations, both, strict=True):
        found |= {f"{side}_n": one.n, f"{side}_weight": true_weight(one.w, conventions.weight_exponent)}
    worst = arrow_bins(bins, np.where(np.isnan(found["psi"]), 0, found["bins"]))
    return {name: arrow_metric(metric, found[name]) for name, metric in COMPUTED.items()} | {"worst": worst}


def side_in(batch: pa.RecordBatch, side: str) -> dict[str, Entries]:
    """The sums of one side of a batch of slices."""
    parts = {}
    for part, names in SUMS.items():
        if part == "moments":
            held = [name for name in names if f"{side}_{name}" in batch.schema.names]
            parts[part] = one_entry_each({name: sums_in(batch, f"{side}_{name}") for name in held})
        else:
            lists = batch.column(f"{side}_{part}")
            fields = [field.name for field in lists.type.value_type]
            parts[part] = entries_in(lists, [name for name in names if name in fields])
    return parts


def population(parts: Mapping[str, Entries], conventions: Conventions, *, clustered: bool) -> Population:
    """One side of some slices as NumPy arrays. Clusters count only if both sides have them."""
    moments = parts["moments"].totals()
    weight, classes, thin = moments["w"], np.arange(len(conventions.classes)), np.arange(THIN_BINS)
    moments |= {name: np.zeros(len(weight)) for name in SUMS["moments"] if name not in moments}
    cells = parts["cell"].matrices(SUMS["cell"], np.arange(BINS))
    if conventions.scalar:
        totals = {"wy": "w", "w2y": "w2"}
        labels = {n: np.stack([moments[total] - moments[n], moments[n]], axis=1) for n, total in totals.items()}
    else:
        labels = parts["class"].matrices(SUMS["class"], classes)
    of_none = {name: np.zeros((len(weight), 0, 1)) for name in SUMS["bucket"]}
    buckets = by_bucket(parts["bucket"], SUMS["bucket"], BUCKET_STRIDE, thin, conventions) if clustered else of_none
    positives = buckets["wy"].sum(axis=2, keepdims=True)
    bucket_labels = np.concatenate([buckets["w"].sum(axis=2, keepdims=True) - positives, positives], axis=2)
    if clustered and not conventions.scalar:
        of_classes = by_bucket(parts["bucket_class"], SUMS["bucket_class"], len(classes), classes, conventions)
        bucket_labels = of_classes["wy"]
    return Population(
        n=moments["n"],
        w=weight,
        w2=moments["w2"],
        cells=cells["w"],
        squares_of_cells=cells["w2"],
        labels=labels["wy"],
        squares_of_labels=labels["w2y"],
        squared_labels=moments["w2yy"],
        bucket_cells=buckets["w"],
        bucket_labels=bucket_labels,
        scalar=conventions.scalar,
        soft_labels=conventions.soft_labels,
    )


def drift_here(
    both: Sequence[CheckedState], by: tuple[tuple[str, ...], ...], partition: tuple[str, ...], confidence: float
) -> LocalTable | None:
    """The drift of small states, computed on the driver; None if a state, or the result, is too large for that."""
    conventions, (old, new) = [state.conventions for state in both], (state.local for state in both)
    if old is None or new is None:
        return None
    reference = side_here(old, conventions[0], by)
    current = side_here(new, conventions[1], [(*partition, *names) for names in ((), *by)])
    common = len(slices_of(by))
    keys, of_reference = reference.keys, np.arange(reference.keys.num_rows)
    of_current = np.arange(current.keys.num_rows)
    if partition:
        # The partition's bit is the highest: without the global row, grouping_id is what the reference has.
        of_current = np.flatnonzero(current.keys["grouping_id"].to_numpy() < 2**common)
        values = current.keys.filter(pc.equal(current.keys["grouping_id"], 2**common - 1))
        if not 0 < values.num_rows * keys.num_rows <= SMALL_STATE:
            return None
        keys, of_reference = crossed(values, keys)
    every, indices = matched(keys, current.keys.take(pa.array(of_current)))
    rows = [np.where(at < 0, -1, of_side[at]) for at, of_side in zip(indices, (of_reference, of_current), strict=True)]
    pieces = []
    for start in range(0, every.num_rows, PIECE):
        sides = [
            {name: entries.of(of_side[start : start + PIECE]) for name, entries in side.parts.items()}
            for side, of_side in zip((reference, current), rows, strict=True)
        ]
        pieces.append(pa.table(measures_of_parts(sides, conventions)))
    found = with_verdicts(pa.concat_tables(pieces), every["grouping_id"].to_numpy(), confidence)
    types: dict[str, DataType] = {"grouping_id": LongType(), "slice": StringType()}
    words = dict.fromkeys(("scores_verdict", "labels_verdict"), StringType())
    computed = dict.fromkeys(by_column(DRIFT), DoubleType()) | words | types_of_measures(conventions[0])
    types |= {name: computed[name] for name in by_column(DRIFT)}
    return table_of_results(new, conventions[1], (*partition, *slices_of(by)), every, found, types)


def side_here(state: LocalTable, conventions: Conventions, by: Sequence[Sequence[str]]) -> RolledUp:
    """The sums of one side, rolled up on the driver; those kept in two columns are added."""
    held = set(state.schema.names)
    parts = {
        part: [name for name in names if name in held] + [low_of(name) for name in names if low_of(name) in held]
        for part, names in SUMS.items()
    }
    rolled = rolled_up_here(state, conventions, by, parts)
    in_full = {}
    for part, entries in rolled.parts.items():
        rests = {name: entries.sums[low_of(name)] for name in SUMS[part] if low_of(name) in entries.sums}
        sums = {name: entries.sums[name] + rests.get(name, 0.0) for name in SUMS[part] if name in entries.sums}
        in_full[part] = replace(entries, sums=sums)
    return replace(rolled, parts=in_full)


def crossed(partitions: pa.Table, keys: pa.Table) -> tuple[pa.Table, Index]:
    """The slices of the reference once for each partition, whose column comes first; and the index of each in `keys`.

    `partitions` has the slices of the partitions as a whole.
    """
    row = np.tile(np.arange(keys.num_rows), partitions.num_rows)
    own, of_partition = keys.take(pa.array(row)), np.repeat(np.arange(partitions.num_rows), keys.num_rows)
    partition = partitions.take(pa.array(of_partition))
    columns = {slice_name(0): partition[slice_name(0)]}
    columns |= {slice_name(place + 1): own[slice_name(place)] for place in range(keys.num_columns - len(OF_SLICE))}
    whole, text = pc.equal(own["slice"], "all"), pc.binary_join_element_wise(partition["slice"], own["slice"], "/")
    columns |= {"grouping_id": own["grouping_id"], "slice": pc.if_else(whole, partition["slice"], text)}
    return pa.table(columns), row


def matched(*sides: pa.Table) -> tuple[pa.Table, list[Index]]:
    """The slices that some side has, and for each side the index at which it has them, -1 where it does not."""
    together = pa.concat_tables(sides)
    code = together["grouping_id"].to_numpy()
    for name in together.column_names:
        if name not in OF_SLICE:
            encoded = together[name].combine_chunks().dictionary_encode("encode")
            code = code * len(encoded.dictionary) + encoded.indices.to_numpy()
            code = np.unique(code, return_inverse=True)[1]
    _, first, slice_ = np.unique(code, return_index=True, return_inverse=True)
    indices, start = [], 0
    for side in sides:
        index = np.full(len(first), -1)
        index[slice_[start : start + side.num_rows]] = np.arange(side.num_rows)
        indices.append(index)
        start += side.num_rows
    return together.take(pa.array(first)), indices


def with_verdicts(found: pa.Table, family: Index, confidence: float) -> pa.Table:
    """Add what `judged` adds."""
    psi = found["psi"].to_numpy()
    of_scores = np.where(psi < SMALL_PSI, "hardly moved", "moved")
    for of, verdict, moved in (("", "scores_verdict", of_scores), ("label_", "labels_verdict", "moved")):
        adjusted = adjusted_p_values(found[f"{of}p_value"].to_numpy(), family)
        words = np.where(adjusted <= 1.0 - confidence, moved, "no evidence")
        found = found.append_column(f"{of}p_adjusted", pa.array(adjusted, from_pandas=True))
        found = found.append_column(verdict, pa.array(words.tolist(), pa.string()))
    return found


def arrow_bins(fields: dict[str, Array], bins: Array) -> pa.Array:
    """The worst bins as an Arrow array of lists, which are no longer than a slice has bins; null without bins."""
    listed = np.minimum(bins, WORST).astype(np.int32)
    kept = np.arange(WORST) < listed[:, np.newaxis]
    entries = pa.StructArray.from_arrays([pa.array(fields[name][kept]) for name in BIN], names=list(BIN))
    offsets = np.concatenate([[0], np.cumsum(listed, dtype=np.int32)]).astype(np.int32)
    # A list is null if its offset is null.
    return pa.ListArray.from_arrays(pa.array(offsets, mask=np.append(listed == 0, False)), entries)
