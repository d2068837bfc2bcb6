"""The table by class of a state: one row per slice and class that happened."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, LongType, StringType, StructField

from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.sums import Array
from logloss_spark.roles import slices_of
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import low_of
from logloss_spark.states.slices import (
    OF_SLICE,
    check_names,
    check_slices,
    inner_names,
    map_slices,
    rolled_up,
    with_names,
)
from logloss_spark.states.small import rolled_up_here
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import BY_CLASS, by_column, columns_of_loss
from logloss_spark.statistics.reliability import by_class
from logloss_spark.tables.local import table_of_results
from logloss_spark.tables.pivot import (
    arrow_metric,
    class_columns,
    moments_of,
    one_row_per_slice,
    spark_type,
    sums_in,
)

PIECE = 100_000
"""Number of rows that are computed together; they take some 20 MB."""


def class_table(state: CheckedState, by: tuple[tuple[str, ...], ...]) -> DataFrame | LocalTable:
    """What `State.by_class` returns, computed where the state is."""
    return by_class_here(state.local, state.conventions, by) if state.local else by_class_in_spark(state, by)


def by_class_in_spark(state: CheckedState, by: tuple[tuple[str, ...], ...]) -> DataFrame:
    """The table by class of a large state."""
    conventions, slices, inner = state.conventions, slices_of(by), list(inner_names(by).values())
    check_by_class(conventions, by)
    parts = state.table.where("part IN ('moments', 'class')")
    wide = one_row_per_slice(rolled_up(parts, conventions, by), conventions, slices)
    of_class = {name: F.col("of_class")[name].alias(f"class_{name}") for name in ("place", *class_columns(conventions))}
    classes = wide.withColumn("of_class", F.explode("class")).select(
        *inner, *OF_SLICE, *of_class.values(), *moments_of(conventions)
    )
    types = types_of_by_class(conventions)
    fields = [StructField(name, type_) for name, type_ in types.items() if name not in OF_SLICE]
    measure = partial(by_class_of_batch, conventions=conventions)
    table = map_slices(classes, measure, kept=[*inner, *OF_SLICE], fields=fields, piece=PIECE)
    return with_names(table, slices, list(types))


def by_class_of_batch(batch: pa.RecordBatch, *, conventions: Conventions) -> list[pa.Array]:
    """The columns of the table for a batch of classes, each with the moments of its slice."""
    place = batch.column("class_place").to_numpy(zero_copy_only=False)
    sums = {name: sums_in(batch, f"class_{name}") for name in class_columns(conventions)}
    moments = {name: sums_in(batch, name) for name in moments_of(conventions)}
    return list(columns_of_classes(place, sums, moments, conventions).values())


def columns_of_classes(
    place: npt.NDArray[np.int64], sums: Mapping[str, Array], moments: Mapping[str, Array], conventions: Conventions
) -> dict[str, pa.Array]:
    """The columns of the table for some classes, from their sums and the moments of their slices."""
    of_slice = {name: moments[name] + moments[low_of(name)] for name in ("w", "wl")}
    own = {"n": sums["n"], "wl": sums["wl" if conventions.scalar else "wly"]}
    if conventions.scalar and conventions.soft_labels:
        own["wl"] = np.full(len(place), np.nan)
    for name in ("wy", "wp"):
        if conventions.scalar:  # the sums of the negative class are what the positive one leaves
            positive = moments[name] + moments[low_of(name)]
            own[name] = np.where(place == 1, positive, of_slice["w"] - positive)
        else:
            own[name] = sums[name] + sums[low_of(name)]
    found = by_class(own, of_slice, conventions.weight_exponent)
    metrics, columns = by_column(BY_CLASS), columns_of_loss(BY_CLASS, conventions.loss)
    names = pa.array([str(name) for name in conventions.classes])
    return {"class": names.take(pa.array(place))} | {
        columns[name]: arrow_metric(metrics[name], values) for name, values in found.items()
    }


def by_class_here(state: LocalTable, conventions: Conventions, by: tuple[tuple[str, ...], ...]) -> LocalTable:
    """The table by class of a small state, computed on the driver."""
    check_by_class(conventions, by)
    parts = {"moments": moments_of(conventions), "class": class_columns(conventions)}
    rolled = rolled_up_here(state, conventions, by, parts)
    classes = rolled.parts["class"]
    moments = {name: values[classes.row] for name, values in rolled.parts["moments"].totals().items()}
    found = columns_of_classes(classes.place, classes.sums, moments, conventions)
    keys = rolled.keys.take(pa.array(classes.row))
    return table_of_results(state, conventions, slices_of(by), keys, pa.table(found), types_of_by_class(conventions))


def check_by_class(conventions: Conventions, by: tuple[tuple[str, ...], ...]) -> None:
    """Raise SpecError unless the state has these slices, and their names fit the table."""
    check_slices(conventions, by)
    check_names(slices_of(by), class_table_columns(conventions))


def types_of_by_class(conventions: Conventions) -> dict[str, DataType]:
    """The columns of a table by class except for the slices, in order, with their types."""
    metrics, columns = by_column(BY_CLASS), columns_of_loss(BY_CLASS, conventions.loss)
    keys: dict[str, DataType] = {"grouping_id": LongType(), "slice": StringType()}
    return keys | {column: spark_type(metrics[name], scalar=True) for name, column in columns.items()}


def class_table_columns(conventions: Conventions) -> list[str]:
    """The columns of a table by class except for the slices."""
    return list(types_of_by_class(conventions))
