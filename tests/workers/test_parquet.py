"""Workers read Parquet files as Spark does, or say in one line why not."""

import os
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.ml.linalg import VectorUDT
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from logloss_spark.errors import DataError, MissingInputError, UnreadableError
from logloss_spark.io.files import File, FileTable
from logloss_spark.workers.parquet import Piece, read_batches, tasks_of


def file_at(path: Path, *values: object) -> File:
    """A file as it is now."""
    status = path.stat()
    return File(path=str(path), size=status.st_size, modified=status.st_mtime_ns, values=values)


def table_of(
    *files: File, case_sensitive: bool = False, partitions: tuple[str, ...] = (), **types: DataType
) -> FileTable:
    """A table of some files."""
    schema = StructType([StructField(name, type_) for name, type_ in types.items()])
    return FileTable(schema=schema, partitions=partitions, files=files, case_sensitive=case_sensitive)


def whole(file: File) -> Piece:
    """All of a file."""
    return Piece(file, 0, file.size)


def read(table: FileTable, *columns: str, **options: object) -> pa.Table:
    """Columns of all files of a table, with dictionaries decoded."""
    asked = columns or tuple(table.schema.names)
    batches = list(read_batches(table, [whole(file) for file in table.files], asked, **options))
    return pa.Table.from_batches(batches)


@pytest.mark.parametrize(
    ("slots", "least", "most"), [(1, 1, 1 << 40), (3, 1, 1 << 40), (2, 1, 1 << 20), (7, 4 << 20, 1 << 30)]
)
def test_every_byte_of_every_file_is_in_exactly_one_piece(slots: int, least: int, most: int) -> None:
    sizes = [1, 3 << 20, 1000, (9 << 20) + 7, 5, 1 << 20]
    files = tuple(File(path=f"/{number}", size=size, modified=0) for number, size in enumerate(sizes))
    tasks = tasks_of(table_of(*files), slots, least=least, most=most)
    pieces = sorted((piece.file.path, piece.start, piece.end) for task in tasks for piece in task)
    for file in files:
        ends = [(start, end) for path, start, end in pieces if path == file.path]
        assert ends[0][0] == 0
        assert ends[-1][1] == file.size
        assert all(end == start for (_, end), (start, _) in pairwise(ends))
        assert all(start < end for start, end in ends)


def test_tasks_are_of_equal_size_and_as_many_as_run_at_a_time() -> None:
    files = tuple(
        File(path=f"/{number}", size=size << 20, modified=0) for number, size in enumerate([400, 10, 90, 300])
    )
    tasks = tasks_of(table_of(*files), 4)
    assert [sum(piece.end - piece.start for piece in task) for task in tasks] == [200 << 20] * 4
    assert len(tasks_of(table_of(*files), 4, most=100 << 20)) == 8


def test_a_small_table_is_one_task_and_an_empty_one_is_none() -> None:
    files = tuple(File(path=f"/{number}", size=1000, modified=0) for number in range(50))
    (task,) = tasks_of(table_of(*files), 8)
    assert [piece.file for piece in task] == list(files)
    assert tasks_of(table_of(), 8) == []


def test_each_row_group_is_read_by_one_piece_however_a_file_is_cut(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": np.arange(10_000.0)}), tmp_path / "f", row_group_size=700)
    file = file_at(tmp_path / "f")
    table = table_of(file, x=DoubleType())
    for cuts in ([0, file.size], [0, 5, 4000, 4001, 30_000, file.size], [*range(0, file.size, 997), file.size]):
        pieces = [Piece(file, start, end) for start, end in pairwise(cuts)]
        batches = [list(read_batches(table, [piece], ["x"])) for piece in pieces]
        found = np.concatenate([batch.column(0).to_numpy() for part in batches for batch in part])
        assert found.tolist() == list(range(10_000))


@pytest.mark.parametrize("rows", [1, 7, 1000, 65_536])
@pytest.mark.parametrize("group", [1, 3, 100])
def test_a_batch_has_no_more_rows_than_asked_for(tmp_path: Path, rows: int, group: int) -> None:
    names = pa.array([f"name {number % 3}" for number in range(100)])
    pq.write_table(pa.table({"x": np.arange(100), "s": names}), tmp_path / "f", row_group_size=group)
    table = table_of(file_at(tmp_path / "f"), x=LongType(), s=StringType(), none=DoubleType())
    for options in ({}, {"dictionaries": ["s"]}):
        batches = list(read_batches(table, [whole(table.files[0])], ["s", "none", "x"], rows=rows, **options))
        assert max(batch.num_rows for batch in batches) <= rows
        assert [value for batch in batches for value in batch.column("x").to_pylist()] == list(range(100))
        assert [value for batch in batches for value in batch.column("s").to_pylist()] == names.to_pylist()
        assert {value for batch in batches for value in batch.column("none").to_pylist()} == {None}
        assert pa.types.is_dictionary(batches[0].column("s").type) == bool(options)


@pytest.mark.parametrize("columns", [["day"], ["none"], ["none", "day", "segment"]])
def test_rows_are_counted_where_no_column_of_the_file_is_read(tmp_path: Path, columns: list[str]) -> None:
    pq.write_table(pa.table({"x": np.arange(100)}), tmp_path / "f", row_group_size=9)
    table = table_of(
        file_at(tmp_path / "f", "mon", None),
        partitions=("day", "segment"),
        x=LongType(),
        none=DoubleType(),
        day=StringType(),
        segment=IntegerType(),
    )
    batches = list(read_batches(table, [whole(table.files[0])], columns, rows=30))
    assert [batch.num_rows for batch in batches] == [30, 30, 30, 10]
    values = {"day": "mon", "segment": None, "none": None}
    assert batches[0].to_pylist() == [{name: values[name] for name in columns}] * 30


def test_a_partition_column_counts_where_a_file_has_a_column_of_its_name_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0], "day": ["of the file"]}), tmp_path / "f")
    table = table_of(file_at(tmp_path / "f", "mon"), partitions=("day",), x=DoubleType(), day=StringType())
    assert read(table).to_pylist() == [{"x": 1.0, "day": "mon"}]


@pytest.mark.parametrize(
    ("stored", "type_"),
    [
        (pa.array([1], pa.int64()), IntegerType()),
        (pa.array([1.0]), FloatType()),
        (pa.array(["1"]), DoubleType()),
        (pa.array([1.0]), StringType()),
        (pa.array([[1.0]]), DoubleType()),
        (pa.array([1.0]), ArrayType(DoubleType())),
        (pa.array([1], pa.int64()), DoubleType()),
        (pa.array([{"x": 1.0}]), DoubleType()),
        (pa.array([1.0]), VectorUDT()),
    ],
    ids=str,
)
def test_a_file_of_another_type_is_named(tmp_path: Path, stored: pa.Array, type_: DataType) -> None:
    pq.write_table(pa.table({"p": stored}), tmp_path / "f")
    with pytest.raises(DataError, match=f"column 'p' is .* in the table but .* in {tmp_path}/f: rewrite that file"):
        read(table_of(file_at(tmp_path / "f"), p=type_))


@pytest.mark.parametrize(
    ("stored", "type_"),
    [
        (pa.array([1], pa.uint32()), IntegerType()),
        (pa.array([1], pa.timestamp("us")), TimestampType()),
        (pa.array([1], pa.timestamp("ns", tz="UTC")), TimestampType()),
        (pa.array([Decimal("1.25")]), DecimalType(2, 1)),
        (pa.array([Decimal("1.25")]), DecimalType(3, 3)),
        (pa.array([b"a"]), StringType()),
        (pa.array([[[1.0]]]), ArrayType(ArrayType(DoubleType()))),
        (pa.array([{"x": 1.0}]), StructType([StructField("y", DoubleType())])),
    ],
    ids=str,
)
def test_what_only_spark_reads_is_left_to_it(tmp_path: Path, stored: pa.Array, type_: DataType) -> None:
    pq.write_table(pa.table({"p": stored}), tmp_path / "f")
    with pytest.raises(UnreadableError, match=r"Spark alone reads .*'p'"):
        read(table_of(file_at(tmp_path / "f"), p=type_))


def test_a_column_that_a_file_has_twice_is_refused_as_spark_refuses_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"p": [1.0], "P": [2.0]}), tmp_path / "f")
    with pytest.raises(DataError, match="has 'p' 2 times"):
        read(table_of(file_at(tmp_path / "f"), p=DoubleType()))
    assert read(table_of(file_at(tmp_path / "f"), p=DoubleType(), case_sensitive=True)).to_pylist() == [{"p": 1.0}]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"label,p\n1,0.5\n",
        lambda content: b"PAR1",
        lambda content: content[:200] + bytes(500) + content[700:],
    ],
    ids=["truncated", "csv", "empty", "overwritten"],
)
def test_a_corrupt_file_is_named(tmp_path: Path, spoil) -> None:
    pq.write_table(pa.table({"p": np.random.default_rng(1).random(1000)}), tmp_path / "f", compression="gzip")
    (tmp_path / "f").write_bytes(spoil((tmp_path / "f").read_bytes()))
    with pytest.raises(DataError, match=f"{tmp_path}/f cannot be read: it is truncated, corrupt or of another format"):
        read(table_of(file_at(tmp_path / "f"), p=DoubleType()))


def test_an_encrypted_file_is_left_to_spark(tmp_path: Path) -> None:
    pq.write_table(pa.table({"p": [1.0]}), tmp_path / "f")
    content = (tmp_path / "f").read_bytes()
    (tmp_path / "f").write_bytes(b"PARE" + content[4:-4] + b"PARE")
    with pytest.raises(UnreadableError, match="it is encrypted"):
        read(table_of(file_at(tmp_path / "f"), p=DoubleType()))


def test_a_file_that_is_gone_or_has_changed_since_it_was_listed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f"
    pq.write_table(pa.table({"p": [1.0]}), path)
    table = table_of(file_at(path), p=DoubleType())
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 5_000_000))
    with pytest.raises(DataError, match=f"{path} has changed"):
        read(table)
    path.unlink()
    with pytest.raises(MissingInputError, match=f"{path} is gone"):
        read(table)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: pq.write_table(pa.table({"p": [2.0]}), path), "has changed"),
        (lambda path: os.truncate(path, 100_000), "has changed"),
        (lambda path: path.unlink(), "is gone"),
    ],
    ids=["written anew", "cut off", "deleted"],
)
def test_a_file_that_changes_or_vanishes_while_it_is_read_is_named(tmp_path: Path, spoil, says: str) -> None:
    path = tmp_path / "f"
    pq.write_table(pa.table({"p": np.random.default_rng(4).random(100_000)}), path)
    table = table_of(file_at(path), p=DoubleType())
    batches = read_batches(table, [whole(table.files[0])], ["p"], rows=10)
    next(batches)
    spoil(path)
    with pytest.raises(DataError, match=f"{path} {says}"):
        list(batches)


def test_a_file_that_must_not_be_read_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"p": [1.0]}), tmp_path / "f")
    table = table_of(file_at(tmp_path / "f"), p=DoubleType())
    (tmp_path / "f").chmod(0)
    me = os.geteuid()
    tmp_path.chmod(0o755)
    if me == 0:
        os.seteuid(65_534)  # root may read every file
    try:
        with pytest.raises(DataError, match=f"must be readable by Spark's workers, and {tmp_path}/f is not: "):
            read(table)
    finally:
        os.seteuid(me)


def test_texts_that_are_not_utf8_are_left_to_spark(tmp_path: Path) -> None:
    offsets, content = np.array([0, 1, 2], np.int32), b"a\xff"
    texts = pa.StringArray.from_buffers(2, pa.py_buffer(offsets), pa.py_buffer(content))
    pq.write_table(pa.table({"s": texts}), tmp_path / "f")
    table = table_of(file_at(tmp_path / "f"), s=StringType())
    for options in ({}, {"dictionaries": ["s"]}):
        with pytest.raises(UnreadableError, match="not UTF-8"):
            read(table, **options)


def test_texts_come_as_a_dictionary_from_files_with_a_small_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    few, many = rng.integers(0, 9, 100_000), rng.integers(0, 90_000, 100_000)
    texts = {name: pa.array(numbers).cast(pa.string()) for name, numbers in (("few", few), ("many", many))}
    pq.write_table(pa.table(texts), tmp_path / "f")
    pq.write_table(pa.table(texts), tmp_path / "g", use_dictionary=False)
    for name, dictionaries in (("f", {"few"}), ("g", set())):
        table = table_of(file_at(tmp_path / name), few=StringType(), many=StringType())
        batches = list(read_batches(table, [whole(table.files[0])], ["few", "many"], dictionaries=["few", "many"]))
        types = {name for name in texts for batch in batches if pa.types.is_dictionary(batch.column(name).type)}
        assert types == dictionaries
        assert [value for batch in batches for value in batch.column("few").to_pylist()] == few.astype(str).tolist()


LEGACY = {
    "org.apache.spark.version": "3.5.0",
    "org.apache.spark.legacyDateTime": "",
    "org.apache.spark.legacyINT96": "",
}


@pytest.mark.parametrize(
    ("notes", "left"),
    [
        (LEGACY, True),
        ({"org.apache.spark.version": "2.4.8"}, True),
        ({"org.apache.spark.version": "3.5.0"}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("int96", [False, True])
def test_old_dates_in_a_legacy_calendar_are_left_to_spark(tmp_path: Path, notes: dict, left: bool, int96: bool) -> None:
    old, new = "1582-10-14", "1900-01-01"
    for text in (old, new):
        days = pa.array([text]).cast(pa.date32())
        stored = pa.table({"d": days, "t": days.cast(pa.timestamp("us", tz="UTC"))}).replace_schema_metadata(notes)
        pq.write_table(stored, tmp_path / text, use_deprecated_int96_timestamps=int96)
        table = table_of(file_at(tmp_path / text), d=DateType(), t=TimestampType())
        for column in ("d", "t"):
            if left and text == old:
                with pytest.raises(UnreadableError, match="whose calendar is not today's"):
                    read(table, column)
            else:
                assert str(read(table, column).column(0)[0].as_py()).startswith(text)


def test_a_row_group_of_any_size_is_read_in_pieces(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = 2_000_000
    stored = pa.table({"p": rng.random(rows), "q": rng.random(rows)})
    pq.write_table(stored, tmp_path / "f", row_group_size=rows, use_dictionary=False, compression="none")
    table = table_of(file_at(tmp_path / "f"), p=DoubleType(), q=DoubleType())
    before, most, total = pa.total_allocated_bytes(), 0, 0.0
    for batch in read_batches(table, [whole(table.files[0])], ["p", "q"]):
        most = max(most, pa.total_allocated_bytes() - before)
        total += batch.column(0).to_numpy().sum()
    assert most < 8 << 20 < table.files[0].size / 3
    assert total == pytest.approx(stored["p"].to_numpy().sum(), rel=1e-12)
