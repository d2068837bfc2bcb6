"""What workers read of Parquet files is what Spark reads, value by value and type by type."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.ml.linalg import SparseVector, Vectors, VectorUDT
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType, UserDefinedType

from logloss_spark.io.files import FileTable, files_of
from logloss_spark.workers.parquet import arrow_type, read_batches, tasks_of
from tests.quick import quick

UTC = "UTC"
VECTOR = ("type", "size", "indices", "values")
# Each column of the table, with the types that a file may store it as.
COLUMNS: dict[str, tuple[str, list[pa.DataType]]] = {
    "boolean": ("boolean", [pa.bool_()]),
    "byte": ("tinyint", [pa.int8()]),
    "short": ("smallint", [pa.int16(), pa.int8(), pa.uint8()]),
    "int": ("int", [pa.int32(), pa.int16(), pa.int8(), pa.uint16(), pa.uint8()]),
    "long": ("bigint", [pa.int64(), pa.int32(), pa.uint32(), pa.int8()]),
    "float": ("float", [pa.float32()]),
    "double": ("double", [pa.float64(), pa.float32(), pa.int32(), pa.int8()]),
    "string": ("string", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]),
    "binary": ("binary", [pa.binary(), pa.binary(3)]),
    "day": ("date", [pa.date32()]),
    "instant": ("timestamp", [pa.timestamp("us", UTC), pa.timestamp("ms", UTC)]),
    "clock": ("timestamp_ntz", [pa.timestamp("us"), pa.timestamp("ms")]),
    "decimal": ("decimal(20,4)", [pa.decimal128(20, 4), pa.decimal128(18, 2), pa.decimal128(9, 3), pa.int32()]),
    "price": ("decimal(9,2)", [pa.decimal128(9, 2), pa.decimal128(5, 1)]),
    "huge": ("decimal(38,18)", [pa.decimal128(38, 18), pa.int32()]),
    "doubles": ("array<double>", [pa.list_(pa.float64()), pa.list_(pa.float32()), pa.large_list(pa.float64())]),
    "longs": ("array<bigint>", [pa.list_(pa.int64()), pa.list_(pa.int16())]),
    "strings": ("array<string>", [pa.list_(pa.string())]),
    "pair": ("struct<x: int, y: double>", [pa.struct([("x", pa.int32()), ("y", pa.float64())])]),
    "MiXeD": ("double", [pa.float64()]),
    "dot.ted": ("double", [pa.float64()]),
    "tick`ed": ("int", [pa.int32()]),
}


def values(type_: pa.DataType, rows: int, rng: np.random.Generator) -> list[Any]:
    """Random values of a type, with nulls and with what is special about it."""

    def number(low: int, high: int) -> Callable[[], Any]:
        return lambda: int(rng.choice([low, high, 0, rng.integers(low, high, dtype=np.int64, endpoint=True)]))

    def real() -> float:
        return float(rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324, 1e308, *rng.normal(size=4)]))

    def word() -> str:
        return str(rng.choice(["", "a", "ü 😀", "x" * 50, "nul\0", f"word {rng.integers(20)}"]))

    if pa.types.is_nested(type_) and not pa.types.is_struct(type_):
        lengths = [None if rng.random() < 0.2 else int(rng.integers(5)) for _ in range(rows)]
        return [None if length is None else values(type_.value_type, length, rng) for length in lengths]
    if pa.types.is_struct(type_):
        parts = [values(type_.field(i).type, rows, rng) for i in range(type_.num_fields)]
        names = [type_.field(i).name for i in range(type_.num_fields)]
        return [None if rng.random() < 0.2 else dict(zip(names, row, strict=True)) for row in zip(*parts, strict=True)]
    if pa.types.is_dictionary(type_):
        return values(type_.value_type, rows, rng)
    bits = type_.bit_width if pa.types.is_integer(type_) else 0
    draws: list[tuple[bool, Callable[[], Any]]] = [
        (
            pa.types.is_signed_integer(type_),
            number(-(1 << bits - 1) if bits else 0, (1 << bits - 1) - 1 if bits else 0),
        ),
        (pa.types.is_unsigned_integer(type_), number(0, (1 << bits) - 1)),
        (pa.types.is_float32(type_), lambda: float(np.float32(rng.normal()) if rng.random() < 0.7 else np.nan)),
        (pa.types.is_float64(type_), real),
        (pa.types.is_boolean(type_), lambda: bool(rng.random() < 0.5)),
        (pa.types.is_string(type_) or pa.types.is_large_string(type_), word),
        (pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_), lambda: rng.bytes(3)),
        (pa.types.is_date(type_), number(-719_162, 2_932_896)),
        (pa.types.is_timestamp(type_), number(-62_135_596_800_000, 253_402_300_799_999)),
        (pa.types.is_decimal(type_), lambda: Decimal(int(rng.integers(-9999, 9999))).scaleb(-type_.scale)),
    ]
    draw = next(draw for fits, draw in draws if fits)
    return [None if rng.random() < 0.2 else draw() for _ in range(rows)]


def stored(name: str, type_: pa.DataType, rows: int, rng: np.random.Generator) -> pa.Array:
    """A random column of a file."""
    found = values(type_, rows, rng)
    if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        width = pa.int32() if pa.types.is_date(type_) else pa.int64()
        return pa.array(found, width).cast(type_)
    return pa.array(found, type_)


def write_file(path: Path, first: int, rng: np.random.Generator) -> int:
    """Write a file of some of the columns, in any order, as any of their types, by any of the writer's ways."""
    rows = int(rng.choice([1, 10, 300]))
    int96 = bool(rng.random() < 0.25)
    arrays = {"row": pa.array(range(first, first + rows), pa.int64())}
    for name, (_, types) in COLUMNS.items():
        if rng.random() < 0.15 or (int96 and name == "clock"):
            continue  # this file lacks the column
        written = name.upper() if rng.random() < 0.3 else name
        arrays[written] = stored(name, types[int(rng.integers(len(types)))], rows, rng)
    order = rng.permutation(list(arrays))
    dictionary = bool(rng.random() < 0.5)
    pq.write_table(
        pa.table({str(name): arrays[str(name)] for name in order}),
        path,
        compression=str(rng.choice(["snappy", "gzip", "zstd", "lz4", "none"])),
        row_group_size=int(rng.choice([1, 7, 1000])),
        use_dictionary=dictionary,
        data_page_version=str(rng.choice(["1.0", "2.0"])),
        data_page_size=int(rng.choice([64, 1 << 20])),
        version=str(rng.choice(["1.0", "2.6"])),
        store_schema=bool(rng.random() < 0.5),
        store_decimal_as_integer=bool(rng.random() < 0.5),
        use_deprecated_int96_timestamps=int96,
        write_statistics=bool(rng.random() < 0.5),
    )
    return rows


def same_instants(table: pa.Table) -> pa.Table:
    """A table whose times are in UTC; Spark gives them in the time zone of the session."""
    zoned = [pa.types.is_timestamp(field.type) and field.type.tz is not None for field in table.schema]
    columns = [
        column.cast(pa.timestamp("us", UTC)) if zone else column
        for column, zone in zip(table.columns, zoned, strict=True)
    ]
    return pa.Table.from_arrays(columns, names=table.column_names)


def assert_same(spark: SparkSession, folder: Path, schema: StructType | None = None, **options: Any) -> FileTable:
    """Workers must read a folder's files as Spark does."""
    reader = spark.read if schema is None else spark.read.schema(schema)
    df = reader.parquet(str(folder))
    table = files_of(df)
    assert isinstance(table, FileTable), table
    vectors = [field.name for field in df.schema.fields if isinstance(field.dataType, UserDefinedType)]
    wanted = same_instants(df.drop(*vectors).toArrow())
    tasks = tasks_of(table, 3, least=1)
    columns = [*wanted.column_names, *vectors]
    batches = [batch for task in tasks for batch in read_batches(table, task, columns, **options)]
    for field in df.schema.fields:
        types = {batch.column(field.name).type for batch in batches}
        plain = {type_.value_type if pa.types.is_dictionary(type_) else type_ for type_ in types}
        assert all(type_ == arrow_type(field.dataType) for type_ in plain)  # but for the names of an array's values
    rows: dict[int, list[str]] = {}
    for batch in batches:
        cells = [map(repr, column.to_pylist()) for column in batch.columns[: wanted.num_columns]]
        rows |= zip(batch.column("row").to_pylist(), map(list, zip(*cells, strict=True)), strict=True)
    assert len(rows) == wanted.num_rows == sum(batch.num_rows for batch in batches)
    expected = [map(repr, column.to_pylist()) for column in wanted.columns]
    for number, *row in zip(wanted["row"].to_pylist(), *expected, strict=True):
        assert rows[number] == row
    for name in vectors:
        found = {row["row"]: row[name] for batch in batches for row in batch.select(["row", name]).to_pylist()}
        for row, vector in df.select("row", name).collect():
            assert found[row] == (vector and dict(zip(VECTOR, VectorUDT().serialize(vector), strict=True)))
    return table


@pytest.mark.parametrize("seed", quick(range(1, 40), 1))
def test_random_files_are_read_as_spark_reads_them(spark: SparkSession, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = 0
    for number in range(8):
        folder = tmp_path / f"store={rng.choice(['1', '007', '__HIVE_DEFAULT_PARTITION__'])}"
        folder.mkdir(exist_ok=True)
        row += write_file(folder / f"{number}.parquet", row, rng)
    ddl = ", ".join(f"`{name.replace('`', '``')}` {type_}" for name, (type_, _) in COLUMNS.items())
    schema = spark.createDataFrame([], f"row bigint, {ddl}, store int").schema
    options = {"dictionaries": ["string"]} if seed % 2 else {}
    assert_same(spark, tmp_path, schema, rows=int(rng.choice([1, 50, 65_536])), **options)


@pytest.mark.connect
@pytest.mark.parametrize("legacy", quick([False, True], False))
def test_files_of_spark_and_of_mllib_are_read_as_spark_reads_them(
    spark: SparkSession, tmp_path: Path, legacy: bool
) -> None:
    rows = [
        (0, Vectors.dense([1.0, -0.0]), [0.5, None], "a", Decimal("1.50")),
        (1, SparseVector(3, [1], [2.5]), [], None, None),
        (2, None, None, "b", Decimal("-2.25")),
    ]
    features = spark.createDataFrame([(Vectors.dense([1.0]),)], ["v"]).schema["v"]
    schema = StructType.fromJson(
        spark.createDataFrame([], "row bigint, a array<double>, s string, d decimal(9,2)").schema.jsonValue()
    )
    schema = StructType([schema["row"], features, *schema.fields[1:]])
    for key, value in (
        ("writeLegacyFormat", legacy),
        ("outputTimestampType", "INT96" if legacy else "TIMESTAMP_MILLIS"),
    ):
        spark.conf.set(f"spark.sql.parquet.{key}", str(value))
    try:
        table = spark.createDataFrame(rows, schema).selectExpr(
            "*",
            "timestamp_millis(row * 123456789123) AS t",
            "named_struct('x', row, 'y', s) AS pair",
            "date_add(date'2026-01-01', int(row)) AS day",
        )
        table.write.partitionBy("day").parquet(str(tmp_path / "t"))
    finally:
        for key in ("writeLegacyFormat", "outputTimestampType"):
            spark.conf.unset(f"spark.sql.parquet.{key}")
    assert assert_same(spark, tmp_path / "t").partitions == ("day",)
