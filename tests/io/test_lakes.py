"""Delta and Iceberg: what a session without their jars is told, and tables of theirs as inputs."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import SpecError
from logloss_spark.io.lake_tables import pinned
from logloss_spark.io.lakes import advice_on_jars, coordinates, how_to_run
from logloss_spark.io.source import Source, read_table
from logloss_spark.io.units import units_of

pytestmark = pytest.mark.connect

ROWS = [(f"2026-11-0{1 + i % 3}", i % 2, (i + 1) / 14) for i in range(12)]


@pytest.mark.parametrize("format_", ["delta", "iceberg"])
@pytest.mark.parametrize("version", ["4.2.9", "4.3.0", "5.0.0"])
def test_a_spark_without_both_builds_is_told_which_one_has_them(format_: str, version: str) -> None:
    said = how_to_run(format_, version)
    if version == "4.2.9" and format_ == "delta":
        assert "start Spark 4.2.9 with --packages io.delta:delta-spark_4.2_2.13:4.4.0" in said
    else:
        assert f"it runs on 4.1.4 and not on {version}" in said
        assert ",".join(jar for jar in coordinates("4.1.4") if format_ in jar) in said


@pytest.mark.parametrize(
    ("error", "format_"),
    [
        ("[DATA_SOURCE_NOT_FOUND] Failed to find the data source: delta. Make sure ... SQLSTATE: 42K02", "Delta"),
        ("[DATA_SOURCE_NOT_FOUND] Failed to find the data source: iceberg. Make sure ...", "Iceberg"),
        ("[DELTA_CONFIGURE_SPARK_SESSION_WITH_EXTENSION_AND_CATALOG] This Delta operation ...", "Delta"),
        ("Cannot find catalog plugin class for catalog 'l': org.apache.iceberg.spark.SparkCatalog.", "Iceberg"),
        ("java.lang.NoSuchMethodError: 'void LogicalRDD.<init>'\n\tat org.apache.spark.sql.delta.Snapshot", "Delta"),
    ],
)
def test_every_way_to_lack_a_jar_is_recognised(error: str, format_: str) -> None:
    said = advice_on_jars(error)
    assert said is not None
    assert said.startswith(f"a table of {format_} needs ")
    assert "\n" not in said


def test_other_errors_are_not_blamed_on_a_jar() -> None:
    assert advice_on_jars("[DATA_SOURCE_NOT_FOUND] Failed to find the data source: deltas. Make sure ...") is None
    assert advice_on_jars("[PATH_NOT_FOUND] Path does not exist: /delta/iceberg. SQLSTATE: 42K03") is None


@pytest.mark.parametrize("format_", ["delta", "iceberg"])
def test_a_session_without_the_jar_names_it_in_one_line(spark: SparkSession, tmp_path: Path, format_: str) -> None:
    if "spark.jars" in spark.conf.getAll:
        pytest.skip("this session has the jars")
    with pytest.raises(SpecError, match=rf"on {spark.version}|Spark {spark.version}") as raised:
        read_table(spark, Source(path=str(tmp_path), format=format_))
    assert how_to_run(format_, spark.version) in str(raised.value)


@pytest.fixture(params=["delta path", "delta table", "iceberg table"])
def lake_source(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Iterator[Source]:
    """A table of ROWS in two commits, of which the first was wrong."""
    rows = spark.createDataFrame(ROWS, "dt string, label int, p double")
    wrong = rows.withColumn("p", F.lit(0.5))
    if request.param == "delta path":
        source = Source(path=str(tmp_path / "t"), format="delta")
        for table in (wrong, rows):
            table.write.format("delta").partitionBy("dt").mode("overwrite").save(source.path)
        yield source
        return
    name = f"lake.db.{request.param.split()[0]}" if "iceberg" in request.param else "lake_input"
    for table in (wrong, rows):
        table.writeTo(name).using(request.param.split()[0]).partitionedBy("dt").createOrReplace()
    yield Source(table=name)
    spark.sql(f"DROP TABLE {name}")


@pytest.mark.lakes
def test_plain_parquet_keeps_its_engine_in_a_session_with_lakes(spark: SparkSession, tmp_path: Path) -> None:
    spark.createDataFrame(ROWS, "dt string, label int, p double").write.partitionBy("dt").parquet(str(tmp_path / "t"))
    assert ls.evaluate(str(tmp_path / "t"), label="label", prediction="p", by="dt").engine.name == "arrow"


@pytest.mark.lakes
@pytest.mark.parametrize(
    ("format_", "properties"),
    [
        ("delta", "'delta.enableDeletionVectors' = 'true'"),
        ("iceberg", "'write.delete.mode' = 'merge-on-read', 'format-version' = '2'"),
    ],
)
def test_rows_that_are_deleted_from_a_file_change_its_unit(spark: SparkSession, format_: str, properties: str) -> None:
    name = "default.deleted_from" if format_ == "delta" else "lake.db.deleted_from"
    spark.sql(f"DROP TABLE IF EXISTS {name}")
    columns = "(dt STRING, label INT, p DOUBLE)"
    spark.sql(f"CREATE TABLE {name} {columns} USING {format_} PARTITIONED BY (dt) TBLPROPERTIES ({properties})")
    spark.createDataFrame(ROWS, "dt string, label int, p double").coalesce(1).writeTo(name).append()
    pin = pinned(spark, Source(table=name))
    before = units_of(read_table(spark, pin), None, ["dt"])
    spark.sql(f"DELETE FROM {name} WHERE p < 0.1").collect()  # one row, of the first day
    after = units_of(read_table(spark, Source(table=name)), None, ["dt"])
    assert [unit.key for unit in before] == [unit.key for unit in after] == [(f"2026-11-0{day}",) for day in (1, 2, 3)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True]
    assert before[0].files == after[0].files == 1
    assert units_of(read_table(spark, pin), None, ["dt"]) == before
    spark.sql(f"DROP TABLE {name}")


@pytest.mark.lakes
def test_a_table_of_a_lake_is_evaluated_natively_as_it_is_now(spark: SparkSession, lake_source: Source) -> None:
    table = read_table(spark, lake_source)
    found = ls.evaluate(table, label="label", prediction="p", by="dt")
    plain = ls.evaluate(
        spark.createDataFrame(ROWS, "dt string, label int, p double"), label="label", prediction="p", by="dt"
    )
    assert found.engine.name == "native"
    columns = ["dt", "n", "log_loss", "auc"]
    pd.testing.assert_frame_equal(found.to_pandas()[columns], plain.to_pandas()[columns])
