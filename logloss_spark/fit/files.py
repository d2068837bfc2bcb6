"""Training rows that Python workers read from Parquet files themselves, in the place of Spark.

`training_batches` makes of the files' columns what `fit.table` makes of Spark's: the same few names, types and codes.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from logloss_spark.fit.batches import CODE, FeatureForm
from logloss_spark.io.files import FileTable
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.arrow_labels import NONE, Indices, class_indices
from logloss_spark.rows.casts import as_doubles, decoded
from logloss_spark.scoring import Label
from logloss_spark.workers.parquet import Piece, read_batches, tasks_of
from logloss_spark.workers.results import Result
from logloss_spark.workers.shipping import Batches, WorkUnit, over_units

NUMBERS = 2**17
"""The numbers that a batch of dense features should hold: 1 MB, which a core's cache keeps while it becomes a block."""

TASK = 1 << 20
"""Bytes of files that a task reads, at least. Its block is larger, and each pass works on all blocks at once."""

FEWEST, MOST = 1024, 65_536
"""The least and the greatest number of rows of a batch, whatever the width of its features."""


@dataclass(frozen=True, kw_only=True)
class FileRows:
    """A training table that is nothing but Parquet files, and what a worker makes of their columns: plain data.

    Attributes
    ----------
    table : the files
    label, weight, offset, held : the names of the columns with these roles
    features : the names of the columns of features
    classes : the K labels
    factors : the factor of each class's weights, or None
    form : the form of the features
    """

    table: FileTable
    label: str
    features: tuple[str, ...]
    weight: str | None
    offset: str | None
    held: str | None
    classes: tuple[Label, ...]
    factors: tuple[float, ...] | None
    form: FeatureForm

    @property
    def columns(self) -> list[str]:
        """The names of all columns that are read, each once."""
        others = [name for name in (self.weight, self.offset, self.held) if name is not None]
        return list(dict.fromkeys([self.label, *self.features, *others]))

    @property
    def batch(self) -> int:
        """The number of rows of a batch."""
        return MOST if self.form.sparse else min(max(NUMBERS // self.form.width, FEWEST), MOST)


def over_files(spark: SparkSession, rows: FileRows, slots: int, function: Callable[[Batches], Result]) -> DataFrame:
    """Apply a function to the batches that workers read from files, in at most as many tasks as there are slots.

    Like `over_partitions`, but no row passes through Spark. The result is lazy, with the schema `RESULT`; if it is
    persisted and an executor is lost, Spark runs its tasks again, which read the files again.
    """
    tasks = tasks_of(rows.table, slots, least=TASK, most=sys.maxsize)
    units = spark.range(0, max(len(tasks), 1), 1, max(len(tasks), 1)).select(F.col("id").cast("int").alias("unit"))
    return over_units(
        units,
        partial(on_files, function=function, rows=replace(rows, table=replace(rows.table, files=())), tasks=tasks),
    )


def on_files(
    unit: WorkUnit, function: Callable[[Batches], Result], rows: FileRows, tasks: Sequence[Sequence[Piece]]
) -> Result:
    """Apply a function to the batches of one task; runs in a worker."""
    return function(training_batches(rows, tasks[unit["unit"]] if tasks else []))


def training_batches(rows: FileRows, pieces: Sequence[Piece]) -> Iterator[pa.RecordBatch]:
    """Read batches of a fit's own columns from pieces of files."""
    texts = [rows.label] if isinstance(rows.table.schema[rows.label].dataType, StringType) else []
    for batch in read_batches(rows.table, pieces, rows.columns, rows=rows.batch, dictionaries=texts):
        yield training_batch(batch, rows)


def training_batch(batch: pa.RecordBatch, rows: FileRows) -> pa.RecordBatch:
    """The fit's own columns of a batch of the files' columns."""
    labels = batch.column(rows.label)
    index = class_indices(labels, rows.classes)
    index = np.where((index >= 0) & (index < len(rows.classes)), index, NONE)
    columns = {"label": pa.array(label_codes(labels, index))}
    features = [batch.column(name) for name in rows.features]
    if is_nested(features[0].type):
        columns["features"] = features[0] if pa.types.is_struct(features[0].type) else as_doubles(features[0])
    else:
        columns |= {f"feature_{place}": as_doubles(feature) for place, feature in enumerate(features)}
    if rows.weight is not None or rows.factors is not None:
        columns["weight"] = weights(batch, index, rows)
    if rows.offset is not None:
        columns["offset"] = as_doubles(batch.column(rows.offset))
    if rows.held is not None:
        columns["held"] = decoded(batch.column(rows.held)).fill_null(False)
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def is_nested(type_: pa.DataType) -> bool:
    """Whether a column of features holds arrays or vectors."""
    return pa.types.is_struct(type_) or pa.types.is_list(type_)


def label_codes(labels: pa.Array, index: Indices) -> Array:
    """The class of each label, or the code, times -1, of the status that says why it has none."""
    codes = np.where(index == NONE, -float(CODE["unknown_label"]), index)
    if pa.types.is_floating(labels.type.value_type if pa.types.is_dictionary(labels.type) else labels.type):
        codes[np.isnan(decoded(labels).to_numpy(zero_copy_only=False))] = -CODE["nan_label"]
    if labels.null_count:
        codes[labels.is_null().to_numpy(zero_copy_only=False)] = -CODE["null_label"]
    return codes


def weights(batch: pa.RecordBatch, index: Indices, rows: FileRows) -> pa.Array:
    """The weight of each row, multiplied by the factor of its class; a label that has none has the factor 1."""
    own = pa.array(np.ones(batch.num_rows)) if rows.weight is None else as_doubles(batch.column(rows.weight))
    if rows.factors is None:
        return own
    return pc.multiply(own, pa.array(np.append(rows.factors, 1.0)[index]))
