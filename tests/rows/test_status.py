"""The status of a row: every reason can be found, the first one counts, and no setting of Spark changes it."""

import pytest
from pyspark.sql import functions as F

from logloss_spark.rows.functions import row_status
from logloss_spark.rows.inputs import inputs
from logloss_spark.rows.scored import with_loss
from logloss_spark.rows.status import STATUSES, status_name
from logloss_spark.spec import Predictions
from tests.rows.contract import FORMS

ANSI = "spark.sql.ansi.enabled"


@pytest.fixture(scope="module", params=["true", "false"], ids=["ansi", "not ansi"])
def rows(request, spark):
    """Every row of every form with its status, its loss, and its status by the column function."""
    before = spark.conf.get(ANSI)
    spark.conf.set(ANSI, request.param)
    yield in_one_job(spark)
    spark.conf.set(ANSI, before)


def in_one_job(spark):
    tables = []
    for name, form in FORMS.items():
        df = form.table(spark)
        for engine in ("pandas", "native"):
            spec = Predictions(
                label="label",
                prediction="prediction",
                weight="weight",
                by=(("row",), ("expected",)),
                engine=engine,
                **form.spec,
            )
            tables.append(
                with_loss(inputs(df, spec), spec).select(
                    F.lit(name).alias("form"),
                    F.lit(engine).alias("by"),
                    F.col("slice_0").alias("row"),
                    F.col("slice_1").alias("expected"),
                    status_name(F.col("status")).alias("found"),
                    "loss",
                )
            )
        function = row_status("label", "prediction", "weight", **form.spec)
        tables.append(
            df.select(
                F.lit(name).alias("form"),
                F.lit("function").alias("by"),
                "row",
                "expected",
                function.alias("found"),
                F.lit(None).cast("double").alias("loss"),
            )
        )
    union = tables[0]
    for table in tables[1:]:
        union = union.unionByName(table)
    return union.toArrow().to_pylist()


def of(rows, form, by):
    return sorted((row for row in rows if row["form"] == form and row["by"] == by), key=lambda row: row["row"])


@pytest.mark.parametrize("form", FORMS)
def test_a_row_gets_the_first_reason_why_it_cannot_be_scored(rows, form):
    found = of(rows, form, "native")
    assert len(found) == len(FORMS[form].rows)
    wrong = [(FORMS[form].rows[row["row"]], row["found"]) for row in found if row["found"] != row["expected"]]
    assert not wrong


@pytest.mark.parametrize("form", FORMS)
def test_the_column_function_says_what_the_evaluation_says(rows, form):
    found = of(rows, form, "function")
    wrong = [(FORMS[form].rows[row["row"]], row["found"]) for row in found if row["found"] != row["expected"]]
    assert not wrong


def test_every_status_can_be_produced(rows):
    assert {row["found"] for row in rows} == set(STATUSES) - {"null_cluster"}  # of tables with clusters, below


def test_a_row_without_a_cluster_cannot_be_scored_and_any_other_reason_comes_first(spark):
    df = spark.createDataFrame([(1, 0.5, "a"), (1, 0.5, None), (7, 0.5, None)], "label int, p double, user string")
    spec = Predictions(label="label", prediction="p", cluster="user", engine="native")
    table = with_loss(inputs(df, spec), spec)
    assert [row.status for row in table.select(status_name(F.col("status")).alias("status")).collect()] == [
        "ok",
        "null_cluster",
        "unknown_label",
    ]


def test_a_cluster_has_one_of_64_buckets_whatever_the_type_of_its_number(spark):
    df = spark.range(1000).selectExpr("id", "CAST(id AS INT) AS small", "1 AS label", "0.5D AS p")
    buckets = [
        [row.bucket for row in inputs(df, Predictions(label="label", prediction="p", cluster=name)).table.collect()]
        for name in ("id", "small")
    ]
    assert buckets[0] == buckets[1]
    assert set(buckets[0]) == set(range(64))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("engine", ["pandas", "native"])
def test_every_row_that_is_ok_has_a_loss(rows, form, engine):
    assert all(row["loss"] is not None and row["loss"] >= 0 for row in of(rows, form, engine) if row["found"] == "ok")
