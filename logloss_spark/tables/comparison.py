"""The table of a comparison: differences of losses on the same rows, with their intervals and verdicts.

The difference of two mean losses is the mean of d = (challenger's loss - baseline's loss), so what is easy or hard
for both models cancels row by row. Its standard error is that of a weighted mean: with e = w (d - D) / W it is the
square root of n/(n-1) sum e^2; with clusters, of B/(B-1) times the sum over B buckets of (sum of e in the bucket)^2.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField

from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array, ratio_of_sums
from logloss_spark.roles import slices_of
from logloss_spark.rows.bins import literal_texts
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import PAIR, low_of
from logloss_spark.states.slices import check_names, check_slices, inner_names, map_slices, rolled_up, slice_text
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import COMPARISON, PAIRED, by_column, complete
from logloss_spark.statistics.distributions import normal_p_value, student_p_value
from logloss_spark.statistics.intervals import (
    FEW_BUCKETS,
    FEW_ROWS,
    centred_square,
    difference_of_sums,
    quantile_of,
    standard_error,
    with_interval,
)
from logloss_spark.tables.pivot import PIECE, arrow_metric, in_reading_order, spark_type, sums_in, true_weight
from logloss_spark.tables.verdicts import with_adjusted

MEASURED = by_column(PAIRED)


SUMMED = ("n", *PAIR)


def comparison_table(state: CheckedState, by: tuple[tuple[str, ...], ...], confidence: float) -> DataFrame:
    """What `State.comparison` returns."""
    conventions = state.conventions
    check_slices(conventions, by)
    check_names(slices_of(by), by_column(COMPARISON))
    wide = one_row_per_challenger(state.table, conventions, by)
    kept = [
        *inner_names(by).values(),
        "grouping_id",
        "slice",
        "baseline",
        "challenger",
        "rows",
        *STATUSES,
        "n",
        "n_eff",
        "minority",
        "few",
    ]
    fields = [StructField(name, spark_type(metric, scalar=True)) for name, metric in MEASURED.items()]
    measure = partial(measured_batch, clustered=conventions.buckets > 0, confidence=confidence)
    judged = judge(map_slices(wide, measure, kept=kept, fields=fields, piece=PIECE), confidence)
    judged = judged.withColumn("weight", true_weight(F.col("weight"), conventions))
    return in_reading_order(judged, inner_names(by), list(by_column(COMPARISON)))


def one_row_per_challenger(state: DataFrame, conventions: Conventions, by: Sequence[Sequence[str]]) -> DataFrame:
    """All sums of a slice and challenger in one row. Rows of a state without a model count for every challenger.

    `buckets` has `w` and `wd` of each bucket; `classes` is how many classes happened, and `rarest` how often the
    rarest of them did.
    """
    slices = slices_of(by)
    challengers, model = literal_texts(conventions.models[1:], "string"), F.col("model")
    rolled = rolled_up(state, conventions, by).withColumn(
        "model", F.explode(F.when(model.isNotNull(), F.array(model)).otherwise(challengers))
    )

    def of_part(part: str, sql: str, alias: str) -> Column:
        return F.expr(f"{sql} FILTER (WHERE part = '{part}') AS {alias}")

    wide = rolled.groupBy(*inner_names(by).values(), "grouping_id", "model").agg(
        *[of_part(status, "sum(n)", status) for status in STATUSES],
        *[of_part("pair", f"sum({name})", name) for name in SUMMED],
        of_part("pair", f"collect_list(struct(w + {low_of('w')} AS w, wd))", "buckets"),
        of_part("class", "count(n)", "classes"),
        of_part("class", "min(n)", "rarest"),
    )
    happen = 1 if conventions.soft_labels else len(conventions.classes)
    minority = F.coalesce(F.when(F.col("classes") == happen, F.col("rarest")), F.lit(0))
    counted = wide.fillna(0, ["n", *STATUSES]).withColumns(
        {
            "rows": F.expr(" + ".join(STATUSES)),
            "slice": slice_text(slices),
            "baseline": F.lit(conventions.models[0]),
            "challenger": F.col("model"),
            "minority": minority,
            "n_eff": F.expr("try_divide((w + w_low) * (w + w_low), w2)"),
        }
    )
    # Very uneven weights carry as little information as few rows, and so do few clusters.
    enough = F.col("minority") * F.least(F.try_divide("n_eff", "n"), F.lit(1.0)) >= FEW_ROWS
    if conventions.buckets:
        enough &= F.size("buckets") >= FEW_BUCKETS
    return counted.withColumn("few", ~F.coalesce(enough, F.lit(False)))


def measured_batch(batch: pa.RecordBatch, *, clustered: bool, confidence: float) -> list[pa.Array]:
    """The metrics of a batch of `one_row_per_challenger`."""
    sums = {name: sums_in(batch, name) for name in SUMMED}
    found = measured(sums, batch.column("buckets") if clustered else None, confidence)
    return [arrow_metric(metric, found[name]) for name, metric in MEASURED.items()]


def measured(sums: Mapping[str, Array], buckets: pa.ListArray | None, confidence: float) -> dict[str, Array]:
    """The metrics of n slices and challengers from their sums; NaN if a metric is not defined.

    `buckets` has a list of the sums `w` and `wd` of each bucket of clusters; it is None if rows are independent.
    """
    weight = sums["w"] + sums["w_low"]
    with np.errstate(all="ignore"):
        difference = sums["wd"] / weight
        if buckets is None:
            filled, independent = None, sums["n"]
            squares = centred_square(sums["w2dd"], sums["w2d"], sums["w2"], difference)
        else:
            filled = independent = buckets.value_lengths().to_numpy(zero_copy_only=False).astype(np.float64)
            squares = squares_of_buckets(buckets, difference)
        error = standard_error(squares / weight**2, independent)
        # Without any spread a difference of 0 has the p-value 1, and any other difference has none.
        statistic = np.where(error > 0.0, difference / error, np.where(difference == 0.0, error, np.nan))
        losses = {"baseline_log_loss": "wa", "challenger_log_loss": "wb"}
        shares = {
            "better_share": "w_better",
            "worse_share": "w_worse",
            "tie_share": "w_tie",
            "kl": "wk",
            "kl_reverse": "wr",
        }
        computed = {
            "weight": weight,
            **{name: mean_of(sums, total) for name, total in losses.items()},
            **{name: sums[total] / weight for name, total in shares.items()},
            **with_interval("difference", difference, error, quantile_of(confidence, filled)),
            "p_value": normal_p_value(statistic) if filled is None else student_p_value(statistic, filled - 1.0),
        }
    return complete(computed, PAIRED, scalar=True, n=len(weight))


def mean_of(sums: Mapping[str, Array], name: str) -> Array:
    """The mean from a sum that has two columns."""
    return ratio_of_sums(sums[name], sums[low_of(name)], sums["w"], sums["w_low"])


def squares_of_buckets(buckets: pa.ListArray, difference: Array) -> Array:
    """The sum over buckets of (sum of w (d - D))^2."""
    entries = buckets.flatten()
    weight, total = (entries.field(name).to_numpy(zero_copy_only=False) for name in ("w", "wd"))
    row = np.repeat(np.arange(len(buckets)), buckets.value_lengths().to_numpy(zero_copy_only=False))
    away = difference_of_sums(total, weight * difference[row])
    return np.bincount(row, weights=away**2, minlength=len(buckets)).astype(np.float64)


def judge(table: DataFrame, confidence: float) -> DataFrame:
    """Add the columns `p_adjusted` and `verdict`.

    The p-values of a challenger are adjusted over the slices of each grouping set. The global row is a set of its own.
    """
    adjusted = with_adjusted(table, "p_value", "p_adjusted", ["grouping_id", "challenger"])
    found = F.col("p_adjusted") <= 1.0 - confidence
    verdict = F.when(found, F.when(F.col("difference") < 0, "better").otherwise("worse")).otherwise("no evidence")
    return adjusted.withColumn("verdict", verdict)
