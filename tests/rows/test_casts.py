"""Arrow columns as doubles, beside Python's own floats, which are the nearest doubles."""

import random
from decimal import Context, Decimal

import pyarrow as pa
import pytest

from logloss_spark.rows.casts import as_doubles

SLICES = (slice(None), slice(3, 103), slice(1990, None))


def decimals(precision: int, scale: int, most: int) -> list[Decimal | None]:
    """Decimals of all signs, with a zero and a null."""
    rng = random.Random(precision * 100 + scale)
    context = Context(prec=60)
    values = [Decimal(rng.randint(-most, most)).scaleb(-scale, context) for _ in range(2000)]
    return [*values[:1000], None, Decimal(0), *values[1000:]]


@pytest.mark.parametrize(
    ("precision", "scale"), [(5, 2), (15, 15), (18, 0), (22, 22), (38, 0), (38, 3), (38, 18), (38, 38)]
)
@pytest.mark.parametrize("digits", [3, 15, 38])
def test_decimals_are_the_nearest_doubles(precision: int, scale: int, digits: int) -> None:
    values = decimals(precision, scale, 10 ** min(precision, digits) - 1)
    column = pa.array(values, pa.decimal128(precision, scale))
    for part in SLICES:
        nearest = [None if value is None else float(value) for value in values[part]]
        start, stop, _ = part.indices(len(values))
        assert as_doubles(column.slice(start, stop - start)).to_pylist() == nearest


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None, -3], pa.int8()),
        pa.array([2**53 + 1, None, -(2**62)], pa.int64()),
        pa.array([0.1, None, float("inf")], pa.float32()),
        pa.array([True, None, False]),
        pa.array([0.1, None, 5e-324]),
    ],
    ids=str,
)
def test_numbers_and_booleans_are_cast_and_nulls_stay(column: pa.Array) -> None:
    nearest = [None if value is None else float(value) for value in column.to_pylist()]
    assert as_doubles(column).to_pylist() == nearest
    assert as_doubles(column.dictionary_encode()).to_pylist() == nearest
    assert as_doubles(column.slice(1)).to_pylist() == nearest[1:]


def test_lists_keep_their_nulls_and_lengths() -> None:
    lists = [[1, None], None, [], [2**53 + 1]]
    column = pa.array(lists, pa.list_(pa.int64()))
    assert as_doubles(column).to_pylist() == [[1.0, None], None, [], [float(2**53)]]
    assert as_doubles(column.slice(1)).to_pylist() == [None, [], [float(2**53)]]


def test_doubles_are_not_copied() -> None:
    column = pa.array([0.5, None])
    assert as_doubles(column) is column
    lists = pa.array([[0.5], None])
    assert as_doubles(lists) is lists


def test_a_column_without_rows_stays_one() -> None:
    for type_ in (pa.decimal128(5, 2), pa.int32(), pa.list_(pa.decimal128(38, 18))):
        assert len(as_doubles(pa.array([], type_))) == 0
