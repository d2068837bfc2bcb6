"""Functions over units and partitions: what workers return comes back as arrays, in the order of the units."""

import pickle
from functools import partial

import numpy as np
import pytest
from pyspark import cloudpickle

from logloss_spark.workers.results import Result, collect_results, combined, packed, unpacked
from logloss_spark.workers.shipping import kept, over_partitions, over_units


def squares(unit) -> Result:
    """The square of the number in a unit's address; nothing for an odd unit."""
    if unit["unit"] % 2:
        return Result(None, 0.0, None)
    return Result(1, float(unit["unit"]), {"square": np.array([float(unit["address"])]) ** 2}, "kept")


def total(batches) -> Result:
    """The sum of the column `x` of a partition."""
    rows = [value for batch in batches for value in batch.column("x").to_pylist()]
    return Result(len(rows), 0.0, {"total": np.array([sum(rows)], dtype=float)})


def added(sums, more):
    return more if sums is None else {name: sums[name] + value for name, value in more.items()}


@pytest.mark.connect
def test_units_come_back_by_their_numbers_and_those_whose_data_are_gone_without_rows(spark) -> None:
    units = spark.createDataFrame([(2, "3"), (1, "2"), (0, "1")], "unit int, address string").repartition(2)
    results = collect_results(over_units(units, squares))
    assert list(results) == [0, 1, 2]
    assert [result.rows for result in results.values()] == [1, None, 1]
    assert [result.address for result in results.values()] == ["kept", None, "kept"]
    assert combined(results, added)["square"].tolist() == [10.0]


@pytest.mark.connect
def test_a_partition_without_rows_has_a_result_too(spark) -> None:
    table = spark.range(4, numPartitions=4).selectExpr("id * 1.0D AS x").where("x < 2")
    results = collect_results(over_partitions(table, total))
    assert {unit: result.rows for unit, result in results.items()} == {0: 1, 1: 1, 2: 0, 3: 0}
    assert combined(results, added)["total"].tolist() == [1.0]


def test_a_function_of_the_package_is_pickled_once_wherever_it_is_an_argument_and_no_other_is() -> None:
    function = partial(partial, packed, squares, arrays={"a": np.ones(2)})
    sent = kept(function)
    assert sent.args[0].code is packed
    assert sent.args[1] is squares
    called, plain = pickle.loads(cloudpickle.dumps(sent)).args
    assert called({"a": np.ones(2)}) == packed({"a": np.ones(2)})
    assert plain({"unit": 1}) == squares({"unit": 1})
    assert sent.args[0].__reduce__()[1][0] is kept(packed).__reduce__()[1][0]


def test_arrays_are_the_same_after_they_were_packed() -> None:
    arrays = {"a": np.array([[0.1, np.nan], [np.inf, -0.0]]), "b": np.zeros(0), "c": np.array(1.5)}
    again = unpacked(packed(arrays))
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
