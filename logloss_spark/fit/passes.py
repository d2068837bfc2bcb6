"""Passes over the rows of a fit: from blocks on local disk, or where there are none from the table itself."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from types import TracebackType
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import DataError
from logloss_spark.fit.batches import Form, added, block_of
from logloss_spark.fit.blocks import (
    DESCRIPTOR,
    Fit,
    descriptor,
    opened,
    part_id,
    removed,
    unpacked,
    write_batches,
    written,
)
from logloss_spark.fit.inputs import TrainingTable
from logloss_spark.kernels.logistic import Block
from logloss_spark.kernels.sums import Array

Sums = dict[str, Array]
Work = Callable[[Block], Sums]
Combine = Callable[[Sums | None, Sums], Sums]

REBUILDS = 2
"""How often lost blocks are written again; after that each pass reads the table."""

SAME_WEIGHT = 1e-9
"""By how much the weight of a class may differ between two readings of the same rows: sums depend on their order."""


class StreamedFit(UserWarning):
    """Blocks cannot be kept, so that each pass reads the table again: the same answer, later."""


class TrainingRows:
    """The rows of a fit, to pass over any number of times.

    They become blocks once, one a core at most, each on the local disk of the executor that read it, described by a
    small cached table. A block that is gone is written again by Spark where an executor was lost; where a descriptor
    outlived its files all blocks are written anew. Sums count only when they are those of all rows.

    A context manager: leaving it takes the blocks away, whatever happened.
    """

    def __init__(self, training: TrainingTable, *, cores: int | None = None) -> None:
        self.table = training.table
        self.form = Form(training.form, training.width, training.sparse)
        self.classes = len(training.classes)
        self.name = uuid4().hex[:12]
        self.passes = 0
        self.rebuilds = 0
        self.streamed = False
        self._descriptors: DataFrame | None = None
        partitions = cores_of(self.table) if cores is None else cores
        self._source = self.table.coalesce(partitions)
        self.parts = self._read()
        self.rows = sum(rows for rows, _ in self.parts)

    def sums(self, work: Work, combine: Combine = added) -> Sums:
        """Work over every row, its sums combined in the order of the partitions."""
        self.passes += 1
        while self._descriptors is not None:
            found = self._ask(self._descriptors, work)
            missing = [part for part, (rows, _) in found.items() if rows is None]
            if missing:
                found |= self._ask(self._descriptors.where(F.col("part").isin(missing)), work)
            if sum(rows or 0 for rows, _ in found.values()) == self.rows:
                return combined([sums for _, (_, sums) in sorted(found.items()) if sums is not None], combine)
            self._rebuild()
        fit = Fit(self.name, self.rebuilds, self.form, self.classes)
        found = collected(over(self._source, streamed, work=work, combine=combine, fit=fit))
        self._check_rows(sum(rows or 0 for rows, _ in found.values()))
        return combined([sums for _, (_, sums) in sorted(found.items()) if sums is not None], combine)

    def close(self) -> None:
        """Take the blocks away, and then what describes them."""
        if self._descriptors is None:
            return
        descriptors, self._descriptors = self._descriptors, None
        over(descriptors, removed, name=self.name).collect()
        descriptors.unpersist()

    def __enter__(self) -> "TrainingRows":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except PySparkException:
            if error is None:
                raise

    def _read(self) -> list[tuple[int, Sums]]:
        """Make the blocks; the rows and the sums of each partition. Without a disk or a cache passes will stream."""
        fit = Fit(self.name, self.rebuilds, self.form, self.classes)
        made = over(self._source, written, fit=fit)
        try:
            made = made.persist()
        except PySparkException:
            self._stream("this Spark refuses to cache")
            fit = Fit(self.name, self.rebuilds, self.form, self.classes)
            found = collected(over(self._source, summarised, fit=fit))
            return [(rows or 0, sums) for _, (rows, sums) in sorted(found.items()) if sums is not None]
        self._descriptors = made
        described = sorted(made.collect(), key=lambda row: int(row["part"]))
        if any(row["folder"] is None and row["rows"] for row in described):
            self._stream("the executors have no local disk to spare")
        return [(row["rows"], unpacked(row["sums"])) for row in described if row["sums"] is not None]

    def _ask(self, descriptors: DataFrame, work: Work) -> dict[int, tuple[int | None, Sums | None]]:
        """Work over the blocks of these descriptors."""
        return collected(over(descriptors, worked, work=work, form=self.form))

    def _rebuild(self) -> None:
        """Write all blocks anew; after some times give up on blocks."""
        before = self.parts
        self.close()
        if self.rebuilds == REBUILDS:
            self._stream("blocks were lost again and again")
            return
        self.rebuilds += 1
        self.parts = self._read()
        self._check_rows(sum(rows for rows, _ in self.parts))
        old, new = (
            combined([sums["weight_of_class"] for _, sums in parts], lambda a, b: b if a is None else a + b)
            for parts in (before, self.parts)
        )
        if not np.allclose(old, new, rtol=SAME_WEIGHT, atol=0.0):
            raise DataError("a fit reads the same rows several times, and the source changed during the fit: fit again")

    def _check_rows(self, rows: int) -> None:
        if rows != self.rows:
            raise DataError(
                f"a fit reads the same rows several times, and the source changed during the fit: {self.rows:,} rows "
                f"at first and {rows:,} now; fit again"
            )

    def _stream(self, reason: str) -> None:
        """Do without blocks from now on."""
        self.close()
        self.streamed = True
        warnings.warn(f"each pass reads the table again: {reason}", StreamedFit, stacklevel=2)


def over(table: DataFrame, function: Callable[..., Iterator[pa.RecordBatch]], **given: Any) -> DataFrame:
    """A function of the batches of each partition over a table; what it gives is described as blocks are."""

    def on_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return function(batches, **given)

    return table.mapInArrow(on_batches, DESCRIPTOR)


def cores_of(table: DataFrame) -> int:
    """How many tasks Spark runs at a time by default; asked in a way that Connect has, too."""
    ids = table.sparkSession.range(1 << 20).select(F.spark_partition_id().alias("id"))
    found = ids.agg(F.max("id")).first()
    assert found is not None
    return int(found[0]) + 1


def worked(batches: Iterable[pa.RecordBatch], work: Work, form: Form) -> Iterator[pa.RecordBatch]:
    """Work over the blocks that descriptors describe; without rows where a block is gone."""
    for batch in batches:
        for described in batch.select(["part", "folder", "rows"]).to_pylist():
            block = opened(described["folder"] or "", described["rows"], form)
            done = None if block is None else work(block)
            yield descriptor(described["part"], None, None if block is None else described["rows"], done)


def streamed(batches: Iterable[pa.RecordBatch], work: Work, combine: Combine, fit: Fit) -> Iterator[pa.RecordBatch]:
    """Work over a partition of the table itself."""
    sums, rows = None, 0
    for batch in batches:
        block, _ = block_of(batch, fit.form, None)
        rows += len(block.y)
        sums = combine(sums, work(block))
    yield descriptor(part_id(), None, rows, sums)


def summarised(batches: Iterable[pa.RecordBatch], fit: Fit) -> Iterator[pa.RecordBatch]:
    """What `written` sums, with nothing written."""
    rows, sums = write_batches(batches, None, fit)
    yield descriptor(part_id(), None, rows, sums)


def collected(results: DataFrame) -> dict[int, tuple[int | None, Sums | None]]:
    """Rows and sums by partition."""
    return {
        row["part"]: (row["rows"], None if row["sums"] is None else unpacked(row["sums"])) for row in results.collect()
    }


def combined(sums: Sequence[Any], combine: Callable[[Any, Any], Any]) -> Any:
    """Sums of all partitions together."""
    return reduce(combine, sums, None)
