"""The run date in tables that a job writes; of plans alone, nothing runs."""

from pyspark.sql import SparkSession

from logloss_spark.app.run_date import with_run_date


def test_only_tables_that_are_written_and_have_no_run_date_get_one(spark: SparkSession) -> None:
    table = spark.range(1)
    own = table.selectExpr("id", "'monday' as RUN_DATE")
    dated = with_run_date({"metrics": table, "invalid": own, "by_class": table}, ["metrics", "invalid"], "2026-11-20")
    assert {name: found.dtypes for name, found in dated.items()} == {
        "metrics": [("id", "bigint"), ("run_date", "date")],
        "invalid": [("id", "bigint"), ("RUN_DATE", "string")],
    }


def test_without_a_run_date_tables_stay_as_they_are(spark: SparkSession) -> None:
    table = spark.range(1)
    assert with_run_date({"metrics": table, "state": table}, ["metrics"], None) == {"metrics": table}
