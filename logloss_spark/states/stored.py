"""States as they are found: whether a table is a state, whole and unedited, and how several are added."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from math import isfinite, isnan

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType, StringType

from logloss_spark.errors import DataError, SpecError
from logloss_spark.io.session import equip_workers
from logloss_spark.kernels.grid import HALF
from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.inputs import BUCKETS, kind_of, quoted, slice_name
from logloss_spark.scoring import LOSSES
from logloss_spark.states.adding import added, known_as
from logloss_spark.states.conventions import WRITE_AGAIN, Conventions
from logloss_spark.states.schema import SOURCE, SOURCE_BITS, TOTAL, WHOLE, columns_of, totals_of
from logloss_spark.states.slices import slice_columns
from logloss_spark.wording import counted

SLACK = 1e-9
"""Sums of the same rows agree to this, relatively, whatever the order of adding."""

NEAR = 400
"""Weights in units that differ by no more than this power of two are added in the larger unit."""

LEAST = 1e-300
"""Below this sums have lost digits to underflow."""


def merge(state: DataFrame, *states: DataFrame) -> DataFrame:
    """Add states: the state of all their rows together.

    Parameters
    ----------
    state, states : DataFrame
        States, of this session or read from storage. Their slice columns may come in any order; the result has the
        first one's.

    Returns
    -------
    DataFrame, a state; lazy, but the given states are looked through at once.

    Raises
    ------
    SpecError
        States that were made under different conventions, or with other slices; it says what differs. A state that
        is given twice, whole or as part of another.
    DataError
        A state that was edited, or of which rows are missing.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
    >>> days = [ls.evaluate(df.where(df.day == day), label="label", prediction="p").state for day in "ab"]
    >>> ls.metrics(ls.merge(*days)).select("n").first().n
    2
    """
    tables = (state, *states)
    found = [examined(table) for table in tables]
    exponents = [own.weight_exponent for own, _ in found]
    near = max(exponents) - min(exponents) <= NEAR
    conventions = replace(found[0][0], weight_exponent=max(exponents) if near else exponents[0])
    for other, _ in found[1:]:
        alike = replace(other, slices=ordered_as(conventions.slices, other.slices))
        first, second = (
            asdict(conventions),
            asdict(replace(alike, weight_exponent=conventions.weight_exponent) if near else alike),
        )
        differing = [f"{name} {first[name]!r} and {second[name]!r}" for name in first if first[name] != second[name]]
        if differing:
            raise SpecError(f"only states that were made alike can be merged; these differ in {', '.join(differing)}")
    parts = [keyed(table, own, facts, conventions) for table, (own, facts) in zip(tables, found, strict=True)]
    slices = [slice_name(place) for place in range(len(conventions.slices))]
    types = [[part.schema[name].dataType.simpleString() for name in slices] for part in parts]
    if any(other != types[0] for other in types):
        came = " and ".join(map(str, types))
        raise SpecError(f"slice columns must have the same types in all states, and came as {came}")
    sources = [source for _, facts in found for source in facts["sources"]]
    check_sources(sources, sum(facts["added"] for _, facts in found))
    return added(reduce(DataFrame.unionByName, parts), conventions)


def ordered_as(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """The second columns in the order of the first, where both are the same; else as they came."""
    return tuple(first if sorted(first) == sorted(second) else second)


def keyed(state: DataFrame, conventions: Conventions, facts: Row, into: Conventions) -> DataFrame:
    """A state's rows as they add to a state of other conventions, slices called by their places.

    Slices come in that conventions's order, weights in its units; what was cut from another state gets a total.
    """
    columns = slice_columns(conventions)
    keys = [quoted(columns[name]).alias(slice_name(place)) for place, name in enumerate(into.slices)]
    unit = 2.0 ** (conventions.weight_exponent - into.weight_exponent)
    units = {name: unit * unit if name.startswith("w2") else unit for name in columns_of(conventions) if name != "n"}
    scaled = [F.expr(f"{name} * {factor!r}D AS {name}" if unit != 1.0 else name) for name, factor in units.items()]
    rows = state.select(*keys, "part", "place", "n", *scaled)
    if facts["totals"]:
        return rows
    reference = reference_of(conventions)
    sums = {"n": f"if(part IN {STATUSES}, n, 0L)"}
    sums |= {name: f"if({reference.condition}, {reference.sums[name]}, 0D)" for name in totals_of(conventions)}
    total = rows.where(f"part IN {STATUSES} OR {reference.condition}").selectExpr(
        f"'{TOTAL}' AS part", *(f"{sql} AS {name}" for name, sql in sums.items())
    )
    known_by = known_as(state.sparkSession, secrets.randbits(SOURCE_BITS))
    return rows.unionByName(total, allowMissingColumns=True).unionByName(known_by, allowMissingColumns=True)


@dataclass(frozen=True)
class Part:
    """Rows of a state, and the sums that they have of all scored rows of a slice, as SQL by the name of the sum."""

    name: str
    condition: str
    sums: Mapping[str, str]


OF_PAIRS = {"n": "n", "w": "w + w_low", "w2": "w2", "wa": "wa + wa_low"}
"""The sums of pairs that are the same for each challenger that is compared on the same rows."""


def reference_of(conventions: Conventions) -> Part:
    """The part that the others are compared with."""
    if conventions.rows == "shared":
        return Part("pair", "part = 'pair'", OF_PAIRS)
    if conventions.models:
        return of_challenger(conventions, 1)
    in_full = {
        name: f"{name} + {name}_low" for name in ("w", "wl", "wb", *(("wy", "wp") if conventions.scalar else ()))
    }
    plain = {name: name for name in ("n", "w2", *(("w2y", "w2v") if conventions.scalar else ()))}
    return Part("moments", "part = 'moments'", plain | in_full)


def of_challenger(conventions: Conventions, place: int) -> Part:
    """The pairs of a challenger with the baseline."""
    return Part(f"pair {conventions.models[place]}", f"part = 'pair' AND place div {BUCKETS} = {place}", OF_PAIRS)


def parts_beside(conventions: Conventions) -> list[Part]:
    """The parts that sum again what the reference does."""
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
    """The sums that are held against each other: those of numbers that are not negative, and so do not cancel.

    The losses of a user's function may have any sign.
    """
    return [name for name in reference_of(conventions).sums if name != "wl" or conventions.loss in LOSSES]


def examined(state: DataFrame) -> tuple[Conventions, Row]:
    """The conventions of a state, and of its rows what `facts_of` says, once they are found to fit together.

    Raises
    ------
    SpecError
        A table that is no state, or holds states that were made under different conventions, or one twice.
    DataError
        A state that was edited, or of which rows are missing.
    """
    if not isinstance(state, DataFrame):
        raise SpecError(
            f"a state is a Spark DataFrame, and a {kind_of(state)} came: give the .state of an evaluation or a "
            "comparison, and states one by one, as in merge(*states)"
        )
    equip_workers()  # what is read off a state takes Python
    if "fingerprint" not in state.columns:
        raise SpecError(f"a state has a column 'fingerprint', and this table has only {', '.join(state.columns)}")
    first = state.select(F.col("fingerprint").cast("string")).first()
    if first is None:
        raise SpecError("a state has one fingerprint, and this table has none: it is empty")
    conventions = Conventions.from_fingerprint(first.fingerprint or "")
    check_columns(state, conventions)
    facts = facts_of(state, conventions, first.fingerprint)
    if facts["others"]:
        raise SpecError(
            "a state has one fingerprint, and this table has several: read the states apart, `merge` tells what differs"
        )
    check_sources(facts["sources"], facts["added"])
    check_facts(facts, conventions)
    return conventions, facts


def check_columns(state: DataFrame, conventions: Conventions) -> None:
    """Raise DataError unless a table has the columns of a state of these conventions."""
    types = {field.name: field.dataType for field in state.schema.fields}
    for name in (*slice_columns(conventions).values(), "part", "place", *columns_of(conventions)):
        if name not in types:
            raise DataError(f"a state needs the column {name!r}, which this one lacks: {WRITE_AGAIN}")
    for name in ("part", "place", *columns_of(conventions)):
        if not isinstance(types[name], StringType if name == "part" else NumericType):
            raise DataError(f"column {name!r} of a state was a number, got {types[name].simpleString()}: {WRITE_AGAIN}")


def facts_of(state: DataFrame, conventions: Conventions, fingerprint: str) -> Row:
    """What tells whether the rows of a state fit together, in one row.

    `others` is the number of rows of another fingerprint; `sources` are the evaluations that were added, and `added`
    how often; `totals` is the number of rows of the part `total`. `reference_…` and `total_…` are what the slices and
    the total say of a sum, and `unlike_…` in how many slices another part says something else.
    """
    reference, beside, sums = reference_of(conventions), parts_beside(conventions), ("n", *totals_of(conventions))

    def summed(sql: str, condition: str, alias: str) -> Column:
        return F.expr(f"coalesce(sum({sql}) FILTER (WHERE {condition}), 0) AS {alias}")

    compared = {
        f"{place}_{name}": (f"reference_{name}", f"part_{place}_{name}")
        for place, part in enumerate(beside)
        for name in part.sums
    }
    by_slice = state.groupBy(*map(quoted, slice_columns(conventions).values())).agg(
        *[summed(sql, reference.condition, f"reference_{name}") for name, sql in reference.sums.items()],
        *[
            summed(sql, part.condition, f"part_{place}_{name}")
            for place, part in enumerate(beside)
            for name, sql in part.sums.items()
        ],
        *[summed(name, f"part = '{TOTAL}'", f"total_{name}") for name in sums],
        summed("n", f"part IN {STATUSES}", "rows"),
        summed("n", "part = 'ok'", "ok"),
        summed("n", f"part = '{SOURCE}'", "added"),
        F.expr(f"count_if(part = '{TOTAL}') AS totals"),
        F.count_if(~F.col("fingerprint").eqNullSafe(F.lit(fingerprint))).alias("others"),
        F.expr(f"collect_list(place) FILTER (WHERE part = '{SOURCE}') AS sources"),
    )
    added_up = (
        "rows",
        "added",
        "totals",
        "others",
        *(f"{side}_{name}" for name in sums for side in ("reference", "total")),
    )
    facts = by_slice.agg(
        *[F.expr(f"coalesce(sum({name}), 0) AS {name}") for name in added_up],
        *[F.expr(f"count_if(NOT {alike_as_sql(*pair)}) AS unlike_{name}") for name, pair in compared.items()],
        F.expr("count_if(reference_n > ok) AS unlike_ok"),
        F.expr("flatten(collect_list(sources)) AS sources"),
    ).first()
    assert facts is not None
    return facts


def alike_as_sql(a: str, b: str) -> str:
    """Whether two sums of the same rows agree, as SQL; infinite ones do where they are the same."""
    away = f"abs({a} - {b})"
    return f"({a} = {b} OR ({away} <= {SLACK!r}D * abs({a}) + {LEAST!r}D AND {away} < double('Infinity')))"


def alike(a: float, b: float) -> bool:
    """Whether two sums of the same rows agree; infinite ones do where they are the same."""
    return a == b or (isnan(a) and isnan(b)) or (isfinite(a - b) and abs(a - b) <= SLACK * abs(a) + LEAST)


def check_sources(sources: Sequence[int], added: int) -> None:
    """Raise SpecError where an evaluation was added more than once."""
    if added > len(set(sources)):
        raise SpecError(
            "the same state is given twice, itself or as part of another, and its rows must count once: "
            "leave one of them out"
        )


def check_facts(facts: Row, conventions: Conventions) -> None:
    """Raise DataError where the rows of a state do not fit together."""
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


def read_conventions(state: DataFrame) -> Conventions:
    """The conventions of an evaluation's state; raises as `examined` does, and where it is a comparison's."""
    conventions = conventions_in(state)
    if conventions.models:
        raise SpecError(
            f"this is the state of a comparison of {', '.join(conventions.models)}: read it with `comparison`"
        )
    return conventions


def conventions_in(state: DataFrame) -> Conventions:
    """The conventions of a state that is whole and unedited; raises as `examined` does."""
    conventions, _ = examined(state)
    return conventions


def with_slice(state: DataFrame, name: str, value: Column) -> DataFrame:
    """A state whose rows all have the same value of a slice, with that slice beside its own."""
    conventions = conventions_in(state)
    wider = replace(conventions, slices=(*conventions.slices, name))
    columns = {
        slice_columns(wider)[name]: F.when(~F.col("part").isin(*WHOLE), value),
        "fingerprint": F.lit(wider.fingerprint()),
    }
    return state.withColumns(columns)
