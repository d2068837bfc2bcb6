"""Checks that tables are states, whole and unedited."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite, isnan

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType, StringType

from logloss_spark.errors import DataError, SpecError
from logloss_spark.io.session import equip_workers
from logloss_spark.kernels.grid import HALF
from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.columns import kind_of
from logloss_spark.rows.inputs import slice_name
from logloss_spark.scoring import LOSSES
from logloss_spark.states.conventions import WRITE_AGAIN, Conventions
from logloss_spark.states.schema import (
    SOURCE,
    TOTAL,
    Part,
    columns_of,
    of_challenger,
    reference_of,
    totals_of,
    with_challenger,
)
from logloss_spark.states.slices import slice_types
from logloss_spark.states.state import CheckedState, aligned, check_sources, completed, keyed, table_columns, union_of
from logloss_spark.wording import counted, shortened

SLACK = 1e-9
"""Relative difference up to which two sums of the same rows agree: the order of adding changes the last digits."""

LEAST = 1e-300
"""Sums below this have lost digits to underflow, and agree."""


def parts_beside(conventions: Conventions) -> list[Part]:
    """The parts whose sums must equal those of the reference."""
    happened = Part("class", "part = 'class'", {} if conventions.soft_labels and not conventions.models else {"n": "n"})
    if conventions.models:
        alike = range(2, len(conventions.models) if conventions.rows == "all" else 0)
        return [happened, *(of_challenger(conventions, place) for place in alike)]
    every = ("n", "w", "wl", "wb", "wy", "wp") if conventions.scalar else ("n", "w", "wl", "wb")
    cell = {name: name for name in ("n", "w", "w2", "wl")}
    if conventions.scalar:
        cell |= {"wy": "wy", "w2y": "w2y", "w2v": "w2v", "wp": f"if(place >= {HALF}, w - wp, wp)"}
    if happened.sums:
        happened = replace(
            happened, sums={"n": "n"} | ({"wl": "wl"} if conventions.scalar else {"w": "wy + wy_low", "wl": "wly"})
        )
    bucket = [Part("bucket", "part = 'bucket'", {name: name for name in every})] if conventions.buckets else []
    parts = [Part("cell", "part = 'cell'", cell), happened, *bucket]
    kept = set(compared_sums(conventions))
    return [replace(part, sums={name: sql for name, sql in part.sums.items() if name in kept}) for part in parts]


def compared_sums(conventions: Conventions) -> list[str]:
    """The sums that are compared: terms of one sign do not cancel. A user's loss may have any sign."""
    return [name for name in reference_of(conventions).sums if name != "wl" or conventions.loss in LOSSES]


def examine(tables: Sequence[DataFrame]) -> list[CheckedState]:
    """Check that each table is a state: one query reads the conventions of all tables, another one their sums.

    Tables that differ in conventions or in the types of their slices take one query for sums each.

    Raises
    ------
    SpecError
        A table is no state, or holds states of different conventions, or one state twice.
    DataError
        A state was edited, or rows are missing.
    """
    equip_workers()  # what is read off a state takes Python
    found = conventions_in(tables)
    for table, conventions in zip(tables, found, strict=True):
        check_columns(table, conventions)
    together: dict[tuple[Conventions, tuple[str, ...]], dict[int, DataFrame]] = {}
    for place, (table, conventions) in enumerate(zip(tables, found, strict=True)):
        types = tuple(slice_types(table.schema, conventions).values())
        together.setdefault((conventions, types), {})[place] = table
    facts: dict[int, Row] = {}
    for (conventions, _), members in together.items():
        facts |= facts_of(members, conventions)
    return [
        checked_state(table, conventions, facts[place])
        for place, (table, conventions) in enumerate(zip(tables, found, strict=True))
    ]


def checked_state(table: DataFrame, conventions: Conventions, facts: Row) -> CheckedState:
    """The state in a table, from its facts; rows that were cut from a state become a state of their own."""
    sources = frozenset(facts["sources"])
    check_sources(len(sources), facts["added"])
    check_facts(facts, conventions)
    return CheckedState(table, conventions, sources) if facts["totals"] else completed(table, conventions)


def check_has_fingerprint(table: object) -> None:
    """Raise SpecError unless this is a DataFrame with a column `fingerprint`."""
    if not isinstance(table, DataFrame):
        raise SpecError(
            f"a State must be made from a Spark DataFrame of sums, got a {kind_of(table)}: "
            "evaluations and comparisons have theirs as .state"
        )
    if "fingerprint" not in table.columns:
        raise SpecError(
            "this table is no saved state: a state must have a column 'fingerprint', "
            f"got {shortened(table.columns) or 'none'}. Evaluate the table, and save its state"
        )


def conventions_in(tables: Sequence[DataFrame]) -> list[Conventions]:
    """The conventions of each table, from its fingerprints; one query reads them all."""
    fingerprint = F.coalesce(F.col("fingerprint").cast("string"), F.lit("")).alias("fingerprint")
    columns = union_of([table.select(F.lit(place).alias("state"), fingerprint) for place, table in enumerate(tables)])
    rows = columns.groupBy("state").agg(F.collect_set("fingerprint").alias("fingerprints")).collect()
    texts = {row.state: row.fingerprints for row in rows}
    known = {text: Conventions.from_fingerprint(text) for row in rows for text in row.fingerprints}
    found = []
    for place in range(len(tables)):
        if place not in texts:
            raise SpecError("a state must have a fingerprint, and this table has none: it is empty")
        first, *others = sorted(map(known.__getitem__, texts[place]), key=Conventions.fingerprint)
        if any(other.with_slices_like(first) != first for other in others):
            raise SpecError(
                "a state must have one fingerprint, and this table has several: read the states apart, `merge` says "
                "what differs"
            )
        found.append(first)
    return found


def check_columns(state: DataFrame, conventions: Conventions) -> None:
    """Raise DataError unless a table has the columns of a state of these conventions."""
    types = {field.name: field.dataType for field in state.schema.fields}
    for name in table_columns(conventions):
        if name not in types:
            raise DataError(f"a state must have a column {name!r}, and this one has none: {WRITE_AGAIN}")
    for name, type_ in {"part": StringType, **dict.fromkeys(("place", *columns_of(conventions)), NumericType)}.items():
        if not isinstance(types[name], type_):
            what = "text" if type_ is StringType else "a number"
            raise DataError(
                f"column {name!r} of a state must hold {what}, got {types[name].simpleString()}: {WRITE_AGAIN}"
            )


def facts_of(tables: Mapping[int, DataFrame], conventions: Conventions) -> dict[int, Row]:
    """The facts of each table, one row by the key of the table, that tell whether its rows fit together; one query.

    `sources` are the ids of the evaluations that were added, and `added` counts how often; `totals` is the number of
    rows of the part `total`. `reference_…` is a sum over all slices and `total_…` the same sum of the part `total`.
    `unlike_…` is the number of slices in which another part has another sum than the reference.
    """
    reference, beside, sums = reference_of(conventions), parts_beside(conventions), ("n", *totals_of(conventions))

    def sum_of(sql: str, condition: str, alias: str) -> Column:
        return F.expr(f"coalesce(sum({sql}) FILTER (WHERE {condition}), 0) AS {alias}")

    compared = {
        f"{place}_{name}": (f"reference_{name}", f"part_{place}_{name}")
        for place, part in enumerate(beside)
        for name in part.sums
    }
    inner = [slice_name(place) for place in range(len(conventions.slices))]
    numbered = [aligned(table, conventions).withColumn("fingerprint", F.lit(place)) for place, table in tables.items()]
    rows = keyed(union_of(numbered), conventions, "fingerprint").withColumnRenamed("fingerprint", "state")
    rows = with_challenger(rows, conventions)
    by_slice = rows.groupBy("state", *inner).agg(
        *[sum_of(sql, reference.condition, f"reference_{name}") for name, sql in reference.sums.items()],
        *[
            sum_of(sql, part.condition, f"part_{place}_{name}")
            for place, part in enumerate(beside)
            for name, sql in part.sums.items()
        ],
        *[sum_of(name, f"part = '{TOTAL}'", f"total_{name}") for name in sums],
        sum_of("n", f"part IN {STATUSES}", "rows"),
        sum_of("n", "part = 'ok'", "ok"),
        sum_of("n", f"part = '{SOURCE}'", "added"),
        F.expr(f"count_if(part = '{TOTAL}') AS totals"),
        F.expr(f"collect_list(place) FILTER (WHERE part = '{SOURCE}') AS sources"),
    )
    added_up = ("rows", "added", "totals", *(f"{side}_{name}" for name in sums for side in ("reference", "total")))
    facts = by_slice.groupBy("state").agg(
        *[F.expr(f"coalesce(sum({name}), 0) AS {name}") for name in added_up],
        *[F.expr(f"count_if(NOT {alike_as_sql(*pair)}) AS unlike_{name}") for name, pair in compared.items()],
        F.expr("count_if(reference_n > ok) AS unlike_ok"),
        F.expr("flatten(collect_list(sources)) AS sources"),
    )
    return {row["state"]: row for row in facts.collect()}


def alike_as_sql(a: str, b: str) -> str:
    """Whether two sums of the same rows agree, as SQL; infinite ones agree if they are equal."""
    away = f"abs({a} - {b})"
    return f"({a} = {b} OR ({away} <= {SLACK!r}D * abs({a}) + {LEAST!r}D AND {away} < double('Infinity')))"


def alike(a: float, b: float) -> bool:
    """Whether two sums of the same rows agree; infinite ones agree if they are equal."""
    return a == b or (isnan(a) and isnan(b)) or (isfinite(a - b) and abs(a - b) <= SLACK * abs(a) + LEAST)


def check_facts(facts: Row, conventions: Conventions) -> None:
    """Raise DataError if the rows of a state do not fit together."""
    reference, beside = reference_of(conventions), parts_beside(conventions)
    wrong = [
        f"in {counted(slices, 'slice')} part {part.name!r} has another sum {name} than {reference.name!r}"
        for place, part in enumerate(beside)
        for name in part.sums
        if (slices := facts[f"unlike_{place}_{name}"])
    ]
    if facts["unlike_ok"]:
        wrong.append(f"{counted(facts['unlike_ok'], 'slice')} hold more rows with sums than rows of status ok")
    if facts["totals"]:
        held = [name for name in totals_of(conventions) if name in compared_sums(conventions)]
        by_slices = {"n": facts["rows"]} | {name: facts[f"reference_{name}"] for name in held}
        wrong += [
            f"{name} is {facts[f'total_{name}']:,} in all and {sums:,} by slices"
            for name, sums in by_slices.items()
            if not alike(sums, facts[f"total_{name}"])
        ]
    whole = [name for name, count in ((SOURCE, facts["added"]), (TOTAL, facts["totals"])) if count]
    if len(whole) == 1 or not (whole or conventions.slices):
        missing = " and ".join(repr(name) for name in (SOURCE, TOTAL) if name not in whole)
        wrong.append(f"its part {missing} is missing")
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DataError(
            f"the rows of a state must fit together, and {wrong[0]}{more}: files are missing, or it was edited; "
            f"{WRITE_AGAIN}"
        )
