"""The faces of pyspark.ml: in pipelines, in searches, saved and loaded."""

import gc

import numpy as np
import pandas as pd
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder, TrainValidationSplit
from pyspark.sql import SparkSession
from sklearn.linear_model import LogisticRegression as SkLogisticRegression

from logloss_spark import DataError
from logloss_spark.ml import LogisticRegressionGD, LogisticRegressionGDModel, LogLossEvaluator
from tests.fit.local import fit_locally

COLUMNS = ["a", "b"]


def frame(classes=2) -> pd.DataFrame:
    rng = np.random.default_rng(12)
    x = rng.normal(size=(300, 2))
    z = x @ rng.normal(size=(2, classes)) + rng.gumbel(size=(300, classes))
    return pd.DataFrame(x, columns=COLUMNS).assign(label=z.argmax(axis=1).astype(float))


@pytest.fixture(scope="module")
def table(spark: SparkSession):
    return spark.createDataFrame(frame())


def pipeline(**given) -> Pipeline:
    assembler = VectorAssembler(inputCols=COLUMNS, outputCol="features")
    return Pipeline(stages=[assembler, LogisticRegressionGD(**given)])


@pytest.mark.connect
def test_a_pipeline_is_the_same_after_it_was_saved(table, tmp_path) -> None:
    fitted = pipeline(regParam=0.01, threshold=0.4).fit(table)
    direct = fit_locally(frame()[COLUMNS].to_numpy(), frame()["label"], reg_param=0.01)
    np.testing.assert_allclose(fitted.stages[1].coefficients, direct.coefficients[0], rtol=1e-9)
    fitted.save(str(tmp_path / "pipeline"))
    loaded = PipelineModel.load(str(tmp_path / "pipeline"))
    assert loaded.stages[1].getThreshold() == 0.4
    assert loaded.stages[1].model.to_json() == fitted.stages[1].model.to_json()
    one = loaded.transform(table).toPandas()
    assert list(one.columns) == [*COLUMNS, "label", "features", "rawPrediction", "probability", "prediction"]
    p = np.array([row.toArray() for row in one["probability"]])
    z = np.array([row.toArray() for row in one["rawPrediction"]])
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(z[:, 1], -z[:, 0])
    assert (one["prediction"] == (p[:, 1] > 0.4)).all()


@pytest.mark.slow
@pytest.mark.connect
def test_a_stage_can_be_overwritten(table, tmp_path) -> None:
    model = pipeline(maxIter=50).fit(table).stages[1]
    for _ in range(2):
        model.write().overwrite().save(str(tmp_path / "model"))
        LogisticRegressionGD(maxIter=7).write().overwrite().save(str(tmp_path / "estimator"))
    assert LogisticRegressionGDModel.load(str(tmp_path / "model")).coefficients == model.coefficients
    assert LogisticRegressionGD.load(str(tmp_path / "estimator")).getMaxIter() == 7


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning")  # Spark's own
def test_searches_take_the_penalty_with_the_smallest_loss(table) -> None:
    estimator = pipeline()
    grid = ParamGridBuilder().addGrid(estimator.getStages()[1].regParam, [0.0, 10.0]).build()
    asked = {"estimator": estimator, "estimatorParamMaps": grid, "evaluator": LogLossEvaluator()}
    crossed = CrossValidator(**asked, numFolds=2, seed=1).fit(table)
    assert crossed.avgMetrics[0] < crossed.avgMetrics[1]
    assert crossed.bestModel.stages[1].model.report.status == "gradient"
    split = TrainValidationSplit(**asked | {"estimatorParamMaps": grid[:1]}, seed=1).fit(table)
    assert split.validationMetrics[0] == pytest.approx(crossed.avgMetrics[0], rel=0.2)
    gc.collect()


def test_several_classes_and_the_evaluator_agree_with_mllibs(spark) -> None:
    table = spark.createDataFrame(frame(3))
    scored = pipeline(maxIter=1).fit(table).transform(table)
    theirs = MulticlassClassificationEvaluator(metricName="logLoss").evaluate(scored)
    assert LogLossEvaluator().evaluate(scored) == pytest.approx(theirs, rel=1e-12)
    assert not LogLossEvaluator().isLargerBetter()


@pytest.mark.slow
@pytest.mark.parametrize("reg_param", [0.0, 0.05])
def test_without_an_intercept_a_constant_feature_stays_in_the_fit(spark, reg_param) -> None:
    rows = frame().assign(one=-2.0)
    table = VectorAssembler(inputCols=["one", *COLUMNS], outputCol="features").transform(spark.createDataFrame(rows))
    model = LogisticRegressionGD(fitIntercept=False, regParam=reg_param).fit(table)
    x = rows[["one", *COLUMNS]].to_numpy() / [2.0, *rows[COLUMNS].std()]
    strength = 1 / (reg_param * len(rows)) if reg_param else np.inf
    oracle = SkLogisticRegression(C=strength, fit_intercept=False, tol=1e-12, solver="newton-cholesky")
    wanted = oracle.fit(x, rows["label"]).coef_[0] / [2.0, *rows[COLUMNS].std()]
    # A gap of 1e-12 of the entropy is 1e-6 of a coefficient.
    np.testing.assert_allclose(model.coefficients.toArray(), wanted, rtol=1e-5)
    assert model.intercept == 0.0


def test_labels_that_are_no_indices_are_refused(spark) -> None:
    table = spark.createDataFrame(frame().assign(label=lambda f: f["label"] * 2 - 1))
    with pytest.raises(DataError, match=r"labels of an Estimator must be 0\.\.K-1"):
        pipeline().fit(table)
