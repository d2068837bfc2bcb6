"""Tables are written all or not at all, and nothing else is touched: on real files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark.errors import BusyError, LogLossError, SpecError
from logloss_spark.io import swap as swapping
from logloss_spark.io.writing import Target, is_ours, reserved, write_tables


def targets(folder: Path, *names: str, **how: object) -> dict[str, Target]:
    return {name: Target(path=str(folder / name), **how) for name in names}  # type: ignore[arg-type]


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def table(spark: SparkSession, size: int) -> DataFrame:
    return spark.range(size)


def failing(spark: SparkSession) -> DataFrame:
    return spark.range(1).select(F.raise_error(F.lit("a row that cannot be read")).cast("long").alias("id"))


def refused(spark: SparkSession, folder: Path, match: str, **how: object) -> None:
    before = everything(folder)
    with pytest.raises(SpecError, match=match), reserved(spark, **how):  # type: ignore[arg-type]
        pytest.fail("it was not refused")
    assert everything(folder) == before


def test_a_table_that_may_be_overwritten_may_be_there(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    with reserved(spark, targets(tmp_path, "metrics"), mode="overwrite"):
        pass
    refused(
        spark,
        tmp_path,
        "must not exist where mode is errorifexists, and metrics does",
        targets=targets(tmp_path, "metrics"),
        mode="errorifexists",
    )


def test_what_is_written_lies_apart_from_what_is_read_and_kept(spark: SparkSession, tmp_path: Path) -> None:
    out = targets(tmp_path, "state")
    around = {str(tmp_path / "state" / "predictions")}
    refused(spark, tmp_path, "must not lie inside what is read", targets=out, mode="overwrite", apart_from=around)
    inside = {"checkpoint": str(tmp_path / "state" / "checkpoint")}
    refused(spark, tmp_path, "state and checkpoint do", targets=out, mode="overwrite", kept=inside)
    (tmp_path / "link").symlink_to(tmp_path / "state")
    linked = {"checkpoint": str(tmp_path / "link" / "x")}
    refused(spark, tmp_path, "state and checkpoint do", targets=out, mode="overwrite", kept=linked)


@pytest.mark.connect
@pytest.mark.parametrize("mode", ["errorifexists", "overwrite"])
def test_a_write_that_fails_leaves_all_as_it_was(spark: SparkSession, tmp_path: Path, mode: str) -> None:
    out = targets(tmp_path / "out", "first", "second")
    if mode == "overwrite":
        for target in out.values():
            table(spark, 3).write.parquet(target.path)
    before = everything(tmp_path)
    with (
        pytest.raises(LogLossError, match=r"second cannot be written to .*a row that cannot.*; nothing was written"),
        reserved(spark, out, mode=mode) as reservation,
    ):
        write_tables(reservation, {"first": table(spark, 1), "second": failing(spark)})
    assert everything(tmp_path) == before


def test_a_swap_that_fails_leaves_all_as_it_was(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = targets(tmp_path, "first", "second")
    for target in out.values():
        table(spark, 3).write.parquet(target.path)
    before, put, moved = everything(tmp_path), swapping.put, []

    def put_once(new: str, place: str, *, replace: bool) -> Callable[[], None]:
        if moved:
            raise PermissionError(13, "Permission denied", place)
        moved.append(place)
        return put(new, place, replace=replace)

    monkeypatch.setattr(swapping, "put", put_once)
    with (
        pytest.raises(LogLossError, match=r"Permission denied.*; nothing was written; the old tables are whole"),
        reserved(spark, out, mode="overwrite") as reservation,
    ):
        write_tables(reservation, {"first": table(spark, 1), "second": table(spark, 1)})
    assert moved
    assert everything(tmp_path) == before


@pytest.mark.connect
def test_tables_take_the_place_of_the_old_ones_and_nothing_else_is_there(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a [1] 100%").symlink_to(tmp_path / "elsewhere")
    out = targets(tmp_path, "a [1] 100%", "new", "not asked for")
    for size in (3, 4):
        with reserved(spark, out, mode="overwrite") as reservation:
            write_tables(reservation, {name: table(spark, size) for name in ("a [1] 100%", "new", "no target")})
        assert sorted(os.listdir(tmp_path)) == ["a [1] 100%", "elsewhere", "new"]
        assert spark.read.parquet(str(tmp_path / "elsewhere")).count() == size
        assert spark.read.parquet(str(tmp_path / "new")).count() == size


def test_two_jobs_do_not_write_to_one_place(spark: SparkSession, tmp_path: Path) -> None:
    with reserved(spark, targets(tmp_path, "state", "metrics"), mode="overwrite") as reservation:
        (tmp_path / "link").symlink_to(tmp_path)
        with (
            pytest.raises(BusyError, match=f"process {os.getpid()} of .* is writing state"),
            reserved(spark, targets(tmp_path / "link", "state"), mode="overwrite"),
        ):
            pytest.fail("it was not refused")
        write_tables(reservation, {"state": table(spark, 1), "metrics": table(spark, 1)})
    assert sorted(os.listdir(tmp_path)) == ["link", "metrics", "state"]


STRANGERS = ["thesis.txt", "day=1/part.parquet", ".git/HEAD", "_delta_log/0.json", "a/part-0.parquet", "data.parquet"]


def test_what_spark_did_not_write_is_not_replaced(spark: SparkSession, tmp_path: Path) -> None:
    for stranger in STRANGERS:
        path = tmp_path / "table" / stranger
        path.parent.mkdir(parents=True)
        path.touch()
        match = rf"replaces tables that Spark wrote and empty folders.* holds {stranger}"
        refused(spark, tmp_path, match, targets=targets(tmp_path, "table"), mode="overwrite")
        path.unlink()
        while path.parent != tmp_path:
            path = path.parent
            path.rmdir()
    (tmp_path / "table").touch()
    refused(spark, tmp_path, "is a file", targets=targets(tmp_path, "table"), mode="overwrite")


def test_all_that_spark_writes_may_be_replaced(spark: SparkSession, tmp_path: Path) -> None:
    wide = table(spark, 9).select((F.col("id") % 2).alias("day"), F.lit("a/b=[ü] %").alias("name"), "id")
    for format, compression in (("parquet", "gzip"), ("orc", "zlib"), ("json", "none"), ("csv", "gzip")):
        writer = wide.write.format(format).partitionBy("day", "name").option("compression", compression)
        writer.save(str(tmp_path / format))
    table(spark, 1).selectExpr("string(id)").write.text(str(tmp_path / "text"))
    files = [file.relative_to(place) for place in tmp_path.iterdir() for file in place.rglob("*") if file.is_file()]
    assert len(files) > 20
    assert [str(file) for file in files if not is_ours(str(file))] == []


def test_a_folder_that_cannot_be_written_to_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    match = "first cannot be: .*File exists"
    refused(spark, tmp_path, match, targets=targets(tmp_path / "file", "first"), mode="errorifexists")


@pytest.mark.connect
def test_an_output_on_no_file_system_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    out = {"state": Target(path="foo://a/b")}
    refused(spark, tmp_path, r'foo://a/b cannot be reached: .* it lacks "foo"', targets=out, mode="errorifexists")


@pytest.mark.connect
@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"format": "delta"}, r"format must be one that Spark writes, and delta is not"),
        ({"format": "binaryFile"}, "binaryFile is not"),
        ({"format": "csv", "options": {"compression": "nope"}}, "with the options compression, and csv is not: .*nope"),
    ],
)
def test_a_format_that_cannot_be_written_is_refused(spark: SparkSession, tmp_path: Path, how, match) -> None:
    refused(spark, tmp_path, match, targets=targets(tmp_path, "metrics", **how), mode="overwrite")


@pytest.mark.connect
def test_rows_that_a_format_cannot_hold_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(1).select(F.make_interval(F.lit(1)).alias("while"))
    match = "parquet is not: .*doesn't support the column `while`"
    refused(spark, tmp_path, match, targets=targets(tmp_path, "invalid"), mode="overwrite", rows=rows)


@pytest.mark.connect
def test_csv_holds_arrays_maps_structs_and_vectors_as_json(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.sql("select 1 as n, array(0.5D, 0.25D) as p, map('a', 1) as m, struct(2 as x) as s")
    rows = rows.withColumn("v", array_to_vector("p"))
    out = targets(tmp_path, "scored", format="csv", options={"sep": ";"})
    with reserved(spark, out, mode="errorifexists", rows=rows) as reservation:
        write_tables(reservation, {"scored": rows})
    read = spark.read.options(header=True, sep=";").csv(out["scored"].path).collect()
    assert [row.asDict() for row in read] == [
        {
            "n": "1",
            "p": "[0.5,0.25]",
            "m": '{"a":1}',
            "s": '{"x":2}',
            "v": '{"type":1,"values":[0.5,0.25]}',
        }
    ]


def test_a_table_that_is_not_swapped_says_what_remains(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logloss_spark.io.writing.on_this_machine", lambda _: False)
    out = targets(tmp_path, "first", "second")
    table(spark, 3).write.parquet(out["second"].path)
    with (
        pytest.raises(LogLossError) as raised,
        reserved(spark, out, mode="overwrite") as reservation,
    ):
        write_tables(reservation, {"first": table(spark, 2), "second": failing(spark)})
    first, second = (target.path for target in out.values())
    end = f"; already written: {first}; what is at {second} is not whole, and the old table is lost"
    assert str(raised.value).endswith(end)
    assert spark.read.parquet(first).count() == 2
    (tmp_path / "first" / "thesis.txt").touch()
    refused(spark, tmp_path, "holds thesis.txt", targets=out, mode="overwrite")
