"""The table of metrics of a state."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial, reduce

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, BooleanType, DataType, DoubleType, LongType, StructField, StructType

from logloss_spark.roles import By, grouping_sets, slices_of
from logloss_spark.rows.status import STATUSES
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.slices import check_names, check_slices, inner_names, rolled_up
from logloss_spark.states.stored import read_conventions
from logloss_spark.statistics.catalogue import CENTRAL, COUNTS, LEADING, LISTS, PER_CLASS, TRAILING, columns_of_loss
from logloss_spark.statistics.metrics import metrics_of
from logloss_spark.statistics.reporting import Reporting
from logloss_spark.tables.pivot import PIECE, arrow_metric, in_reading_order, one_row_per_slice, sums_of

METRICS = (*LEADING, *CENTRAL, *TRAILING)


def metrics(
    state: DataFrame,
    *,
    by: By = (),
    confidence: float = 0.95,
    ece_bins: int = 10,
    baseline: float | Sequence[float] | None = None,
) -> DataFrame:
    """Metrics of a state: of everything in it, and of the grouping sets asked for.

    Parameters
    ----------
    state : DataFrame
        A state, from `Evaluation.state`, `merge` or storage.
    by : str, list of one str, or list of lists of str
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
    return metrics_table(state, read_conventions(state), grouping_sets(by), reporting)


def reporting_of(*, confidence: float, ece_bins: int, baseline: float | Sequence[float] | None) -> Reporting:
    """The options of a report, checked."""
    shares = tuple(baseline) if isinstance(baseline, Iterable) else baseline
    return Reporting(confidence=confidence, ece_bins=ece_bins, baseline=shares)


def metrics_table(
    state: DataFrame,
    conventions: Conventions,
    by: tuple[tuple[str, ...], ...],
    reporting: Reporting,
    *,
    scores: DataFrame | None = None,
    of_rows: Collection[str] = (),
    then: Sequence[Callable[[DataFrame], DataFrame]] = (),
) -> DataFrame:
    """What `metrics` returns, for a state whose conventions are known.

    Before its slices get their names, `then` is done. `scores` are those of `exact.scores_of`; what `of_rows` names,
    "auc" or "calibration", is read off them.
    """
    columns = columns_of_loss(METRICS, conventions.loss)
    check_slices(conventions, by)
    check_names(slices_of(by), columns.values())
    reporting.shares(len(conventions.classes))
    wide = one_row_per_slice(rolled_up(state, conventions, by), conventions, slices_of(by), scores)
    kept = [*inner_names(by).values(), "grouping_id", "slice", "rows", *STATUSES, "n"]
    fields = [wide.schema[name] for name in kept] + [
        StructField(column, metric_type(name, conventions)) for name, column in columns.items()
    ]
    measured = partial(measured_batches, conventions=conventions, reporting=reporting, kept=kept, of_rows=of_rows)

    def on_arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return measured(batches)

    table = reduce(lambda table, step: step(table), then, wide.mapInArrow(on_arrow, StructType(fields)))
    loss = columns["log_loss"]
    leading = ["rows", "n", loss, f"{loss}_low", f"{loss}_high", f"{loss}_se"]
    return in_reading_order(table, inner_names(by), leading)


def metric_type(name: str, conventions: Conventions) -> DataType:
    """The Spark type of a metric's column."""
    if name in COUNTS:
        return LongType()
    if name == "few":
        return BooleanType()
    if name in LISTS:
        return ArrayType(DoubleType())
    per_class = (
        not conventions.scalar and name.removesuffix("_se").removesuffix("_low").removesuffix("_high") in PER_CLASS
    )
    return ArrayType(DoubleType()) if per_class else DoubleType()


def measured_batches(
    batches: Iterable[pa.RecordBatch],
    *,
    conventions: Conventions,
    reporting: Reporting,
    kept: Sequence[str],
    of_rows: Collection[str],
) -> Iterator[pa.RecordBatch]:
    """Rows of `one_row_per_slice` as rows of metrics."""
    for whole in batches:
        for start in range(0, whole.num_rows, PIECE):
            batch = whole.slice(start, PIECE)
            found = metrics_of(sums_of(batch, conventions, of_rows), reporting)
            columns = columns_of_loss(found, conventions.loss)
            arrays = [batch.column(name) for name in kept] + [arrow_metric(name, found[name]) for name in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=[*kept, *columns.values()])
