"""Read Parquet files in Python workers: the rows, values and Arrow types that Spark would give.

Spark's own rules decide what a file may hold. A file that Spark refuses is a DataError that names it. A file that Spark
may read, and this module not in exactly the same way, is an UnreadableError: Spark must read that table.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import ColumnSchema, FileMetaData, ParquetFile, read_metadata
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
    UserDefinedType,
)

from logloss_spark.errors import DataError, UnreadableError
from logloss_spark.io.files import File, FileTable
from logloss_spark.workers.opening import Systems, opened

LEAST = 4 << 20
"""Bytes of a task, at least. A task costs Spark 30 to 55 ms, in which a worker reads as much."""

MOST = 512 << 20
"""Bytes of a task, at most: as much is read again if a worker is lost."""

WHOLE = 1 << 20
"""A smaller file is not split, because each of its parts would have to read its footer."""

BUFFER = 1 << 16
"""Bytes of a column that are read at a time, so that memory does not grow with row groups. So few stay in the cache.

A map of the file into memory would be a tenth faster, and would end the worker if somebody truncated the file.
"""

DICTIONARY = 1 << 16
"""Bytes of a dictionary in a file, at most, for texts to come as a dictionary. Arrow copies it for each batch."""

REMOTE_BUFFER = 4 << 20
"""The same for a remote file, where each read takes a request."""

SIGNED = ("INT32", "INT32 int8", "INT32 int16", "INT32 int32")

SAME: dict[type[DataType], tuple[str, ...]] = {
    BooleanType: ("BOOLEAN",),
    ByteType: ("INT32 int8",),
    ShortType: ("INT32 int8", "INT32 int16", "INT32 uint8"),
    IntegerType: (*SIGNED, "INT32 uint8", "INT32 uint16"),
    LongType: (*SIGNED, "INT32 uint8", "INT32 uint16", "INT32 uint32", "INT64", "INT64 int64"),
    FloatType: ("FLOAT",),
    DoubleType: (*SIGNED, "FLOAT", "DOUBLE"),
    StringType: ("BYTE_ARRAY string", "BYTE_ARRAY enum", "BYTE_ARRAY json"),
    BinaryType: ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"),
    DateType: ("INT32 date",),
    TimestampType: ("INT96", "INT64 timestamp[milliseconds, UTC]", "INT64 timestamp[microseconds, UTC]"),
    TimestampNTZType: ("INT64 timestamp[milliseconds]", "INT64 timestamp[microseconds]"),
}
"""What a file may hold, for each type of Spark's, so that Spark and a cast of Arrow's give the same values."""

POSSIBLE: dict[type[DataType], tuple[str, ...]] = {
    BooleanType: ("BOOLEAN",),
    ByteType: ("INT32",),
    ShortType: ("INT32",),
    IntegerType: ("INT32",),
    LongType: ("INT32", "INT64"),
    FloatType: ("FLOAT",),
    DoubleType: ("INT32", "FLOAT", "DOUBLE"),
    StringType: ("BYTE_ARRAY",),
    BinaryType: ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"),
    DateType: ("INT32",),
    TimestampType: ("INT64", "INT96"),
    TimestampNTZType: ("INT32", "INT64", "INT96"),
    DecimalType: ("INT32", "INT64", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"),
}
"""The physical types that Spark reads as each of its own types; it refuses a file with any other."""

LISTS = (".list.element", ".list.item", ".bag.array_element", ".array")
"""How the path of an array's values ends in files whose nesting Arrow and Spark read alike."""

ARROW: dict[type[DataType], pa.DataType] = {
    BooleanType: pa.bool_(),
    ByteType: pa.int8(),
    ShortType: pa.int16(),
    IntegerType: pa.int32(),
    LongType: pa.int64(),
    FloatType: pa.float32(),
    DoubleType: pa.float64(),
    StringType: pa.string(),
    BinaryType: pa.binary(),
    DateType: pa.date32(),
    TimestampType: pa.timestamp("us", tz="UTC"),
    TimestampNTZType: pa.timestamp("us"),
}

SWITCHES: dict[type[DataType], pa.Scalar] = {
    DateType: pa.scalar(-141_427, pa.int32()).cast(pa.date32()),  # 1582-10-15
    TimestampType: pa.scalar(-2_208_988_800_000_000, pa.timestamp("us", tz="UTC")),  # 1900-01-01
}
"""From here on the calendar of old Spark and Hive agrees with today's, in every time zone."""

Convert = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True)
class Piece:
    """The row groups of a file whose middle lies in the bytes [start, end) of the file."""

    file: File
    start: int
    end: int


@dataclass(frozen=True)
class Request:
    """What is read of each file: the columns by name with their types, what files call them, and in what form."""

    columns: dict[str, DataType]
    names: dict[str, str]
    dictionaries: frozenset[str]
    case_sensitive: bool
    rows: int


@dataclass(frozen=True)
class Footer:
    """What a file says of itself, and which of its row groups are read."""

    path: str
    metadata: FileMetaData
    schema: pa.Schema
    groups: list[int]

    def leaves(self, position: int) -> list[int]:
        """The indices of the Parquet columns that the column of a position consists of."""
        before = sum(leaves_of(field.type) for field in list(self.schema)[:position])
        return list(range(before, before + leaves_of(self.schema.field(position).type)))

    def leaf(self, index: int) -> ColumnSchema:
        """The description of a Parquet column."""
        return self.metadata.schema.column(index)

    def has_small_dictionary(self, leaf: int) -> bool:
        """Whether all row groups have a dictionary of a Parquet column, and a small one."""
        chunks = (self.metadata.row_group(group).column(leaf) for group in self.groups)
        return all(
            chunk.has_dictionary_page and chunk.data_page_offset - chunk.dictionary_page_offset <= DICTIONARY
            for chunk in chunks
        )


@dataclass(frozen=True)
class Stored:
    """A column of the table as a file holds it: where, how its values become Spark's, and whether as a dictionary."""

    position: int
    leaves: list[int]
    convert: Convert
    dictionary: bool


def tasks_of(table: FileTable, slots: int, *, least: int = LEAST, most: int = MOST) -> list[list[Piece]]:
    """Split the files of a table into tasks of about equal size.

    Parameters
    ----------
    table : FileTable
    slots : int
        The number of tasks that run at a time. There are as many tasks, or a multiple of it for a large table.
    least, most : int
        Bytes of a task. A table of fewer bytes is one task.

    Returns
    -------
    list of tasks, each the list of pieces that it reads; every byte of every file is in exactly one piece
    """
    total = sum(file.size for file in table.files)
    count = max(1, min(slots * -(-total // (slots * most)), total // least))
    tasks: list[list[Piece]] = [[] for _ in range(count)]
    before = 0
    for file in table.files:
        for task, start, end in shares(before, file.size, total, count):
            tasks[task].append(Piece(file, start, end))
        before += file.size
    return [task for task in tasks if task]


def shares(before: int, size: int, total: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Return the task, the start and the end of each part of a file, if `count` tasks share the bytes of all files.

    Parameters
    ----------
    before, size, total : int
        The bytes of the files before this one, of this one, and of all.
    """
    if size < WHOLE:
        yield (before + size // 2) * count // total, 0, size
        return
    for task in range(before * count // total, (before + size - 1) * count // total + 1):
        first, last = (-(-border * total // count) - before for border in (task, task + 1))
        yield task, max(first, 0), min(last, size)


def read_batches(
    table: FileTable,
    pieces: Sequence[Piece],
    columns: Sequence[str],
    *,
    rows: int = 65_536,
    dictionaries: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """Read columns of a table from pieces of its files; runs in a worker.

    Parameters
    ----------
    table : FileTable
        Its `files` are not looked at, so a caller may send it without them.
    pieces : sequence of Piece
    columns : sequence of str
        Names in the table's schema, at least one.
    rows : int
        The rows of a batch, at most.
    dictionaries : sequence of str
        The string columns to return as dictionaries, from files with small dictionaries of them.

    Yields
    ------
    RecordBatch
        The columns, in the order asked for and of the Arrow types that Spark gives them, timestamps in UTC. A partition
        column is a dictionary of one value; where its value is null, all indices are null.

    Raises
    ------
    DataError
        A file is gone, has changed, is corrupt, or holds a type that Spark does not read as the table's.
    UnreadableError
        This function cannot read a file, or not exactly as Spark does.
    """
    types = {name: table.schema[name].dataType for name in columns}
    stored = {name: type_ for name, type_ in types.items() if name not in table.partitions}
    names = dict(zip(table.schema.names, table.names or table.schema.names, strict=True))
    request = Request(stored, names, frozenset(dictionaries), table.case_sensitive, rows)
    systems: Systems = {}
    for piece in pieces:
        values = dict(zip(table.partitions, piece.file.values, strict=True))
        for count, arrays in read_piece(piece, request, systems):
            fixed = {name: repeated(values[name], types[name], count) for name in types if name in values}
            found = arrays | fixed
            yield pa.RecordBatch.from_arrays([found[name] for name in columns], names=list(columns))


def read_piece(piece: Piece, request: Request, systems: Systems) -> Iterator[tuple[int, dict[str, pa.Array]]]:
    """Read a piece of a file. Yields the number of rows of each batch, and its columns by name."""
    path = piece.file.path
    with opened(piece.file, systems) as source, named_faults(path):
        metadata = read_metadata(source)
        groups = groups_in(metadata, piece)
        expected = sum(metadata.row_group(group).num_rows for group in groups)
        if not expected:
            return
        footer = Footer(path, metadata, metadata.schema.to_arrow_schema(), groups)
        columns = {name: found_column(name, type_, footer, request) for name, type_ in request.columns.items()}
        given = 0
        for count, arrays in read_groups(source, expected, footer, columns, request):
            given += count
            yield count, arrays
        if given != expected:
            raise DataError(
                f"a file must hold the rows that its footer counts, {expected:,}, and {path} holds {given:,}"
            )


def read_groups(
    source: pa.NativeFile,
    expected: int,
    footer: Footer,
    columns: dict[str, Stored | None],
    request: Request,
) -> Iterator[tuple[int, dict[str, pa.Array]]]:
    """Read row groups of a file. Yields the number of rows of each batch, and its columns by name."""
    present = {name: column for name, column in columns.items() if column is not None}
    absent = {name: arrow_type(request.columns[name]) for name in columns if name not in present}
    if not present:
        for start in range(0, expected, request.rows):
            count = min(request.rows, expected - start)
            yield count, {name: pa.nulls(count, type_) for name, type_ in absent.items()}
        return
    reader = ParquetFile(
        source,
        metadata=footer.metadata,
        read_dictionary=[footer.schema.names[column.position] for column in present.values() if column.dictionary],
        buffer_size=REMOTE_BUFFER if "://" in footer.path else BUFFER,
        pre_buffer=False,
        coerce_int96_timestamp_unit="us",
        arrow_extensions_enabled=False,
    ).reader
    leaves = sorted({leaf for column in present.values() for leaf in column.leaves})
    order = sorted({column.position for column in present.values()})  # a batch has its columns in the file's order
    for batch in reader.iter_batches(request.rows, row_groups=footer.groups, column_indices=leaves, use_threads=False):
        arrays = {name: column.convert(batch.column(order.index(column.position))) for name, column in present.items()}
        yield batch.num_rows, arrays | {name: pa.nulls(batch.num_rows, type_) for name, type_ in absent.items()}


@contextmanager
def named_faults(path: str) -> Iterator[None]:
    """Raise what Arrow cannot read of a file as an error that names the file."""
    try:
        yield
    except (NotImplementedError, pa.ArrowKeyError) as error:
        raise UnreadableError(f"Arrow cannot read {path}: {error}") from error
    except (pa.ArrowInvalid, OSError) as error:
        if "crypt" in str(error):
            raise UnreadableError(f"Arrow cannot read {path}: it is encrypted") from error
        if "size limit" in str(error):
            raise UnreadableError(f"Arrow cannot read {path}: its footer is too large") from error
        raise DataError(
            f"every file of a table must be whole and of one format, and {path} cannot be read: "
            "it is truncated, corrupt or of another format; restore it or take it away"
        ) from error


def groups_in(metadata: FileMetaData, piece: Piece) -> list[int]:
    """Return the row groups whose middle lies in a piece of a file."""
    groups = range(metadata.num_row_groups)
    starts = [start_of(metadata, group) for group in groups]
    middles = [(start + end) // 2 for start, end in zip(starts, [*starts[1:], piece.file.size], strict=True)]
    if not all(0 <= middle < piece.file.size for middle in middles):
        raise pa.ArrowInvalid("a row group begins outside of its file")
    return [group for group in groups if piece.start <= middles[group] < piece.end]


def start_of(metadata: FileMetaData, group: int) -> int:
    """Return the byte at which a row group begins."""
    first = metadata.row_group(group).column(0)
    return int(first.dictionary_page_offset or first.data_page_offset)


def found_column(name: str, type_: DataType, footer: Footer, request: Request) -> Stored | None:
    """Find a column in a file; return None if the file lacks it, so that its values are null."""
    position = resolved(request.names[name], footer.schema.names, footer.path, case_sensitive=request.case_sensitive)
    if position is None:
        return None
    leaves = footer.leaves(position)
    convert = converter(name, type_, footer.schema.field(position).type, leaves, footer)
    dictionary = name in request.dictionaries and footer.has_small_dictionary(leaves[0])
    if dictionary:
        convert = partial(cast_text, target=pa.dictionary(pa.int32(), arrow_type(type_)), path=footer.path)
    return Stored(position, leaves, convert, dictionary)


def resolved(name: str, names: Sequence[str], path: str, *, case_sensitive: bool) -> int | None:
    """Return the position of a name among the names in a file, as Spark resolves it; None if it is not there."""
    same = [other == name if case_sensitive else other.lower() == name.lower() for other in names]
    if sum(same) > 1:
        raise DataError(f"a file must have a column once, and {path} has '{name}' {sum(same)} times: rewrite that file")
    return same.index(True) if any(same) else None


def leaves_of(type_: pa.DataType) -> int:
    """The number of Parquet columns that hold a type."""
    return sum(leaves_of(type_.field(child).type) for child in range(type_.num_fields)) if type_.num_fields else 1


def arrow_type(type_: DataType) -> pa.DataType:
    """Return the Arrow type of a type of Spark's; UnreadableError for types that no evaluation needs."""
    if isinstance(type_, UserDefinedType):
        return arrow_type(type_.sqlType())
    if isinstance(type_, DecimalType):
        return pa.decimal128(type_.precision, type_.scale)
    if isinstance(type_, ArrayType):
        return pa.list_(pa.field("element", arrow_type(type_.elementType), nullable=type_.containsNull))
    if isinstance(type_, StructType):
        return pa.struct([pa.field(field.name, arrow_type(field.dataType), field.nullable) for field in type_.fields])
    if type(type_) not in ARROW:
        raise UnreadableError(f"Spark alone reads columns of the type {type_.simpleString()}")
    return ARROW[type(type_)]


def converter(name: str, type_: DataType, arrow: pa.DataType, leaves: list[int], footer: Footer) -> Convert:
    """Return the function that makes a column's values in a file those that Spark would give.

    Parameters
    ----------
    name : the column, as errors call it
    type_ : the type that the table gives it
    arrow : the type that Arrow gives it in this file
    leaves : the indices of its Parquet columns
    footer : of the file
    """
    if isinstance(type_, UserDefinedType):
        type_ = type_.sqlType()
    if isinstance(type_, StructType):
        return struct_converter(name, type_, arrow, leaves, footer)
    target = arrow_type(type_)
    if isinstance(type_, ArrayType):
        check_array(name, type_, arrow, leaves, footer)
        return partial(cast, target=target)
    if arrow.num_fields or footer.leaf(leaves[0]).max_repetition_level:
        raise mismatch(name, type_, str(arrow), footer)
    check_values(name, type_, footer.leaf(leaves[0]), footer)
    if is_legacy(type_, footer.leaf(leaves[0]), footer.metadata):
        return partial(cast_modern, target=target, since=SWITCHES[type(type_)], path=footer.path)
    if isinstance(type_, StringType):
        return partial(cast_text, target=target, path=footer.path)
    return partial(cast, target=target)


def check_array(name: str, type_: ArrayType, arrow: pa.DataType, leaves: list[int], footer: Footer) -> None:
    """Raise an error unless a file holds an array of numbers or texts as Spark and Arrow both read it."""
    leaf = footer.leaf(leaves[0])
    if not arrow.num_fields:
        raise mismatch(name, type_, kind_of(leaf), footer)
    if len(leaves) > 1 or leaf.max_repetition_level > 1 or not leaf.path.endswith(LISTS):
        raise UnreadableError(f"Spark alone reads arrays as nested as column '{name}' in {footer.path}")
    check_values(name, type_.elementType, leaf, footer)
    if is_legacy(type_.elementType, leaf, footer.metadata):
        raise UnreadableError(f"Spark alone reads arrays of dates as old as column '{name}' in {footer.path}")


def struct_converter(name: str, type_: StructType, arrow: pa.DataType, leaves: list[int], footer: Footer) -> Convert:
    """Return the function that makes a struct in a file one of Spark's, field by field."""
    if not pa.types.is_struct(arrow):
        raise mismatch(name, type_, str(arrow), footer)
    names = [arrow.field(child).name for child in range(arrow.num_fields)]
    if sorted(names) != sorted(type_.names):
        raise UnreadableError(f"Spark alone reads structs with other fields, as column '{name}' in {footer.path}")
    starts = [0]
    for child in range(arrow.num_fields):
        starts.append(starts[-1] + leaves_of(arrow.field(child).type))
    children = {}
    for field in type_.fields:
        child = names.index(field.name)
        parts = leaves[starts[child] : starts[child + 1]]
        path = f"{name}.{field.name}"
        children[child] = converter(path, field.dataType, arrow.field(child).type, parts, footer)
    return partial(cast_struct, target=arrow_type(type_), children=children)


def check_values(name: str, type_: DataType, leaf: ColumnSchema, footer: Footer) -> None:
    """Raise an error unless Spark and a cast of Arrow's make the same values of a Parquet column.

    Raises
    ------
    DataError
        Spark refuses the column.
    UnreadableError
        Spark may read the column, but not as Arrow does.
    """
    possible = POSSIBLE.get(type(type_), ())
    kind = kind_of(leaf)
    if possible and leaf.physical_type not in possible:
        raise mismatch(name, type_, kind, footer)
    same = fits(type_, leaf) if isinstance(type_, DecimalType) else kind in SAME.get(type(type_), ())
    if not same:
        raise UnreadableError(
            f"Spark alone reads {kind} as {type_.simpleString()}, as column '{name}' is stored in {footer.path}"
        )


def mismatch(name: str, type_: DataType, kind: str, footer: Footer) -> DataError:
    """The error for a file that holds another type than the table."""
    return DataError(
        f"all files of a table must hold a column as the same type, and column '{name}' is {type_.simpleString()} in "
        f"the table but {kind} in {footer.path}: rewrite that file, or leave its partition out with `where`"
    )


def kind_of(leaf: ColumnSchema) -> str:
    """Return a Parquet column's physical type and, if it has one, its logical type."""
    logical = json.loads(leaf.logical_type.to_json())
    name = logical["Type"].lower()
    if name == "none":
        return str(leaf.physical_type)
    if name == "int":
        name = f"{'int' if logical['isSigned'] else 'uint'}{logical['bitWidth']}"
    if name == "timestamp":
        name = f"timestamp[{logical['timeUnit']}{', UTC' if logical['isAdjustedToUTC'] else ''}]"
    return f"{leaf.physical_type} {name}"


def fits(type_: DecimalType, leaf: ColumnSchema) -> bool:
    """Whether each value of a Parquet column is one of a decimal type; Spark refuses to round."""
    kind = kind_of(leaf)
    if kind.endswith(" decimal"):
        more = type_.scale - leaf.scale
        return 0 <= more <= type_.precision - leaf.precision
    whole = type_.precision - type_.scale
    return (kind in SIGNED and whole >= 10) or (kind in ("INT64", "INT64 int64") and whole >= 20)


def is_legacy(type_: DataType, leaf: ColumnSchema, metadata: FileMetaData) -> bool:
    """Whether a column holds dates or times in the calendar of old Spark, which changed to today's in 1582."""
    if type(type_) not in SWITCHES:
        return False
    notes = metadata.metadata or {}
    version = notes.get(b"org.apache.spark.version", b"").decode()
    if not version:
        return False  # `files_of` refuses sessions that read such a file in the old calendar
    first, mark = ("3.1.0", b"legacyINT96") if leaf.physical_type == "INT96" else ("3.0.0", b"legacyDateTime")
    return version < first or b"org.apache.spark." + mark in notes


def cast(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Return an array as another type; Arrow refuses to lose anything."""
    return array if array.type == target else array.cast(target)


def cast_modern(array: pa.Array, target: pa.DataType, since: pa.Scalar, path: str) -> pa.Array:
    """Return dates or times as another type, if no value is from before two calendars agreed."""
    found = cast(array, target)
    earliest = pc.min(found)
    if earliest.is_valid and earliest.as_py() < since.as_py():
        raise UnreadableError(f"Spark alone reads dates as old as {earliest} in {path}, whose calendar is not today's")
    return found


def cast_text(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    """Return texts as another type, if they are UTF-8; Spark takes any bytes."""
    found = cast(array, target)
    try:
        (found.dictionary if pa.types.is_dictionary(target) else found).validate(full=True)
    except pa.ArrowInvalid as error:
        raise UnreadableError(f"Spark alone reads texts that are not UTF-8, as in {path}") from error
    return found


def cast_struct(array: pa.StructArray, target: pa.DataType, children: dict[int, Convert]) -> pa.Array:
    """Return a struct with the fields of another type, each made by its own function of the field's position."""
    fields = [target.field(child) for child in range(target.num_fields)]
    mask = array.is_null() if array.null_count else None
    arrays = [convert(array.field(child)) for child, convert in children.items()]
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=mask)


def repeated(value: Any, type_: DataType, count: int) -> pa.DictionaryArray:
    """Return the value of a partition for some rows, as a dictionary of this one value."""
    if value is None:
        return pa.DictionaryArray.from_arrays(pa.nulls(count, pa.int8()), pa.array([], arrow_type(type_)))
    zeros = pa.array(np.zeros(count, dtype=np.int8))  # `pa.repeat` takes as long as to read a column
    return pa.DictionaryArray.from_arrays(zeros, pa.array([value], arrow_type(type_)))
