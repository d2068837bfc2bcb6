"""States that have been checked: how they add, are cut to some slices, and lose or gain slice columns."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from logloss_spark.errors import SpecError
from logloss_spark.io.local import LocalTable, as_dataframe
from logloss_spark.io.names import quoted
from logloss_spark.io.spark_errors import said
from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import (
    KEYS,
    SOURCE,
    SOURCE_BITS,
    TOTAL,
    WHOLE,
    columns_of,
    reference_of,
    sums_column,
    totals_of,
    with_challenger,
)
from logloss_spark.states.slices import check_slices, slice_columns, slice_types
from logloss_spark.states.small import added_here

NEAR = 400
"""Weights in units that differ by at most this power of two are added in the larger unit."""


@dataclass(frozen=True, eq=False)
class CheckedState:
    """A table of sums that fit together, their conventions, and the ids of the evaluations that were added up.

    The sums of a small state may be on the driver.
    """

    sums: DataFrame | LocalTable
    conventions: Conventions
    sources: frozenset[int]

    @property
    def table(self) -> DataFrame:
        """The sums as a DataFrame; sums on the driver go to Spark when they are first asked for."""
        return as_dataframe(self.sums)

    @property
    def local(self) -> LocalTable | None:
        """The sums, if they are on the driver."""
        return self.sums if isinstance(self.sums, LocalTable) else None

    @property
    def slice_types(self) -> dict[str, str]:
        """The type of each slice column, in SQL."""
        return slice_types(self.sums.schema, self.conventions)


def new_source() -> int:
    """A random id for an evaluation."""
    return secrets.randbits(SOURCE_BITS)


def added(parts: DataFrame, conventions: Conventions) -> DataFrame:
    """The table of one state, from rows of one or more whose slice columns are called `slice_0`, ..."""
    inner = [slice_name(place) for place in range(len(conventions.slices))]
    sums = parts.groupBy(*inner, *KEYS).agg(sums_column(conventions))
    return as_stored(sums.select("*", "sums.*").drop("sums"), conventions)


def as_stored(sums: DataFrame, conventions: Conventions) -> DataFrame:
    """The table of a state, from its sums by `slice_0`, ...: slices under their names, and the fingerprint."""
    columns = slice_columns(conventions).values()
    inner = [slice_name(place) for place in range(len(columns))]
    named = [F.col(key).alias(name) for key, name in zip(inner, columns, strict=True)]
    others = f"* EXCEPT ({', '.join(inner)})" if inner else "*"
    return sums.select(*named, F.expr(others), F.lit(conventions.fingerprint()).alias("fingerprint"))


def known_as(spark: SparkSession, source: int) -> DataFrame:
    """The two rows that every state has, even that of an empty table: the evaluation's id, and a total of 0."""
    return spark.range(1).selectExpr(
        f"inline(array(named_struct('part', '{SOURCE}', 'place', {source}L, 'n', 1L), "
        f"named_struct('part', '{TOTAL}', 'place', CAST(NULL AS BIGINT), 'n', 0L)))"
    )


def completed(rows: DataFrame, conventions: Conventions) -> CheckedState:
    """The state of rows that were cut from another by their slices: it gets a total and an id of its own."""
    source, sums = new_source(), terms_of_total(conventions)
    own = rows.sparkSession.range(1).selectExpr(f"'{SOURCE}' AS part", f"{source}L AS place", "1L AS n")
    total = with_challenger(rows, conventions).agg(
        F.lit(TOTAL).alias("part"), *(F.expr(f"coalesce(sum({sql}), 0) AS {name}") for name, sql in sums.items())
    )
    table = aligned(rows, conventions)
    for further in (own, total):
        table = table.unionByName(further, allowMissingColumns=True)
    table = table.withColumn("fingerprint", F.lit(conventions.fingerprint()))
    return CheckedState(table, conventions, frozenset([source]))


def terms_of_total(conventions: Conventions) -> dict[str, str]:
    """What each row of a state adds to the sums of its part `total`, as SQL; needs the column of `with_challenger`."""
    reference = reference_of(conventions)
    return {"n": f"if(part IN {STATUSES}, n, 0L)"} | {
        name: f"if({reference.condition}, {reference.terms(name)}, 0D)" for name in totals_of(conventions)
    }


def table_columns(conventions: Conventions) -> list[str]:
    """The columns of a state, in order."""
    return [*slice_columns(conventions).values(), *KEYS, *columns_of(conventions), "fingerprint"]


def aligned(table: DataFrame, conventions: Conventions) -> DataFrame:
    """The columns of a state, in order, of a table that may have further ones."""
    columns = table_columns(conventions)
    # A plan over hundreds of states must stay small.
    return table if table.columns == columns else table.select(*map(quoted, columns))


def keyed(table: DataFrame, conventions: Conventions, *beside: str, slices: Sequence[str] | None = None) -> DataFrame:
    """The rows of a state with slice columns, by default all, called `slice_0`, ...; `beside` are kept as well."""
    columns = slice_columns(conventions)
    names = conventions.slices if slices is None else slices
    inner = [quoted(columns[name]).alias(slice_name(place)) for place, name in enumerate(names)]
    return table.select(*inner, *KEYS, *columns_of(conventions), *beside)


def cut(state: CheckedState, condition: str | Column) -> CheckedState:
    """The state of the slices that meet a condition on the slice columns; SpecError for any other condition."""
    columns = slice_columns(state.conventions)
    schema = state.table.schema
    slices = StructType([StructField(name, schema[column].dataType) for name, column in columns.items()])
    try:  # on an empty table of slice columns: below a projection Spark would find the other columns, too
        _ = state.table.sparkSession.createDataFrame([], slices).where(condition).select("*").schema
    except PySparkException as error:
        raise SpecError(
            f"where must be a condition on the slice columns of the state ({', '.join(columns) or 'it has none'}), "
            f"got {str(condition)!r}: {said(error)}"
        ) from error
    row = F.struct("*").alias("row of the state")
    named = [quoted(column).alias(name) for name, column in columns.items()]
    rows = state.table.where(~F.col("part").isin(*WHOLE)).select(*named, row).where(condition)
    return completed(rows.select("`row of the state`.*"), state.conventions)


def coarser(state: CheckedState, slices: Sequence[str]) -> CheckedState:
    """The state with only these slice columns."""
    check_slices(state.conventions, [slices])
    conventions = replace(state.conventions, slices=tuple(slices))
    return CheckedState(
        added(keyed(state.table, state.conventions, slices=slices), conventions), conventions, state.sources
    )


def sliced(state: CheckedState, name: str, value: Column) -> CheckedState:
    """The state with one more slice column that has one value."""
    if name.casefold() in map(str.casefold, state.conventions.slices):
        raise SpecError(f"a new slice must have a new name, got {name!r}: the state has a slice of this name")
    wider = replace(state.conventions, slices=(*state.conventions.slices, name))
    keys = keyed(state.table, state.conventions).withColumn(
        slice_name(len(wider.slices) - 1), F.when(~F.col("part").isin(*WHOLE), value)
    )
    return CheckedState(as_stored(keys, wider), wider, state.sources)


def merged(states: Sequence[CheckedState]) -> CheckedState:
    """The sum of states: the state of all their rows, computed here if all of them are on the driver.

    Raises
    ------
    SpecError
        States differ in their conventions or slices, and the message says in which; or a state is given twice, whole
        or as part of another.
    """
    conventions = common_conventions([state.conventions for state in states])
    first, *others = (state.slice_types for state in states)
    other = next((types for types in others if types != first), None)
    if other is not None:
        raise SpecError(f"slice columns must have the same types in all states, got {first} and {other}")
    sources = frozenset[int]().union(*(state.sources for state in states))
    check_sources(len(sources), sum(len(state.sources) for state in states))
    local = [state.local for state in states if state.local and has_units_of(state, conventions)]
    here = added_here(local, table_columns(conventions), conventions) if len(local) == len(states) else None
    if here is not None:
        return CheckedState(here, conventions, sources)
    together = union_of([rescaled(state, conventions) for state in states])
    return CheckedState(added(keyed(together, conventions), conventions), conventions, sources)


def common_conventions(found: Sequence[Conventions]) -> Conventions:
    """The conventions of a sum of states; SpecError if theirs differ."""
    exponents = [own.weight_exponent for own in found]
    near = max(exponents) - min(exponents) <= NEAR
    common = replace(found[0], weight_exponent=max(exponents) if near else exponents[0])
    for own in dict.fromkeys(found[1:]):
        other = own.with_slices_like(common)
        other = replace(other, weight_exponent=common.weight_exponent) if near else other
        differing = differences(common, other)
        if differing:
            raise SpecError(f"only states that were made alike can be merged; these differ in {', '.join(differing)}")
    return common


def differences(first: Conventions, second: Conventions) -> list[str]:
    """The fields in which conventions differ, with both values."""
    ours, theirs = asdict(first), asdict(second)
    return [f"{name} {ours[name]!r} and {theirs[name]!r}" for name in ours if ours[name] != theirs[name]]


def check_sources(distinct: int, added: int) -> None:
    """Raise SpecError if an evaluation was added more than once."""
    if added > distinct:
        raise SpecError(
            "each state must be given once, got one twice, itself or as part of another: leave one of them out, "
            "or its rows count twice"
        )


def has_units_of(state: CheckedState, conventions: Conventions) -> bool:
    """Whether the weights of a state are in the units of these conventions."""
    return state.conventions.weight_exponent == conventions.weight_exponent


def rescaled(state: CheckedState, into: Conventions) -> DataFrame:
    """The table of a state under other conventions: slices in their order, weights in their units."""
    table = aligned(state.table, into)
    unit = 2.0 ** (state.conventions.weight_exponent - into.weight_exponent)
    if unit == 1.0:
        return table
    factors = {name: unit * unit if name.startswith("w2") else unit for name in columns_of(into) if name != "n"}
    scaled = {name: F.expr(f"{name} * {factor!r}D AS {name}") for name, factor in factors.items()}
    return table.select(*(scaled[name] if name in scaled else quoted(name) for name in table.columns))


def union_of(tables: Sequence[DataFrame]) -> DataFrame:
    """All rows of tables with the same columns. The tree of unions is balanced: Spark Connect bounds its depth."""
    while len(tables) > 1:
        pairs = [tables[start : start + 2] for start in range(0, len(tables), 2)]
        tables = [pair[0].union(pair[1]) if len(pair) > 1 else pair[0] for pair in pairs]
    return tables[0]
