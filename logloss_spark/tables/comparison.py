"""The table of a comparison: a row per slice and challenger, with verdicts that look at all slices together."""

from collections.abc import Sequence
from functools import partial

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField

from logloss_spark.kernels.status import STATUSES
from logloss_spark.roles import slices_of
from logloss_spark.rows.bins import literal_texts
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import PAIR, low_of
from logloss_spark.states.slices import check_names, check_slices, inner_names, map_slices, rolled_up, slice_text
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import COMPARISON, PAIRED, by_column
from logloss_spark.statistics.intervals import FEW_BUCKETS, FEW_ROWS
from logloss_spark.statistics.paired import BucketSums, paired_metrics
from logloss_spark.tables.pivot import PIECE, arrow_metric, in_reading_order, spark_type, sums_in, unscaled_weight
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
    measure = partial(paired_metrics_of_batch, clustered=conventions.buckets > 0, confidence=confidence)
    judged = judge(map_slices(wide, measure, kept=kept, fields=fields, piece=PIECE), confidence)
    judged = judged.withColumn("weight", unscaled_weight(F.col("weight"), conventions))
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


def paired_metrics_of_batch(batch: pa.RecordBatch, *, clustered: bool, confidence: float) -> list[pa.Array]:
    """The metrics of a batch of `one_row_per_challenger`."""
    sums = {name: sums_in(batch, name) for name in SUMMED}
    found = paired_metrics(sums, buckets_in(batch.column("buckets")) if clustered else None, confidence)
    return [arrow_metric(metric, found[name]) for name, metric in MEASURED.items()]


def buckets_in(lists: pa.ListArray) -> BucketSums:
    """Lists of the sums `w` and `wd` of buckets of clusters as arrays."""
    entries = lists.flatten()
    weight, difference = (entries.field(name).to_numpy(zero_copy_only=False) for name in ("w", "wd"))
    return BucketSums(lists.value_lengths().to_numpy(zero_copy_only=False), weight, difference)


def judge(table: DataFrame, confidence: float) -> DataFrame:
    """Add the columns `p_adjusted` and `verdict`.

    The p-values of a challenger are adjusted over the slices of each grouping set. The global row is a set of its own.
    """
    adjusted = with_adjusted(table, "p_value", "p_adjusted", ["grouping_id", "challenger"])
    found = F.col("p_adjusted") <= 1.0 - confidence
    verdict = F.when(found, F.when(F.col("difference") < 0, "better").otherwise("worse")).otherwise("no evidence")
    return adjusted.withColumn("verdict", verdict)
