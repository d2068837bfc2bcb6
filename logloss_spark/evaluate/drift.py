"""Has the population moved: how far the scores and the classes of one state are from those of another.

Divergences are between the shares of weight in bins of the score, which are made of the cells of the reference: from
low to high, each as soon as it holds a twentieth of the reference's weight. So a bin is never rare in the reference,
and there are at most 20. Half a row is added to each bin of both sides (Krichevsky & Trofimov 1981): no share is 0.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, DoubleType, LongType, StructField, StructType

from logloss_spark.errors import SpecError
from logloss_spark.evaluate.state import WHOLE, Scale, low_of, read_scale, rolled_up
from logloss_spark.evaluate.tables import arrow_metric, check_slices, matrices, slice_text
from logloss_spark.kernels.divergence import binary_kl, kl
from logloss_spark.kernels.grid import BINS, EDGES, Bins
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.inputs import quoted, slice_name, types_of
from logloss_spark.rows.status import STATUSES
from logloss_spark.spec import grouping_sets, named, slices_of

MOST_BINS = 20
"""A bin holds at least one part in so many of the reference's weight."""

SLACK = 1e-12
"""Sums agree to this, relatively: a bin that holds just enough is closed whatever order its weights were added in."""

WORST = 3
"""Bins that are named."""

COMPARED = ("kind", "classes", "scalar", "grid")
"""What the scales of two states must share for their scores and classes to mean the same. How a row was scored (loss,
clip, eps), and whether its label was a class or a share, moves neither."""

LOW: Array = np.concatenate([[0.0], EDGES])
HIGH: Array = np.concatenate([[0.0], EDGES[1:], [1.0]])
"""Where each cell of the grid begins and ends. Exactly 0 and exactly 1 are cells that end where they begin."""

PARTS = ("moments", "cell", "class", *WHOLE, *STATUSES)
"""The parts of a state that are rolled up; a slice whose rows all could not be scored has statuses alone."""

SIDES = ("reference", "current")
COUNTED = tuple(f"{side}_{name}" for name in ("n", "weight") for side in SIDES)
MEASURES = (
    "bins",
    "kl",
    "reverse_kl",
    "psi",
    "psi_expected",
    "jensen_shannon",
    "jensen_shannon_distance",
    "reference_label_mean",
    "current_label_mean",
    "label_kl",
)
BIN = ("low", "high", "reference_share", "current_share", "contribution")
WORST_TYPE = ArrayType(StructType([StructField(name, DoubleType()) for name in BIN]))


@dataclass(frozen=True)
class Population:
    """One side of n slices: rows, sums of w and w^2 (n,), weights by cell of the grid (n, BINS), and mean labels.

    `label_mean` is of shape (n,), or (n, K) where the forecast is one per class. What a slice does not have is 0, and
    its mean label NaN.
    """

    n: Array
    w: Array
    w2: Array
    cells: Array
    label_mean: Array


def drift(
    reference_state: DataFrame,
    current_state: DataFrame,
    *,
    by: Sequence[Sequence[str]] = (),
    partition: str | None = None,
) -> DataFrame:
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

    Returns
    -------
    DataFrame, lazy, but the fingerprints of the states are read at once. A row per slice that either state has, with
    the slice columns (the partition first), `grouping_id`, `slice`, `reference_n`, `current_n`, `reference_weight`,
    `current_weight`, and in nats, null where either side has no rows:

    - `bins`: G, the bins that are compared. Where the reference's scores all lie in one, no move of them can be seen.
    - `kl`: KL(current || reference) of the shares (n_eff W_b/W + 1/2) / (n_eff + G/2); `reverse_kl`: the other way.
    - `psi`: population stability index, the sum of both; `psi_expected`: (G - 1)(1/n_eff + 1/m_eff), its mean
      where nothing but chance is at work.
    - `jensen_shannon`, in [0, ln 2], and its root `jensen_shannon_distance`, a metric.
    - `reference_label_mean`, `current_label_mean`: of the positive class, or an array with an entry per class.
    - `label_kl`: KL(current || reference) of the class shares as they are; infinite for a class new to the reference.
    - `worst`: the three bins that add most to psi, array<struct<low, high, reference_share, current_share,
      contribution>>, by probability: [low, high), the last one with its end; a bin that is exactly 0 or exactly 1 ends
      where it begins.

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
    >>> moved = ls.drift(state.where("day = 'mon'"), state, partition="day").orderBy("day")
    >>> moved.select("slice", "bins", *[F.round(name, 2).alias(name) for name in ("psi", "psi_expected")]).show()
    +-------+----+----+------------+
    |  slice|bins| psi|psi_expected|
    +-------+----+----+------------+
    |day=mon|  12| 0.0|        0.92|
    |day=tue|  12| 0.0|        0.92|
    |day=wed|  12|2.85|        0.92|
    +-------+----+----+------------+
    <BLANKLINE>

    References
    ----------
    Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991). Yurdakul, Statistical
    properties of population stability index (2018), for its mean without drift.
    """
    scales = [read_scale(state) for state in (reference_state, current_state)]
    reference_types, current_types = types_of(reference_state), types_of(current_state)
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
    check_names(slices)

    old, new = (state.where(F.col("part").isin(*PARTS)) for state in (reference_state, current_state))
    reference = rolled_up(old, scales[0], sets)
    if partition is None:
        current = rolled_up(new, scales[1], sets)
    else:
        partitions = new.where(~F.col("part").isin(*WHOLE)).select(quoted(partition)).distinct()
        reference = reference.crossJoin(partitions)
        # The partition's bit is the highest: once its total is gone, grouping_id is what the reference has.
        of_each = rolled_up(new, scales[1], [(*of_partition, *names) for names in ((), *sets)])
        current = of_each.where(F.col("grouping_id") < 2 ** len(common))
    return measured(both_sides(reference, current, slices), slices, scales[0])


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


def check_names(slices: Sequence[str]) -> None:
    """Raise SpecError where a slice column has the name of a result."""
    for name in slices:
        if name.casefold() in (*COUNTED, *MEASURES, "worst"):
            raise SpecError(
                f"a slice column must not have the name of a result, and {name!r} has: "
                f"rename it in the rows, as in df.withColumnRenamed({name!r}, {name + '_slice'!r}), and evaluate again"
            )


def both_sides(reference: DataFrame, current: DataFrame, slices: Sequence[str]) -> DataFrame:
    """Two states that were rolled up, in one row per slice that either has; its columns are `slice_0`, ..."""
    # mapInArrow looks columns up by unquoted names, and a slice column may have any.
    keys = [quoted(name).alias(slice_name(place)) for place, name in enumerate(slices)]
    in_full = [F.expr(f"{name} + coalesce({low_of(name)}, 0D) AS {name}") for name in ("w", "wy")]
    together = [
        rolled.select(*keys, "grouping_id", "part", "place", "n", "w2", *in_full, F.lit(side).alias("side"))
        for side, rolled in zip(SIDES, (reference, current), strict=True)
    ]
    inner = [slice_name(place) for place in range(len(slices))]
    sums = [column for side in SIDES for column in sums_of_side(side)]
    return together[0].unionByName(together[1]).groupBy(*inner, "grouping_id").agg(*sums)


def sums_of_side(side: str) -> list[Column]:
    """What `Population` holds of one side of a slice, its cells and classes as arrays of structs."""

    def of(part: str) -> str:
        return f"FILTER (WHERE side = '{side}' AND part = '{part}')"

    moments = {"n": "n", "w": "weight", "w2": "w2", "wy": "wy"}
    return [
        *[F.expr(f"coalesce(sum({name}) {of('moments')}, 0) AS {side}_{alias}") for name, alias in moments.items()],
        F.expr(f"collect_list(struct(place, w)) {of('cell')} AS {side}_cells"),
        F.expr(f"collect_list(struct(place, wy)) {of('class')} AS {side}_classes"),
    ]


def measured(wide: DataFrame, slices: Sequence[str], scale: Scale) -> DataFrame:
    """The result of `drift` from `both_sides`."""
    inner = {slice_name(place): name for place, name in enumerate(slices)}
    kept = [*inner, "grouping_id", *COUNTED]
    fields = [wide.schema[name] for name in kept]
    fields += [StructField(name, measure_type(name, scale)) for name in MEASURES]
    fields += [StructField("worst", WORST_TYPE)]
    measure = partial(measured_batches, scale=scale, kept=kept)

    def on_arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return measure(batches)

    named = wide.mapInArrow(on_arrow, StructType(fields)).withColumnsRenamed(inner)
    columns = [*map(quoted, slices), F.col("grouping_id"), slice_text(slices).alias("slice")]
    return named.select(*columns, *COUNTED, *MEASURES, "worst")


def measure_type(name: str, scale: Scale) -> DataType:
    """The Spark type of a measure's column."""
    if name == "bins":
        return LongType()
    return ArrayType(DoubleType()) if name.endswith("label_mean") and not scale.scalar else DoubleType()


def measured_batches(
    batches: Iterable[pa.RecordBatch], *, scale: Scale, kept: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Rows of `both_sides` as rows of measures."""
    for batch in batches:
        reference, current = (population(batch, side, scale) for side in SIDES)
        starts = merged_bins(reference.cells)
        shares = [smoothed_shares(side, starts) for side in (reference, current)]
        found = measures(reference, current, starts, *shares)
        arrays = [batch.column(name) for name in kept]
        arrays += [arrow_measure(name, found[name]) for name in MEASURES]
        worst = arrow_bins(worst_bins(starts, *shares), np.where(np.isnan(found["psi"]), 0, found["bins"]))
        yield pa.RecordBatch.from_arrays([*arrays, worst], names=[*kept, *MEASURES, "worst"])


def population(batch: pa.RecordBatch, side: str, scale: Scale) -> Population:
    """One side of a batch of slices as NumPy arrays."""
    n, w, w2, wy = (
        batch.column(f"{side}_{name}").to_numpy(zero_copy_only=False).astype(float)
        for name in ("n", "weight", "w2", "wy")
    )
    cells = matrices(batch.column(f"{side}_cells"), ["w"], np.arange(BINS))["w"]
    with np.errstate(all="ignore"):
        if scale.scalar:
            label_mean = wy / w
        else:
            classes = matrices(batch.column(f"{side}_classes"), ["wy"], np.arange(len(scale.classes)))
            label_mean = classes["wy"] / w[:, np.newaxis]
    return Population(n, w, w2, cells, label_mean)


def merged_bins(weights: Array) -> Bins:
    """Cells of the grid merged from low to high into bins of a twentieth of the weight or more.

    Parameters
    ----------
    weights : array of shape (n, BINS), of the reference

    Returns
    -------
    integer array of shape (n, MOST_BINS): the first cell of each bin, BINS where there is no such bin. The cells that
    are left over belong to the last bin.

    Examples
    --------
    >>> weights = np.zeros((1, BINS))
    >>> weights[0, [3, 5, 6, 7]] = [50.0, 46.0, 3.0, 1.0]
    >>> merged_bins(weights)[0, :3].tolist() == [0, 4, BINS]
    True
    """
    enough = weights.sum(axis=1) / MOST_BINS * (1.0 - SLACK)
    starts = np.zeros((len(weights), MOST_BINS + 1), dtype=np.int64)
    count, held = np.zeros(len(weights), dtype=np.int64), np.zeros(len(weights))
    for cell in range(BINS):
        held += weights[:, cell]
        full = np.flatnonzero((held > 0.0) & (held >= enough))
        count[full] += 1
        starts[full, count[full]] = cell + 1
        held[full] = 0.0
    unused = np.arange(MOST_BINS + 1) >= np.maximum(count, 1)[:, np.newaxis]
    return np.where(unused, BINS, starts)[:, :MOST_BINS]


def smoothed_shares(side: Population, starts: Bins) -> Array:
    """Shares of weight in merged bins, (n_eff W_b/W + 1/2) / (n_eff + G/2), of shape (n, MOST_BINS); 0 for no bin."""
    used = starts < BINS
    sums = np.zeros(starts.shape)
    first = np.arange(len(starts))[:, np.newaxis] * BINS + starts
    sums[used] = np.add.reduceat(side.cells.ravel(), first[used])
    with np.errstate(all="ignore"):
        half = (0.5 * one_over_n_eff(side))[:, np.newaxis]
        shares = (sums / side.w[:, np.newaxis] + half) / (1.0 + half * used.sum(axis=1, keepdims=True))
    return np.where(used, shares, 0.0)


def one_over_n_eff(side: Population) -> Array:
    """Sum of w^2 over the square of the sum of w; NaN where there are no rows."""
    with np.errstate(all="ignore"):
        return side.w2 / side.w / side.w


def measures(
    reference: Population, current: Population, starts: Bins, reference_shares: Array, current_shares: Array
) -> dict[str, Array]:
    """Every measure of every slice, by the names of `MEASURES`; NaN where it is not defined."""
    bins = (starts < BINS).sum(axis=1)
    middle = (reference_shares + current_shares) / 2.0
    forward, backward = kl(current_shares, reference_shares), kl(reference_shares, current_shares)
    jensen_shannon = (kl(current_shares, middle) + kl(reference_shares, middle)) / 2.0
    labels = current.label_mean, reference.label_mean
    between = {
        "bins": bins,
        "kl": forward,
        "reverse_kl": backward,
        "psi": forward + backward,
        "psi_expected": (bins - 1) * (one_over_n_eff(reference) + one_over_n_eff(current)),
        "jensen_shannon": jensen_shannon,
        "jensen_shannon_distance": np.sqrt(jensen_shannon),
        "label_kl": binary_kl(*labels) if current.label_mean.ndim == 1 else kl(*labels),
    }
    both = (reference.n > 0) & (current.n > 0)
    of_one = {"reference_label_mean": reference.label_mean, "current_label_mean": current.label_mean}
    return {name: np.where(both, values, np.nan) for name, values in between.items()} | of_one


def worst_bins(starts: Bins, reference_shares: Array, current_shares: Array) -> dict[str, Array]:
    """The bins that add most to psi, the worst first: each field of `BIN` as an array of shape (n, WORST)."""
    used = starts < BINS
    with np.errstate(all="ignore"):
        terms = (current_shares - reference_shares) * np.log(current_shares / reference_shares)
    contribution = np.where(used, terms, -1.0)
    after = np.concatenate([starts[:, 1:], np.full((len(starts), 1), BINS)], axis=1)
    fields = {
        "low": LOW[np.where(used, starts, 0)],
        "high": HIGH[after - 1],
        "reference_share": reference_shares,
        "current_share": current_shares,
        "contribution": contribution,
    }
    order = np.argsort(-contribution, axis=1, kind="stable")[:, :WORST]
    return {name: np.take_along_axis(values, order, axis=1) for name, values in fields.items()}


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
