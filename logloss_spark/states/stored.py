"""Checks that tables are states, whole and unedited."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType, StringType, StructType

from logloss_spark.errors import DataError, SpecError
from logloss_spark.io.local import LocalTable, as_dataframe
from logloss_spark.io.session import equip_workers
from logloss_spark.kernels.grid import HALF
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.columns import kind_of
from logloss_spark.rows.inputs import slice_name
from logloss_spark.scoring import LOSSES
from logloss_spark.states.conventions import WRITE_AGAIN, Conventions
from logloss_spark.states.schema import (
    MIRRORED,
    SOURCE,
    TOTAL,
    Part,
    columns_of,
    of_challenger,
    reference_of,
    totals_of,
    with_challenger,
)
from logloss_spark.states.slices import slice_columns, slice_types
from logloss_spark.states.small import as_doubles, numbered, places_of, stays_here
from logloss_spark.states.state import CheckedState, aligned, check_sources, completed, keyed, table_columns, union_of
from logloss_spark.wording import counted, shortened

SLACK = 1e-9
"""Relative difference up to which two sums of the same rows agree: the order of adding changes the last digits."""

LEAST = 1e-300
"""Sums below this have lost digits to underflow, and agree."""


def parts_beside(conventions: Conventions) -> list[Part]:
    """The parts whose sums must equal those of the reference."""
    happened = Part("class", "class", {} if conventions.soft_labels and not conventions.models else {"n": ("n",)})
    if conventions.models:
        alike = range(2, len(conventions.models) if conventions.rows == "all" else 0)
        return [happened, *(of_challenger(conventions, place) for place in alike)]
    every = ("n", "w", "wl", "wb", "wy", "wp") if conventions.scalar else ("n", "w", "wl", "wb")
    cell = ("n", "w", "w2", "wl", *(("wy", "w2y", "w2v", "wp") if conventions.scalar else ()))
    if happened.sums:
        of_class = {"wl": ("wl",)} if conventions.scalar else {"w": ("wy", "wy_low"), "wl": ("wly",)}
        happened = replace(happened, sums={"n": ("n",), **of_class})
    bucket = [Part("bucket", "bucket", {name: (name,) for name in every})] if conventions.buckets else []
    parts = [Part("cell", "cell", {name: (name,) for name in cell}), happened, *bucket]
    kept = set(compared_sums(conventions))
    return [replace(part, sums={name: part.sums[name] for name in part.sums if name in kept}) for part in parts]


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
        check_columns(table.schema, conventions)
    together: dict[tuple[Conventions, tuple[str, ...]], dict[int, DataFrame]] = {}
    for place, (table, conventions) in enumerate(zip(tables, found, strict=True)):
        types = tuple(slice_types(table.schema, conventions).values())
        together.setdefault((conventions, types), {})[place] = table
    facts: dict[int, dict[str, Any]] = {}
    for (conventions, _), members in together.items():
        facts |= facts_of(members, conventions)
    return [
        checked_state(table, conventions, facts[place])
        for place, (table, conventions) in enumerate(zip(tables, found, strict=True))
    ]


def checked_here(state: LocalTable, without: Collection[str] = ()) -> CheckedState | None:
    """The state in a table on the driver that lacks the parts `without`, checked as `examine` does.

    None where Spark must check it: it is large, or NumPy cannot group its slices as Spark does.
    """
    conventions = conventions_from([str(text or "") for text in state.rows["fingerprint"].unique().to_pylist()])
    check_columns(state.schema, conventions)
    if not stays_here(state, conventions):
        return None
    return checked_state(state, conventions, facts_here(state, conventions, without))


def checked_state(table: DataFrame | LocalTable, conventions: Conventions, facts: Mapping[str, Any]) -> CheckedState:
    """The state in a table, from its facts; rows that were cut from a state become a state of their own."""
    sources = frozenset(facts["sources"])
    check_sources(len(sources), facts["added"])
    check_facts(facts, conventions)
    return CheckedState(table, conventions, sources) if facts["totals"] else completed(as_dataframe(table), conventions)


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
    return [conventions_from(texts.get(place, [])) for place in range(len(tables))]


def conventions_from(fingerprints: Sequence[str]) -> Conventions:
    """The conventions of a state, from the distinct fingerprints of its rows; SpecError unless they say the same."""
    if not fingerprints:
        raise SpecError("a state must have a fingerprint, and this table has none: it is empty")
    first, *others = sorted(map(Conventions.from_fingerprint, fingerprints), key=Conventions.fingerprint)
    if any(other.with_slices_like(first) != first for other in others):
        raise SpecError(
            "a state must have one fingerprint, and this table has several: read the states apart, `merge` says "
            "what differs"
        )
    return first


def check_columns(schema: StructType, conventions: Conventions) -> None:
    """Raise DataError unless a table has the columns of a state of these conventions."""
    types = {field.name: field.dataType for field in schema.fields}
    for name in table_columns(conventions):
        if name not in types:
            raise DataError(f"a state must have a column {name!r}, and this one has none: {WRITE_AGAIN}")
    for name, type_ in {"part": StringType, **dict.fromkeys(("place", *columns_of(conventions)), NumericType)}.items():
        if not isinstance(types[name], type_):
            what = "text" if type_ is StringType else "a number"
            raise DataError(
                f"column {name!r} of a state must hold {what}, got {types[name].simpleString()}: {WRITE_AGAIN}"
            )


def facts_of(tables: Mapping[int, DataFrame], conventions: Conventions) -> dict[int, dict[str, Any]]:
    """The facts of each table by the key of the table, that tell whether its rows fit together; one query.

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
    each = [aligned(table, conventions).withColumn("fingerprint", F.lit(place)) for place, table in tables.items()]
    rows = keyed(union_of(each), conventions, "fingerprint").withColumnRenamed("fingerprint", "state")
    rows = with_challenger(rows, conventions)
    by_slice = rows.groupBy("state", *inner).agg(
        *[sum_of(reference.terms(name), reference.condition, f"reference_{name}") for name in reference.sums],
        *[
            sum_of(part.terms(name), part.condition, f"part_{place}_{name}")
            for place, part in enumerate(beside)
            for name in part.sums
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
    return {row["state"]: row.asDict() for row in facts.collect()}


def facts_here(state: LocalTable, conventions: Conventions, without: Collection[str]) -> dict[str, Any]:
    """What `facts_of` finds, of a table on the driver; the parts `without` are not compared."""
    rows, part = state.rows, state.rows["part"].to_numpy()
    slice_ = numbered(rows, slice_columns(conventions).values())
    slices = int(slice_.max(initial=-1)) + 1
    own = pc.index_in(rows["model"], pa.array(conventions.models, pa.string())).fill_null(-1).to_numpy()
    n, of_status, is_total = as_doubles(rows["n"]), np.isin(part, STATUSES), part == TOTAL

    def added(values: Array, among: npt.NDArray[np.bool_]) -> Array:
        return np.bincount(slice_[among], values[among], slices).astype(np.float64)

    def sums_of(one: Part) -> dict[str, Array]:
        among = (part == one.part) & (True if one.challenger is None else own == one.challenger)
        return {name: added(terms_here(rows, one, name), among) for name in one.sums}

    reference = reference_of(conventions)
    expected = sums_of(reference)
    facts: dict[str, Any] = {
        "rows": int(n[of_status].sum()),
        "added": int(n[part == SOURCE].sum()),
        "totals": int(is_total.sum()),
        "sources": places_of(rows["place"])[part == SOURCE].tolist(),
        "total_n": int(n[is_total].sum()),
        **{f"total_{name}": as_doubles(rows[name])[is_total].sum() for name in totals_of(conventions)},
        **{f"reference_{name}": values.sum() for name, values in expected.items()},
        "unlike_ok": int(np.count_nonzero(expected["n"] > added(n, part == "ok"))),
    }
    for place, one in enumerate(parts_beside(conventions)):
        found = expected if one.part in without else sums_of(one)
        unlike = {name: ~alike(expected[name], found[name]) for name in one.sums}
        facts |= {f"unlike_{place}_{name}": int(np.count_nonzero(wrong)) for name, wrong in unlike.items()}
    return facts


def terms_here(rows: pa.Table, part: Part, name: str) -> Array:
    """What each row adds to a sum of a part, as `Part.terms` says it in SQL."""
    with np.errstate(all="ignore"):  # infinite sums of both signs
        values = np.sum([as_doubles(rows[column]) for column in part.sums[name]], axis=0)
        if (part.part, name) == MIRRORED:
            values = np.where(places_of(rows["place"]) >= HALF, as_doubles(rows["w"]) - values, values)
    return np.asarray(values, dtype=np.float64)


def alike_as_sql(a: str, b: str) -> str:
    """Whether two sums of the same rows agree, as SQL; infinite ones agree if they are equal."""
    away = f"abs({a} - {b})"
    return f"({a} = {b} OR ({away} <= {SLACK!r}D * abs({a}) + {LEAST!r}D AND {away} < double('Infinity')))"


def alike(a: Array | float, b: Array | float) -> npt.NDArray[np.bool_]:
    """Whether two sums of the same rows agree; infinite ones agree if they are equal."""
    with np.errstate(all="ignore"):
        away = np.abs(np.subtract(a, b))
        near = np.isfinite(away) & (away <= SLACK * np.abs(a) + LEAST)
        return np.equal(a, b) | (np.isnan(a) & np.isnan(b)) | near


def check_facts(facts: Mapping[str, Any], conventions: Conventions) -> None:
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
