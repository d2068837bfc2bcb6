"""Ship a function to the workers: over the units of a small table, or over the partitions of a large one."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType
from typing import Any

import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from logloss_spark.io.session import equip_workers
from logloss_spark.workers.results import RESULT, Result, result_row
from logloss_spark.workers.task import partition_id

WorkUnit = dict[str, Any]
"""One row of a table of units, by the names of its columns."""


Batches = Iterable[pa.RecordBatch]


PACKAGE = __name__.partition(".")[0]


def over_units(units: DataFrame, function: Callable[[WorkUnit], Result]) -> DataFrame:
    """Apply a function to each unit of a table.

    Parameters
    ----------
    units : DataFrame
        One row per unit, with its number in the column `unit`. Spark runs one task per partition of this table.
    function : callable
        Runs in a worker, once for each unit. It must import what it needs at the top of its module.

    Returns
    -------
    DataFrame with the schema `RESULT`, lazy
    """
    return shipped(units, partial(on_units, function=function))


def over_partitions(table: DataFrame, function: Callable[[Batches], Result]) -> DataFrame:
    """Apply a function to the Arrow batches of each partition of a table. The unit of a result is its partition.

    Parameters
    ----------
    table : DataFrame
    function : callable
        Runs in a worker, once for each partition, also for one without rows. It must import what it needs at the top of
        its module.

    Returns
    -------
    DataFrame with the schema `RESULT`, lazy
    """
    return shipped(table, partial(on_partition, function=function))


def shipped(
    table: DataFrame, function: Callable[[Batches], Iterator[pa.RecordBatch]], schema: str | StructType = RESULT
) -> DataFrame:
    """The batches that a function makes of those of each partition, as a table.

    Pickle the function once, here. Spark Connect re-pickles a plan's functions on every request and looks up cached
    plans by their bytes, and a class pickled by value yields different bytes after its first instance is made: the
    cache would miss.
    """
    code = cloudpickle.dumps(kept(function))  # type: ignore[no-untyped-call]  # it has no types

    def on_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return pickle.loads(code)(batches)

    equip_workers()
    return table.mapInArrow(on_batches, schema)


@dataclass(frozen=True)
class Kept:
    """A function or a class of this package that is pickled once, however many pickles it is part of.

    Cloudpickle takes 20 to 100 ms for all that one of our passes calls, a good part of a small evaluation.
    """

    code: Callable[..., Any]

    def __call__(self, *values: Any, **named: Any) -> Any:
        """Call the function."""
        return self.code(*values, **named)

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return pickle.loads, (pickled(self.code),)


@cache
def pickled(code: Callable[..., Any]) -> bytes:
    """The pickle of a function or a class, with all that it calls."""
    return cloudpickle.dumps(code)  # type: ignore[no-untyped-call]  # it has no types


def kept(value: Any) -> Any:
    """A function with its arguments; functions and classes of this package become `Kept`, other values stay."""
    if isinstance(value, partial):
        named = {name: kept(argument) for name, argument in value.keywords.items()}
        return partial(kept(value.func), *map(kept, value.args), **named)
    ours = isinstance(value, FunctionType | type) and value.__module__.partition(".")[0] == PACKAGE
    return Kept(value) if ours and "<locals>" not in value.__qualname__ else value


def on_units(batches: Batches, function: Callable[[WorkUnit], Result]) -> Iterator[pa.RecordBatch]:
    """Apply a function to each row of some batches; runs in a worker."""
    for batch in batches:
        for unit in batch.to_pylist():
            yield result_row(unit["unit"], partial(function, unit))


def on_partition(batches: Batches, function: Callable[[Batches], Result]) -> Iterator[pa.RecordBatch]:
    """Apply a function to all batches of a partition; runs in a worker."""
    yield result_row(partition_id(), partial(function, batches))
