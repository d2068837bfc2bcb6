"""The classes of labels in Arrow arrays; `tests/fit/test_files.py` compares them with Spark's."""

from decimal import Decimal

import pyarrow as pa
import pytest

from logloss_spark.rows.arrow_labels import class_indices

NAN = float("nan")


@pytest.mark.parametrize(
    ("labels", "classes", "known"),
    [
        (pa.array([0, 1, None, 2], pa.int32()), (0, 1), [0, 1, None, None]),
        (pa.array([5, 3, None, 0], pa.int8()), (3, 5, 300), [1, 0, None, None]),
        (pa.array([2**53 + 1, 2**53], pa.int64()), (2**53, 2**53 + 1), [1, 0]),
        (pa.array([True, False, None]), (0, 1), [1, 0, None]),
        (pa.array([1.0, -0.0, None, NAN, 0.7]), (0, 1), [1, 0, None, None, None]),
        (pa.array([0.1, 0.2], pa.float32()), (0.2, 0.1), [1, 0]),
        (pa.array([Decimal("0.00"), Decimal("1.00"), None, Decimal("0.70")]), (0, 1, 0.7), [0, 1, None, 2]),
        (pa.array([Decimal("0.7")], pa.decimal128(2, 1)), (0.7, 12345.678), [0]),
        (pa.array(["no", "yes", None, "YES", "é"]), ("no", "yes", "é"), [0, 1, None, None, 2]),
        (pa.array([], pa.int16()), (0, 1), []),
    ],
    ids=str,
)
def test_a_label_is_compared_in_its_own_type(labels: pa.Array, classes: tuple, known: list[int | None]) -> None:
    for column in (labels, labels.dictionary_encode()):
        found = [int(index) if 0 <= index < len(classes) else None for index in class_indices(column, classes)]
        assert found == known


def test_of_two_classes_that_are_the_same_label_the_first_counts() -> None:
    assert class_indices(pa.array([0.1], pa.float32()), (0.1, 0.1 + 1e-12)).tolist() == [0]
    assert class_indices(pa.array([Decimal("0.10")]), (0.1, 1)).tolist() == [0]
