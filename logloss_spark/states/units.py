"""A state taken apart by its unit columns: a state for each unit, all in one table with one more column."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField, StructType

from logloss_spark.io.units import Key
from logloss_spark.rows.inputs import quoted
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import SOURCE, TOTAL, WHOLE, with_challenger
from logloss_spark.states.slices import slice_columns
from logloss_spark.states.state import CheckedState, table_columns, terms_of_total

UNIT = "unit_id"
"""The column that names the unit of a row of a stored state."""

KEY = "key of the unit"


@dataclass(frozen=True)
class NewUnit:
    """A unit whose state is to be stored.

    Attributes
    ----------
    key : the values of the unit columns, as texts
    id : the name of its rows
    source : the id of its evaluation
    fingerprint : that of its files
    age : how old it was when its labels were looked at, in days
    """

    key: Key
    id: str
    source: int
    fingerprint: str
    age: int | None = None


def by_unit(state: CheckedState, columns: Sequence[str], units: Sequence[NewUnit]) -> DataFrame:
    """The states of units, as one table: the columns of the state, and `unit_id`, which names each row's unit.

    Each unit has a total and an id of its own, so that its rows are a whole state. A unit without rows has the state of
    an empty table. Rows of other units are left out.

    Parameters
    ----------
    state : CheckedState
        Its slice columns include the unit columns.
    columns : sequence of str
        The unit columns.
    units : sequence of NewUnit
    """
    conventions = state.conventions
    known = state.table.sparkSession.createDataFrame(
        [(*unit.key, unit.id, unit.source) for unit in units],
        StructType(
            [StructField(f"{KEY} {index}", StringType()) for index in range(len(columns))]
            + [StructField(UNIT, StringType()), StructField("source id", LongType())]
        ),
    )
    rows = state.table.where(~F.col("part").isin(*WHOLE))
    for index, name in enumerate(columns):
        text = quoted(slice_columns(conventions)[name]).cast("string")
        rows = rows.withColumn(f"{KEY} {index}", text)
    keys = [f"{KEY} {index}" for index in range(len(columns))]
    same = [F.col(f"rows.`{key}`").eqNullSafe(F.col(f"units.`{key}`")) for key in keys]
    joined = rows.alias("rows").join(F.broadcast(known.alias("units")), same, "inner")
    of_units = joined.select("rows.*", f"units.{UNIT}").drop(*keys)
    sources = known.select(
        UNIT, F.lit(SOURCE).alias("part"), F.col("`source id`").alias("place"), F.lit(1).cast("long").alias("n")
    )
    whole = of_units
    for further in (sources, totals_by_unit(of_units, conventions, known.select(UNIT))):
        whole = whole.unionByName(further, allowMissingColumns=True)
    fingerprint = F.lit(conventions.fingerprint()).alias("fingerprint")
    ordered = [fingerprint if name == "fingerprint" else quoted(name) for name in table_columns(conventions)]
    return whole.select(*ordered, UNIT)


def totals_by_unit(rows: DataFrame, conventions: Conventions, units: DataFrame) -> DataFrame:
    """The part `total` of each unit, 0 where a unit has no rows."""
    sums = terms_of_total(conventions)
    found = (
        with_challenger(rows, conventions)
        .groupBy(UNIT)
        .agg(*(F.expr(f"sum({sql}) AS {name}") for name, sql in sums.items()))
    )
    none: dict[str, bool | float | int | str] = {name: 0 if name == "n" else 0.0 for name in sums}
    return units.join(found, UNIT, "left").na.fill(none).withColumn("part", F.lit(TOTAL))
