"""The bucket of each cluster of an Arrow batch, in NumPy: what `rows.clusters` computes with Spark columns.

A number has the same bucket in every numeric type and as plain text. Whole numbers within bigint are hashed as bigint,
other numbers as double. Text that is no number, whole numbers beyond bigint, and dates are hashed as text.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from logloss_spark.errors import UnreadableError
from logloss_spark.kernels.hashing import xxhash64_of_bytes, xxhash64_of_doubles, xxhash64_of_longs
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.clusters import FRACTION, WHOLE
from logloss_spark.rows.inputs import BUCKETS

Hashes = npt.NDArray[np.int64]

MOST = 2.0**63
"""The least double beyond bigint."""

MINUS, ZERO, NINE = b"-09"
"""The bytes that a text begins with if it spells a number."""

DIGITS = 18
"""A whole number of so many digits is within bigint."""


def buckets_of(cluster: pa.Array) -> npt.NDArray[np.int64]:
    """The bucket of each cluster, 0..63; any where the cluster is null."""
    return np.asarray(hashes_of(cluster) & (BUCKETS - 1))


def hashes_of(cluster: pa.Array) -> Hashes:
    """The hash of each cluster, as Spark's xxHash64 gives it; any number where the cluster is null."""
    type_ = cluster.type
    if pa.types.is_dictionary(type_):
        of_value = np.append(hashes_of(cluster.dictionary), 0)
        return of_value.take(cluster.indices.fill_null(len(cluster.dictionary)).to_numpy(zero_copy_only=False))
    if pa.types.is_integer(type_):
        return xxhash64_of_longs(numbers_in(cluster, pa.int64(), 0))
    if pa.types.is_float64(type_):
        return hashes_of_doubles(numbers_in(cluster, pa.float64(), 0.0))
    if pa.types.is_float32(type_):
        return hashes_of_floats(numbers_in(cluster, pa.float32(), 0.0))
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return hashes_of_texts(cluster)
    if pa.types.is_timestamp(type_):
        return xxhash64_of_longs(numbers_in(cluster.cast(pa.timestamp("us", type_.tz)), pa.int64(), 0))
    if pa.types.is_boolean(type_):
        return hashes_of_booleans(numbers_in(cluster, pa.int8(), 0))
    if pa.types.is_date(type_) or pa.types.is_decimal(type_):
        return hashes_of_texts(as_texts(cluster))
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        return hashes_of_bytes(cluster)
    raise UnreadableError(f"clusters of type {type_} are hashed by Spark alone")


def numbers_in(values: pa.Array, type_: pa.DataType, instead: float) -> npt.NDArray[Any]:
    """Values as NumPy numbers, with a number instead of null."""
    return np.asarray(values.cast(type_).fill_null(instead).to_numpy(zero_copy_only=False))


def hashes_of_doubles(numbers: Array) -> Hashes:
    """The hash of each double: that of a bigint if it is whole and within bigint."""
    whole = (np.abs(numbers) < MOST) & (np.floor(numbers) == numbers)
    found = xxhash64_of_doubles(numbers)
    found[whole] = xxhash64_of_longs(numbers[whole].astype(np.int64))
    return found


def hashes_of_floats(numbers: npt.NDArray[Any]) -> Hashes:
    """The hash of floats that are whole. Others are hashed through their text, whose digits depend on the Java."""
    doubles = numbers.astype(np.float64)
    if not (np.isfinite(doubles) & (np.floor(doubles) == doubles)).all():
        raise UnreadableError("clusters that are floats with a fraction are hashed by Spark alone")
    return hashes_of_doubles(doubles)


def hashes_of_booleans(numbers: npt.NDArray[Any]) -> Hashes:
    """The hash of each boolean, which Spark takes as an integer of four bytes."""
    known = np.array([0, 1], dtype="<i4").view(np.uint8)
    return xxhash64_of_bytes(known, np.array([0, 4, 8])).take(numbers.astype(np.int64))


def as_texts(values: pa.Array) -> pa.Array:
    """Dates as ISO 8601, and decimals as their digits."""
    return pa.array([None if value is None else plain_text(value) for value in values.to_pylist()], pa.string())


def plain_text(value: object) -> str:
    """A date or a decimal as text, without an exponent."""
    return format(value, "f") if hasattr(value, "as_tuple") else str(value)


def hashes_of_texts(texts: pa.Array) -> Hashes:
    """The hash of each text: that of the number that it spells, or that of its UTF-8 bytes."""
    data, offsets = bytes_of(texts)
    found = xxhash64_of_bytes(data, offsets)
    first = np.append(data, np.uint8(0)).take(offsets[:-1])  # of an empty text that of another one
    rows = np.flatnonzero((first == MINUS) | ((first >= ZERO) & (first <= NINE)))
    if not rows.size:
        return found
    perhaps = texts.take(pa.array(rows))
    for pattern, hashes in ((WHOLE, hashes_of_digits), (FRACTION, hashes_of_fractions)):
        spells = pc.match_substring_regex(perhaps, pattern).fill_null(False)
        if spells.true_count:
            found[rows[spells.to_numpy(zero_copy_only=False)]] = hashes(perhaps.filter(spells))
    return found


def hashes_of_digits(texts: pa.Array) -> Hashes:
    """The hash of whole numbers in digits: that of a bigint, or of the digits beyond bigint."""
    digits = pc.replace_substring_regex(texts, r"\.0+$", "")
    if (pc.max(pc.utf8_length(digits)).as_py() or 0) <= DIGITS:
        return xxhash64_of_longs(digits.cast(pa.int64()).to_numpy(zero_copy_only=False))
    return np.array([hash_of_long_digits(text) for text in digits.to_pylist()], dtype=np.int64)


def hash_of_long_digits(digits: str) -> int:
    """The hash of one whole number in digits, however long."""
    number = int(digits)
    if -(2**63) <= number < 2**63:
        return int(xxhash64_of_longs(np.array([number]))[0])
    return int(hashes_of_bytes(pa.array([digits]))[0])


def hashes_of_fractions(texts: pa.Array) -> Hashes:
    """The hash of decimals and doubles in digits, as doubles."""
    return hashes_of_doubles(np.array([float(text) for text in texts.to_pylist()]))


def hashes_of_bytes(values: pa.Array) -> Hashes:
    """The hash of the bytes of each text."""
    return xxhash64_of_bytes(*bytes_of(values))


def bytes_of(values: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of all texts, one after the other, and where each begins and ends."""
    plain = values.cast(pa.large_binary())
    offsets = np.frombuffer(plain.buffers()[1], dtype=np.int64)[plain.offset : plain.offset + len(plain) + 1]
    data = plain.buffers()[2]
    return np.frombuffer(data, dtype=np.uint8) if data else np.empty(0, np.uint8), offsets
