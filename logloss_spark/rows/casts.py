"""Columns of Arrow batches cast to doubles as Spark casts them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from logloss_spark.kernels.sums import Array

EXACT = 2**53
"""Whole numbers up to this size are doubles without rounding."""

EXACT_POWER = 22
"""Powers of ten up to this one are doubles without rounding."""


def decoded(column: pa.Array) -> pa.Array:
    """A column with one value per row, whatever encoding it came in."""
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return pc.run_end_decode(column) if pa.types.is_run_end_encoded(column.type) else column


def as_doubles(column: pa.Array) -> pa.Array:
    """A column of numbers or booleans, or of lists of numbers, as doubles or lists of doubles, nulls kept.

    A column that holds doubles already is returned without a copy.
    """
    column = decoded(column)
    if pa.types.is_list(column.type):
        return as_double_lists(column)
    if pa.types.is_decimal(column.type):
        return decimals_as_doubles(column)
    return column if pa.types.is_float64(column.type) else column.cast(pa.float64(), safe=False)


def as_double_lists(lists: pa.Array) -> pa.Array:
    """A column of lists of numbers as lists of doubles, null lists and null entries kept."""
    if pa.types.is_float64(lists.type.value_type):
        return lists
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    mask = lists.is_null() if lists.null_count else None
    return pa.ListArray.from_arrays(offsets, as_doubles(lists.flatten()), mask=mask)


def decimals_as_doubles(column: pa.Array) -> pa.Array:
    """Decimals as the nearest doubles, as Java rounds them.

    A quotient of two doubles without rounding is the nearest double. Longer decimals go through their text: Arrow's own
    cast is not the nearest double, but its parser is.
    """
    scale = column.type.scale
    words = unscaled(column)
    low, high = words[:, 0], words[:, 1]
    short = (high == low >> 63) & (low >= -EXACT) & (low <= EXACT)
    if scale < 0 or scale > EXACT_POWER or not (short | nulls(column)).all():
        return column.cast(pa.string()).cast(pa.float64())
    values: Array = low / 10.0**scale
    return pa.array(values, mask=nulls(column), from_pandas=False)


def unscaled(column: pa.Array) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The whole numbers that decimals are stored as, in two words of 64 bits, the low one first: shape (n, 2)."""
    wide = column.cast(pa.decimal128(38, column.type.scale))
    words = np.frombuffer(wide.buffers()[1], dtype=np.int64).reshape(-1, 2)
    return words[wide.offset : wide.offset + len(wide)]


def nulls(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which entries of a column are null."""
    if not column.null_count:
        return np.zeros(len(column), dtype=bool)
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))
