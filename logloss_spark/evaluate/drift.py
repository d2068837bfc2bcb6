"""Has the population moved: the object that compares two states, and the tables that it is read off.

What is measured, and how, is in `statistics.drift`. No row is read again.
"""

import html
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, DoubleType, LongType, StructField, StructType

from logloss_spark.errors import SpecError, visible
from logloss_spark.evaluate.evaluation import plain
from logloss_spark.kernels.grid import BINS, THIN_BINS
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.inputs import quoted, slice_name, types_of
from logloss_spark.rows.status import STATUSES
from logloss_spark.spec import between, grouping_sets, named, slices_of
from logloss_spark.states.slices import set_name, slice_text, with_names
from logloss_spark.states.state import BUCKET_STRIDE, WHOLE, Scale, check_slices, low_of, rolled_up, slice_columns
from logloss_spark.states.stored import read_scale
from logloss_spark.statistics.drift import BIN, WORST, Population, measures
from logloss_spark.tables.pivot import arrow_metric, by_bucket, check_names, matrices, true_weight
from logloss_spark.tables.verdicts import with_adjusted

COMPARED = ("kind", "classes", "scalar", "grid")
"""What the scales of two states must share for their scores and classes to mean the same. How a row was scored (loss,
clip, eps), and whether its label was a class or a share, moves neither."""

PARTS = ("moments", "cell", "class", "bucket", "bucket_class", *WHOLE, *STATUSES)
"""The parts of a state that are rolled up; a slice whose rows all could not be scored has statuses alone."""

SUMS = {
    "moments": ("n", "w", "w2", "wy", "w2y", "w2yy"),
    "cell": ("w", "w2"),
    "class": ("wy", "w2y"),
    "bucket": ("w", "wy"),
    "bucket_class": ("wy",),
}
"""The sums of each part that are compared, of those that a state has."""

OF_LABEL = {"wy": "weight", "w2y": "w2"}
"""Sums of the positive class, and the sums of which the negative class has the rest."""

PIECE = 64
"""Slices that are measured together: their sums by bucket and bin, where there are clusters, fill some 20 MB."""

SIDES = ("reference", "current")
COUNTED = tuple(f"{side}_{name}" for name in ("n", "weight") for side in SIDES)
OF_SCORES = ("bins", "kl", "reverse_kl", "psi", "psi_expected", "jensen_shannon", "jensen_shannon_distance", "p_value")
OF_LABELS = ("reference_label_mean", "current_label_mean", "label_kl", "label_p_value")
MEASURES = (*OF_SCORES, *OF_LABELS)
JUDGED = ("p_adjusted", "scores_verdict", "label_p_adjusted", "labels_verdict")
WORST_TYPE = ArrayType(StructType([StructField(name, DoubleType()) for name in BIN]))

SMALL_PSI = 0.1
"""Below, a population is by convention taken as stable (Siddiqi, Credit Risk Scorecards, 2006), however sure it is that
it is not quite the same."""

SHOWN = (
    "slice",
    "reference_n",
    "current_n",
    "psi",
    "psi_expected",
    "p_adjusted",
    "scores_verdict",
    "reference_label_mean",
    "current_label_mean",
    "label_p_adjusted",
    "labels_verdict",
)
"""What a person is shown first; of labels of K classes their p-value and verdict alone."""

NAMED = 3
"""Slices that a sentence names."""


class Drift:
    """How far the current state has moved from the reference. Made by `drift`.

    Attributes
    ----------
    metrics : DataFrame
        One row per slice that either state has: see `drift`. It is lazy.

    What `to_pandas`, `show` and the notebook's table have collected once is kept.
    """

    def __init__(self, metrics: DataFrame, slices: Sequence[str], classes: Sequence[Any]) -> None:
        self.metrics, self._slices, self._classes = metrics, tuple(slices), tuple(classes)

    @cached_property
    def _collected(self) -> pd.DataFrame:
        frame = self.metrics.toPandas()
        return frame.sort_values(["grouping_id", "slice"], ascending=[False, True], ignore_index=True)

    def to_pandas(self, limit: int | None = None) -> pd.DataFrame:
        """The metrics as pandas, the global row first; all of them, or the first `limit`."""
        return self._collected.head(len(self._collected) if limit is None else limit).copy()

    def to_json(self) -> str:
        """The metrics as JSON, a list with an object per slice."""
        return json.dumps([plain(record) for record in self._collected.to_dict("records")], default=str)

    def show(self, limit: int = 20) -> None:
        """Print the main metrics of the first slices, and what all of them say."""
        print(self._text(limit))

    def __str__(self) -> str:
        """What `show` prints."""
        return self._text(20)

    def _text(self, limit: int) -> str:
        shown = summary(self.to_pandas(limit))
        width = int(shown["slice"].str.len().max()) if len(shown) else 0
        table = shown.to_string(index=False, na_rep="-", formatters={"slice": f"{{:<{width}}}".format})
        return "\n".join([table, *self._remarks(limit)])

    def remarks(self) -> list[str]:
        """What moved, in a line for scores and labels of each grouping set; the slices that moved most are named."""
        sets = self._collected.groupby("grouping_id", sort=False)
        return [line for _, of_set in sets for line in conclusions(of_set, self._slices, self._classes)]

    def _remarks(self, limit: int) -> list[str]:
        count = len(self._collected)
        return [*([f"the first {limit:,} of {count:,} slices"] if count > limit else []), *self.remarks()]

    def __repr__(self) -> str:
        by = f" by {', '.join(self._slices)}" if self._slices else ""
        return f"Drift of one state from another{by}: .show() prints its metrics"

    def _repr_html_(self) -> str:
        lines = "".join(f"<p>{html.escape(line)}</p>" for line in self._remarks(20))
        return summary(self.to_pandas(20)).to_html(index=False, notebook=True) + lines


def drift(
    reference_state: DataFrame,
    current_state: DataFrame,
    *,
    by: Sequence[Sequence[str]] = (),
    partition: str | None = None,
    confidence: float = 0.95,
) -> Drift:
    """How far the scores and the classes of a state have moved from those of another. No row is read again.

    Parameters
    ----------
    reference_state, current_state : DataFrame
        States, of this session or from storage; of the same kind of prediction and the same classes. They may be
        sliced by more columns than are asked for. Scores of K classes are those of the top class.
    by : list of lists of str
        Grouping sets of slice columns that both states have, beside the global row.
    partition : str, optional
        A slice column of the current state, such as the day: each of its values is compared, whole and by the grouping
        sets, with the one reference.
    confidence : float
        A verdict is given where an adjusted p-value is at most 1 less this.

    Returns
    -------
    Drift, which shows itself. The fingerprints of the states are read at once, all else when it is looked at. Its
    `metrics` has a row per slice that either state has, with the slice columns (the partition first), `grouping_id`,
    `slice`, `reference_n`, `current_n`, `reference_weight`, `current_weight`, and in nats, null where either side has
    no rows:

    - `bins`: G, the bins that are compared. Where the reference's scores all lie in one, no move of them can be seen.
    - `kl`: KL(current || reference) of the shares (n_eff W_b/W + 1/2) / (n_eff + G/2); `reverse_kl`: the other way.
    - `psi`: population stability index, the sum of both; `psi_expected`: its mean where nothing but chance is at work,
      (G - 1)(1/n + 1/m) where rows have one weight. Weights that go with the score, and clusters, change it.
    - `jensen_shannon`, in [0, ln 2], and its root `jensen_shannon_distance`, a metric.
    - `p_value`: the probability that chance alone makes as large a psi; with clusters, of a psi over the coarser bins
      that their buckets are counted in. Null where there is but one bin.
    - `reference_label_mean`, `current_label_mean`: of the positive class, or an array with an entry per class.
    - `label_kl`: KL(current || reference) of the class shares as they are; infinite for a class new to the reference.
    - `label_p_value`: the probability that chance alone moves the class shares as far (Pearson's chi-square; of shares
      as labels the z of their difference). Null for soft labels of more than two classes without clusters.
    - `p_adjusted`, `label_p_adjusted`: by Benjamini and Hochberg over the slices of a grouping set, the global row
      alone; the partitions are slices of one.
    - `scores_verdict`: 'moved', 'hardly moved' where psi is below 0.1, though not by chance, or 'no evidence';
      `labels_verdict`: 'moved' or 'no evidence'.
    - `worst`: the three bins that add most to psi, array<struct<low, high, reference_share, current_share,
      contribution>>, by probability: [low, high), the last one with its end; a bin that is exactly 0 or exactly 1 ends
      where it begins.

    Rows are taken as independent, and those of both states as different ones. With clusters in both states errors come
    from their buckets, and clusters may be in both: what a user does on both days cancels.

    Raises
    ------
    SpecError
        A table that is no state, states that cannot be compared, or a slice column that one does not have.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> days = {"mon": 0, "tue": 0, "wed": 25}
    >>> rows = [(day, hour % 2, (hour + later) / 50) for day, later in days.items() for hour in range(24)]
    >>> df = spark.createDataFrame(rows, "day string, label int, p double")
    >>> state = ls.evaluate(df, label="label", prediction="p", by=[["day"]]).state
    >>> moved = ls.drift(state.where("day = 'mon'"), state, partition="day")
    >>> moved.to_pandas()[["slice", "bins", "psi", "psi_expected", "scores_verdict"]].round(2)
         slice  bins   psi  psi_expected scores_verdict
    0  day=mon    12  0.00          0.92    no evidence
    1  day=tue    12  0.00          0.92    no evidence
    2  day=wed    12  2.85          0.92          moved

    References
    ----------
    Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991). Yurdakul, Statistical
    properties of population stability index (2018), for its mean without drift.
    """
    between("confidence", confidence, 0.0, 1.0)
    scales = [read_scale(state) for state in (reference_state, current_state)]
    reference_types, current_types = (
        {name: types_of(state)[column] for name, column in slice_columns(scale).items()}
        for state, scale in zip((reference_state, current_state), scales, strict=True)
    )
    check_comparable(*scales)
    sets = grouping_sets(by)
    common = slices_of(sets)
    if partition in common:
        raise SpecError(f"the reference is one for all partitions: {partition!r} is the partition, leave it out of by")
    of_partition = () if partition is None else named("partition", [partition])
    check_slices(scales[0], sets)
    check_slices(scales[1], [*sets, of_partition])
    check_types(reference_types, current_types, common)
    slices = (*of_partition, *common)
    check_names(slices, (*COUNTED, *MEASURES, *JUDGED, "worst"))

    old, new = (state.where(F.col("part").isin(*PARTS)) for state in (reference_state, current_state))
    reference = rolled_up(old, scales[0], sets)
    if partition is None:
        current = rolled_up(new, scales[1], sets)
    else:
        value = quoted(slice_columns(scales[1])[partition]).alias(slice_name(0))
        moved = {slice_name(place): slice_name(place + 1) for place in reversed(range(len(common)))}
        for key, after in moved.items():
            reference = reference.withColumnRenamed(key, after)
        reference = reference.crossJoin(new.where(~F.col("part").isin(*WHOLE)).select(value).distinct())
        # The partition's bit is the highest: once its total is gone, grouping_id is what the reference has.
        of_each = rolled_up(new, scales[1], [(*of_partition, *names) for names in ((), *sets)])
        current = of_each.where(F.col("grouping_id") < 2 ** len(common))
    found = judged(measured(both_sides(reference, current, slices, scales), slices, scales), confidence)
    return Drift(named_slices(found, slices), slices, scales[0].classes)


def check_comparable(reference: Scale, current: Scale) -> None:
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


def check_types(reference: dict[str, DataType], current: dict[str, DataType], slices: Sequence[str]) -> None:
    """Raise SpecError unless slice columns have the same types on both sides."""
    for name in slices:
        if reference[name] != current[name]:
            came = f"{reference[name].simpleString()} and {current[name].simpleString()}"
            raise SpecError(f"slice column {name!r} must have the same type in both states, and came as {came}")


def both_sides(reference: DataFrame, current: DataFrame, slices: Sequence[str], scales: Sequence[Scale]) -> DataFrame:
    """Two states that were rolled up, in one row per slice that either has; its columns are `slice_0`, ..."""
    # mapInArrow looks columns up by unquoted names, and a slice column may have any.
    keys = [slice_name(place) for place in range(len(slices))]
    names = dict.fromkeys(name for names in SUMS.values() for name in names if name in reference.columns)
    halves = [name for name in names if low_of(name) in reference.columns]
    in_full = {name: F.expr(f"{name} + coalesce({low_of(name)}, 0D)") for name in halves}
    sums = [in_full.get(name, F.col(name)).alias(name) for name in names]
    together = [
        rolled.select(*keys, "grouping_id", "part", "place", *sums, F.lit(side).alias("side"))
        for side, rolled in zip(SIDES, (reference, current), strict=True)
    ]
    inner = [slice_name(place) for place in range(len(slices))]
    columns = [column for side in SIDES for column in sums_of_side(side, names)]
    return together[0].unionByName(together[1]).groupBy(*inner, "grouping_id").agg(*columns)


def sums_of_side(side: str, names: Iterable[str]) -> list[Column]:
    """What `Population` holds of one side of a slice: its moments, and its other parts as arrays of structs."""
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


def measured(wide: DataFrame, slices: Sequence[str], scales: Sequence[Scale]) -> DataFrame:
    """What is measured of each slice of `both_sides` alone."""
    wide = wide.withColumnsRenamed({f"{side}_w": f"{side}_weight" for side in SIDES})
    kept = [*map(slice_name, range(len(slices))), "grouping_id", *COUNTED]
    fields = [wide.schema[name] for name in kept]
    fields += [StructField(name, measure_type(name, scales[0])) for name in MEASURES]
    fields += [StructField("worst", WORST_TYPE)]
    measure = partial(measured_batches, scales=tuple(scales), kept=kept)

    def on_arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return measure(batches)

    table = wide.mapInArrow(on_arrow, StructType(fields))
    weights = {f"{side}_weight": scale for side, scale in zip(SIDES, scales, strict=True)}
    return table.withColumns({name: true_weight(F.col(name), scale) for name, scale in weights.items()})


def judged(table: DataFrame, confidence: float) -> DataFrame:
    """The table with adjusted p-values and verdicts, each over the slices of a grouping set."""
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
    """The result of `drift`, with the names of its slice columns."""
    of_labels = [*OF_LABELS, "label_p_adjusted", "labels_verdict"]
    columns = ["grouping_id", "slice", *COUNTED, *OF_SCORES, "p_adjusted", "scores_verdict", *of_labels, "worst"]
    return with_names(table.withColumn("slice", slice_text(slices)), slices, columns)


def measure_type(name: str, scale: Scale) -> DataType:
    """The Spark type of a measure's column."""
    if name == "bins":
        return LongType()
    return ArrayType(DoubleType()) if name.endswith("label_mean") and not scale.scalar else DoubleType()


def measured_batches(
    batches: Iterable[pa.RecordBatch], *, scales: Sequence[Scale], kept: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Rows of `both_sides` as rows of measures."""
    for whole in batches:
        for start in range(0, whole.num_rows, PIECE):
            batch = whole.slice(start, PIECE)
            found, bins = measures(*(population(batch, place, scales) for place in range(len(SIDES))))
            arrays = [batch.column(name) for name in kept]
            arrays += [arrow_measure(name, found[name]) for name in MEASURES]
            worst = arrow_bins(bins, np.where(np.isnan(found["psi"]), 0, found["bins"]))
            yield pa.RecordBatch.from_arrays([*arrays, worst], names=[*kept, *MEASURES, "worst"])


def population(batch: pa.RecordBatch, place: int, scales: Sequence[Scale]) -> Population:
    """One side of a batch of slices as NumPy arrays. Clusters count where both sides have them."""
    side, scale = SIDES[place], scales[place]
    clustered = all(one.buckets for one in scales)

    def moment(name: str) -> Array:
        return np.asarray(batch.column(f"{side}_{name}").to_numpy(zero_copy_only=False), dtype=np.float64)

    weight, classes, thin = moment("weight"), np.arange(len(scale.classes)), np.arange(THIN_BINS)
    cells = matrices(batch.column(f"{side}_cell"), SUMS["cell"], np.arange(BINS))
    labels = {name: np.stack([moment(total) - moment(name), moment(name)], axis=1) for name, total in OF_LABEL.items()}
    if not scale.scalar:
        labels = matrices(batch.column(f"{side}_class"), SUMS["class"], classes)
    of_none = {name: np.zeros((len(weight), 0, 1)) for name in SUMS["bucket"]}
    buckets = (
        by_bucket(batch.column(f"{side}_bucket"), SUMS["bucket"], BUCKET_STRIDE, thin, scale) if clustered else of_none
    )
    positives = buckets["wy"].sum(axis=2, keepdims=True)
    bucket_labels = np.concatenate([buckets["w"].sum(axis=2, keepdims=True) - positives, positives], axis=2)
    if clustered and not scale.scalar:
        of_classes = batch.column(f"{side}_bucket_class")
        bucket_labels = by_bucket(of_classes, SUMS["bucket_class"], len(classes), classes, scale)["wy"]
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
        scalar=scale.scalar,
        soft_labels=scale.soft_labels,
    )


def arrow_measure(name: str, values: Array) -> pa.Array:
    """A measure as an Arrow array, null where it is NaN."""
    found = arrow_metric(name, values)
    return found.cast(pa.int64()) if name == "bins" else found


def arrow_bins(fields: dict[str, Array], bins: Array) -> pa.Array:
    """The worst bins as an Arrow array of lists, with no more entries than a slice has bins; null where it has none."""
    listed = np.minimum(bins, WORST).astype(np.int32)
    kept = np.arange(WORST) < listed[:, np.newaxis]
    entries = pa.StructArray.from_arrays([pa.array(fields[name][kept]) for name in BIN], names=list(BIN))
    offsets = np.concatenate([[0], np.cumsum(listed, dtype=np.int32)]).astype(np.int32)
    # A list is null where its offset is.
    return pa.ListArray.from_arrays(pa.array(offsets, mask=np.append(listed == 0, False)), entries)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """The main metrics of some slices, rounded. Columns with an entry per class are omitted."""
    numbers = frame[list(SHOWN)].assign(slice=frame["slice"].map(visible))
    per_class = [name for name in numbers if numbers[name].map(lambda value: isinstance(value, np.ndarray)).any()]
    return numbers.drop(columns=per_class).round(4)


def conclusions(of_set: pd.DataFrame, slices: Sequence[str], classes: Sequence[Any]) -> list[str]:
    """What a grouping set says, in a line for the scores and one for the labels."""
    first = of_set.iloc[0]
    if first["slice"] == "all":
        return [of_scores(first), of_labels(first, classes)]
    name = set_name(first["grouping_id"], slices)
    return [
        f"by {name}: {what} {on_slices(of_set, f'{what}_verdict', size)}"
        for what, size in (("scores", "psi"), ("labels", "label_kl"))
    ]


def of_scores(row: "pd.Series[Any]") -> str:
    """What a slice says of the scores."""
    if not (row["reference_n"] and row["current_n"]):
        return f"the {'current' if row['reference_n'] else 'reference'} state has no row of positive weight"
    found = {"no evidence": "no evidence that scores moved"}.get(
        row["scores_verdict"], f"scores {row['scores_verdict']}"
    )
    return f"{found}: psi {row['psi']:.4f}, by chance alone {row['psi_expected']:.4f}"


def of_labels(row: "pd.Series[Any]", classes: Sequence[Any]) -> str:
    """What a slice says of the labels; of K classes by the one whose share moved most."""
    found = "labels moved" if row["labels_verdict"] == "moved" else "no evidence that labels moved"
    before, after = (np.atleast_1d(np.asarray(row[f"{side}_label_mean"], dtype=float)) for side in SIDES)
    if np.isnan(before).any() or np.isnan(after).any():
        return found
    most = int(np.argmax(np.abs(after - before)))
    what = "mean label" if len(before) == 1 else f"share of class {visible(repr(classes[most]))}"
    return f"{found}: {what} {before[most]:.4f} to {after[most]:.4f}"


def on_slices(of_set: pd.DataFrame, verdict: str, size: str) -> str:
    """On how many slices each verdict is given, and on which: those that moved most, the first of all."""
    parts = []
    for word in ("moved", "hardly moved", "no evidence"):
        such = of_set[of_set[verdict] == word]
        if len(such):
            largest = such.sort_values(size, ascending=False, kind="stable")["slice"].head(NAMED).map(visible)
            names = "" if word == "no evidence" else f" ({', '.join(largest)}{', ...' if len(such) > NAMED else ''})"
            parts.append(f"{word} on {len(such):,} of {len(of_set):,}{names}")
    return ", ".join(parts)
