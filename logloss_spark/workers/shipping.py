"""Ship a function to the workers: over the units of a small table, or over the partitions of a large one."""

import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType
from typing import Any

import pyarrow as pa
from pyspark import cloudpickle
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from logloss_spark.io.session import equip_workers
from logloss_spark.workers.results import RESULT, Result, result_row
from logloss_spark.workers.task import partition_id

Unit = dict[str, Any]
"""One row of a table of units, by the names of its columns."""

Batches = Iterable[pa.RecordBatch]

PACKAGE = __name__.partition(".")[0]


def over_units(units: DataFrame, function: Callable[[Unit], Result]) -> DataFrame:
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
    """A table of what a function makes of each partition's batches.

    Pickle the function once, here. Spark Connect re-pickles a plan's functions on every request and looks up cached
    plans by their bytes, and a class pickled by value yields different bytes after its first instance is made: the
    cache would miss.
    """
    pickled = cloudpickle.dumps(kept(function))  # type: ignore[no-untyped-call]  # it has no types

    def on_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return pickle.loads(pickled)(batches)

    equip_workers()
    return table.mapInArrow(on_batches, schema)


@dataclass(frozen=True)
class Kept:
    """Stands in a pickle for a function or a class of this package, whose own pickle is made once.

    Cloudpickle takes 20 to 100 ms for all that a pass of ours calls, a good part of a small evaluation.
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
    """A function with its arguments, in which those of this package stand for their pickles; other values unchanged."""
    if isinstance(value, partial):
        named = {name: kept(argument) for name, argument in value.keywords.items()}
        return partial(kept(value.func), *map(kept, value.args), **named)
    ours = isinstance(value, FunctionType | type) and value.__module__.partition(".")[0] == PACKAGE
    return Kept(value) if ours and "<locals>" not in value.__qualname__ else value


def on_units(batches: Batches, function: Callable[[Unit], Result]) -> Iterator[pa.RecordBatch]:
    """Apply a function to each row of some batches; runs in a worker."""
    for batch in batches:
        for unit in batch.to_pylist():
            yield result_row(unit["unit"], partial(function, unit))


def on_partition(batches: Batches, function: Callable[[Batches], Result]) -> Iterator[pa.RecordBatch]:
    """Apply a function to all batches of a partition; runs in a worker."""
    yield result_row(partition_id(), partial(function, batches))


SLOTS: dict[str, int] = {}
"""How many tasks run at a time in local sessions, by the id of their application: it never changes."""


def count_slots(spark: SparkSession) -> int:
    """Find how many tasks Spark runs at a time by default. A local master may say it; any other takes a small job."""
    master, application = (spark.conf.get(key, None) or "" for key in ("spark.master", "spark.app.id"))
    named = re.fullmatch(r"local\[(\d+)(,\d+)?\]", master)
    if named:
        return int(named[1])
    if application not in SLOTS:
        rows = 1 << 20
        (last,) = spark.range(rows).where(F.col("id") == rows - 1).select(F.spark_partition_id()).collect()
        if not master.startswith("local["):
            return int(last[0]) + 1
        SLOTS[application] = int(last[0]) + 1
    return SLOTS[application]
