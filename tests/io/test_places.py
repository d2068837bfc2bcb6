"""Where paths and tables lie, on real files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from logloss_spark.io.places import exists, folders, located, missing, overlap
from logloss_spark.io.source import Source, read_table

ODD_NAMES = ["plain", "a b", "dt=2026-01-01", "x[1]", "{a,b}", "what?*", "100%", "a%20b", "a\\b", "ü", "a:b"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_whether_a_path_is_there_is_known_whatever_its_name(spark: SparkSession, tmp_path: Path, name: str) -> None:
    assert missing(spark, str(tmp_path / name)) == str(tmp_path / name)
    assert not exists(spark, str(tmp_path / name))
    (tmp_path / name).mkdir()
    assert missing(spark, str(tmp_path / name)) is None
    assert exists(spark, str(tmp_path / name))
    assert exists(spark, f"file:{tmp_path}"), "an address with a scheme is for Spark to look at"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_path_is_located_whether_it_is_there_or_not(spark: SparkSession, tmp_path: Path, name: str) -> None:
    assert located(spark, str(tmp_path / name)) == str(tmp_path / name)
    (tmp_path / name).mkdir()
    assert located(spark, str(tmp_path / name)) == str(tmp_path / name)


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "{}/", "{}/../table", "{}/."])
def test_forms_of_one_path_are_located_alike(spark: SparkSession, tmp_path: Path, form: str) -> None:
    assert located(spark, form.format(tmp_path / "table")) == str(tmp_path / "table")


@pytest.mark.connect
def test_a_link_is_located_where_it_leads(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "table")
    assert located(spark, str(tmp_path / "link" / "part")) == str(tmp_path / "table" / "part")


def test_folders_that_share_the_beginning_of_a_name_do_not_overlap() -> None:
    assert overlap("/data/a", "/data/a/b")
    assert overlap("/data/a/", "/data/a")
    assert not overlap("/data/a", "/data/ab")


@pytest.mark.connect
def test_a_pattern_is_read_from_the_folders_of_its_files(spark: SparkSession, tmp_path: Path) -> None:
    for day in ("1", "2", "other"):
        spark.range(1).write.parquet(str(tmp_path / "a table" / day))
    pattern = str(tmp_path / "a table" / "[12]")
    table = read_table(spark, Source(path=pattern))
    assert folders(spark, table, path=pattern) == {str(tmp_path / "a table" / day) for day in "12"}


@pytest.mark.connect
def test_a_path_that_is_there_is_read_as_it_is_written_whatever_its_signs(spark: SparkSession, tmp_path: Path) -> None:
    for number, name in enumerate(ODD_NAMES):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({f"column {number}": [number]}), tmp_path / name / "part.parquet")
    found = [read_table(spark, Source(path=str(tmp_path / name))) for name in ODD_NAMES]
    assert [table.columns for table in found] == [[f"column {number}"] for number in range(len(ODD_NAMES))]
    assert [folders(spark, table, path=str(tmp_path / name)) for table, name in zip(found, ODD_NAMES, strict=True)] == [
        {str(tmp_path / name)} for name in ODD_NAMES
    ]


def test_a_folder_of_links_is_read_from_where_they_lead(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(1).write.parquet(str(tmp_path / "in"))
    (tmp_path / "links").mkdir()
    for file in (tmp_path / "in").glob("part-*"):
        (tmp_path / "links" / file.name).symlink_to(file)
    table = read_table(spark, Source(path=str(tmp_path / "links")))
    assert folders(spark, table, path=str(tmp_path / "links")) == {str(tmp_path / "links"), str(tmp_path / "in")}


@pytest.mark.connect
def test_of_a_path_that_is_one_file_nothing_beside_it_is_read(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(1).coalesce(1).write.parquet(str(tmp_path / "in"))
    (file,) = (tmp_path / "in").glob("part-*.parquet")
    assert folders(spark, spark.read.parquet(str(file)), path=str(file)) == {str(file)}


@pytest.mark.connect
@pytest.mark.slow
def test_what_a_condition_asks_in_a_subquery_is_read_too(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("rows", "days", "behind a view"):
        spark.range(1).write.parquet(str(tmp_path / name))
    spark.range(0).write.option("path", str(tmp_path / "empty")).saveAsTable("nothing_yet")
    spark.sql(f"create view days_seen as select * from parquet.`{tmp_path}/behind a view`")
    spark.sql("create view nested as select * from nothing_yet where id in (select id from `days_seen`)")
    where = f"id not in (select id from parquet.`{tmp_path}/days`) and exists (from nested) and 'nothing' <> ''"
    try:
        table = read_table(spark, Source(path=str(tmp_path / "rows"), where=where))
        found = folders(spark, table, path=str(tmp_path / "rows"), where=where)
    finally:
        for drop in ("view nested", "view days_seen", "table nothing_yet"):
            spark.sql(f"drop {drop}")
    assert found == {str(tmp_path / name) for name in ("rows", "days", "behind a view", "empty")}
