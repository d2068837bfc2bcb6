"""From a state to tables of metrics and of reliability: lazy DataFrames, whatever the number of slices."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, DoubleType, LongType, StructField, StructType

from logloss_spark.errors import SpecError, did_you_mean
from logloss_spark.evaluate.state import (
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
    Scale,
    equal_width_cells,
    inner_names,
    low_of,
    rolled_up,
)
from logloss_spark.evaluate.stored import read_scale
from logloss_spark.kernels.grid import coarse_edges
from logloss_spark.kernels.sums import Array, two_sum
from logloss_spark.rows.bins import literal_array
from logloss_spark.rows.inputs import slice_name
from logloss_spark.rows.status import STATUSES
from logloss_spark.spec import grouping_sets, slices_of
from logloss_spark.statistics.calibration import Cells, ClassCells, Scores
from logloss_spark.statistics.catalogue import CENTRAL, COUNTS, LEADING, LISTS, PER_CLASS, TRAILING, columns_of_loss
from logloss_spark.statistics.distributions import normal_quantile
from logloss_spark.statistics.metrics import Sums, metrics_of
from logloss_spark.statistics.reporting import Reporting

METRICS = (*LEADING, *CENTRAL, *TRAILING)

OF_SLICE = ("grouping_id", "slice")
RELIABILITY = (
    "bin",
    "bin_low",
    "bin_high",
    "n",
    "weight",
    "n_eff",
    "prediction_mean",
    "label_mean",
    "label_low",
    "label_high",
    "consistency_low",
    "consistency_high",
)
BY_CLASS = ("class", "n", "weight", "label_mean", "prediction_mean", "calibration_ratio")
"""The columns of these tables besides the slices, but for the loss, which may have another name."""

PIECE = 256
"""Slices that are measured together: their sums by bucket and bin, where there are clusters, fill some 100 MB."""


def metrics(
    state: DataFrame,
    *,
    by: Sequence[Sequence[str]] = (),
    confidence: float = 0.95,
    ece_bins: int = 10,
    baseline: float | Sequence[float] | None = None,
) -> DataFrame:
    """Metrics of a state: of everything in it, and of the grouping sets asked for.

    Parameters
    ----------
    state : DataFrame
        A state, from `Evaluation.state`, `merge` or storage.
    by : list of lists of str
        Grouping sets of the state's slice columns.
    confidence, ece_bins, baseline :
        As in `evaluate`.

    Returns
    -------
    DataFrame, lazy, a row for all and one per slice. A metric is null where it is not defined. y is the label (1, 0 or
    its share) and p the forecast; means are weighted. The columns are

    - the slice columns, null where they were rolled up, and `slice`, the slice in words: `all`, `dt=2026-01-01`;
    - `rows`: rows read; `n`: rows scored whose weight is positive;
    - `log_loss`: mean loss, nats (`loss`, where it is another loss than cross-entropy);
    - `.._low`, `.._high`, `.._se`: ends of the interval, and standard error, of `log_loss`, `brier`,
      `normalized_entropy`, `information_gain`, `calibration_ratio`, `auc`, and with clusters `ece`;
    - `weight`: sum of weights; `n_eff`: (sum of weights)^2 / sum of their squares;
    - `minority`: rows of the rarer class; `few`: whether that, as far as weights let rows count, or the number of
      filled buckets of clusters is below 30: then intervals miss more often than they claim;
    - `buckets`: of the 64 buckets of clusters, those that hold rows; 0 without clusters;
    - `log_loss_bits`: log loss in bits; `perplexity`: e^log_loss;
    - `label_entropy`: the log loss of forecasting its class shares to the whole slice;
    - `normalized_entropy`: log loss over that of forecasting the baseline (by default the slice's own shares): below 1
      is better than knowing the shares alone; `information_gain`: 1 - that;
    - `label_mean`, `prediction_mean`: mean of y and of p, per class where there are K; `calibration_ratio`: the second
      over the first, above 1 where too much is forecast;
    - `prediction_entropy`: the log loss that the forecasts themselves expect; `overconfidence`: log loss - that;
    - `kl_marginal`: KL(mean of y || mean of p);
    - `brier`: mean of (p - y)^2, for K classes of its sum over them;
    - `ece`, `mce`: mean and largest distance of mean p from mean y in equal-width bins (of K classes, for the top one);
      `ece_debiased`: a root mean square of that distance, without what chance adds; `ece_adaptive`: `ece` in bins of
      equal weight;
    - `log_loss_resolution`, `log_loss_reliability`, `log_loss_rest`: log_loss = label_entropy - resolution +
      reliability + rest, by the same bins; `log_loss_discrimination`, `log_loss_miscalibration`, `log_loss_corp_rest`:
      label_entropy - discrimination + miscalibration + rest, by the isotonic fit (CORP); `brier_..`: the six of Brier;
    - `spiegelhalter_z`, `expected_loss_z`, each with `.._p_value`: whether Brier, and log loss, are what the forecasts
      expect;
    - `cox_intercept`, `cox_slope`: of the logistic regression of y on logit p; 0 and 1 where p means what it says;
    - `auc`, `average_precision`, `ks`: how well p ranks; `.._bound`: how far off each may be, since rows of one cell of
      the grid of scores count as ties (`evaluate` reads these and CORP off up to 10,000 rows themselves, so that its
      numbers are the exact ones and may differ from those of its state); `class_auc`: for up to 32 classes that of each
      class against the rest, of which `auc` is then the mean;
    - `accuracy`: share of rows whose likeliest class happened; `top_k_accuracy`: share of those whose class was among
      the k likeliest, k = 1 to 5, for K classes;
    - `clipped`, `zero`: rows that gave what happened a probability below eps, and of 0; with `.._weight` and
      `.._loss_share`, their part of the loss;
    - `grouping_id`: which slice columns were rolled up, as bits, the last column's the lowest;
    - `ok`, `null_label`, ..: how many rows have each status. They sum to `rows`.

    Raises
    ------
    SpecError
        A table that is no state, or a slice column that it does not have.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
    >>> state = ls.evaluate(df, label="label", prediction="p", by=[["day"]]).state
    >>> ls.metrics(state).select("slice", "n", F.round("log_loss", 4).alias("log_loss")).show()
    +-----+---+--------+
    |slice|  n|log_loss|
    +-----+---+--------+
    |  all|  2|  0.1643|
    +-----+---+--------+
    <BLANKLINE>
    """
    reporting = reporting_of(confidence=confidence, ece_bins=ece_bins, baseline=baseline)
    return metrics_table(state, read_scale(state), grouping_sets(by), reporting)


def reliability(
    state: DataFrame, *, by: Sequence[Sequence[str]] = (), confidence: float = 0.95, ece_bins: int = 10
) -> DataFrame:
    """The reliability table of a state: per slice and bin of the score what was forecast and what happened.

    Parameters
    ----------
    state, by, confidence, ece_bins :
        As in `metrics`. For K classes the score is the top class's probability, and the label whether it happened.

    Returns
    -------
    DataFrame, lazy: the slice columns, `grouping_id`, `slice`, `bin` (0..ece_bins-1), `bin_low`, `bin_high`, `n`,
    `weight`, `n_eff`, `prediction_mean`, `label_mean` and `log_loss` (`loss` of another loss), for bins that hold rows;
    `label_low` and `label_high`, Wilson's interval of the mean label for n_eff rows; `consistency_low` and
    `consistency_high`, where it would lie if forecasts meant what they say

    Raises
    ------
    SpecError
        A table that is no state, or a slice column that it does not have.
    """
    return reliability_table(
        state, read_scale(state), grouping_sets(by), Reporting(confidence=confidence, ece_bins=ece_bins)
    )


def by_class(state: DataFrame, *, by: Sequence[Sequence[str]] = ()) -> DataFrame:
    """A state by the class that happened: what each was forecast, how often it happened, its part of the loss.

    Parameters
    ----------
    state, by :
        As in `metrics`.

    Returns
    -------
    DataFrame, lazy: the slice columns, `grouping_id`, `slice`, `class`, `n` (rows in which it happened), `weight`,
    `label_mean`, `prediction_mean`, `calibration_ratio`, `log_loss` (the mean where it happened; null for the shares of
    a binary label) and `log_loss_share`, its part of the slice's loss

    Raises
    ------
    SpecError
        A table that is no state, or a slice column that it does not have.
    """
    return class_table(state, read_scale(state), grouping_sets(by))


def reporting_of(*, confidence: float, ece_bins: int, baseline: float | Sequence[float] | None) -> Reporting:
    """The options of a report, checked."""
    shares = tuple(baseline) if isinstance(baseline, Iterable) else baseline
    return Reporting(confidence=confidence, ece_bins=ece_bins, baseline=shares)


def metrics_table(
    state: DataFrame,
    scale: Scale,
    by: tuple[tuple[str, ...], ...],
    reporting: Reporting,
    *,
    scores: DataFrame | None = None,
    of_rows: Collection[str] = (),
    then: Sequence[Callable[[DataFrame], DataFrame]] = (),
) -> DataFrame:
    """What `metrics` returns, for a state whose scale is known; before its slices get their names, `then` is done.

    `scores` are those of `exact.scores_of`; what `of_rows` names, "auc" or "calibration", is read off them.
    """
    columns = columns_of_loss(METRICS, scale.loss)
    check_slices(scale, by)
    check_names(slices_of(by), columns.values())
    reporting.shares(len(scale.classes))
    wide = one_row_per_slice(rolled_up(state, scale, by), scale, slices_of(by), scores)
    kept = [*inner_names(by).values(), "grouping_id", "slice", "rows", *STATUSES, "n"]
    fields = [wide.schema[name] for name in kept] + [
        StructField(column, metric_type(name, scale)) for name, column in columns.items()
    ]
    measured = partial(measured_batches, scale=scale, reporting=reporting, kept=kept, of_rows=of_rows)

    def on_arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return measured(batches)

    table = reduce(lambda table, step: step(table), then, wide.mapInArrow(on_arrow, StructType(fields)))
    loss = columns["log_loss"]
    leading = ["rows", "n", loss, f"{loss}_low", f"{loss}_high", f"{loss}_se"]
    return in_reading_order(table, inner_names(by), leading)


def with_names(table: DataFrame, slices: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """A table whose slice columns are `slice_0`, ... with these of its columns, and the slices' own names."""
    keys = [slice_name(place) for place in range(len(slices))]
    named = [F.col(key).alias(name) for key, name in zip(keys, slices, strict=True)]
    return table.select(*named, *[name for name in columns if name not in keys])


def reliability_table(
    state: DataFrame, scale: Scale, by: tuple[tuple[str, ...], ...], reporting: Reporting
) -> DataFrame:
    """What `reliability` returns, for a state whose scale is known."""
    check_slices(scale, by)
    check_names(slices_of(by), reliability_columns(scale))
    cells = rolled_up(equal_width_cells(state, reporting.ece_bins), scale, by)
    edges = literal_array(coarse_edges(reporting.ece_bins), "double")
    slices = slices_of(by)
    rows, label, prediction = F.expr("w * w / w2"), F.expr("wy / w"), F.expr("wp / w")
    z = normal_quantile(reporting.confidence)
    middle = (label + z * z / 2 / rows) / (1 + z * z / rows)
    wilson = z * F.sqrt(label * (1 - label) / rows + z * z / 4 / rows / rows) / (1 + z * z / rows)
    consistent = z * F.sqrt("w2v") / F.col("w")
    table = cells.where("w > 0").select(
        *inner_names(by).values(),
        "grouping_id",
        slice_text(slices).alias("slice"),
        F.col("place").alias("bin"),
        F.get(edges, F.col("place")).alias("bin_low"),
        F.get(edges, F.col("place") + 1).alias("bin_high"),
        "n",
        true_weight(F.col("w"), scale).alias("weight"),
        rows.alias("n_eff"),
        prediction.alias("prediction_mean"),
        label.alias("label_mean"),
        F.greatest(middle - wilson, F.lit(0.0)).alias("label_low"),
        F.least(middle + wilson, F.lit(1.0)).alias("label_high"),
        F.greatest(prediction - consistent, F.lit(0.0)).alias("consistency_low"),
        F.least(prediction + consistent, F.lit(1.0)).alias("consistency_high"),
        F.expr("wl / w").alias(columns_of_loss(["log_loss"], scale.loss)["log_loss"]),
    )
    return with_names(table, slices, reliability_columns(scale))


def class_table(state: DataFrame, scale: Scale, by: tuple[tuple[str, ...], ...]) -> DataFrame:
    """What `by_class` returns, for a state whose scale is known."""
    check_slices(scale, by)
    check_names(slices_of(by), class_table_columns(scale))
    slices = slices_of(by)
    wide = one_row_per_slice(rolled_up(state.where("part IN ('moments', 'class')"), scale, by), scale, slices)
    own = {name: F.col("class")[name] for name in class_columns(scale)}
    weight = F.expr("w + w_low")
    if scale.scalar:  # the sums of the negative class are what the positive one leaves
        positive, of_positive = (
            F.col("class.place") == 1,
            {name: F.expr(f"{name} + {name}_low") for name in ("wy", "wp")},
        )
        own |= {name: F.when(positive, total).otherwise(weight - total) for name, total in of_positive.items()}
    else:
        own |= {name: own[name] + own[low_of(name)] for name in ("wy", "wp")}
    loss = own["wl" if scale.scalar else "wly"]
    names = F.array(*[F.lit(str(name)) for name in scale.classes])
    named = columns_of_loss(["log_loss", "log_loss_share"], scale.loss)
    table = wide.withColumn("class", F.explode("classes")).select(
        *inner_names(by).values(),
        "grouping_id",
        "slice",
        F.get(names, F.col("class.place")).alias("class"),
        own["n"].alias("n"),
        true_weight(own["wy"], scale).alias("weight"),
        (own["wy"] / weight).alias("label_mean"),
        (own["wp"] / weight).alias("prediction_mean"),
        F.try_divide(own["wp"], own["wy"]).alias("calibration_ratio"),
        F.try_divide(loss, own["wy"]).alias(named["log_loss"]),
        F.try_divide(loss, F.expr("wl + wl_low")).alias(named["log_loss_share"]),
    )
    return with_names(table, slices, class_table_columns(scale))


def reliability_columns(scale: Scale) -> list[str]:
    """The columns of a reliability table besides the slices."""
    return [*OF_SLICE, *RELIABILITY, *columns_of_loss(["log_loss"], scale.loss).values()]


def class_table_columns(scale: Scale) -> list[str]:
    """The columns of a table by class besides the slices."""
    return [*OF_SLICE, *BY_CLASS, *columns_of_loss(["log_loss", "log_loss_share"], scale.loss).values()]


def check_names(slices: Sequence[str], results: Iterable[str]) -> None:
    """Raise SpecError where a slice column has the name of a column of the tables that it would be in."""
    taken = {name.casefold() for name in (*OF_SLICE, "rows", "n", *STATUSES, *results)}
    for name in slices:
        if name.casefold() in taken:
            raise SpecError(
                f"a slice column must not have the name of a result, and {name!r} has: "
                f"rename it, as in df.withColumnRenamed({name!r}, {name + '_slice'!r})"
            )


def true_weight(weight: Column, scale: Scale) -> Column:
    """A sum of weights in units of 1, null where that is beyond a double."""
    if not scale.weight_exponent:
        return weight
    first = scale.weight_exponent // 2  # the whole power need not be a double
    found = weight * 2.0**first * 2.0 ** (scale.weight_exponent - first)
    return F.when(found < F.lit(float("inf")), found)


def in_reading_order(table: DataFrame, inner: Mapping[str, str], leading: Sequence[str]) -> DataFrame:
    """A table of metrics with its columns as a reader wants them: slices, what leads, all else, and statuses last.

    `inner` maps the slice columns to what they are called in the table.
    """
    first, last = ["slice", *leading], ["grouping_id", *STATUSES]
    others = [name for name in table.columns if name not in (*inner.values(), *first, *last)]
    return table.select(*[F.col(alias).alias(name) for name, alias in inner.items()], *first, *others, *last)


def check_slices(scale: Scale, by: Sequence[Sequence[str]]) -> None:
    """Raise SpecError unless the state was sliced by all these columns."""
    for name in slices_of(by):
        if name not in scale.slices:
            raise SpecError(f"slice column {name!r} is not in the state; {did_you_mean(name, scale.slices)}")


def slice_text(slices: Sequence[str]) -> Column:
    """A slice of the columns `slice_0`, ... in words: `all`, `dt=2026-01-01`, `dt=2026-01-01/segment=a`.

    A null value is `null`, and the word null is `"null"`. Words are for a reader; the slice columns are exact.
    """
    words = [
        F.when(
            F.col("grouping_id").bitwiseAND(2 ** (len(slices) - 1 - at)) == 0,
            F.concat(F.lit(f"{name}="), value_text(F.col(slice_name(at)))),
        )
        for at, name in enumerate(slices)
    ]
    everything = F.col("grouping_id") == 2 ** len(slices) - 1
    return F.when(everything, "all").otherwise(F.concat_ws("/", *words)) if words else F.lit("all")


def value_text(value: Column) -> Column:
    """A value of a slice column in words; bytes that are not UTF-8 become the sign for what cannot be read."""
    text = F.make_valid_utf8(value.cast("string"))
    told_apart = F.when(text == "null", F.concat(F.lit('"'), text, F.lit('"'))).otherwise(text)
    return F.coalesce(told_apart, F.lit("null"))


def set_name(grouping_id: int, slices: Sequence[str]) -> str:
    """The columns of a grouping set; its number has a bit for each column rolled up, the last column's the lowest."""
    kept = [name for place, name in enumerate(reversed(slices)) if not grouping_id >> place & 1]
    return " and ".join(reversed(kept))


def one_row_per_slice(
    rolled: DataFrame, scale: Scale, slices: Sequence[str], scores: DataFrame | None = None
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
        *[of_part("moments", name, name) for name in ("n", *moments_of(scale))],
        *[of_part(part, name, f"{part}_{name}") for part in ("clipped", "zero") for name in ("n", *PARTIAL)],
        entries("cell", CELL, "cells"),
        entries("class", class_columns(scale), "classes"),
        entries("rank", ("w",), "ranks"),
        entries("class_cell", CLASS_CELL, "class_cells"),
        entries("bucket", BUCKET, "buckets"),
        entries("bucket_class", BUCKET_CLASS, "bucket_classes"),
        *by_score,
    )
    counted = wide.fillna(0, ["n", *STATUSES])
    return counted.withColumns({"rows": F.expr(" + ".join(STATUSES)), "slice": slice_text(slices)})


def moments_of(scale: Scale) -> tuple[str, ...]:
    """The moments that a slice of this scale has, besides `n`."""
    return MOMENTS + (BINARY_MOMENTS if scale.scalar else ())


def class_columns(scale: Scale) -> tuple[str, ...]:
    """The sums that a class of this scale has."""
    return ("n", "wl") if scale.scalar else ("n", *CLASS)


def metric_type(name: str, scale: Scale) -> DataType:
    """The Spark type of a metric's column."""
    if name in COUNTS:
        return LongType()
    if name == "few":
        return BooleanType()
    if name in LISTS:
        return ArrayType(DoubleType())
    per_class = not scale.scalar and name.removesuffix("_se").removesuffix("_low").removesuffix("_high") in PER_CLASS
    return ArrayType(DoubleType()) if per_class else DoubleType()


def measured_batches(
    batches: Iterable[pa.RecordBatch],
    *,
    scale: Scale,
    reporting: Reporting,
    kept: Sequence[str],
    of_rows: Collection[str],
) -> Iterator[pa.RecordBatch]:
    """Rows of `one_row_per_slice` as rows of metrics."""
    for whole in batches:
        for start in range(0, whole.num_rows, PIECE):
            batch = whole.slice(start, PIECE)
            found = metrics_of(sums_of(batch, scale, of_rows), reporting)
            columns = columns_of_loss(found, scale.loss)
            arrays = [batch.column(name) for name in kept] + [arrow_metric(name, found[name]) for name in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=[*kept, *columns.values()])


def sums_of(batch: pa.RecordBatch, scale: Scale, of_rows: Collection[str]) -> Sums:
    """The sums of a batch of slices as NumPy arrays; what a slice does not have is 0."""

    def column(name: str) -> Array:
        return batch.column(name).cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)

    classes = np.arange(len(scale.classes))
    bins = np.unique(places_of(batch.column("cells")))
    thin = np.unique(places_of(batch.column("buckets")) % BUCKET_STRIDE)
    scores = scores_in(batch.column("scores")) if "scores" in batch.schema.names else None
    return Sums(
        moments=in_full({name: column(name) for name in ("n", *moments_of(scale))}),
        classes=in_full(matrices(batch.column("classes"), class_columns(scale), classes)),
        cells=Cells.of_state(bins, matrices(batch.column("cells"), CELL, bins)),
        ranks=matrices(batch.column("ranks"), ("w",), np.arange(RANKS)),
        class_cells=class_cells_of(batch.column("class_cells"), len(classes)),
        clipped={name: column(f"clipped_{name}") for name in ("n", *PARTIAL)},
        zero={name: column(f"zero_{name}") for name in ("n", *PARTIAL)},
        buckets=by_bucket(batch.column("buckets"), BUCKET, BUCKET_STRIDE, thin, scale),
        bucket_classes=by_bucket(batch.column("bucket_classes"), BUCKET_CLASS, len(classes), classes, scale),
        thin=thin,
        scalar=scale.scalar,
        soft_labels=scale.soft_labels,
        clustered=scale.buckets > 0,
        shift=scale.shift,
        cap=scale.cap,
        least_loss=scale.least_loss,
        weight_exponent=scale.weight_exponent,
        ranked=scores if "auc" in of_rows else None,
        pooled=scores if "calibration" in of_rows else None,
    )


def scores_in(lists: pa.ListArray) -> Scores:
    """Sums by score as arrays."""
    return Scores(*matrices(lists, SCORE, np.unique(places_of(lists))).values())


def class_cells_of(lists: pa.ListArray, classes: int) -> ClassCells:
    """Cells by class as arrays; none where the state has none."""
    places = places_of(lists)
    if not places.size:
        return ClassCells(*(np.zeros((len(lists), 0, 0)) for _ in CLASS_CELL))
    bins = np.unique(places % BUCKET_STRIDE)
    wanted = (np.arange(classes)[:, np.newaxis] * BUCKET_STRIDE + bins).ravel()
    shape = len(lists), classes, len(bins)
    found = matrices(lists, CLASS_CELL, wanted)
    return ClassCells(*(found[name].reshape(shape) for name in CLASS_CELL))


def in_full(sums: Mapping[str, Array]) -> dict[str, Array]:
    """Sums of which those in two columns become the double that is nearest, and what it leaves."""
    together = {name: two_sum(sums[name], sums[low_of(name)]) for name in sums if low_of(name) in sums}
    return {**sums} | {
        column: values
        for name, parts in together.items()
        for column, values in zip((name, low_of(name)), parts, strict=True)
    }


def by_bucket(
    lists: pa.ListArray, names: Sequence[str], stride: int, bins: npt.NDArray[np.int64], scale: Scale
) -> dict[str, Array]:
    """Lists of structs whose `place` is stride * bucket + bin, as one (n, buckets, bins) array for each other field."""
    places = (np.arange(scale.buckets)[:, np.newaxis] * stride + bins).ravel()
    return {
        name: matrix.reshape(len(lists), scale.buckets, len(bins))
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


def arrow_metric(name: str, values: Array) -> pa.Array:
    """A metric as an Arrow array, null where it is NaN."""
    if name in COUNTS:
        return pa.array(values.astype(np.int64))
    if name == "few":
        return pa.array(values != 0.0)
    if name in LISTS and values.ndim == 1:
        return pa.nulls(len(values), pa.list_(pa.float64()))
    entries = pa.array(values.ravel(), from_pandas=True)
    if values.ndim == 1:
        return entries
    return pa.ListArray.from_arrays(np.arange(0, values.size + 1, values.shape[1], dtype=np.int32), entries)
