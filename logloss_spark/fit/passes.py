"""Passes over the rows of a fit: from blocks on local disk, or if there are none from the table itself."""

import math
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from uuid import uuid4

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import DataError, StreamedFitWarning, UnreadableError
from logloss_spark.fit.batches import FeatureForm, block_of, merged_sums
from logloss_spark.fit.blocks import BlockSet, delete_blocks, mark_of, open_block, write_batches, write_block
from logloss_spark.fit.files import over_files
from logloss_spark.fit.table import TrainingTable
from logloss_spark.kernels.logistic import Block
from logloss_spark.rows.engines import Ran
from logloss_spark.wording import counted
from logloss_spark.workers.results import Arrays, Combine, Result, collect_results, combined
from logloss_spark.workers.shipping import Batches, WorkUnit, over_partitions, over_units
from logloss_spark.workers.slots import count_slots

Work = Callable[[Block], Arrays]

REBUILDS = 2
"""Lost blocks are written again up to this many times. After that, each pass reads the table."""

SAME_MARK = 1e-11
"""Relative difference up to which two marks are of the same rows: floating-point sums depend on the rows' order."""


class TrainingRows:
    """The rows of a fit, which can be passed over any number of times.

    It is a context manager. Entering it reads the table and writes the rows as blocks, at most one per core, to the
    local disk of the executor that read them; a small cached table describes the blocks. Leaving it deletes the blocks,
    whatever happened.

    If an executor is lost, Spark writes its blocks again. If a description outlives its files, all blocks are written
    again. The sums of a pass count only if they are of all rows.

    Attributes
    ----------
    parts : the sums of each partition, from the pass that wrote the blocks
    rows : the number of rows of positive weight
    passes, rebuilds : how often rows were passed over, and how often lost blocks were written again
    streamed : whether each pass reads the table, because blocks cannot be kept
    ran : the engine "arrow" if workers read the rows from files, or "native" if Spark reads the table, and why
    """

    def __init__(self, training: TrainingTable) -> None:
        self.training = training
        self.form = training.form
        self.name = uuid4().hex[:12]
        self.parts: list[Arrays] = []
        self.rows = 0
        self.passes = 0
        self.rebuilds = 0
        self.streamed = False
        self.ran = Ran("native", "no row was read yet")
        self._cores = 1
        self._descriptions: DataFrame | None = None
        self._mark = 0.0

    def __enter__(self) -> "TrainingRows":
        self._cores = count_slots(self.training.source.sparkSession)
        results = self._read()
        self.parts = [result.arrays for result in results if result.arrays is not None]
        self.rows = sum(result.rows or 0 for result in results)
        self._mark = sum(result.mark for result in results)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sums(self, work: Work, combine: Combine = merged_sums) -> Arrays:
        """Apply `work` to every row, and combine its sums in the order of the partitions; one pass."""
        self.passes += 1
        while self._descriptions is not None:
            results = self._ask(self._descriptions, work)
            missing = [unit for unit, result in results.items() if result.rows is None]
            if missing:
                results |= self._ask(self._descriptions.where(F.col("unit").isin(missing)), work)
            if self._are_all(results.values()):
                return combined(results, combine)
            self._rebuild()
        streaming = partial(work_on_rows, work=work, combine=combine, form=self.form)
        with self._same_source():
            results = collect_results(self._over(streaming))
            self._check(results.values())
        return combined(results, combine)

    def close(self) -> None:
        """Delete the blocks, and then forget their descriptions."""
        if self._descriptions is None:
            return
        descriptions, self._descriptions = self._descriptions, None
        try:
            over_partitions(descriptions, partial(delete_blocks, name=self.name)).collect()
        except PySparkException:  # the model is right all the same
            message = "blocks of this fit could not be deleted: they stay on local disk until their executors end"
            warnings.warn(message, stacklevel=2)
        descriptions.unpersist()

    def _read(self) -> list[Result]:
        """Write the blocks for the first time: from files, or if that is not possible from the table."""
        files = self.training.files
        if not isinstance(files, str):
            self.ran = Ran("arrow", f"the table is {counted(len(files.table.files), 'file')} of Parquet")
            try:
                return self._write()
            except UnreadableError as error:
                if self.training.training.engine == "arrow":
                    raise
                files = str(error)
        self.ran = Ran("native", files)
        return self._write()

    def _over(self, function: Callable[[Batches], Result]) -> DataFrame:
        """Apply a function to all rows, once for each partition: the one place that knows where rows come from."""
        files, spark = self.training.files, self.training.source.sparkSession
        if self.ran.name == "native" or isinstance(files, str):
            return over_partitions(self.training.table.coalesce(self._cores), function)
        return over_files(spark, files, self._cores, function)

    def _write(self) -> list[Result]:
        """Write the blocks, and return the sums of each partition. Without a disk or a cache, passes will stream."""
        blocks = BlockSet(self.name, self.rebuilds, self.form, len(self.training.classes))
        written = self._over(partial(write_block, blocks=blocks))
        try:
            kept = written.persist()
        except PySparkException:
            self._stream("this Spark refuses to cache")
            summing = partial(write_batches, folder=None, blocks=blocks)
            return list(collect_results(self._over(summing)).values())
        try:
            results = list(collect_results(kept).values())
        except BaseException:
            self._abandon(kept)
            raise
        self._descriptions = kept
        if any(result.rows and result.address is None for result in results):
            self._stream("the executors' local disk (spark.local.dir) is absent, full or read-only")
        return results

    def _abandon(self, descriptions: DataFrame) -> None:
        """Delete what an interrupted first pass has written, without resuming that pass."""
        descriptions.unpersist()
        everywhere = descriptions.sparkSession.range(0, self._cores, 1, self._cores)
        with suppress(PySparkException):
            over_partitions(everywhere, partial(delete_blocks, name=self.name)).collect()

    def _ask(self, descriptions: DataFrame, work: Work) -> dict[int, Result]:
        """Apply `work` to the blocks with these descriptions."""
        units = descriptions.drop("arrays")
        return collect_results(over_units(units, partial(work_on_block, work=work, form=self.form)))

    def _rebuild(self) -> None:
        """Write all blocks again; after `REBUILDS` times do without blocks."""
        self.close()
        if self.rebuilds == REBUILDS:
            self._stream("blocks were lost again and again")
            return
        self.rebuilds += 1
        with self._same_source():
            self._check(self._write())

    def _are_all(self, results: Collection[Result]) -> bool:
        """Whether these results are of the fit's rows, all of them and no others."""
        same = math.isclose(sum(result.mark for result in results), self._mark, rel_tol=SAME_MARK)
        return same and sum(result.rows or 0 for result in results) == self.rows

    def _check(self, results: Collection[Result]) -> None:
        """Raise DataError unless these results are of the fit's rows."""
        if not self._are_all(results):
            now = sum(result.rows or 0 for result in results)
            raise DataError(f"there were {self.rows:,} rows at first, and now there are {now:,}, or others")

    @contextmanager
    def _same_source(self) -> Iterator[None]:
        """Raise what goes wrong in reading rows again as an error that says what a fit needs."""
        try:
            yield
        except (DataError, UnreadableError) as error:
            raise DataError(
                f"a fit reads the same rows several times, but the source changed during the fit: {error}; fit again"
            ) from error

    def _stream(self, reason: str) -> None:
        """Do without blocks from now on."""
        self.close()
        self.streamed = True
        warnings.warn(f"each pass reads the table again: {reason}", StreamedFitWarning, stacklevel=2)


def work_on_block(description: WorkUnit, work: Work, form: FeatureForm) -> Result:
    """Apply `work` to the block with this description; the result has no rows if the block is gone."""
    block = open_block(description["address"] or "", description["rows"], form)
    if block is None:
        return Result(None, 0.0, None)
    return Result(description["rows"], description["mark"], work(block))


def work_on_rows(batches: Iterable[pa.RecordBatch], work: Work, combine: Combine, form: FeatureForm) -> Result:
    """Apply `work` to a partition of the table itself."""
    sums, rows, mark = None, 0, 0.0
    for batch in batches:
        block, _ = block_of(batch, form, None)
        rows, mark = rows + len(block.y), mark + mark_of(block)
        sums = combine(sums, work(block))
    return Result(rows, mark, sums)
