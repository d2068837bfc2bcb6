"""Stages have the setters and getters that MLlib's stages have for the same parameters. Only MLlib's need Spark."""

import pytest
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.ml.evaluation import BinaryClassificationEvaluator, MulticlassClassificationEvaluator

from logloss_spark.ml import LogisticRegressionGD, LogisticRegressionGDModel, LogLossEvaluator

VALUES = {
    "elasticNetParam": 0.5,
    "eps": 1e-6,
    "family": "multinomial",
    "featuresCol": "x",
    "fitIntercept": False,
    "labelCol": "y",
    "maxIter": 7,
    "predictionCol": "class",
    "probabilityCol": "p",
    "rawPredictionCol": "z",
    "regParam": 0.25,
    "solver": "newton",
    "standardization": False,
    "threshold": 0.75,
    "tol": 1e-6,
    "weightCol": "w",
}


def capitalized(name: str) -> str:
    return name[0].upper() + name[1:]


def methods(prefix: str, ours: type, theirs: type) -> set[str]:
    """The setters or getters of MLlib's class for the parameters that ours has."""
    names = {f"{prefix}{capitalized(name)}" for name in VALUES if hasattr(ours, name)}
    return {name for name in dir(theirs) if name in names}


PAIRS = [
    (LogisticRegressionGD, LogisticRegression),
    (LogisticRegressionGDModel, LogisticRegressionModel),
    (LogLossEvaluator, BinaryClassificationEvaluator),
    (LogLossEvaluator, MulticlassClassificationEvaluator),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("prefix", ["set", "get"])
def test_a_stage_has_mllibs_setters_and_getters_of_its_parameters(ours, theirs, prefix) -> None:
    wanted = methods(prefix, ours, theirs)
    assert len(wanted) >= 3
    assert wanted <= set(dir(ours))


@pytest.mark.parametrize("of_class", [LogisticRegressionGD, LogLossEvaluator])
def test_every_parameter_has_a_setter_that_returns_the_stage_and_a_getter(of_class) -> None:
    stage = of_class()
    assert {param.name for param in stage.params} <= set(VALUES)
    for param in stage.params:
        assert getattr(stage, f"set{capitalized(param.name)}")(VALUES[param.name]) is stage
        assert getattr(stage, f"get{capitalized(param.name)}")() == VALUES[param.name]
        assert stage.getOrDefault(param) == VALUES[param.name]


def test_setters_convert_and_refuse_as_mllibs_do() -> None:
    assert LogisticRegressionGD().setRegParam(1).getRegParam() == 1.0
    with pytest.raises(TypeError, match="regParam"):
        LogisticRegressionGD().setRegParam("much")


def test_params_are_set_by_their_names() -> None:
    assert LogLossEvaluator().setParams(labelCol="y", eps=0.01).getEps() == 0.01
    assert LogisticRegressionGD().setParams(maxIter=3).getMaxIter() == 3
