"""Sums of windows are sums of their days, whatever is missing between them, and days are dates. No Spark."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logloss_spark.errors import DataError, SpecError
from logloss_spark.states.windows import Windows, days_of, sums_of_ranges


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_sums_of_ranges_are_what_numpy_adds_up(days, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**40, (days, 2, 3)).astype(float)
    first = rng.integers(0, days, 40)
    last = rng.integers(first, days)
    wanted = [values[start : stop + 1].sum(axis=0) for start, stop in zip(first, last, strict=True)]
    assert np.array_equal(sums_of_ranges(values, first, last), wanted)


def test_a_sum_of_a_range_does_not_depend_on_what_lies_beside_it():
    values = np.array([1e-300, 2e-300, 1e300, np.inf, 3e-300, np.nan])
    assert sums_of_ranges(values, np.array([0, 4, 2]), np.array([1, 4, 3])).tolist() == [3e-300, 3e-300, np.inf]


def test_no_ranges_have_no_sums():
    none = np.empty(0, dtype=np.int64)
    assert sums_of_ranges(np.zeros((0, 2)), none, none).shape == (0, 2)


@pytest.mark.parametrize("type_", [pa.date32(), pa.string()])
def test_days_ascend_and_a_window_begins_with_the_first_that_it_holds(type_):
    dates = [dt.date(2026, 3, 1), None, dt.date(2026, 2, 27), dt.date(2026, 3, 1), dt.date(1969, 12, 31)]
    column = pa.array([date if type_ == pa.date32() else date and str(date) for date in dates], type_)
    days, index = days_of(pa.chunked_array([column[:2], column[2:]]), "dt")
    assert [str(value) for value in days.values.to_pylist()] == ["1969-12-31", "2026-02-27", "2026-03-01"]
    assert index.tolist() == [2, -1, 1, 2, 0]
    assert days.first_of(1).tolist() == [0, 1, 2]
    assert days.first_of(2).tolist() == [0, 1, 2]  # 28 February is not there
    assert days.first_of(3).tolist() == [0, 1, 1]


def test_dates_that_python_does_not_have_are_days_too():
    beyond = pa.array([10_000_000, -1_000_000], pa.int32()).view(pa.date32())
    assert days_of(beyond, "dt")[0].numbers.tolist() == [-1_000_000, 10_000_000]


@pytest.mark.parametrize("text", ["20260131", "2026-1-31", "2026-02-30", "2026-01-31T00:00", "2026-W05-6", "", "all"])
def test_a_text_that_is_no_date_is_named(text):
    with pytest.raises(DataError, match=f"must be dates as 2026-01-31, and 'dt' has '{text}'"):
        days_of(pa.array(["2026-01-31", text]), "dt")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((), "windows need one size or more, in days, got none"),
        ((1, 0), "the size of a window, in days, must be a whole number of 1 or more, got 0"),
        ((7.0,), "must be a whole number of 1 or more, got 7.0"),
        ((7, 7), "the sizes of windows must be distinct, got 7 twice"),
    ],
)
def test_sizes_are_distinct_whole_numbers(sizes, words):
    with pytest.raises(SpecError, match=words):
        Windows("dt", sizes)
