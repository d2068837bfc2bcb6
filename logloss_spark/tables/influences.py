"""The table of influences of a state: what each bucket of clusters adds to the errors of metrics, for each slice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql.types import ArrayType, DoubleType, StructField

from logloss_spark.kernels.sums import Array
from logloss_spark.roles import slices_of
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import Entries
from logloss_spark.states.slices import check_slices, inner_names, map_slices, rolled_up
from logloss_spark.states.small import rolled_up_here
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.influences import influences_of
from logloss_spark.statistics.reporting import Reading
from logloss_spark.tables.pivot import PIECE, one_row_per_slice, parts_in, parts_of, sums_of

FILLED = "filled"
"""The column that says which buckets hold rows of a slice."""


@dataclass(frozen=True, eq=False)
class Influences:
    """The influences of the buckets of n slices.

    Attributes
    ----------
    keys : pyarrow.Table
        The slice columns, null where they are rolled up, `grouping_id` and `slice`.
    filled : array of shape (n, 64), which buckets hold rows
    of : arrays of shape (n, m) by metric, as `influences_of` returns them
    """

    keys: pa.Table
    filled: npt.NDArray[np.bool_]
    of: Mapping[str, Array]


def influences_table(
    state: CheckedState, by: tuple[tuple[str, ...], ...], reading: Reading, metrics: Sequence[str]
) -> Influences:
    """The influences on these metrics, of the global row and of grouping sets; computed where the state is.

    With m metrics they take some 500 m bytes a slice on the driver (3,200 for each metric that is bootstrapped).
    """
    conventions = state.conventions
    check_slices(conventions, by)
    columns = {name: f"metric_{place}" for place, name in enumerate(metrics)}
    compute = partial(influences_of_parts, conventions=conventions, reading=reading, columns=columns)
    if state.local:
        rolled = rolled_up_here(state.local, conventions, by, parts_of(conventions))
        found = pa.concat_tables([pa.table(compute(parts)) for parts in rolled.pieces(PIECE)])
        keys = rolled.keys
    else:
        wide = one_row_per_slice(rolled_up(state.table, conventions, by), conventions, slices_of(by))
        kept = [*inner_names(by).values(), "grouping_id", "slice"]
        fields = [StructField(name, ArrayType(DoubleType())) for name in (FILLED, *columns.values())]
        of_batch = partial(influences_of_batch, compute=compute, conventions=conventions)
        found = map_slices(wide, of_batch, kept=kept, fields=fields, piece=PIECE).toArrow()
        keys = found.select(kept)
    names = {inner: name for name, inner in inner_names(by).items()}
    return Influences(
        keys.rename_columns([names.get(name, name) for name in keys.column_names]),
        matrix(found[FILLED]) != 0.0,
        {name: matrix(found[column]) for name, column in columns.items()},
    )


def influences_of_batch(
    batch: pa.RecordBatch, *, compute: partial[dict[str, pa.Array]], conventions: Conventions
) -> list[pa.Array]:
    """The influences in a batch of `one_row_per_slice`."""
    return list(compute(parts_in(batch, parts_of(conventions))).values())


def influences_of_parts(
    parts: Mapping[str, Entries], *, conventions: Conventions, reading: Reading, columns: Mapping[str, str]
) -> dict[str, pa.Array]:
    """The influences in some slices, a list for each slice, and which of their buckets are filled."""
    sums = sums_of(parts, conventions)
    found = influences_of(sums, reading, columns)
    return {FILLED: lists(sums.by_bucket("w") != 0.0)} | {columns[name]: lists(found[name]) for name in columns}


def lists(values: npt.NDArray[np.generic]) -> pa.Array:
    """A matrix as an Arrow array with a list for each of its rows."""
    ends = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(values.ravel().astype(np.float64)))


def matrix(column: pa.ChunkedArray) -> Array:
    """Lists of one length as a matrix."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1) if len(column) else np.zeros((0, 1))
