"""Parameters that stages share, with MLlib's setters and getters. MLlib writes their names in mixed case."""

from typing import Self

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import (
    HasFeaturesCol,
    HasLabelCol,
    HasPredictionCol,
    HasProbabilityCol,
    HasRawPredictionCol,
    HasWeightCol,
)


class SetsFeatures(HasFeaturesCol):
    """A stage that reads a column of features."""

    def setFeaturesCol(self, value: str) -> Self:  # noqa: N802
        """Set the name of the column of features."""
        return self._set(featuresCol=value)


class SetsLabel(HasLabelCol):
    """A stage that reads a column of labels."""

    def setLabelCol(self, value: str) -> Self:  # noqa: N802
        """Set the name of the column of labels."""
        return self._set(labelCol=value)


class SetsWeight(HasWeightCol):
    """A stage that reads a column of weights."""

    def setWeightCol(self, value: str) -> Self:  # noqa: N802
        """Set the name of the column of weights; an empty name is none, as in MLlib."""
        return self._set(weightCol=value)

    def weight_column(self) -> str | None:
        """The name of the column of weights, or None."""
        return self.getWeightCol() or None if self.isDefined(self.weightCol) else None


class SetsProbability(HasProbabilityCol):
    """A stage with a column of probabilities."""

    def setProbabilityCol(self, value: str) -> Self:  # noqa: N802
        """Set the name of the column of probabilities."""
        return self._set(probabilityCol=value)


class SetsRawPrediction(HasRawPredictionCol):
    """A stage with a column of raw predictions."""

    def setRawPredictionCol(self, value: str) -> Self:  # noqa: N802
        """Set the name of the column of raw predictions."""
        return self._set(rawPredictionCol=value)


class SetsPrediction(HasPredictionCol):
    """A stage that adds a column of predicted classes, and for two classes has a threshold."""

    threshold: Param[float] = Param(
        Params._dummy(), "threshold", "predict 1 if its probability is above this", TypeConverters.toFloat
    )

    def setPredictionCol(self, value: str) -> Self:  # noqa: N802
        """Set the name of the column of predicted classes."""
        return self._set(predictionCol=value)

    def getThreshold(self) -> float:  # noqa: N802
        """Return the probability of class 1 above which it is predicted."""
        return float(self.getOrDefault(self.threshold))

    def setThreshold(self, value: float) -> Self:  # noqa: N802
        """Set the probability of class 1 above which it is predicted."""
        return self._set(threshold=value)
