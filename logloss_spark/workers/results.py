"""What workers return: one row per unit, which holds named arrays."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from logloss_spark.errors import DataError, LogLossError, MissingInputError, SpecError, UnreadableError
from logloss_spark.kernels.sums import Array

Arrays = dict[str, Array]
Combine = Callable[[Arrays | None, Arrays], Arrays]
"""Combines the arrays of several units so far, or None before the first, with those of one more."""

RESULT = "unit int, address string, rows bigint, mark double, arrays binary, error string, message string"
"""The schema of a table of results, which is also a table of units: a second function can work on what a first left."""

ERRORS = {kind.__name__: kind for kind in (DataError, MissingInputError, SpecError, UnreadableError)}
"""Errors that a function may raise in a worker. They come to the driver as results, so that Spark does not retry."""


@dataclass(frozen=True)
class Result:
    """The result of one unit.

    Attributes
    ----------
    rows : the number of rows that the unit holds; None if its data are gone, so that nothing was computed
    mark : a checksum of these rows, so that a caller can tell whether two results are of the same rows
    arrays : what the function computed, by name; None if it computed nothing
    address : where the unit's data are, for a function that reads them later; None if they are nowhere
    """

    rows: int | None
    mark: float
    arrays: Arrays | None
    address: str | None = None


def result_row(unit: int, compute: Callable[[], Result]) -> pa.RecordBatch:
    """Compute a result, and return it, or the error that was raised, as one row of a table with the schema `RESULT`."""
    error: LogLossError | None = None
    try:
        result = compute()
    except tuple(ERRORS.values()) as raised:
        result, error = Result(None, 0.0, None), raised
    return pa.RecordBatch.from_arrays(
        [
            pa.array([unit], pa.int32()),
            pa.array([result.address], pa.string()),
            pa.array([result.rows], pa.int64()),
            pa.array([result.mark], pa.float64()),
            pa.array([None if result.arrays is None else packed(result.arrays)], pa.binary()),
            pa.array([None if error is None else type(error).__name__], pa.string()),
            pa.array([None if error is None else str(error)], pa.string()),
        ],
        names=["unit", "address", "rows", "mark", "arrays", "error", "message"],
    )


def collect_results(table: DataFrame) -> dict[int, Result]:
    """Run the job of a table of results, and return the results by unit, in the order of the units.

    Raises the error of the first unit that has one.
    """
    rows = sorted(table.collect(), key=lambda row: int(row["unit"]))
    for row in rows:
        if row["error"] is not None:
            raise ERRORS[row["error"]](row["message"])
    return {
        row["unit"]: Result(
            row["rows"], row["mark"], None if row["arrays"] is None else unpacked(row["arrays"]), row["address"]
        )
        for row in rows
    }


def combined(results: Mapping[int, Result], combine: Combine) -> Arrays:
    """The arrays of all units, combined in the order of the units so that sums do not depend on who was first."""
    total: Arrays | None = None
    for unit in sorted(results):
        arrays = results[unit].arrays
        total = total if arrays is None else combine(total, arrays)
    assert total is not None
    return total


def packed(arrays: Mapping[str, Array]) -> bytes:
    """Named arrays as bytes.

    Examples
    --------
    >>> unpacked(packed({"loss": np.array([0.5])}))
    {'loss': array([0.5])}
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpacked(data: bytes) -> Arrays:
    """The arrays that `packed` turned into bytes."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
