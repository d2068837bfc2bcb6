"""Tables in and out, on real files."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from logloss_spark.errors import DataError, LogLossError, SpecError
from logloss_spark.io.source import Source, read_table
from logloss_spark.io.spark_errors import from_spark, path_of, said, translated

pytestmark = pytest.mark.connect


def test_options_reach_the_reader_and_the_condition_the_rows(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("y;p\n1;0.5\n0;0.25\n")
    options = {"header": True, "sep": ";", "inferSchema": "true"}
    table = read_table(spark, Source(path=str(tmp_path / "table.csv"), format="csv", options=options, where="y = 0"))
    assert [row.asDict() for row in table.collect()] == [{"y": 0, "p": 0.25}]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[DIVIDE_BY_ZERO] Division by zero. SQLSTATE: 22012", DataError),
        ("[UNRESOLVED_COLUMN] No such column. SQLSTATE: 42703; line 1", SpecError),
        ("Job aborted due to stage failure: out of memory", LogLossError),
        ("Traceback (most recent call last):\nModuleNotFoundError: No module named 'pyarrow'\n\tat java", SpecError),
        ("logloss_spark.errors.UnreadableError: Arrow cannot read /a: it is encrypted\n\tat java", SpecError),
    ],
)
def test_an_error_that_is_not_known_is_judged_by_its_state(text: str, kind: type[LogLossError]) -> None:
    assert type(translated(ValueError(text))) is kind


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("An error occurred while calling o1.load.\n: java.io.IOException: No disk\n\tat a.b(C.java:1)", "No disk"),
        ("(java.io.IOException) No disk\n\nJVM stacktrace:\njava.io.IOException", "No disk"),
        (
            "Job aborted due to stage failure: Task 1 in stage 83.0 failed 1 times, most recent failure: Lost task 1.0 "
            "in stage 83.0 (TID 1256) (10.0.0.1 executor driver): java.io.IOException: No disk\n\tat a.b(C.java:1)",
            "No disk",
        ),
        ("[SOME_CONDITION.OF_SPARK] No disk. SQLSTATE: 58030;\n'Filter (p > 1)\n+- Relation", "No disk"),
        ("Traceback (most recent call last):\n  File 'a'\nZeroDivisionError: by zero\n", "ZeroDivisionError: by zero"),
        (
            ": org.apache.spark.SparkException: [INTERNAL_ERROR] You hit a bug in Spark. SQLSTATE: XX000\n\tat a\n"
            "Caused by: java.io.IOException: No disk\n\tat a.b(C.java:1)",
            "No disk",
        ),
    ],
)
def test_what_spark_said_is_told_without_names_of_java_stacks_and_plans(text: str, line: str) -> None:
    assert said(ValueError(text)) == line


def test_a_file_is_named_as_a_person_writes_it() -> None:
    assert path_of("file:///data/a%20b/part.parquet") == "/data/a b/part.parquet"
    assert path_of("s3a://bucket/part.parquet") == "s3a://bucket/part.parquet"


def test_a_schema_keeps_the_text_of_a_partition_and_the_type_of_a_column(spark: SparkSession, tmp_path: Path) -> None:
    spark.sql("SELECT 1 AS n, 0.5D AS p").write.parquet(str(tmp_path / "days" / "store=001" / "dt=2026-01-01"))
    asked = {"store": "string", "n": "bigint"}
    table = read_table(spark, Source(path=str(tmp_path / "days"), schema=asked, where="store = '001'"))
    assert [row.asDict() for row in table.collect()] == [{"n": 1, "p": 0.5, "store": "001", "dt": date(2026, 1, 1)}]
    assert dict(table.dtypes) == {"n": "bigint", "p": "double", "store": "string", "dt": "date"}


def test_a_schema_keeps_the_text_of_a_csv_file(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("store,p\n001,0.5\nA02,1\n")
    (tmp_path / "number.csv").write_text("store,p\n001,0.5\n")
    given = {"format": "csv", "options": {"header": True, "inferSchema": True}, "schema": {"store": "string"}}
    for name, stores in (("table", ["001", "A02"]), ("number", ["001"])):
        table = read_table(spark, Source(path=str(tmp_path / f"{name}.csv"), **given))
        assert [row.store for row in table.collect()] == stores
        assert dict(table.dtypes) == {"store": "string", "p": "double"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"schema": {"idd": "string"}}, "got 'idd'; it has: id. Did you mean 'id'"),
        ({"schema": {"id": "strng"}}, "such as string, bigint or date, got 'strng' for 'id'"),
        ({"table": "numbers", "path": None, "schema": {"id": "string"}}, "got a table of the catalog"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused_in_one_line(
    spark: SparkSession, tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    spark.range(1).write.parquet(str(tmp_path / "table"))
    spark.range(1).createOrReplaceTempView("numbers")
    with pytest.raises(SpecError) as refused:
        read_table(spark, Source(**{"path": str(tmp_path / "table")} | given))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_java_can_no_longer_do_when_it_ends_is_told_as_its_end() -> None:
    text = (
        ": org.apache.spark.SparkException: [INTERNAL_ERROR] You hit a bug in Spark. SQLSTATE: XX000\n\tat a\n"
        'Caused by: java.lang.NullPointerException: Cannot invoke "org.apache.spark.scheduler.DAGScheduler.runJob()" '
        'because the return value of "org.apache.spark.SparkContext.dagScheduler()" is null\n\tat a.b(C.java:1)'
    )
    assert str(translated(ValueError(text))).startswith("Java runs as long as a job does, and it has ended")


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "Connection refused"), BrokenPipeError(32, "Broken pipe")]
)
def test_a_socket_that_java_no_longer_answers_on_is_told_as_its_end(error: OSError) -> None:
    assert from_spark(error)
    assert str(translated(error)).startswith("Java runs as long as a job does, and it has ended")
