"""Entries of a part: they add by slice and place, and become matrices."""

import numpy as np
import pytest

from logloss_spark.states.entries import Entries, grouped_entries


@pytest.fixture
def entries() -> Entries:
    row, place = np.array([2, 0, 2, 0, 2]), np.array([7, 3, 5, 3, 7])
    return grouped_entries(4, row, place, {"n": np.array([1.0, 2.0, 3.0, 4.0, 5.0])})


def test_what_agrees_in_slice_and_place_is_added(entries):
    assert entries.row.tolist() == [0, 2, 2]
    assert entries.place.tolist() == [3, 5, 7]
    assert entries.sums["n"].tolist() == [6.0, 3.0, 6.0]
    assert entries.added()["n"].tolist() == [6.0, 0.0, 9.0, 0.0]


def test_a_matrix_has_a_row_for_each_slice_and_a_column_for_each_place(entries):
    assert entries.matrices(["n"], np.array([3, 5, 6, 7]))["n"].tolist() == [
        [6.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 3.0, 0.0, 6.0],
        [0.0, 0.0, 0.0, 0.0],
    ]


def test_slices_are_taken_in_any_order_and_again_and_a_negative_index_has_none(entries):
    taken = entries.of(np.array([2, -1, 0, 1, 2]))
    assert taken.added()["n"].tolist() == [9.0, 0.0, 6.0, 0.0, 9.0]
    assert taken.place.tolist() == [5, 7, 3, 5, 7]
    assert taken.of(np.array([], dtype=np.int64)).slices == 0


def test_no_rows_have_no_entries():
    none = np.array([], dtype=np.int64)
    entries = grouped_entries(2, none, none, {"n": np.array([])})
    assert entries.totals()["n"].tolist() == [0.0, 0.0]
    assert entries.matrices(["n"], none)["n"].shape == (2, 0)
