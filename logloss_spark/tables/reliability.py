"""The reliability table of a state: one row per slice and equal-width bin of the score."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, LongType, StringType, StructField

from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.grid import BINS, HALF, coarse_bin
from logloss_spark.kernels.sums import Array
from logloss_spark.roles import slices_of
from logloss_spark.rows.bins import literal_array
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import grouped_entries
from logloss_spark.states.schema import CELL
from logloss_spark.states.slices import (
    OF_SLICE,
    check_names,
    check_slices,
    inner_names,
    map_slices,
    rolled_up,
    slice_text,
    with_names,
)
from logloss_spark.states.small import rolled_up_here
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import RELIABILITY, by_column, columns_of_loss
from logloss_spark.statistics.reliability import reliability
from logloss_spark.statistics.reporting import Reading
from logloss_spark.tables.local import table_of_results
from logloss_spark.tables.pivot import arrow_metric, spark_type, sums_in

SUMMED = ("n", *CELL)

PIECE = 100_000
"""Number of rows that are computed together; they take some 20 MB."""


def equal_width_cells(state: DataFrame, bins: int) -> DataFrame:
    """The cells of a state with their equal-width bin as `place`, and `wp` the sum of w p also above one half."""
    coarse = literal_array(coarse_bin(np.arange(BINS), bins), "int")
    return state.where("part = 'cell'").withColumns(
        {
            "wp": F.when(F.col("place") >= HALF, F.col("w") - F.col("wp")).otherwise(F.col("wp")),
            "place": F.get(coarse, F.col("place")),
        }
    )


def reliability_table(state: CheckedState, by: tuple[tuple[str, ...], ...], reading: Reading) -> DataFrame | LocalTable:
    """What `State.reliability` returns, computed where the state is."""
    if state.local:
        return reliability_here(state.local, state.conventions, by, reading)
    return reliability_in_spark(state, by, reading)


def reliability_in_spark(state: CheckedState, by: tuple[tuple[str, ...], ...], reading: Reading) -> DataFrame:
    """The reliability table of a large state."""
    conventions, slices = state.conventions, slices_of(by)
    check_reliability(conventions, by)
    cells = rolled_up(equal_width_cells(state.table, reading.ece_bins), conventions, by).where("w > 0")
    named = cells.withColumn("slice", slice_text(slices)).select(*inner_names(by).values(), *OF_SLICE, "place", *SUMMED)
    types = types_of_reliability(conventions)
    fields = [StructField(name, type_) for name, type_ in types.items() if name not in OF_SLICE]
    measure = partial(reliability_of_batch, conventions=conventions, reading=reading)
    table = map_slices(named, measure, kept=[*inner_names(by).values(), *OF_SLICE], fields=fields, piece=PIECE)
    return with_names(table, slices, list(types))


def reliability_of_batch(batch: pa.RecordBatch, *, conventions: Conventions, reading: Reading) -> list[pa.Array]:
    """The columns of the table for a batch of equal-width cells."""
    place = batch.column("place").to_numpy(zero_copy_only=False)
    sums = {name: sums_in(batch, name) for name in SUMMED}
    return list(columns_of_bins(place, sums, conventions, reading).values())


def columns_of_bins(
    place: npt.NDArray[np.int64], sums: Mapping[str, Array], conventions: Conventions, reading: Reading
) -> dict[str, pa.Array]:
    """The columns of the table for some equal-width cells."""
    found = reliability(place, sums, reading, conventions.weight_exponent)
    metrics, columns = by_column(RELIABILITY), columns_of_loss(RELIABILITY, conventions.loss)
    return {column: arrow_metric(metrics[name], found[name]) for name, column in columns.items()}


def reliability_here(
    state: LocalTable, conventions: Conventions, by: tuple[tuple[str, ...], ...], reading: Reading
) -> LocalTable:
    """The reliability table of a small state, computed on the driver."""
    check_reliability(conventions, by)
    rolled = rolled_up_here(state, conventions, by, {"cell": SUMMED})
    cells = rolled.parts["cell"]
    upper, sums = cells.place >= HALF, dict(cells.sums)
    sums["wp"] = np.where(upper, sums["w"] - sums["wp"], sums["wp"])
    bins = grouped_entries(cells.slices, cells.row, coarse_bin(cells.place, reading.ece_bins), sums)
    held = np.flatnonzero(bins.sums["w"] > 0)
    of_held = {name: values[held] for name, values in bins.sums.items()}
    found = columns_of_bins(bins.place[held], of_held, conventions, reading)
    keys = rolled.keys.take(pa.array(bins.row[held]))
    return table_of_results(state, conventions, slices_of(by), keys, pa.table(found), types_of_reliability(conventions))


def check_reliability(conventions: Conventions, by: tuple[tuple[str, ...], ...]) -> None:
    """Raise SpecError unless the state has these slices, and their names fit the table."""
    check_slices(conventions, by)
    check_names(slices_of(by), reliability_columns(conventions))


def types_of_reliability(conventions: Conventions) -> dict[str, DataType]:
    """The columns of a reliability table except for the slices, in order, with their types."""
    metrics = by_column(RELIABILITY)
    columns = columns_of_loss(RELIABILITY, conventions.loss)
    keys: dict[str, DataType] = {"grouping_id": LongType(), "slice": StringType()}
    return keys | {column: spark_type(metrics[name], scalar=True) for name, column in columns.items()}


def reliability_columns(conventions: Conventions) -> list[str]:
    """The columns of a reliability table except for the slices."""
    return list(types_of_reliability(conventions))
