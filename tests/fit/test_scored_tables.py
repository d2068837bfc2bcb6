"""Tables that a model scores: new columns have names of their own, and all others stay, whatever they are called."""

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from logloss_spark import SpecError, fit_logistic
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import invalid_training_rows, training_table
from logloss_spark.ml import LogisticRegressionGDModel
from tests.fit.local import fit_locally

RNG = np.random.default_rng(71)
X = RNG.normal(size=(100, 2))
MODEL = fit_locally(X, (X.sum(axis=1) + RNG.logistic(size=100) > 0).astype(int))
SEVERAL = fit_locally(X, (X @ RNG.normal(size=(2, 3)) + RNG.gumbel(size=(100, 3))).argmax(axis=1))


@pytest.fixture(scope="module")
def table(spark):
    rows = [(float(a), float(b), place) for place, (a, b) in enumerate(X[:5])]
    return spark.createDataFrame(rows, "x0 double, x1 double, id int").coalesce(1).cache()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "got probability='probability', which is in the table to score already: .* probability='probability_of_m"),
        ({"probability": "P", "prediction": "x0"}, "got prediction='x0', which is in the table to score already"),
        ({"probability": "P", "logit": "ID"}, "got logit='ID', which is in the table to score already"),
        ({"probability": "P", "logit": "p"}, r"names of their own, got \['P', 'p', 'prediction'\]"),
        ({"probability": None}, "probability must be the name of a new column, got None"),
        ({"probability": "P", "logit": ""}, "logit must be the name of a new column, got ''"),
    ],
)
def test_a_model_adds_no_column_whose_name_there_is(table, asked, says) -> None:
    with pytest.raises(SpecError, match=says):
        MODEL.transform(table.withColumn("Probability", F.lit(1)), **asked)


@pytest.mark.parametrize("role", ["rawPrediction", "probability", "prediction"])
@pytest.mark.parametrize("model", [MODEL, SEVERAL])
def test_a_stage_adds_no_column_whose_name_there_is(table, role, model) -> None:
    features = table.withColumn("features", array_to_vector(F.array("x0", "x1")))
    stage = LogisticRegressionGDModel(model)
    with pytest.raises(SpecError, match=f"got {role}Col='{role}', which is in the table to score already"):
        stage.transform(features.withColumn(role.upper(), F.lit(1)))
    stage.set(stage.getParam(f"{role}Col"), "mine")
    assert "mine" in stage.transform(features.withColumn(role.upper(), F.lit(1))).columns
    stage.set(stage.getParam(f"{role}Col"), "")  # no such column, as in Spark
    assert len(stage.transform(features.withColumn(role.upper(), F.lit(1))).columns) == 7


def test_all_columns_of_a_table_stay_whatever_they_are_called(table) -> None:
    twice = table.select(
        "*", F.col("id").alias("ID"), F.col("id").alias("id"), F.lit(7).alias("_logit"), F.lit(8).alias("_kept")
    )
    columns = ["x0", "x1", "id", "ID", "id", "_logit", "_kept"]
    scored = MODEL.transform(twice)
    assert scored.columns == [*columns, "probability", "logit", "prediction"]
    rows = [tuple(row) for row in scored.collect()]
    z = X[:5] @ MODEL.coefficients[0] + MODEL.intercepts[0]
    np.testing.assert_allclose([row[7:9] for row in rows], np.column_stack([1 / (1 + np.exp(-z)), z]), rtol=1e-12)
    assert [row[2:7] for row in rows] == [(place, place, place, 7, 8) for place in range(5)]
    features = twice.select("*", array_to_vector(F.array("x0", "x1")).alias("features"))
    staged = LogisticRegressionGDModel(SEVERAL).transform(features)
    assert staged.columns == [*columns, "features", "rawPrediction", "probability", "prediction"]
    rows = [tuple(row) for row in staged.collect()]
    raw = X[:5] @ SEVERAL.coefficients.T + SEVERAL.intercepts
    np.testing.assert_allclose([row[8].toArray() for row in rows], raw, rtol=1e-12)
    assert [row[2:7] for row in rows] == [(place, place, place, 7, 8) for place in range(5)]


@pytest.mark.connect
def test_rows_that_cannot_be_fitted_on_keep_all_columns_and_an_old_status_gives_way(table) -> None:
    twice = table.select(
        "*", F.col("id").alias("ID"), F.lit("old").alias("Row_Status"), F.lit(None).cast("int").alias("y")
    )
    training = Training(features=("x0", "x1"), label="y", classes=(0, 1))
    invalid = invalid_training_rows(training_table(twice, training))
    assert invalid.columns == ["x0", "x1", "id", "ID", "y", "row_status"]
    assert [tuple(row)[2:] for row in invalid.collect()] == [(place, place, None, "null_label") for place in range(5)]


def test_a_feature_of_which_a_table_has_two_is_told_in_one_line(table) -> None:
    twice = table.select("*", F.col("x0"))
    with pytest.raises(SpecError, match="feature column 'x0' must be in the table once, got 2") as raised:
        MODEL.transform(twice)
    assert "\n" not in str(raised.value)


def test_of_two_classes_a_multinomial_model_writes_one_logit_and_one_probability(table) -> None:
    y = (X.sum(axis=1) + RNG.logistic(size=100) > 0).astype(int)
    model = fit_locally(X, y, family="multinomial", reg_param=0.1)
    assert model.coefficients.shape == (2, 2)
    rows = MODEL.transform(model.transform(table), probability="p", logit="z", prediction="q").collect()
    z = X[:5] @ (model.coefficients[1] - model.coefficients[0]) + model.intercepts[1] - model.intercepts[0]
    np.testing.assert_allclose([row["logit"] for row in rows], z, rtol=1e-12)
    np.testing.assert_allclose([row["probability"] for row in rows], 1 / (1 + np.exp(-z)), rtol=1e-12)
    assert [row["prediction"] for row in rows] == [int(logit > 0) for logit in z]


def test_columns_of_a_fit_are_found_as_spark_finds_them_and_others_do_not_matter(table) -> None:
    columns = {
        "Label": (F.col("id") % 2).cast("int"),
        "X0": F.lit("no feature"),
        "s": F.struct(F.col("x1").alias("v"), F.lit("w").alias("w")),
        "id": F.col("id"),
    }
    odd = table.select("x0", "id", *[column.alias(name) for name, column in columns.items()])
    model = fit_logistic(odd, features=["x0", "s.v"], label="label", reg_param=0.1)
    plain = fit_locally(X[:5], np.arange(5) % 2, reg_param=0.1)
    np.testing.assert_allclose(model.coefficients, plain.coefficients, rtol=1e-9)
    scored = model.transform(odd)
    assert scored.columns == ["x0", "id", "Label", "X0", "s", "id", "probability", "logit", "prediction"]
    z = X[:5] @ model.coefficients[0] + model.intercepts[0]
    np.testing.assert_allclose([row["logit"] for row in scored.collect()], z, rtol=1e-12)


def test_columns_of_a_table_are_columns_of_the_scored_one(table) -> None:
    scored = MODEL.transform(table).select(table["id"], table["x0"])
    assert [row["id"] for row in scored.collect()] == [0, 1, 2, 3, 4]


def test_a_stream_can_be_scored_and_not_fitted_on(spark, table, tmp_path) -> None:
    table.write.parquet(str(tmp_path / "rows"))
    stream = spark.readStream.schema(table.schema).parquet(str(tmp_path / "rows"))
    query = MODEL.transform(stream).writeStream.format("parquet").trigger(availableNow=True)
    query.option("checkpointLocation", str(tmp_path / "done")).start(str(tmp_path / "scored")).awaitTermination()
    scored = spark.read.parquet(str(tmp_path / "scored")).orderBy("id").collect()
    z = X[:5] @ MODEL.coefficients[0] + MODEL.intercepts[0]
    np.testing.assert_allclose([row["logit"] for row in scored], z, rtol=1e-12)
    with pytest.raises(SpecError, match="must be a batch DataFrame, got a streaming one"):
        fit_logistic(stream, features=["x0"], label="id")
