"""The faces of pyspark.ml: stages for Pipeline, CrossValidator and TrainValidationSplit."""

from typing import Any

from pyspark import keyword_only
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasLabelCol, HasProbabilityCol, HasWeightCol
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import DataError
from logloss_spark.evaluate.mean_loss import log_loss
from logloss_spark.fit.estimator import (
    LogisticRegressionGD,
    LogisticRegressionGDModel,
    ReadAsJson,
    Written,
    weight_column,
)
from logloss_spark.rows.inputs import quoted

__all__ = ["LogLossEvaluator", "LogisticRegressionGD", "LogisticRegressionGDModel"]


class LogLossEvaluator(Evaluator, HasLabelCol, HasProbabilityCol, HasWeightCol, Written, ReadAsJson):
    """The log loss of forecasts, for CrossValidator and TrainValidationSplit: smaller is better.

    `eps` caps the loss of a row at -ln eps. Labels are 0..K-1, forecasts vectors.
    """

    eps: Param[float] = Param(Params._dummy(), "eps", "the loss of a row is at most -ln eps", TypeConverters.toFloat)

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        labelCol: str = "label",  # noqa: N803
        probabilityCol: str = "probability",  # noqa: N803
        weightCol: str | None = None,  # noqa: N803
        eps: float = 1e-15,
    ) -> None:
        super().__init__()
        self._setDefault(eps=1e-15)
        self._set(**self._input_kwargs)

    def isLargerBetter(self) -> bool:  # noqa: N802
        """Whether a larger loss is better: it is not."""
        return False

    def _evaluate(self, dataset: DataFrame) -> float:
        first = dataset.select(F.size(vector_values(self.getProbabilityCol())).alias("size")).head()
        if first is None or first["size"] is None or first["size"] < 2:
            raise DataError(f"column {self.getProbabilityCol()!r} must hold the probabilities of two classes or more")
        return log_loss(
            dataset,
            self.getLabelCol(),
            self.getProbabilityCol(),
            weight=weight_column(self),
            classes=tuple(range(first["size"])),
            eps=self.getOrDefault(self.eps),
        )


def vector_values(name: str) -> Any:
    """The stored values of a column of dense vectors."""
    return F.unwrap_udt(quoted(name))["values"]
