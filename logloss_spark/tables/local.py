"""Tables of results that are computed on the driver, from a small state."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from pyspark.sql.types import DataType, StructField, StructType

from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.slices import OF_SLICE, slice_columns


def table_of_results(
    state: LocalTable,
    conventions: Conventions,
    slices: Sequence[str],
    keys: pa.Table,
    found: pa.Table,
    types: Mapping[str, DataType],
) -> LocalTable:
    """A table with these columns in order: the slice columns under their own names, then those of `types`.

    `keys` has the slice of each row (`slice_0`, ..., `grouping_id`, `slice`), and `found` all other columns.
    """
    columns = slice_columns(conventions)
    fields = [StructField(name, state.schema[columns[name]].dataType) for name in slices]
    fields += [StructField(name, type_) for name, type_ in types.items()]
    arrays = [keys[slice_name(place)] for place in range(len(slices))]
    arrays += [keys[name] if name in OF_SLICE else found[name] for name in types]
    return LocalTable(pa.table(arrays, names=[field.name for field in fields]), StructType(fields), state.spark)


def whole_numbers(counts: Array) -> pa.Array:
    """Counts as an Arrow array of integers."""
    return pa.array(counts.astype("int64"))
