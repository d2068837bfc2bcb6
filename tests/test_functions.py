"""Column functions give what the kernels give, from Python and from SQL, and null where a row cannot be scored."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mpmath import mp, mpf
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark import functions as L
from logloss_spark.scoring import Scoring

LN_10 = float(np.log(10.0))
BINARY = Scoring(classes=(0, 1))

OF_NAN_IN_SQL = "nan_prediction" if hasattr(F, "arrow_udf") else "null_prediction"
"""What `row_status` says of a NaN in SQL; the Pandas UDFs of Spark 4.0 see a null in its place."""


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    schema = "place int, y int, p double, k string, v array<double>, q array<double>, z double"
    rows = [
        (0, 1, 0.1, "a", [0.1, 0.9], [0.5, 0.5], -3.0),
        (1, 0, 0.9, "b", [0.25, 0.75], [0.25, 0.75], 800.0),
        (2, 1, 1.0, "a", [1.0, 0.0], [0.0, 1.0], 40.0),
        (3, None, 0.5, "c", [0.5], [0.5, 0.5], 0.0),
        (4, 1, float("nan"), None, None, [0.2, 0.2], float("nan")),
    ]
    return spark.createDataFrame(rows, schema).cache()


def values(table: DataFrame, column: Any) -> list[Any]:
    return [row.value for row in table.select("place", column.alias("value")).orderBy("place").collect()]


@pytest.mark.connect
def test_binary_losses_are_those_of_the_kernel_and_null_otherwise(table: DataFrame) -> None:
    found = values(table, L.cross_entropy("y", "p"))
    # Two roundings from the logarithm of 10: at most an ulp each.
    assert found[:3] == pytest.approx([LN_10, LN_10, 0.0], rel=1e-15)
    assert found[3:] == [None, None]


def test_logits_are_never_capped(table: DataFrame) -> None:
    found = values(table, L.cross_entropy("y", "z", kind="logit"))
    assert found[0] == pytest.approx(float(mp.log1p(mp.exp(3))), rel=1e-15)
    assert found[1] == 800.0
    assert found[2] == pytest.approx(float(mp.log1p(mp.exp(-40))), rel=1e-15)


def test_classes_are_looked_up_in_the_labels_own_words(table: DataFrame) -> None:
    found = values(table, L.cross_entropy("k", "v", classes=("a", "b")))
    assert found[:3] == pytest.approx([LN_10, -np.log(0.75), 0.0], rel=1e-15)
    assert found[3:] == [None, None]


def test_row_status_says_why(table: DataFrame) -> None:
    assert values(table, L.row_status("k", "v", classes=("a", "b"))) == [
        "ok",
        "ok",
        "ok",
        "unknown_label",
        "null_label",
    ]
    assert values(table, L.row_status("y", "p")) == ["ok", "ok", "ok", "null_label", "nan_prediction"]


def test_entries_of_arrays_may_be_of_any_numeric_type_and_null() -> None:
    one = pa.array([1, 1])
    for type_ in (pa.int32(), pa.bool_(), pa.float32(), pa.decimal128(38, 2)):
        score = pa.array([[0, 1], [None, 1]], pa.list_(pa.int64())).cast(pa.list_(type_))
        assert L.arrow_cross_entropy(BINARY, one, score).to_pylist() == [0.0, None], type_
        assert L.arrow_row_status(BINARY, one, score).to_pylist() == ["ok", "null_prediction"], type_
    for nothing in (pa.nulls(2), pa.array([[None], [None]])):
        assert L.arrow_cross_entropy(BINARY, one, nothing).to_pylist() == [None, None]
    assert L.arrow_row_status(BINARY, one, pa.nulls(2)).to_pylist() == ["null_prediction"] * 2


def test_floats_are_scored_as_doubles() -> None:
    p = pa.array([0.1, 0.3], pa.float32())
    found = L.arrow_cross_entropy(BINARY, pa.array([1, 0]), p).to_pylist()
    assert found == L.arrow_cross_entropy(BINARY, pa.array([1, 0]), p.cast(pa.float64())).to_pylist()


def test_a_list_of_columns_is_one_per_class(table: DataFrame) -> None:
    together = values(table, L.cross_entropy("y", [1 - F.col("p"), F.col("p")]))
    assert together[:2] == pytest.approx(values(table, L.cross_entropy("y", "p"))[:2], rel=1e-15)


def test_entropy_is_that_of_the_distribution_and_null_where_there_is_none(table: DataFrame) -> None:
    found = values(table, L.entropy("q"))
    quarter = mpf(0.25)
    exact = float(-quarter * mp.log(quarter) - 3 * quarter * mp.log(3 * quarter))
    assert found[:3] == pytest.approx([np.log(2), exact, 0.0], rel=1e-15)
    assert found[4] is None
    assert values(table, L.entropy("p"))[4] is None


def test_divergence_is_of_the_first_from_the_second(table: DataFrame) -> None:
    found = values(table, L.kl_divergence("v", "q"))
    exact = float(mpf(0.1) * mp.log(mpf(0.1) / 0.5) + mpf(0.9) * mp.log(mpf(0.9) / 0.5))
    # The shares 0.1 and 0.9 are normalised first, which moves the sum by their rounding.
    assert found[0] == pytest.approx(exact, rel=1e-14)
    assert found[1] == 0.0
    assert found[2] == np.inf
    assert found[3:] == [None, None]


@pytest.mark.connect
def test_sql_says_the_same_as_python(spark: SparkSession, table: DataFrame) -> None:
    L.register(spark)
    table.createOrReplaceTempView("scored_rows")
    row = spark.sql(
        "SELECT avg(cross_entropy(y, p)) AS loss, max(entropy(p)) AS h, max(kl_divergence(p, p)) AS kl,"
        " max_by(row_status(y, p), place) AS status FROM scored_rows"
    ).first()
    spark.catalog.dropTempView("scored_rows")
    assert row is not None
    assert row.loss == pytest.approx(2 * LN_10 / 3, rel=1e-15)
    assert row.h == pytest.approx(np.log(2), rel=1e-15)
    assert (row.kl, row.status) == (0.0, OF_NAN_IN_SQL)
