"""The faces of pyspark.ml: stages for Pipeline, CrossValidator and TrainValidationSplit."""

from logloss_spark.ml.evaluator import LogLossEvaluator
from logloss_spark.ml.logistic_regression import LogisticRegressionGD, LogisticRegressionGDModel

__all__ = ["LogLossEvaluator", "LogisticRegressionGD", "LogisticRegressionGDModel"]
