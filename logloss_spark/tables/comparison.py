"""The table of a comparison: a row per slice and challenger, with verdicts that look at all slices together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField

from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.roles import slices_of
from logloss_spark.rows.bins import literal_texts
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import Entries
from logloss_spark.states.schema import PAIR, low_of
from logloss_spark.states.slices import check_names, check_slices, inner_names, map_slices, rolled_up, slice_text
from logloss_spark.states.small import rolled_up_here
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import BUCKETS, COMPARISON, FEW, MINORITY, N_EFF, PAIRED, by_column
from logloss_spark.statistics.intervals import few, ratio, true_weight
from logloss_spark.statistics.multiplicity import adjusted_p_values
from logloss_spark.statistics.paired import BucketSums, paired_metrics
from logloss_spark.statistics.reporting import Coverage
from logloss_spark.tables.local import table_of_results, whole_numbers
from logloss_spark.tables.pivot import PIECE, arrow_metric, in_reading_order, spark_type, sums_in
from logloss_spark.tables.verdicts import with_adjusted

MEASURED = by_column((*PAIRED, N_EFF, MINORITY, BUCKETS, FEW))


SUMMED = ("n", *PAIR)


def comparison_table(
    state: CheckedState, by: tuple[tuple[str, ...], ...], coverage: Coverage
) -> DataFrame | LocalTable:
    """What `State.comparison` returns, computed where the state is."""
    if state.local:
        return comparison_here(state.local, state.conventions, by, coverage)
    return comparison_in_spark(state, by, coverage)


def comparison_in_spark(state: CheckedState, by: tuple[tuple[str, ...], ...], coverage: Coverage) -> DataFrame:
    """The comparison of a large state."""
    conventions = state.conventions
    check_comparison(conventions, by, coverage)
    wide = one_row_per_challenger(state.table, conventions, by)
    kept = [*inner_names(by).values(), "grouping_id", "slice", "baseline", "challenger", "rows", *STATUSES, "n"]
    fields = [StructField(name, spark_type(metric, scalar=True)) for name, metric in MEASURED.items()]
    measure = partial(paired_metrics_of_batch, conventions=conventions, coverage=coverage)
    judged = judge(map_slices(wide, measure, kept=kept, fields=fields, piece=PIECE), coverage.confidence)
    return in_reading_order(judged, inner_names(by), list(by_column(COMPARISON)))


def comparison_here(
    state: LocalTable, conventions: Conventions, by: tuple[tuple[str, ...], ...], coverage: Coverage
) -> LocalTable:
    """The comparison of a small state, computed on the driver."""
    check_comparison(conventions, by, coverage)
    parts = {**dict.fromkeys((*STATUSES, "class"), ("n",)), "pair": SUMMED}
    rolled = rolled_up_here(state, conventions, by, parts)
    found = measured(pairs_of(rolled.parts), conventions, coverage)
    counts = {status: rolled.parts[status].totals()["n"] for status in STATUSES}
    whole = counts | {"rows": np.sum(list(counts.values()), axis=0)}
    grouping_id = rolled.keys["grouping_id"].to_numpy()
    family = grouping_id * len(conventions.models) + rolled.challenger
    adjusted = adjusted_p_values(found["p_value"], family)
    verdict = np.where(found["difference"] < 0, "better", "worse")
    models = pa.array(conventions.models)
    columns = {name: arrow_metric(metric, found[name]) for name, metric in MEASURED.items()}
    columns |= {name: whole_numbers(count) for name, count in whole.items()}
    columns |= {
        "baseline": pa.repeat(conventions.models[0], len(adjusted)),
        "challenger": models.take(pa.array(rolled.challenger)),
        "n": whole_numbers(rolled.parts["pair"].added()["n"]),
        "p_adjusted": pa.array(adjusted, from_pandas=True),
        "verdict": pa.array(
            np.where(adjusted <= 1.0 - coverage.confidence, verdict, "no evidence").tolist(), pa.string()
        ),
    }
    types = {"slice": StringType()} | {
        name: spark_type(metric, scalar=True) for name, metric in by_column(COMPARISON).items()
    }
    types |= dict.fromkeys(("grouping_id", *STATUSES), LongType())
    return table_of_results(state, conventions, slices_of(by), rolled.keys, pa.table(columns), types)


def check_comparison(conventions: Conventions, by: tuple[tuple[str, ...], ...], coverage: Coverage) -> None:
    """Raise SpecError unless the state has these slices, their names fit the table, and there are such intervals."""
    coverage.check(clustered=conventions.buckets > 0)
    check_slices(conventions, by)
    check_names(slices_of(by), by_column(COMPARISON))


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
    return wide.fillna(0, ["n", *STATUSES]).withColumns(
        {
            "rows": F.expr(" + ".join(STATUSES)),
            "slice": slice_text(slices),
            "baseline": F.lit(conventions.models[0]),
            "challenger": F.col("model"),
        }
    )


@dataclass(frozen=True, eq=False)
class Pairs:
    """The sums of n slices and challengers.

    Attributes
    ----------
    sums : arrays of shape (n,) by the names of `SUMMED`
    buckets : the sums of buckets of clusters
    classes, rarest : arrays of shape (n,)
        How many classes happened, and how often the rarest of them did.
    """

    sums: Mapping[str, Array]
    buckets: BucketSums
    classes: Array
    rarest: Array


def paired_metrics_of_batch(batch: pa.RecordBatch, *, conventions: Conventions, coverage: Coverage) -> list[pa.Array]:
    """The metrics of a batch of `one_row_per_challenger`."""
    sums = {name: sums_in(batch, name) for name in SUMMED}
    pairs = Pairs(sums, buckets_in(batch.column("buckets")), sums_in(batch, "classes"), sums_in(batch, "rarest"))
    found = measured(pairs, conventions, coverage)
    return [arrow_metric(metric, found[name]) for name, metric in MEASURED.items()]


def buckets_in(lists: pa.ListArray) -> BucketSums:
    """Lists of the sums `w` and `wd` of buckets of clusters as arrays."""
    entries = lists.flatten()
    weight, difference = (entries.field(name).to_numpy(zero_copy_only=False) for name in ("w", "wd"))
    return BucketSums(lists.value_lengths().to_numpy(zero_copy_only=False), weight, difference)


def pairs_of(parts: Mapping[str, Entries]) -> Pairs:
    """The sums of the parts of a small state."""
    pair, classes = parts["pair"], parts["class"]
    count = np.bincount(pair.row, minlength=pair.slices)
    buckets = BucketSums(count, pair.sums["w"] + pair.sums[low_of("w")], pair.sums["wd"])
    rarest = np.full(classes.slices, np.inf)
    np.minimum.at(rarest, classes.row, classes.sums["n"])
    happened = np.bincount(classes.row, minlength=classes.slices).astype(np.float64)
    return Pairs(pair.added(), buckets, happened, rarest)


def measured(pairs: Pairs, conventions: Conventions, coverage: Coverage) -> dict[str, Array]:
    """The columns of `MEASURED`."""
    clustered = conventions.buckets > 0
    found = paired_metrics(pairs.sums, pairs.buckets if clustered else None, coverage)
    # With soft labels no single class happened, and all rows are in one.
    happen = 1 if conventions.soft_labels else len(conventions.classes)
    minority = np.where(pairs.classes == happen, pairs.rarest, 0.0)
    n_eff = ratio(found["weight"] * found["weight"], pairs.sums["w2"])
    filled = pairs.buckets.count.astype(np.float64) if clustered else None
    return found | {
        "weight": true_weight(found["weight"], conventions.weight_exponent),
        "n_eff": n_eff,
        "minority": minority,
        "buckets": np.zeros_like(minority) if filled is None else filled,
        "few": few(minority, pairs.sums["n"], n_eff, filled),
    }


def judge(table: DataFrame, confidence: float) -> DataFrame:
    """Add the columns `p_adjusted` and `verdict`.

    The p-values of a challenger are adjusted over the slices of each grouping set. The global row is a set of its own.
    """
    adjusted = with_adjusted(table, "p_value", "p_adjusted", ["grouping_id", "challenger"])
    found = F.col("p_adjusted") <= 1.0 - confidence
    verdict = F.when(found, F.when(F.col("difference") < 0, "better").otherwise("worse")).otherwise("no evidence")
    return adjusted.withColumn("verdict", verdict)
