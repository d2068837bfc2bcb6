"""A state taken apart by its unit columns: a state for each unit, all in one table with one more column."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField, StructType

from logloss_spark.io.local import LocalTable
from logloss_spark.io.names import quoted
from logloss_spark.io.units import Key, key_columns
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import Index
from logloss_spark.states.schema import SOURCE, TOTAL, WHOLE, low_of, totals_of, with_challenger
from logloss_spark.states.slices import slice_columns
from logloss_spark.states.small import as_doubles, is_written
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


def by_unit(state: CheckedState, columns: Sequence[str], units: Sequence[NewUnit]) -> DataFrame | LocalTable:
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

    Returns
    -------
    on the driver, if the state of an evaluation is there; else lazy
    """
    here = None if state.local is None else by_unit_here(state.local, state.conventions, columns, units)
    return by_unit_in_spark(state, columns, units) if here is None else here


def by_unit_here(
    state: LocalTable, conventions: Conventions, columns: Sequence[str], units: Sequence[NewUnit]
) -> LocalTable | None:
    """The states of units from a small state; None where Spark must write the keys, and for a comparison."""
    names = slice_columns(conventions)
    unit = indexes_of_units(state.rows, state.schema, [names[name] for name in columns], units)
    if unit is None or conventions.models:
        return None
    whole = np.asarray(pc.is_in(state.rows["part"], pa.array(WHOLE, state.rows["part"].type)))
    kept = ~whole & (unit >= 0)
    rows, unit = state.rows.select(table_columns(conventions)).filter(pa.array(kept)), unit[kept]
    ids = pa.array([unit.id for unit in units], pa.string())
    fields = [*(state.schema[name] for name in rows.column_names), StructField(UNIT, StringType())]
    of_slices = rows.append_column(UNIT, ids.take(pa.array(unit)))
    own = [
        {"part": SOURCE, "place": new.source, "n": 1, "fingerprint": conventions.fingerprint(), UNIT: new.id}
        for new in units
    ]
    totals = totals_of_units(rows, conventions, unit, len(units))
    own += [
        {name: values[index] for name, values in totals.items()}
        | {"part": TOTAL, "fingerprint": conventions.fingerprint(), UNIT: new.id}
        for index, new in enumerate(units)
    ]
    together = pa.concat_tables([of_slices, pa.Table.from_pylist(own, schema=of_slices.schema)])
    return LocalTable(together, StructType(fields), state.spark)


def indexes_of_units(
    rows: pa.Table, schema: StructType, columns: Sequence[str], units: Sequence[NewUnit]
) -> Index | None:
    """The index in `units` of each row's unit, -1 for a row of none; None where Spark must write the keys."""
    keys = texts_of(rows, schema, columns)
    if keys is None:
        return None
    index = {unit.key: place for place, unit in enumerate(units)}
    return np.array([index.get(key, -1) for key in keys], dtype=np.int64)


def texts_of(rows: pa.Table, schema: StructType, columns: Sequence[str]) -> list[Key] | None:
    """The values of columns in each row, as texts; None where Spark must write them."""
    if not all(is_written(rows[name].combine_chunks(), schema[name].dataType) for name in columns):
        return None
    return list(zip(*(pc.cast(rows[name], pa.string()).to_pylist() for name in columns), strict=True))


def keys_of_units(state: CheckedState, columns: Sequence[str]) -> list[Key]:
    """Return the keys of the units that have rows in a state."""
    names = [slice_columns(state.conventions)[name] for name in columns]
    texts = None if state.local is None else texts_of(state.local.rows, state.local.schema, names)
    if state.local is None or texts is None:
        rows = state.table.where(~F.col("part").isin(*WHOLE))
        return [tuple(row) for row in rows.select(*key_columns(names)).distinct().collect()]
    parts = state.local.rows["part"].to_pylist()
    return sorted({key for key, part in zip(texts, parts, strict=True) if part not in WHOLE}, key=str)


def counts_by_unit(table: DataFrame | LocalTable) -> Counter[str]:
    """How many rows each unit has in a table with `unit_id`."""
    if isinstance(table, LocalTable):
        return Counter({pair["values"]: pair["counts"] for pair in table.rows[UNIT].value_counts().to_pylist()})
    return Counter({row[UNIT]: row["count"] for row in table.groupBy(UNIT).count().collect()})


def totals_of_units(rows: pa.Table, conventions: Conventions, unit: Index, units: int) -> dict[str, list[Any]]:
    """The sums of the part `total` of each unit, from the rows of an evaluation and the index of each row's unit."""
    part = rows["part"].to_numpy(zero_copy_only=False)
    counted, scored = np.isin(part, STATUSES), part == "moments"

    def of_units(values: Array, among: npt.NDArray[np.bool_]) -> Array:
        return np.bincount(unit[among], weights=values[among], minlength=units).astype(np.float64)

    found = {"n": [int(count) for count in of_units(as_doubles(rows["n"]), counted)]}
    for name in totals_of(conventions):
        low = low_of(name)
        values = as_doubles(rows[name]) + (as_doubles(rows[low]) if low in rows.column_names else 0.0)
        found[name] = of_units(values, scored).tolist()
    return found


def by_unit_in_spark(state: CheckedState, columns: Sequence[str], units: Sequence[NewUnit]) -> DataFrame:
    """The states of units from a state of any size."""
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
