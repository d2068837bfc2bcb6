"""The status of a row: every reason can be found, the first one counts, and no setting of Spark changes it."""

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from logloss_spark.functions import row_status
from logloss_spark.kernels.status import STATUSES
from logloss_spark.roles import Roles
from logloss_spark.rows.arrow_status import arrow_statuses
from logloss_spark.rows.clusters import cluster_hash
from logloss_spark.rows.inputs import rows_of
from logloss_spark.rows.status import status_name
from logloss_spark.rows.terms import with_loss
from logloss_spark.scoring import Scoring
from logloss_spark.states.state import union_of
from tests.quick import quick, slow
from tests.rows.batches import ready
from tests.rows.contract import FORMS

ARROW = {
    "int": pa.int32(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "array<double>": pa.list_(pa.float64()),
}
ANSI = "spark.sql.ansi.enabled"


@pytest.fixture(scope="module", params=[slow("true"), slow("false")], ids=["ansi", "not ansi"])
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
            rows = ready(df, weight="weight", by=[["row"], ["expected"]], engine=engine, **form.spec)
            tables.append(
                with_loss(rows).select(
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
    return union_of(tables).toArrow().to_pylist()


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


@pytest.mark.parametrize("form", FORMS)
def test_an_arrow_batch_has_these_statuses(form):
    rows, scoring = FORMS[form], Scoring(**FORMS[form].spec)
    types = (ARROW[rows.label], ARROW[rows.prediction], pa.float64())
    *columns, expected = zip(*rows.rows, strict=True)
    batch = [pa.array(values, type_, from_pandas=False) for values, type_ in zip(columns, types, strict=True)]
    assert [STATUSES[code] for code in arrow_statuses(*batch, scoring)] == list(expected)


def test_every_status_can_be_produced(rows):
    elsewhere = {"null_cluster", "unlabelled"}  # of tables with clusters, and with labels of their own: below
    assert {row["found"] for row in rows} == set(STATUSES) - elsewhere


def test_a_row_whose_label_has_not_arrived_is_unlabelled_before_all_else(spark):
    labels = [(1, 0.5, True), (None, 0.5, False), (None, 0.5, True), (7, None, False)]
    df = spark.createDataFrame(labels, "label int, p double, arrived boolean")
    roles = Roles(label="label", prediction="p", labelled="arrived")
    table = with_loss(rows_of(df, roles, Scoring(), engine="native"))
    found = [row.status for row in table.select(status_name(F.col("status")).alias("status")).collect()]
    assert found == ["ok", "unlabelled", "null_label", "unlabelled"]


def test_a_row_without_a_cluster_cannot_be_scored_and_any_other_reason_comes_first(spark):
    df = spark.createDataFrame([(1, 0.5, "a"), (1, 0.5, None), (7, 0.5, None)], "label int, p double, user string")
    table = with_loss(ready(df, prediction="p", cluster="user", engine="native"))
    assert [row.status for row in table.select(status_name(F.col("status")).alias("status")).collect()] == [
        "ok",
        "null_cluster",
        "unknown_label",
    ]


def test_clusters_have_64_buckets(spark):
    df = spark.range(1000).selectExpr("id", "1 AS label", "0.5D AS p")
    assert {row.bucket for row in ready(df, prediction="p", cluster="id").table.collect()} == set(range(64))


# One cluster a line, in the numeric types and texts that it may come in.
ALIKE = {
    "a whole number": [
        "tinyint '101'",
        "int '101'",
        "bigint '101'",
        "float '101'",
        "double '101'",
        "decimal(10,0) '101'",
        "decimal(38,20) '101'",
        "string '101'",
        "string '101.0'",
        "string '101.00'",
    ],
    "a large number": ["int '12345678'", "double '12345678'", "string '1.2345678E7'", "string '12345678'"],
    "a negative number": ["int '-7'", "double '-7'", "decimal(5,2) '-7'", "string '-7'", "string '-7.0'"],
    "zero": [
        "int '0'",
        "double '0'",
        "double '-0.0'",
        "float '-0.0'",
        "decimal(9,8) '0'",
        "string '0'",
        "string '-0.0'",
    ],
    "the largest bigint": [
        "bigint '9223372036854775807'",
        "decimal(38,2) '9223372036854775807'",
        "string '9223372036854775807'",
    ],
    "beyond bigint": ["decimal(38,0) '9223372036854775808'", "string '9223372036854775808'"],
    "a double beyond bigint": ["double '1e20'", "string '1.0E20'"],
    "a tenth": [
        "float '0.1'",
        "double '0.1'",
        "decimal(3,1) '0.1'",
        "decimal(38,10) '0.1'",
        "string '0.1'",
        "string '0.10'",
    ],
    "hardly anything": ["double '1e-7'", "decimal(20,10) '1e-7'", "string '1.0E-7'", "string '0.0000001'"],
    "a partition": ["int '1'", "string '001'", "string '1'"],
    "a day": ["date '2026-11-26'", "string '2026-11-26'"],
}
APART = [
    *(lines[0] for lines in ALIKE.values()),
    *(f"string '{text}'" for text in ("", " 101", "+101", "101 ", "1e5", "NaN", "user-101", "１０１")),
    "decimal(38,0) '9223372036854775809'",
    "double 'NaN'",
    "double 'Infinity'",
    "float '0.2'",
]
"""Clusters of which no two have the same hash."""


@pytest.mark.connect
@pytest.mark.parametrize("ansi", quick(["true", "false"], "true"))
def test_a_cluster_has_one_hash_in_any_numeric_type_and_in_its_plain_text(spark, ansi):
    cases = list(dict.fromkeys([case for lines in ALIKE.values() for case in lines] + APART))
    # Literals are computed by Spark's optimizer; the rows of a range are not.
    types, values = zip(*(case.split(" ", 1) for case in cases), strict=True)
    columns = [
        f"CAST(IF(id = 0, {value}, NULL) AS {type_}) AS c{k}"
        for k, (type_, value) in enumerate(zip(types, values, strict=True))
    ]
    before = spark.conf.get(ANSI)
    spark.conf.set(ANSI, ansi)
    df = spark.range(2).selectExpr("id", *columns)
    hashes = [cluster_hash(df.schema[f"c{k}"].dataType, F.col(f"c{k}")).alias(f"h{k}") for k in range(len(cases))]
    row = df.where("id = 0").select(*hashes).first()
    spark.conf.set(ANSI, before)
    hash_of = dict(zip(cases, row, strict=True))
    assert {name: len({hash_of[case] for case in lines}) for name, lines in ALIKE.items()} == dict.fromkeys(ALIKE, 1)
    assert len({hash_of[case] for case in APART}) == len(APART)
    assert hash_of["int '101'"] == xx_hash_of_bigint(101)


def xx_hash_of_bigint(value, seed=42):
    """xxHash64 of eight bytes, by its specification: what a state is merged by must not change with Spark."""
    primes = 11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261

    def rotated(x, bits):
        x %= 2**64
        return (x << bits | x >> (64 - bits)) % 2**64

    found = (seed + primes[4] + 8) ^ (rotated(value * primes[1], 31) * primes[0]) % 2**64
    found = (rotated(found, 27) * primes[0] + primes[3]) % 2**64
    found = (found ^ found >> 33) * primes[1] % 2**64
    found = (found ^ found >> 29) * primes[2] % 2**64
    found ^= found >> 32
    return found - 2**64 * (found >> 63)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("engine", ["pandas", "native"])
def test_every_row_that_is_ok_has_a_loss(rows, form, engine):
    assert all(row["loss"] is not None and row["loss"] >= 0 for row in of(rows, form, engine) if row["found"] == "ok")
