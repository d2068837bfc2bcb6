"""The log loss of forecasts as an Evaluator of pyspark.ml."""

import math
from dataclasses import replace
from typing import Any, Self

from pyspark import keyword_only
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import DataError
from logloss_spark.mean_loss import mean_of_sums, report_left_out, summed_loss, weight_in
from logloss_spark.ml.params import SetsLabel, SetsProbability, SetsRawPrediction, SetsWeight
from logloss_spark.ml.persistence import JsonStage
from logloss_spark.roles import Roles
from logloss_spark.rows.columns import Find, finder
from logloss_spark.rows.form import is_number
from logloss_spark.rows.inputs import Rows, rows_of
from logloss_spark.rows.terms import with_loss
from logloss_spark.scoring import Scoring


class LogLossEvaluator(Evaluator, SetsLabel, SetsProbability, SetsRawPrediction, SetsWeight, JsonStage):
    """The log loss of forecasts, for CrossValidator and TrainValidationSplit: smaller is better.

    Labels are 0..K-1. Forecasts are vectors or arrays of K probabilities, or numbers, the probability of label 1.
    Where `rawPredictionCol` is set it is read instead of `probabilityCol`: two entries are [-z, z], as Spark's
    classifiers write them, and the last one is the logit; K entries are logits, and a number is the logit of label 1.
    (MLlib's multinomial family writes half the logit of two classes there: evaluate its probability.)

    `eps` caps the loss of a probability at -ln eps. A label beyond the entries of a forecast is an event that the model
    rules out, as a model does whose training rows lack the last class: it costs -ln eps.
    """

    eps: Param[float] = Param(Params._dummy(), "eps", "the loss of a row is at most -ln eps", TypeConverters.toFloat)

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        labelCol: str = "label",  # noqa: N803
        probabilityCol: str = "probability",  # noqa: N803
        rawPredictionCol: str | None = None,  # noqa: N803
        weightCol: str | None = None,  # noqa: N803
        eps: float = 1e-15,
    ) -> None:
        super().__init__()
        self._setDefault(eps=1e-15)
        self._set(**self._input_kwargs)

    @keyword_only
    def setParams(self, **given: Any) -> Self:  # noqa: N802
        """Set parameters by their names."""
        return self._set(**given)

    def getEps(self) -> float:  # noqa: N802
        """Return eps: the loss of a row is at most -ln eps."""
        return float(self.getOrDefault(self.eps))

    def setEps(self, value: float) -> Self:  # noqa: N802
        """Set eps: the loss of a row is at most -ln eps."""
        return self._set(eps=value)

    def isLargerBetter(self) -> bool:  # noqa: N802
        """Whether a larger loss is better: it is not."""
        return False

    def _evaluate(self, dataset: DataFrame) -> float:
        raw = self.getRawPredictionCol() if self.isSet(self.rawPredictionCol) else ""
        roles = Roles(label=self.getLabelCol(), prediction=raw or self.getProbabilityCol(), weight=self.weight_column())
        scoring = Scoring(kind="logit" if raw else "probability", eps=self.getEps())
        size = classes_forecast(rows_of(dataset, roles, scoring), finder(dataset))
        kind = "margin" if raw and size == 2 else scoring.kind
        rows = rows_of(dataset, roles, replace(scoring, classes=range(size), kind=kind))
        label = F.col("label")
        ruled_out = (label >= size) & (label % 1 == 0) if is_number(rows.form.label_type) else F.lit(False)
        known = F.when(ruled_out, F.lit(0).cast(rows.form.label_type)).otherwise(label)
        table = rows.table.withColumns({"ruled_out": ruled_out, "label": known})
        loss = F.when(F.col("ruled_out"), -math.log(scoring.eps)).otherwise(F.col("loss"))
        found = summed_loss(with_loss(replace(rows, table=table)).withColumn("loss", loss), rows)
        report_left_out(found, rows, weight=weight_in(found), what="log loss")
        return mean_of_sums(found)


def classes_forecast(rows: Rows, find: Find) -> int:
    """Return how many classes a column of forecasts has entries for: as its metadata says, or its first vector."""
    if rows.form.scalar:
        return 2
    name = str(rows.roles.prediction)
    declared = find("prediction", name).metadata.get("ml_attr", {}).get("num_attrs")
    if declared is None:
        first = rows.table.where(F.col("prediction").isNotNull()).select(F.size("prediction").alias("size")).head()
        if first is None:
            raise DataError(f"column {name!r} must hold forecasts, got nothing but nulls, or no rows")
        declared = first["size"]
    if declared < 2:
        raise DataError(f"a forecast must have an entry for each of two classes or more, got {declared} in {name!r}")
    return int(declared)
