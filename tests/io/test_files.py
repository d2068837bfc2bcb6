"""Tables that are nothing but Parquet files are recognised, and in doubt Spark reads the table."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark.errors import MissingInputError, SpecError
from logloss_spark.io.files import FileTable, files_of, files_of_source, read_paths
from logloss_spark.io.source import Source, read_table
from logloss_spark.workers.parquet import read_batches, tasks_of
from tests.quick import slow

ROWS = {"y": pa.array([0, 1, 1], pa.int32()), "p": [0.25, 0.5, 0.75], "z": [1.0, 2.0, 3.0], "s": ["a", "b", None]}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two files."""
    folder = tmp_path_factory.mktemp("plain")
    pq.write_table(pa.table(ROWS), folder / "a.parquet")
    pq.write_table(pa.table(ROWS).slice(1), folder / "b.parquet")
    return folder


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two partition columns."""
    folder = tmp_path_factory.mktemp("parted")
    for day in ("2026-01-01", "2026-01-02"):
        for store in ("001", "7", "__HIVE_DEFAULT_PARTITION__"):
            file = folder / f"dt={day}" / f"store={store}" / "f.parquet"
            file.parent.mkdir(parents=True)
            pq.write_table(pa.table(ROWS), file)
    return folder


def rows_of(table: FileTable, *columns: str) -> list[tuple[object, ...]]:
    """The rows of a table as workers read them, in any order."""
    (task,) = tasks_of(table, 1)
    batches = read_batches(table, task, columns or table.schema.names)
    return sorted((tuple(row.values()) for batch in batches for row in batch.to_pylist()), key=repr)


def recognised(df: DataFrame, *paths: str) -> FileTable:
    """The files of a table, whose rows workers read as Spark does."""
    table = files_of(df, paths)
    assert isinstance(table, FileTable), table
    assert table.schema == df.schema
    assert rows_of(table) == sorted((tuple(row) for row in df.collect()), key=repr)
    return table


@pytest.mark.parametrize(
    "written",
    [
        lambda path: str(path),
        lambda path: f"{path}/",
        lambda path: f"file:{path}",
        lambda path: f"file://{path}",
    ],
)
def test_a_path_is_recognised_however_it_is_written(spark: SparkSession, plain: Path, written) -> None:
    table = recognised(spark.read.parquet(written(plain)))
    assert table.partitions == ()
    assert [os.path.basename(file.path) for file in table.files] == ["a.parquet", "b.parquet"]
    assert all(file.path.startswith("/") for file in table.files)


@pytest.mark.connect
def test_a_path_that_is_given_may_be_written_in_any_way(spark: SparkSession, plain: Path) -> None:
    for path in (os.path.relpath(plain), f"{plain}/../{plain.name}"):
        assert isinstance(files_of(spark.read.parquet(path), [path]), FileTable)


@pytest.mark.connect
@pytest.mark.parametrize(
    "same",
    [
        slow(lambda df, path: df.alias("t")),
        lambda df, path: df.select("*"),
        slow(lambda df, path: df.select("y", "p", "z", "s")),
        slow(lambda df, path: df.withColumnRenamed("p", "score")),
        lambda df, path: df.select("y", F.col("p").alias("z"), F.col("z").alias("p"), "s"),
        slow(lambda df, path: df.toDF("a", "b.c", "d`e", "f")),
        lambda df, path: df.sparkSession.read.format("parquet").option("path", path).load(),
        slow(lambda df, path: df.sparkSession.read.parquet(f"{path}/a.parquet")),
        lambda df, path: df.sparkSession.read.schema("none string, P double, y long").parquet(path),
    ],
    ids=["alias", "star", "columns", "renamed", "swapped", "all renamed", "option", "file", "own schema"],
)
def test_what_changes_no_row_and_no_value_is_recognised(spark: SparkSession, plain: Path, same) -> None:
    recognised(same(spark.read.parquet(str(plain)), str(plain)))


@pytest.mark.connect
@pytest.mark.parametrize(
    "more",
    [
        lambda df, path: df.where("p > 0.3"),
        slow(lambda df, path: df.where("true")),
        lambda df, path: df.withColumn("p", F.col("p") / 2),
        slow(lambda df, path: df.withColumn("p", F.col("p").cast("float").cast("double"))),
        slow(lambda df, path: df.select("y", "p", F.col("p").alias("z"), "s")),
        slow(lambda df, path: df.select("y", "z", "p", "s")),
        lambda df, path: df.drop("z"),
        lambda df, path: df.select("*", "_metadata"),
        slow(lambda df, path: df.select(F.col("y"), F.col("p"), F.col("z"), F.upper("s").alias("s"))),
        lambda df, path: df.sample(0.99, seed=1),
        slow(lambda df, path: df.limit(5)),
        lambda df, path: df.limit(1_000_000),
        slow(lambda df, path: df.offset(1)),
        lambda df, path: df.distinct(),
        slow(lambda df, path: df.union(df)),
        lambda df, path: df.union(df.limit(0)),
        slow(lambda df, path: df.na.fill(0.0)),
        lambda df, path: df.na.drop(),
        slow(lambda df, path: df.crossJoin(df.select(F.lit(1).alias("one")))),
        slow(lambda df, path: df.select(F.explode(F.array(F.lit(1), F.lit(2))).alias("y"), "p", "z", "s")),
    ],
)
def test_a_table_that_is_more_than_its_files_is_left_to_spark(spark: SparkSession, plain: Path, more) -> None:
    assert "something was done to it" in str(files_of(more(spark.read.parquet(str(plain)), str(plain))))


@pytest.mark.parametrize(
    "option",
    [
        {"mergeSchema": True},
        slow({"recursiveFileLookup": True}),
        {"pathGlobFilter": "a*"},
        slow({"modifiedBefore": "2050-01-01T00:00:00"}),
        slow({"modifiedAfter": "1999-01-01T00:00:00"}),
        slow({"ignoreCorruptFiles": True}),
        slow({"datetimeRebaseMode": "LEGACY"}),
        {"int96RebaseMode": "LEGACY"},
        {"timeZone": "Asia/Tokyo"},
        {"basePath": ""},
    ],
    ids=str,
)
def test_options_of_the_reader_leave_the_table_to_spark(spark: SparkSession, plain: Path, option: dict) -> None:
    given = {name: value or str(plain.parent) for name, value in option.items()}
    assert isinstance(files_of(spark.read.options(**given).parquet(str(plain)), [str(plain)]), str)


@pytest.mark.connect
def test_tables_without_files_views_and_caches_say_why_they_are_left_to_spark(spark: SparkSession, plain: Path) -> None:
    df = spark.read.parquet(str(plain))
    assert "names no files" in str(files_of(spark.createDataFrame([(1, 0.5)], "y int, p double")))
    df.where("p > 0.3").createOrReplaceTempView("filtered")
    assert isinstance(files_of(spark.table("filtered")), str)
    assert "is a stream" in str(files_of(spark.readStream.schema(df.schema).parquet(str(plain))))
    again = spark.read.parquet(str(plain))
    df.persist()
    try:
        assert "is cached" in str(files_of(df))
        assert "is cached" in str(files_of(again))
    finally:
        df.unpersist(blocking=True)
    assert isinstance(files_of(df), FileTable)


def test_a_file_of_another_format_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1,0.5\n")
    assert isinstance(files_of(spark.read.schema("y int, p double").csv(str(tmp_path)), [str(tmp_path)]), str)
    assert isinstance(files_of(spark.read.text(str(tmp_path)), [str(tmp_path)]), str)


def test_a_pattern_is_left_to_spark(spark: SparkSession, plain: Path) -> None:
    assert "not read from one plain path" in str(files_of(spark.read.parquet(f"{plain}/*.parquet")))
    assert "pattern" in str(read_paths(f"{plain}/*.parquet")[1])


@pytest.mark.connect
def test_a_setting_that_changes_what_spark_reads_leaves_the_table_to_it(spark: SparkSession, plain: Path) -> None:
    df = spark.read.parquet(str(plain))
    for key, value in (
        ("spark.sql.files.ignoreCorruptFiles", "true"),
        ("spark.sql.parquet.datetimeRebaseModeInRead", "LEGACY"),
        ("spark.sql.parquet.enableVectorizedReader", "false"),
    ):
        spark.conf.set(key, value)
        try:
            assert files_of(df) == f"{key} is {value}"
        finally:
            spark.conf.unset(key)


def test_a_column_that_a_table_has_twice_leaves_it_to_spark(spark: SparkSession, plain: Path) -> None:
    df = spark.read.parquet(str(plain))
    assert "same name" in str(files_of(df.toDF("a", "A", "b", "c")))


@pytest.mark.connect
def test_partition_values_are_those_of_spark(spark: SparkSession, parted: Path) -> None:
    table = recognised(spark.read.parquet(str(parted)))
    assert table.partitions == ("dt", "store")
    assert {file.values for file in table.files} >= {(date(2026, 1, 1), 1), (date(2026, 1, 2), None)}
    own = spark.read.schema("store string, P double, dt string, y int").parquet(str(parted))
    assert {file.values for file in recognised(own).files} >= {("2026-01-01", "001"), ("2026-01-02", None)}
    assert recognised(spark.read.parquet(str(parted)).toDF("a", "b", "c", "d", "day", "dt")).partitions == ("day", "dt")


def test_one_partition_read_alone_has_no_partition_column(spark: SparkSession, parted: Path) -> None:
    assert recognised(spark.read.parquet(f"{parted}/dt=2026-01-01")).partitions == ("store",)
    assert recognised(spark.read.parquet(f"{parted}/dt=2026-01-01/store=001")).partitions == ()


TYPED = {
    "long": ["1", "-20000000000", "+5"],
    "decimal": ["1" + "0" * 30, "7"],
    "double": ["1.5", "-1e-300", "NaN"],
    "date": ["2026-02-28", "0001-01-01", "2024-02-29"],
    "timestamp": ["2026-01-01 00%3A00%3A00", "1969-12-31 23%3A59%3A59.5"],
    "text": ["a%2Fb", "ü 100%25", "x=y", "%20"],
    "mixed": ["1", "x", "__HIVE_DEFAULT_PARTITION__"],
    "zeros": ["007", "7"],
}


def test_partition_values_of_every_type_are_those_of_spark(spark: SparkSession, tmp_path: Path) -> None:
    for number in range(4):
        values = {name: texts[number % len(texts)] for name, texts in TYPED.items()}
        file = tmp_path.joinpath(*(f"{name}={text}" for name, text in values.items()), "f.parquet")
        file.parent.mkdir(parents=True)
        pq.write_table(pa.table({"x": [number]}), file)
    df = spark.read.parquet(str(tmp_path))
    table = files_of(df)
    assert isinstance(table, FileTable), table
    found = {number: values for number, *values in rows_of(table, "x", *TYPED)}
    for row in df.toArrow().to_pylist():
        for name, value in zip(TYPED, found[row["x"]], strict=True):
            assert repr(value) == repr(row[name]) or value == row[name], name


@pytest.mark.parametrize(
    ("type_", "text"),
    [("tinyint", "300"), ("decimal(5,1)", "1.25"), ("float", "0.1")],
)
def test_partition_values_that_spark_reads_in_its_own_way_are_left_to_it(
    spark: SparkSession, tmp_path: Path, type_: str, text: str
) -> None:
    (tmp_path / f"k={text}").mkdir()
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / f"k={text}" / "f.parquet")
    assert isinstance(files_of(spark.read.schema(f"x double, k {type_}").parquet(str(tmp_path))), str)


@pytest.mark.connect
def test_times_read_in_another_time_zone_are_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "k=2026-01-01 00%3A00%3A00").mkdir()
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "k=2026-01-01 00%3A00%3A00" / "f.parquet")
    df = spark.read.parquet(str(tmp_path))
    _ = df.schema
    zone = spark.conf.get("spark.sql.session.timeZone")
    assert isinstance(files_of(df), FileTable)
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo" if zone != "Asia/Tokyo" else "UTC")
    try:
        table = files_of(df)
        # Over Connect the plan is analysed anew, in the new zone.
        assert isinstance(table, FileTable) or "another time zone" in table
        if isinstance(table, FileTable):
            instant = df.select(F.unix_micros("k")).first()[0]
            assert table.files[0].values[0] == datetime.fromtimestamp(instant / 1e6, UTC)
    finally:
        spark.conf.set("spark.sql.session.timeZone", zone)


@pytest.mark.connect
@pytest.mark.parametrize(
    ("where", "rows"),
    [
        slow(("dt = '2026-01-01'", 9)),
        ("dt >= date '2026-01-02' and (store = 1 or store is null)", 6),
        slow(("year(dt) = 2026 and store in (7)", 6)),
        ("DT = date_sub(date'2026-01-02', 1)", 9),
    ],
)
def test_a_condition_over_partition_columns_chooses_files(
    spark: SparkSession, parted: Path, where: str, rows: int
) -> None:
    source = Source(path=str(parted), where=where)
    table = files_of_source(read_table(spark, Source(path=str(parted))), source)
    assert isinstance(table, FileTable), table
    assert len(rows_of(table)) == rows == read_table(spark, source).count()


@pytest.mark.parametrize(
    "where",
    ["p > 0.3", "dt = '2026-01-01' and p > 0.3", "rand() < 0.5", "dt = '1999-01-01'", "store = (select 1)", "dt = nix"],
)
def test_other_conditions_are_left_to_spark(spark: SparkSession, parted: Path, where: str) -> None:
    source = Source(path=str(parted), where=where)
    assert isinstance(files_of_source(spark.read.parquet(str(parted)), source), str)


def test_paths_are_read_and_recognised(spark: SparkSession, plain: Path, parted: Path) -> None:
    for paths in (
        str(plain),
        f"{plain}/a.parquet",
        [f"{plain}/a.parquet", f"{plain}/b.parquet"],
        os.path.relpath(plain),
    ):
        df, table = read_paths(paths)
        assert isinstance(table, FileTable), table
        assert rows_of(table) == sorted((tuple(row) for row in df.collect()), key=repr)
    df, table = read_paths([f"{parted}/dt=2026-01-0{day}/store=001" for day in (1, 2)])
    assert isinstance(table, FileTable), table
    assert table.partitions == ()
    assert read_paths(str(parted))[1].partitions == ("dt", "store")


def test_a_path_that_is_no_plain_parquet_is_told_in_one_line(spark: SparkSession, plain: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="nowhere"):
        read_paths(str(tmp_path / "nowhere"))
    with pytest.raises(SpecError, match="got an empty list"):
        read_paths([])
    pq.write_table(pa.table(ROWS), tmp_path / "a.parquet")
    (tmp_path / "_delta_log").mkdir()
    for read in (read_paths, lambda path: read_table(spark, Source(path=path))):
        with pytest.raises(SpecError, match='is a Delta table: read it with format = "delta"'):
            read(str(tmp_path))


def test_files_without_bytes_and_hidden_ones_are_passed_over(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table(ROWS), tmp_path / "a.parquet")
    (tmp_path / "empty.parquet").touch()
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".hidden.parquet").write_text("no Parquet")
    assert [file.path for file in recognised(spark.read.parquet(str(tmp_path))).files] == [f"{tmp_path}/a.parquet"]


def test_names_with_signs_of_their_own_are_found(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "a b%20c [x] {y}*?#+ü"
    folder.mkdir()
    pq.write_table(pa.table({"a.b": [1.0], "c`d": [2.0], " e": [3.0]}), folder / "part 1%.parquet")
    for df, table in (read_paths(str(folder)),):
        assert isinstance(table, FileTable), table
        assert rows_of(table) == [tuple(row) for row in df.collect()]


@pytest.mark.connect
def test_a_table_of_the_catalog_is_recognised(spark: SparkSession) -> None:
    spark.sql("DROP TABLE IF EXISTS plain_table")
    spark.sql("CREATE TABLE plain_table (y int, P double) USING parquet")
    try:
        spark.sql("INSERT INTO plain_table VALUES (1, 0.5), (0, 0.25)")
        recognised(spark.table("plain_table"))
        recognised(spark.sql("SELECT * FROM plain_table"))
        spark.sql("ALTER TABLE plain_table ADD COLUMN w double DEFAULT 2.0")
        assert "default value" in str(files_of(spark.table("plain_table")))
    finally:
        spark.sql("DROP TABLE plain_table")


def test_a_partitioned_table_of_the_catalog_is_recognised(spark: SparkSession, tmp_path: Path) -> None:
    spark.sql("DROP TABLE IF EXISTS parted_table")
    spark.sql("CREATE TABLE parted_table (y int, p double, dt date, k string) USING parquet PARTITIONED BY (dt, k)")
    try:
        rows = [f"(1, 0.{day}, date'2026-01-0{day}', '{k}')" for day in (1, 2, 3) for k in ("a/b", "c")]
        spark.sql(f"INSERT INTO parted_table VALUES {', '.join(rows)}, (0, 0.5, NULL, 'c')")
        df = spark.table("parted_table")
        table = recognised(df)
        assert table.partitions == ("dt", "k")
        chosen = files_of_source(df, Source(table="parted_table", where="dt = '2026-01-02'"))
        assert isinstance(chosen, FileTable)
        assert len(chosen.files) == 2
        assert isinstance(files_of(df.where("dt = '2026-01-02'")), str)
        folder = os.path.dirname(os.path.dirname(table.files[0].path))
        spark.sql(f"ALTER TABLE parted_table ADD PARTITION (dt='2026-02-01', k='c') LOCATION '{folder}/k=c'")
        assert "in folders of other names" in str(files_of(spark.table("parted_table")))
    finally:
        spark.sql("DROP TABLE parted_table")


@pytest.mark.connect
def test_several_paths_are_left_to_spark_unless_they_are_known_to_be_apart(spark: SparkSession, plain: Path) -> None:
    # Spark calls tables the same however often one of several paths is given, and reads a file as often.
    first, second = f"{plain}/a.parquet", f"{plain}/b.parquet"
    for paths in ([first, first], [first, second, first], [str(plain), first], [f"{plain}/", str(plain)]):
        assert isinstance(files_of(spark.read.parquet(*paths), paths), str)
        assert "its paths overlap" in str(read_paths(paths)[1])
    assert isinstance(files_of(spark.read.parquet(first, second)), str)
    assert isinstance(read_paths([first, second])[1], FileTable)
