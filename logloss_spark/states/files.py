"""The state of a table that is nothing but Parquet files: workers read the files and sum the rows in NumPy."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import ArrayType, BinaryType, DoubleType, LongType, StringType, StructField, StructType

from logloss_spark.errors import DataError, MissingInputError, SpecError, UnreadableError
from logloss_spark.io.files import FileTable, files_of
from logloss_spark.io.local import LocalTable
from logloss_spark.rows.batches import Preparation
from logloss_spark.rows.columns import finder
from logloss_spark.rows.form import fields_of
from logloss_spark.rows.inputs import Rows, slice_name
from logloss_spark.states.catalyst import state_of_parts
from logloss_spark.states.conventions import Conventions, conventions_of
from logloss_spark.states.loss_sums import LossSums
from logloss_spark.states.pair_sums import PairSums
from logloss_spark.states.schema import KEYS, SOURCE, TOTAL, columns_of
from logloss_spark.states.slices import slice_columns
from logloss_spark.states.small import stays_here
from logloss_spark.states.summing import MOST_GROUPS, PartSums, Summation
from logloss_spark.workers.parquet import LEAST, Piece, arrow_type, read_batches, tasks_of
from logloss_spark.workers.shipping import Batches, shipped
from logloss_spark.workers.slots import count_slots
from logloss_spark.workers.task import keep_memory

HELD_GROUPS = 600_000
"""The most groups of a state that workers hand to the driver, all tasks together: some 150 MB."""

HELD_TASKS = 64
"""The most tasks whose results are handed to the driver. Beyond, each could hand over but little."""

ANSWER = StructType(
    [
        StructField("error", StringType()),
        StructField("message", StringType()),
        StructField("tables", ArrayType(BinaryType())),
    ]
)
"""What a task answers: its sums as Arrow tables, or the name of an error and its message."""

ERRORS = {kind.__name__: kind for kind in (DataError, MissingInputError, SpecError, UnreadableError)}
"""The errors of a worker that end a job in one line."""

LARGE = "large"
"""In the place of an error: the state has more groups than the driver takes."""


class Adder(Protocol):
    """What a worker adds up from batches, of which each column has at most so many numbers."""

    batch: int

    def __len__(self) -> int:
        """How many groups there are."""

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch."""

    def take(self) -> list[pa.Table]:
        """Return the sums as a table, and perhaps others beside it; and begin anew."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What workers read and sum: plain data.

    Attributes
    ----------
    table : FileTable
    summation : Summation
    columns : dict from the names that the preparation uses to those of the table
    """

    table: FileTable
    summation: Summation
    columns: dict[str, str]


def scan_of(rows: Rows, *, most_scores: int = 0) -> Scan | str:
    """What workers must read and sum for the state of a table, or why they cannot.

    Of a table of at most `most_scores` rows the scores are kept beside the sums.
    """
    if not rows.predictions:
        return "its rows are the forecasts of single models, which are brought together by key"
    find = finder(rows.source)
    fields = {
        name: field
        for prediction in rows.predictions
        for name, field in fields_of(find, replace(rows.roles, prediction=prediction)).items()
    }
    for name, field in fields.items():
        if field.name is None:
            return f"{name!r} is inside a column"
    table = files_of(rows.source) if rows.files is None else rows.files
    if isinstance(table, str):
        return table
    preparation = Preparation(
        roles=rows.roles,
        scoring=rows.scoring,
        form=rows.form,
        predictions=rows.predictions,
        weight_exponent=rows.weight_exponent,
    )
    types = tuple(arrow_type(fields[name].type) for name in rows.roles.slices)
    summation = Summation(
        preparation=preparation, conventions=conventions_of(rows), slice_types=types, most_scores=most_scores
    )
    return Scan(
        table=table, summation=summation, columns={name: str(fields[name].name) for name in preparation.columns}
    )


def state_from_files(rows: Rows, scan: Scan, source: int) -> tuple[LocalTable | DataFrame, pa.Table | None]:
    """The state of a table, on the driver if it is small; and what each row adds to its score, if rows are few.

    Raises
    ------
    UnreadableError
        A worker cannot read a file as Spark would.
    DataError
        A file is not what the table says, or changed while it was read.
    """
    spark, conventions = rows.source.sparkSession, scan.summation.conventions
    tasks, scan = split_up(spark, scan)
    if len(tasks) <= HELD_TASKS:
        found = answers_of(spark, tasks, scan, partial(sums_of_parts, scan.summation))
        if found is not None:
            parts, *scores = (pa.concat_tables(tables) for tables in zip(*found, strict=False))
            local = LocalTable(complete(parts, conventions, source), schema_of(scan), spark)
            if not stays_here(local, conventions):
                return local.table, None
            return local, named_scores(scores, scan)
    schema = from_arrow_schema(sums_of_parts(scan.summation).take()[0].schema)
    parts = over_tasks(spark, tasks, partial(parts_of, scan=scan), schema)
    return state_of_parts(parts, conventions, source), None


def named_scores(scores: Sequence[pa.Table], scan: Scan) -> pa.Table | None:
    """The scores of all tasks, with the slice columns of a state; None if there are too many."""
    if not scores or scores[0].num_rows > scan.summation.most_scores:
        return None
    columns = slice_columns(scan.summation.conventions).values()
    return scores[0].rename_columns([*columns, *scores[0].column_names[len(columns) :]])


def loss_from_files(rows: Rows, scan: Scan) -> dict[str, Any]:
    """The sums that a mean loss is made of, by name, as `mean_loss.summed_loss` has them."""
    spark = rows.source.sparkSession
    tasks, scan = split_up(spark, scan)
    found = answers_of(spark, tasks, scan, partial(LossSums, scan.summation.preparation))
    assert found is not None
    return {name: math.fsum(table[name][0].as_py() for (table,) in found) for name in found[0][0].column_names}


def split_up(spark: SparkSession, scan: Scan) -> tuple[list[list[Piece]], Scan]:
    """The pieces of a table that each task reads, and the scan without the files, which would go to every task."""
    # To know how many tasks run at a time takes a small job, which a table of one task does not need.
    slots = 1 if sum(file.size for file in scan.table.files) < 2 * LEAST else count_slots(spark)
    return tasks_of(scan.table, slots), replace(scan, table=replace(scan.table, files=()))


def answers_of(
    spark: SparkSession, tasks: Sequence[Sequence[Piece]], scan: Scan, sums: Callable[[], Adder]
) -> list[list[pa.Table]] | None:
    """Run one job in which each task sums its rows; return the tables of each, or None if they are too large."""
    most = HELD_GROUPS // max(len(tasks), 1)
    return tables_in(over_tasks(spark, tasks, partial(answer, scan=scan, sums=sums, most=most), ANSWER).toArrow())


def over_tasks(
    spark: SparkSession,
    tasks: Sequence[Sequence[Piece]],
    function: Callable[[Sequence[Piece]], Iterator[pa.RecordBatch]],
    schema: str | StructType,
) -> DataFrame:
    """A table of what a function makes of the pieces of each task."""
    units = spark.range(0, len(tasks), 1, max(len(tasks), 1))
    return shipped(units, partial(on_tasks, tasks=tasks, function=function), schema)


def on_tasks(
    batches: Batches,
    tasks: Sequence[Sequence[Piece]],
    function: Callable[[Sequence[Piece]], Iterator[pa.RecordBatch]],
) -> Iterator[pa.RecordBatch]:
    """Apply a function to the pieces of some tasks, which come by their numbers; runs in a worker."""
    keep_memory()
    for batch in batches:
        for task in batch.column(0).to_pylist():
            yield from function(tasks[task])


def answer(pieces: Sequence[Piece], *, scan: Scan, sums: Callable[[], Adder], most: int) -> Iterator[pa.RecordBatch]:
    """Sum the rows of a task, and answer with the sums as bytes, or with what went wrong; runs in a worker."""
    found = sums()
    error, message, tables = None, None, None
    try:
        for batch in batches_of(pieces, scan, found.batch):
            found.add(batch)
            if len(found) > most:
                error = LARGE
                break
        else:
            tables = [as_bytes(table) for table in found.take()]
    except tuple(ERRORS.values()) as raised:
        error, message = type(raised).__name__, str(raised)
    yield pa.RecordBatch.from_arrays(
        [
            pa.array([error], pa.string()),
            pa.array([message], pa.string()),
            pa.array([tables], pa.list_(pa.binary())),
        ],
        names=["error", "message", "tables"],
    )


def parts_of(pieces: Sequence[Piece], *, scan: Scan) -> Iterator[pa.RecordBatch]:
    """Sum the rows of a task, and hand parts over before they outgrow the memory; runs in a worker."""
    sums = sums_of_parts(scan.summation)
    for batch in batches_of(pieces, scan, sums.batch):
        sums.add(batch)
        if len(sums) > MOST_GROUPS:
            yield from sums.take()[0].to_batches()
    yield from sums.take()[0].to_batches()


def sums_of_parts(summation: Summation) -> Adder:
    """What a worker sums for the state of an evaluation, or of a comparison."""
    return PairSums(summation) if summation.conventions.models else PartSums(summation)


def batches_of(pieces: Sequence[Piece], scan: Scan, numbers: int) -> Iterator[pa.RecordBatch]:
    """Read the batches of a task under the names of the roles, with at most so many numbers in a column."""
    stored = list(dict.fromkeys(scan.columns.values()))
    places = [stored.index(name) for name in scan.columns.values()]
    texts = [name for name in stored if isinstance(scan.table.schema[name].dataType, StringType)]
    form = scan.summation.preparation.form
    size = numbers if form.scalar else max(numbers // form.size, LEAST_BATCH)
    for batch in read_batches(scan.table, pieces, stored, rows=size, dictionaries=texts):
        yield pa.RecordBatch.from_arrays([batch.column(place) for place in places], names=list(scan.columns))


LEAST_BATCH = 1 << 10
"""The rows of a batch, at least: each costs a quarter of a millisecond, however few it has."""


def as_bytes(table: pa.Table) -> bytes:
    """An Arrow table as bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # it has no types


def tables_in(answers: pa.Table) -> list[list[pa.Table]] | None:
    """The tables of each task; None if a task found more than the driver takes. Raises the error of a task."""
    for error, message in zip(answers["error"].to_pylist(), answers["message"].to_pylist(), strict=True):
        if error in ERRORS:
            raise ERRORS[error](message)
    if LARGE in answers["error"].to_pylist():
        return None
    # The tables are views of the answers: nothing is copied.
    return [[pa.ipc.open_stream(table.as_buffer()).read_all() for table in tables] for tables in answers["tables"]]


def schema_of(scan: Scan) -> StructType:
    """The types of a state's columns in Spark."""
    conventions = scan.summation.conventions
    types = [scan.table.schema[scan.columns[name]].dataType for name in conventions.slices]
    slices = zip(slice_columns(conventions).values(), types, strict=True)
    keys = [(key, LongType() if key == "place" else StringType()) for key in KEYS]
    sums = [(name, LongType() if name == "n" else DoubleType()) for name in columns_of(conventions)]
    return StructType([StructField(*column) for column in (*slices, *keys, *sums, ("fingerprint", StringType()))])


def complete(parts: pa.Table, conventions: Conventions, source: int) -> pa.Table:
    """The table of a state from the parts of all tasks: sums added, slices under their names, id and fingerprint."""
    sums = columns_of(conventions)
    inner = [slice_name(place) for place in range(len(conventions.slices))]
    together = pa.concat_tables([parts, *always(parts.schema, source)])
    keys = [*inner, *KEYS]
    added = together.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in sums])
    named = [added[key] for key in keys] + [added[f"{name}_sum"] for name in sums]
    names = [*slice_columns(conventions).values(), *KEYS, *sums, "fingerprint"]
    fingerprint = pa.array([conventions.fingerprint()] * added.num_rows, pa.string())
    return pa.table([*named, fingerprint], names=names)


def always(schema: pa.Schema, source: int) -> list[pa.Table]:
    """The rows that every state has, even that of an empty table: the evaluation's id, and a total of 0."""
    rows = [{"part": SOURCE, "place": source, "n": 1}, {"part": TOTAL, "n": 0}]
    return [pa.Table.from_pylist(rows, schema=schema)]
