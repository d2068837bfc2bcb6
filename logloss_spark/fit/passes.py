"""Passes over the rows of a fit: from blocks on local disk, or where there are none from the table itself."""

import math
import pickle
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyspark import cloudpickle
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import DataError, StreamedFitWarning
from logloss_spark.fit.batches import Form, added, block_of
from logloss_spark.fit.blocks import (
    DESCRIPTOR,
    Fit,
    Part,
    descriptor,
    mark_of,
    opened,
    part_id,
    removed,
    unpacked,
    write_batches,
    written,
)
from logloss_spark.fit.table import TrainingTable
from logloss_spark.io.session import equip_workers
from logloss_spark.kernels.logistic import Block
from logloss_spark.kernels.sums import Array

Sums = dict[str, Array]
Work = Callable[[Block], Sums]
Combine = Callable[[Sums | None, Sums], Sums]

REBUILDS = 2
"""How often lost blocks are written again; after that each pass reads the table."""

SAME_MARK = 1e-11
"""By how much the mark of the same rows may differ between two readings: sums depend on their order."""


class TrainingRows:
    """The rows of a fit, to pass over any number of times.

    They become blocks once, one a core at most, each on the local disk of the executor that read it, described by a
    small cached table. A block that is gone is written again by Spark where an executor was lost; where a descriptor
    outlived its files all blocks are written anew. Sums count only when they are those of all rows.

    A context manager: leaving it takes the blocks away, whatever happened.
    """

    def __init__(self, training: TrainingTable) -> None:
        self.form = training.form
        self.classes = len(training.classes)
        self.name = uuid4().hex[:12]
        self.passes = 0
        self.rebuilds = 0
        self.streamed = False
        self._descriptors: DataFrame | None = None
        self._cores = cores_of(training.table)
        self._source = training.table.coalesce(self._cores)
        parts = self._read()
        self.parts = [part.sums for part in parts if part.sums is not None]
        self.rows = sum(part.rows or 0 for part in parts)
        self._mark = sum(part.mark for part in parts)

    def sums(self, work: Work, combine: Combine = added) -> Sums:
        """Work over every row, its sums combined in the order of the partitions."""
        self.passes += 1
        while self._descriptors is not None:
            found = self._ask(self._descriptors, work)
            missing = [place for place, part in found.items() if part.rows is None]
            if missing:
                found |= self._ask(self._descriptors.where(F.col("part").isin(missing)), work)
            if self._are_all(found.values()):
                return combined(found, combine)
            self._rebuild()
        found = collected(over(self._source, streamed, work=work, combine=combine, form=self.form))
        self._check(found.values())
        return combined(found, combine)

    def close(self) -> None:
        """Take the blocks away, and then what describes them."""
        if self._descriptors is None:
            return
        descriptors, self._descriptors = self._descriptors, None
        try:
            over(descriptors, removed, name=self.name).collect()
        except PySparkException:  # what was fitted is right nevertheless
            message = "blocks of this fit could not be taken away: they stay on local disk until their executors end"
            warnings.warn(message, stacklevel=2)
        descriptors.unpersist()

    def __enter__(self) -> "TrainingRows":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> list[Part]:
        """Make the blocks; what is summed in each partition. Without a disk or a cache passes will stream."""
        fit = Fit(self.name, self.rebuilds, self.form, self.classes)
        made = over(self._source, written, fit=fit)
        try:
            kept = made.persist()
        except PySparkException:
            self._stream("this Spark refuses to cache")
            return list(collected(over(self._source, summarised, fit=fit)).values())
        try:
            described = collected(kept)
        except BaseException:
            self._abandon(kept)
            raise
        self._descriptors = kept
        if any(part.rows and part.folder is None for part in described.values()):
            self._stream("the executors' local disk (spark.local.dir) is absent, full or read-only")
        return list(described.values())

    def _abandon(self, descriptors: DataFrame) -> None:
        """Take away what was written before the first pass ended, without going on with that pass."""
        descriptors.unpersist()
        everywhere = descriptors.sparkSession.range(0, self._cores, 1, self._cores)
        with suppress(PySparkException):
            over(everywhere, removed, name=self.name).collect()

    def _ask(self, descriptors: DataFrame, work: Work) -> dict[int, Part]:
        """Work over the blocks of these descriptors."""
        return collected(over(descriptors, worked, work=work, form=self.form))

    def _rebuild(self) -> None:
        """Write all blocks anew; after some times give up on blocks."""
        self.close()
        if self.rebuilds == REBUILDS:
            self._stream("blocks were lost again and again")
            return
        self.rebuilds += 1
        self._check(self._read())

    def _are_all(self, parts: Collection[Part]) -> bool:
        """Whether these are the rows of the fit, all of them and no others."""
        same = math.isclose(sum(part.mark for part in parts), self._mark, rel_tol=SAME_MARK)
        return same and sum(part.rows or 0 for part in parts) == self.rows

    def _check(self, parts: Collection[Part]) -> None:
        """Raise DataError unless these are the rows of the fit."""
        if not self._are_all(parts):
            raise DataError(
                "a fit reads the same rows several times, and the source changed during the fit: "
                f"{self.rows:,} rows at first, now {sum(part.rows or 0 for part in parts):,}, or others; fit again"
            )

    def _stream(self, reason: str) -> None:
        """Do without blocks from now on."""
        self.close()
        self.streamed = True
        warnings.warn(f"each pass reads the table again: {reason}", StreamedFitWarning, stacklevel=2)


def over(table: DataFrame, function: Callable[..., Iterator[pa.RecordBatch]], **given: Any) -> DataFrame:
    """A function of the batches of each partition over a table; what it gives is described as blocks are.

    It is pickled here and once. Spark Connect pickles the functions of a plan anew for each request, and finds what is
    cached by comparing bytes; but a class that is pickled by value changes when its first instance is.
    """
    pickled = cloudpickle.dumps(partial(function, **given))  # type: ignore[no-untyped-call]  # it has no types

    def on_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return pickle.loads(pickled)(batches)

    equip_workers()
    return table.mapInArrow(on_batches, DESCRIPTOR)


def cores_of(table: DataFrame) -> int:
    """How many tasks Spark runs at a time by default; asked in a way that Connect has, too."""
    rows = 1 << 20
    (last,) = table.sparkSession.range(rows).where(F.col("id") == rows - 1).select(F.spark_partition_id()).collect()
    return int(last[0]) + 1


def worked(batches: Iterable[pa.RecordBatch], work: Work, form: Form) -> Iterator[pa.RecordBatch]:
    """Work over the blocks that descriptors describe; without rows where a block is gone."""
    for batch in batches:
        for described in batch.select(["part", "folder", "rows", "mark"]).to_pylist():
            block = opened(described["folder"] or "", described["rows"], form)
            if block is None:
                yield descriptor(described["part"], Part(None, 0.0, None))
            else:
                yield descriptor(described["part"], Part(described["rows"], described["mark"], work(block)))


def streamed(batches: Iterable[pa.RecordBatch], work: Work, combine: Combine, form: Form) -> Iterator[pa.RecordBatch]:
    """Work over a partition of the table itself."""
    sums, rows, mark = None, 0, 0.0
    for batch in batches:
        block, _ = block_of(batch, form, None)
        rows, mark = rows + len(block.y), mark + mark_of(block)
        sums = combine(sums, work(block))
    yield descriptor(part_id(), Part(rows, mark, sums))


def summarised(batches: Iterable[pa.RecordBatch], fit: Fit) -> Iterator[pa.RecordBatch]:
    """What `written` sums, with nothing written."""
    yield descriptor(part_id(), write_batches(batches, None, fit))


def collected(results: DataFrame) -> dict[int, Part]:
    """What was described of each partition, in their order."""
    rows = sorted(results.collect(), key=lambda row: int(row["part"]))
    return {
        row["part"]: Part(
            row["rows"], row["mark"], None if row["sums"] is None else unpacked(row["sums"]), row["folder"]
        )
        for row in rows
    }


def combined(parts: Mapping[int, Part], combine: Combine) -> Sums:
    """Sums of all partitions together, in their order."""
    total: Sums | None = None
    for place in sorted(parts):
        sums = parts[place].sums
        total = total if sums is None else combine(total, sums)
    assert total is not None
    return total
