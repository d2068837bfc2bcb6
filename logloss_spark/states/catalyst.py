"""The state of a table by Spark: one grouping by slice and cell, whose sums are then spread over the state's parts."""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.rows.bins import certain_bin, corrected_bin
from logloss_spark.rows.form import Form
from logloss_spark.rows.inputs import Rows
from logloss_spark.rows.native import logarithm
from logloss_spark.states.addends import GRID, SPLITTER
from logloss_spark.states.class_sums import UNROLLED_CLASSES
from logloss_spark.states.code import DECODED, grouping_code
from logloss_spark.states.conventions import Conventions, conventions_of
from logloss_spark.states.schema import (
    BINARY_MOMENTS,
    BUCKET,
    BUCKET_CLASS,
    BUCKET_STRIDE,
    CELL,
    CLASS,
    MOMENTS,
    PARTIAL,
    RANKS,
    TOTAL,
    columns_of,
    low_of,
    totals_of,
)
from logloss_spark.states.state import added, known_as

TAIL_MOMENTS = {"wp": "if(upper, w - wt, wt)", "w2p": "if(upper, w2 - w2t, w2t)"}


OF_CLASSES = {"wy": "if(positive, w, 0D)", "w2y": "if(positive, w2, 0D)"}


BINARY_OF_SHARES = {name: name for name in BINARY_MOMENTS} | {
    "w2p": TAIL_MOMENTS["w2p"],
    "wp": "if(upper, w_high - wt_high, wt_high)",
    "wp_low": "if(upper, w_low - wt_low, wt_low)",
    "wy": "wy_high",
}


BINARY_OF_CLASSES = BINARY_OF_SHARES | {
    **OF_CLASSES,
    "wy": "if(positive, w_high, 0D)",
    "wy_low": "if(positive, w_low, 0D)",
    "w2yy": "if(positive, w2, 0D)",
    "w2ly": "if(positive, w2l, 0D)",
    "w2uy": "if(positive, if(upper, -w2t, w2t - w2), 0D)",
    "ws": "2 * wb - if(positive = upper, wt, w - wt)",
}
"""SQL for the binary moments of one group. All rows of a group share the label and the side of one half, so
label-weighted sums are plain sums."""


def state_of(table: DataFrame, rows: Rows, source: int) -> DataFrame:
    """The state of a table with the terms of its rows, `terms.scored`.

    Spark reads the rows once (with one entry per class, twice) and sums at the finest grain. `source` is the number
    that tells this state from others, so that adding it twice is an error.
    """
    conventions, form, keys = conventions_of(rows), rows.form, rows.slices
    # Group by `cell` first. Spark's hash of several columns collides often; starting with the column of most values
    # spreads rows best.
    by_cell = table.withColumn("cell", grouping_code(form)).groupBy("cell", *keys).agg(*sums_of_group(form))
    groups = by_cell.selectExpr(
        "*", *(f"{sql} AS {name}" for name, sql in (DECODED | plain_sums(by_cell.columns)).items())
    )
    parts = spread(groups, keys, state_rows(conventions))
    if not form.scalar and form.size > UNROLLED_CLASSES:
        for further in class_rows(table, keys, form):
            parts = parts.unionByName(further, allowMissingColumns=True)
    elif not form.scalar:
        parts = parts.unionByName(class_cell_rows(table, keys, form), allowMissingColumns=True)
    return state_of_parts(parts, conventions, source)


def plain_sums(columns: Sequence[str]) -> dict[str, str]:
    """SQL that adds up the sums kept in two columns, for the parts that need no more digits."""
    names = [name.removesuffix("_high") for name in columns if name.endswith("_high")]
    return {name: f"{name}_high + {low_of(name)}" for name in names}


def spread(groups: DataFrame, keys: Sequence[str], rows: str) -> DataFrame:
    """Turn each group into the rows of the state to which it contributes. The total has no slice."""
    exploded = groups.select(*keys, F.explode(F.expr(rows)).alias("row"))
    return exploded.selectExpr(*(f"if(row.part = '{TOTAL}', NULL, {key}) AS {key}" for key in keys), "row.*")


def state_of_parts(parts: DataFrame, conventions: Conventions, source: int) -> DataFrame:
    """A state from its parts, whose slice columns are still called `slice_0` …; it is never empty."""
    known_by = known_as(parts.sparkSession, source)
    return added(parts.unionByName(known_by, allowMissingColumns=True), conventions)


def sums_of_group(form: Form) -> list[Column]:
    """The sums over the rows of a group. Sums of invalid groups are never read, so no sum needs a condition."""
    variance = "variance" if form.scalar else "tail * (1 - tail)"
    shifted = f"loss - {math.log(form.size)!r}D"
    sums = {
        **precise_sums(form, {"w": None, "wl": "loss", "wb": "brier"}),
        "w2": weighted_sum(form, 2),
        "w2l": weighted_sum(form, 2, "loss"),
        "w2ll": weighted_sum(form, 2, "loss", "loss"),
        "w2dd": weighted_sum(form, 2, shifted, shifted),
        "w2b": weighted_sum(form, 2, "brier"),
        "w2bb": weighted_sum(form, 2, "brier", "brier"),
        "wh": weighted_sum(form, 1, "entropy"),
        "w2v": weighted_sum(form, 2, variance),
    }
    sums |= precise_sums(form, {"wt": "tail"}) if form.scalar else {"wt": weighted_sum(form, 1, "tail")}
    if form.scalar:
        sums |= {
            "w2t": weighted_sum(form, 2, "tail"),
            "w2s": weighted_sum(form, 2, "variance * (1 - 4 * variance)"),
            "w2e": weighted_sum(form, 2, "logit_variance"),
        }
    if form.soft_labels:
        sums |= {"w2y": weighted_sum(form, 2, "y")}
        sums |= precise_sums(form, {"wy": "y"}) if form.scalar else {"wy": weighted_sum(form, 1, "y")}
    if form.soft_labels and form.scalar:
        p = "if(upper, 1 - tail, tail)"
        sums |= {
            "w2yy": weighted_sum(form, 2, "y", "y"),
            "w2ly": weighted_sum(form, 2, "loss", "y"),
            "w2uy": weighted_sum(form, 2, f"{p} - y", "y"),
            "ws": weighted_sum(form, 1, f"(y - {p}) * (1 - 2 * {p})"),
            "n_0": "count_if(y < 1)",
            "n_1": "count_if(y > 0)",
        }
    for rank in ranks(form):
        weight = "weight" if form.weighted else "1D"
        sums |= {
            f"n_rank_{rank}": f"count_if(rank = {rank})",
            f"w_rank_{rank}": f"sum(if(rank = {rank}, {weight}, 0D))",
        }
    for k in unrolled_classes(form):
        of_class = class_sums(form, f"get(labels, {k})", f"get(probabilities, {k})")
        sums |= {f"{name}_{k}": sql for name, sql in of_class.items()}
    return as_columns({"n": "count(1)"} | sums)


def as_columns(sums: Mapping[str, str]) -> list[Column]:
    """Sums by name, as SQL, as columns. Expressions that Python builds take three times as many calls to the JVM."""
    return [F.expr(f"{sql} AS {name}") for name, sql in sums.items()]


def class_sums(form: Form, label: str, probability: str) -> dict[str, str]:
    """The moments of one class as SQL, from SQL for its label and its probability."""
    of_label = f"if({label} = 0, 0D, loss)"  # 0 times an infinite loss is 0
    factors = {
        "y": [label],
        "ly": [of_label, label],
        "yy": [label, label],
        "p": [probability],
        "pp": [probability, probability],
        "py": [probability, label],
    }
    plain = {
        name + term: weighted_sum(form, power, *factors[term])
        for term in factors
        for power, name in ((1, "w"), (2, "w2"))
        if name + term not in ("wy", "wp")
    }
    precise = precise_sums(form, {"wy": label, "wp": probability})
    counted = {"n": f"count_if({label} > 0)"}
    return counted | {name.removesuffix("_high"): sql for name, sql in (precise | plain).items()}


def precise_sums(form: Form, terms: Mapping[str, str | None], *, where: str | None = None) -> dict[str, str]:
    """Sums of weight times term by name, as SQL, each in two columns.

    Terms are SQL over a row's columns, or None for 1. `_high` sums the multiples of 2^-20 next to the products, and
    `_low` the remainders, which are 0 for an infinite term. The weight is split into two halves and the term at the
    grid, so that the product of the leading parts is exact.
    """
    among = f" FILTER (WHERE {where})" if where else ""
    sums: dict[str, str] = {}
    for name, term in terms.items():
        if form.weighted and term:
            half = f"({SPLITTER!r}D * weight - ({SPLITTER!r}D * weight - weight))"
            product = f"({half} * {on_grid(term)})"
            rest = f" + ({half} * ({term} - {on_grid(term)}) + (weight - {half}) * {term})"
        else:
            product, rest = term or ("weight" if form.weighted else "1D"), ""
        high, low = on_grid(product), f"{product} - {on_grid(product)}{rest}"
        sums |= {f"{name}_high": f"sum({high}){among}", low_of(name): f"nanvl(sum({low}){among}, 0D)"}
    return sums


def on_grid(term: str) -> str:
    """SQL for the multiple of 2^-20 next to a term."""
    return f"(({term} + {GRID!r}D) - {GRID!r}D)"


def weighted_sum(form: Form, power: int, *factors: str) -> str:
    """SQL for the sum of w^power times the factors, which are SQL; w is 1 without a weight column.

    Each factor is weighted before the next is multiplied: (w x) w x' stays infinite for infinite x even if w^2
    underflows.
    """
    weights = ["weight"] * power if form.weighted else []
    terms = [f"({term})" for pair in zip_longest(weights, factors) for term in pair if term is not None]
    return f"sum({' * '.join(terms)})" if terms else "CAST(count(1) AS DOUBLE)"


def ranks(of: Form | Conventions) -> range:
    """The ranks of the class that happened for which rows are counted."""
    return range(0 if of.scalar or of.soft_labels else min(RANKS, len(of.classes)))


def unrolled_classes(of: Form | Conventions) -> range:
    """The classes whose moments are summed in the first pass."""
    return range(len(of.classes) if not of.scalar and len(of.classes) <= UNROLLED_CLASSES else 0)


def state_rows(conventions: Conventions) -> str:
    """The rows of the state to which a group of rows contributes, as SQL for an array of structs.

    It is SQL because building hundreds of columns one by one takes thousands of calls to the JVM: half a second.
    """
    moments = {name: name for name in MOMENTS} | {name: f"{name}_high" for name in ("w", "wl", "wb")}
    moments["w2d"] = f"w2l - {conventions.shift!r}D * w2"
    cell = {name: name for name in CELL} | {"wp": "wt"} | ({} if conventions.soft_labels else OF_CLASSES)
    of_label = {} if conventions.soft_labels else {"wy": OF_CLASSES["wy"]}
    bucket = {name: name for name in BUCKET} | {"wp": TAIL_MOMENTS["wp"]} | of_label
    part = {name: name for name in PARTIAL}
    binary = (BINARY_OF_SHARES if conventions.soft_labels else BINARY_OF_CLASSES) if conventions.scalar else {}
    in_full = {name: name for name in totals_of(conventions)} | {
        name: bucket[name] for name in totals_of(conventions) if name in bucket
    }
    total = {name: f"if(scored, {sql}, 0D)" for name, sql in in_full.items()}
    structs = [
        state_row("status", "NULL", "NOT bucketed", {}, conventions),
        state_row("'moments'", "NULL", "scored", moments | binary, conventions),
        state_row("'cell'", "bin", "scored", cell, conventions),
        state_row("'clipped'", "NULL", "scored AND clipped", part, conventions),
        state_row("'zero'", "NULL", "scored AND zero", part, conventions),
        state_row(f"'{TOTAL}'", "NULL", "NOT bucketed", total, conventions),
    ]
    if conventions.scalar:
        counts = ("n_0", "n_1") if conventions.soft_labels else ("if(positive, 0L, n)", "if(positive, n, 0L)")
        losses = (
            ({}, {}) if conventions.soft_labels else ({"wl": "if(positive, 0D, wl)"}, {"wl": "if(positive, wl, 0D)"})
        )
        structs += [state_row("'class'", str(k), "scored", {"n": counts[k]} | losses[k], conventions) for k in (0, 1)]
    for rank in ranks(conventions):
        structs.append(
            state_row("'rank'", str(rank), "scored", {"n": f"n_rank_{rank}", "w": f"w_rank_{rank}"}, conventions)
        )
    if conventions.buckets:
        structs.append(state_row("'bucket'", "in_bucket", "bucketed", bucket, conventions))
    for k in unrolled_classes(conventions):
        structs.append(
            state_row("'class'", str(k), "scored", {name: f"{name}_{k}" for name in ("n", *CLASS)}, conventions)
        )
        if conventions.buckets:
            place = f"in_bucket div {BUCKET_STRIDE} * {len(conventions.classes)} + {k}"
            sums = {"n": f"n_{k}"} | {name: f"{name}_{k} + {low_of(name)}_{k}" for name in BUCKET_CLASS}
            structs.append(state_row("'bucket_class'", place, "bucketed", sums, conventions))
    return f"array_compact(array({', '.join(structs)}))"


def state_row(
    part: str, place: str, condition: str, sums: dict[str, str], conventions: Conventions, *, model: str = "NULL"
) -> str:
    """SQL for one row of a state as a struct, null where the condition does not hold."""
    keys = f"'model', CAST({model} AS STRING), 'target', CAST(NULL AS STRING), 'part', {part}"
    fields = f"{keys}, 'place', CAST({place} AS BIGINT), 'n', {sums.get('n', 'n')}{sums_as_sql(sums, conventions)}"
    return f"if({condition}, named_struct({fields}), NULL)"


def sums_as_sql(sums: dict[str, str], conventions: Conventions) -> str:
    """The further fields of a state's row; sums that its part does not have are null."""
    return "".join(f", '{name}', {sums.get(name, 'CAST(NULL AS DOUBLE)')}" for name in columns_of(conventions)[1:])


def class_cell_rows(table: DataFrame, keys: Sequence[str], form: Form) -> DataFrame:
    """The rows of the part `class_cell`, from a second pass in which every row becomes one row per class.

    Each is put into the bin of the class's probability, so that each class can be ranked against the rest.
    """
    exploded = valid_rows(table, form).select(
        *keys,
        *(["weight"] if form.weighted else []),
        F.posexplode(F.arrays_zip("labels", "probabilities")).alias("class", "of_class"),
    )
    p = F.col("of_class.probabilities")
    tail = F.least(p, 1 - p)
    certain = certain_bin(tail=tail, tail_surprisal=-logarithm(tail), upper=p >= 0.5)
    binned = exploded.withColumn("certain_bin", certain)
    bin_of_class = corrected_bin(p, "probability", F.col("certain_bin"))
    place = (F.col("class").cast("bigint") * BUCKET_STRIDE + bin_of_class).alias("place")
    sums = {"n": "count(1)", "w": weighted_sum(form, 1), "wy": weighted_sum(form, 1, "of_class.labels")}
    return binned.groupBy(*keys, place).agg(*as_columns(sums)).withColumn("part", F.lit("class_cell"))


def valid_rows(table: DataFrame, form: Form) -> DataFrame:
    """The rows of status `ok` and of positive weight."""
    return table.where((F.col("status") == 0) & (F.col("weight") > 0 if form.weighted else F.lit(True)))


def class_rows(table: DataFrame, keys: Sequence[str], form: Form) -> list[DataFrame]:
    """The rows of the part `class` for many classes, from a second pass in which every row becomes one row per class.

    With clusters a third pass makes the rows of `bucket_class`.
    """
    weight = ["weight"] if form.weighted else []
    bucket = ["bucket"] if form.clustered else []
    exploded = valid_rows(table, form).select(
        *keys,
        *weight,
        *bucket,
        "loss",
        F.posexplode(F.arrays_zip("labels", "probabilities")).alias("place", "of_class"),
    )
    sums = class_sums(form, "of_class.labels", "of_class.probabilities")
    summed = exploded.groupBy(*keys, "place").agg(*as_columns(sums))
    found = [summed.withColumn("part", F.lit("class"))]
    if form.clustered:
        place = (F.col("bucket") * form.size + F.col("place")).alias("place")
        in_full = {"n": sums["n"]} | {name: f"{sums[name]} + {sums[low_of(name)]}" for name in BUCKET_CLASS}
        by_bucket = exploded.groupBy(*keys, place).agg(*as_columns(in_full))
        found.append(by_bucket.withColumn("part", F.lit("bucket_class")))
    return found
