"""The state of a comparison, from the rows of several models."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.bins import literal_texts
from logloss_spark.rows.form import Form
from logloss_spark.rows.inputs import Rows
from logloss_spark.rows.models import scored_pairs
from logloss_spark.states.catalyst import as_columns, precise_sums, spread, state_of_parts, state_row, weighted_sum
from logloss_spark.states.conventions import Conventions, conventions_of
from logloss_spark.states.schema import PAIR, TOTAL, totals_of


def state_of_pairs(rows: Rows, source: int) -> DataFrame:
    """The state of a comparison. Spark reads the rows once, and sums their pairs per slice, class and bucket."""
    conventions, keys = conventions_of(rows), rows.slices
    pairs = scored_pairs(rows).withColumn("code", group_code(rows.form))
    grouped = ["challenger", *keys, *(["bucket"] if rows.form.clustered else [])]
    groups = pairs.groupBy("code", *grouped).agg(*sums_of_pairs(rows.form))
    groups = groups.withColumn("model", F.get(literal_texts(conventions.models, "string"), F.col("challenger")))
    return state_of_parts(spread(groups, keys, pair_rows(conventions)), conventions, source)


def group_code(form: Form) -> Column:
    """The group of a row: a negative code for each invalid status, -1 for weight 0, else the class that happened.

    With soft labels no single class happened, and all rows are in group 0.
    """
    code = F.when(F.col("status") != 0, -1 - F.col("status"))
    scored = F.lit(0) if form.soft_labels else F.col("index")
    return (code.when(F.col("weight") == 0, -1) if form.weighted else code).otherwise(scored)


def sums_of_pairs(form: Form) -> list[Column]:
    """The sums over the pairs of a group. Sums of invalid groups are never read, so no sum needs a condition."""
    difference = "loss - baseline_loss"
    sums = {
        "n": "count(1)",
        **precise_sums(form, {"w": None, "wa": "baseline_loss", "wb": "loss"}),
        "w2": weighted_sum(form, 2),
        "wd": weighted_sum(form, 1, difference),
        "w2d": weighted_sum(form, 2, difference),
        "w2dd": weighted_sum(form, 2, difference, difference),
        "w_better": weighted_sum(form, 1, "if(loss < baseline_loss, 1D, 0D)"),
        "w_worse": weighted_sum(form, 1, "if(loss > baseline_loss, 1D, 0D)"),
        "w_tie": weighted_sum(form, 1, "if(loss = baseline_loss, 1D, 0D)"),
        "wk": weighted_sum(form, 1, "kl"),
        "wr": weighted_sum(form, 1, "kl_reverse"),
    }
    return as_columns(sums)


def pair_rows(conventions: Conventions) -> str:
    """The rows of the state to which a group of pairs contributes, as SQL for an array of structs."""
    # What all challengers have in common is counted once, with the first of them, and has no model.
    shared = conventions.rows == "shared"
    owner, counts = ("model", "true") if shared else ("NULL", "challenger = 1")
    status = f"element_at(array{STATUSES}, if(code < 0, -code, 1))"
    bucket = "bucket" if conventions.buckets else "0"
    in_full = {"w": "w_high + w_low", "w2": "w2", "wa": "wa_high + wa_low"}
    total = {name: f"if(code >= 0, {in_full[name]}, 0D)" for name in totals_of(conventions)}
    sums = {name: name for name in PAIR} | {name: f"{name}_high" for name in ("w", "wa", "wb")}
    structs = [
        state_row(status, "NULL", counts, {}, conventions, model=owner),
        state_row("'class'", "code", f"code >= 0 AND {counts}", {}, conventions, model=owner),
        state_row(f"'{TOTAL}'", "NULL", counts, total, conventions),
        state_row("'pair'", bucket, "code >= 0", sums, conventions, model="model"),
    ]
    return f"array_compact(array({', '.join(structs)}))"
