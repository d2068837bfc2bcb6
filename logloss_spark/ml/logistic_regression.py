"""An estimator of pyspark.ml with the parameters of Spark's LogisticRegression, and its model.

Plain Python over the DataFrame API, so that they run classic and over Connect.
"""

from dataclasses import replace
from typing import Any, Self

from pyspark import keyword_only
from pyspark.ml import Estimator, Model
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import (
    HasElasticNetParam,
    HasFitIntercept,
    HasLabelCol,
    HasMaxIter,
    HasRegParam,
    HasStandardization,
    HasTol,
    HasWeightCol,
)
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import DataError
from logloss_spark.fit.fitting import fit_table
from logloss_spark.fit.model import LogisticModel
from logloss_spark.fit.scoring import probability_of, with_forecasts
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import TrainingTable, training_table
from logloss_spark.ml.params import (
    SetsFeatures,
    SetsLabel,
    SetsPrediction,
    SetsProbability,
    SetsRawPrediction,
    SetsWeight,
)
from logloss_spark.ml.persistence import JsonStage
from logloss_spark.rows.new_columns import check_new_columns


class LogisticRegressionGD(
    Estimator["LogisticRegressionGDModel"],
    SetsFeatures,
    SetsLabel,
    SetsWeight,
    SetsPrediction,
    SetsProbability,
    SetsRawPrediction,
    HasRegParam,
    HasElasticNetParam,
    HasFitIntercept,
    HasStandardization,
    HasMaxIter,
    HasTol,
    JsonStage,
):
    """Logistic regression by `logloss_spark.fit_logistic`, as an Estimator.

    It has the parameters of `pyspark.ml.classification.LogisticRegression`, with their setters and getters, and labels
    are 0..K-1. Two things differ. `tol` is how far above the optimum the objective may end, as a share of the entropy
    of the labels. With `fitIntercept=False`, a constant column that is not zero stays in the fit, where MLlib gives it
    the coefficient 0. `solver` is "gd", "lbfgs" or "newton".

    Examples
    --------
    >>> from pyspark.ml.linalg import Vectors
    >>> from logloss_spark.ml import LogisticRegressionGD
    >>> rows = [(1.0, Vectors.dense(0.0)), (0.0, Vectors.dense(1.0)), (1.0, Vectors.dense(2.0)),
    ...         (0.0, Vectors.dense(3.0)), (1.0, Vectors.dense(4.0))]
    >>> df = spark.createDataFrame(rows, ["label", "features"])
    >>> model = LogisticRegressionGD(regParam=0.1).fit(df)
    >>> model.transform(df).columns
    ['label', 'features', 'rawPrediction', 'probability', 'prediction']
    """

    family: Param[str] = Param(Params._dummy(), "family", "auto, binomial or multinomial", TypeConverters.toString)
    solver: Param[str] = Param(Params._dummy(), "solver", "gd, lbfgs or newton", TypeConverters.toString)

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        featuresCol: str = "features",  # noqa: N803  # the names of Spark's parameters, here and below
        labelCol: str = "label",  # noqa: N803
        predictionCol: str = "prediction",  # noqa: N803
        maxIter: int = 100,  # noqa: N803
        regParam: float = 0.0,  # noqa: N803
        elasticNetParam: float = 0.0,  # noqa: N803
        tol: float = 1e-12,
        fitIntercept: bool = True,  # noqa: N803
        threshold: float = 0.5,
        probabilityCol: str = "probability",  # noqa: N803
        rawPredictionCol: str = "rawPrediction",  # noqa: N803
        standardization: bool = True,
        weightCol: str | None = None,  # noqa: N803
        family: str = "auto",
        solver: str = "gd",
    ) -> None:
        super().__init__()
        self._setDefault(
            maxIter=100,
            regParam=0.0,
            elasticNetParam=0.0,
            tol=1e-12,
            fitIntercept=True,
            threshold=0.5,
            standardization=True,
            family="auto",
            solver="gd",
        )
        self._set(**self._input_kwargs)

    @keyword_only
    def setParams(self, **given: Any) -> Self:  # noqa: N802
        """Set parameters by their names."""
        return self._set(**given)

    def setRegParam(self, value: float) -> Self:  # noqa: N802
        """Set the strength of the penalty."""
        return self._set(regParam=value)

    def setElasticNetParam(self, value: float) -> Self:  # noqa: N802
        """Set the share of L1 in the penalty."""
        return self._set(elasticNetParam=value)

    def setMaxIter(self, value: int) -> Self:  # noqa: N802
        """Set the largest number of iterations."""
        return self._set(maxIter=value)

    def setTol(self, value: float) -> Self:  # noqa: N802
        """Set how far above the optimum the objective may end, as a share of the entropy of the labels."""
        return self._set(tol=value)

    def setFitIntercept(self, value: bool) -> Self:  # noqa: N802
        """Set whether the model has an intercept."""
        return self._set(fitIntercept=value)

    def setStandardization(self, value: bool) -> Self:  # noqa: N802
        """Set whether the penalty is over the coefficients of standardised features."""
        return self._set(standardization=value)

    def getFamily(self) -> str:  # noqa: N802
        """Return the family: auto, binomial or multinomial."""
        return str(self.getOrDefault(self.family))

    def setFamily(self, value: str) -> Self:  # noqa: N802
        """Set the family: auto, binomial or multinomial."""
        return self._set(family=value)

    def getSolver(self) -> str:  # noqa: N802
        """Return the solver: gd, lbfgs or newton."""
        return str(self.getOrDefault(self.solver))

    def setSolver(self, value: str) -> Self:  # noqa: N802
        """Set the solver: gd, lbfgs or newton."""
        return self._set(solver=value)

    def _fit(self, dataset: DataFrame) -> "LogisticRegressionGDModel":
        training = Training(
            features=self.getFeaturesCol(),
            label=self.getLabelCol(),
            weight=self.weight_column(),
            family=self.getOrDefault("family"),
            reg_param=float(self.getRegParam()),
            elastic_net_param=float(self.getElasticNetParam()),
            fit_intercept=self.getFitIntercept(),
            standardization=self.getStandardization(),
            solver=self.getOrDefault("solver"),
            max_iter=self.getMaxIter(),
            tol=float(self.getTol()),
        )
        table = training_table(dataset, training)
        check_indices(table)
        return self._copyValues(LogisticRegressionGDModel(fit_table(table)))


def check_indices(table: TrainingTable) -> None:
    """Raise DataError unless the classes of a table are 0..K-1, as an Estimator needs them."""
    label, found = table.training.label, table.classes
    advice = "use StringIndexer, or logloss_spark.fit_logistic, which takes any label"
    strangers = [value for value in found if not isinstance(value, int) or value < 0]
    if strangers:
        raise DataError(f"labels of an Estimator must be 0..K-1, got {strangers[0]!r} in column {label!r}: {advice}")
    absent = [value for value in range(len(found)) if value not in found]
    if absent:
        raise DataError(
            f"labels of an Estimator must be 0..K-1, with rows of each, got {found[-1]} and no {absent[0]} in column "
            f"{label!r}: {advice}"
        )


class LogisticRegressionGDModel(
    Model,
    SetsFeatures,
    HasLabelCol,
    HasWeightCol,
    SetsPrediction,
    SetsProbability,
    SetsRawPrediction,
    JsonStage,
):
    """A fitted LogisticRegressionGD. `model` is the `LogisticModel`, with its report.

    The raw prediction of two classes is [-z, z], where z is the logit of label 1; of K classes it is their logits.
    """

    def __init__(self, model: LogisticModel) -> None:
        super().__init__()
        if model.classes != tuple(range(len(model.classes))):
            raise DataError(
                f"classes of an Estimator's model must be 0..{len(model.classes) - 1}, got {list(model.classes)}"
            )
        self.model = model
        self._setDefault(threshold=0.5)

    @property
    def coefficients(self) -> DenseVector:
        """The coefficients of two classes."""
        return DenseVector(self.model.coefficients[0])

    @property
    def intercept(self) -> float:
        """The intercept of two classes."""
        return float(self.model.intercepts[0])

    @property
    def coefficientMatrix(self) -> DenseMatrix:  # noqa: N802
        """The coefficients, a row for each class (of two classes for the second alone)."""
        rows, width = self.model.coefficients.shape
        return DenseMatrix(rows, width, self.model.coefficients.ravel(), True)

    @property
    def interceptVector(self) -> DenseVector:  # noqa: N802
        """The intercepts, one for each row of the matrix."""
        return DenseVector(self.model.intercepts)

    @property
    def numClasses(self) -> int:  # noqa: N802
        """The number of classes."""
        return len(self.model.classes)

    @property
    def numFeatures(self) -> int:  # noqa: N802
        """The number of features."""
        return len(self.model.feature_names)

    def summary(self) -> str:
        """The fit in words and numbers."""
        return self.model.summary()

    def write_data(self, path: str, *, overwrite: bool) -> None:
        """Write the coefficients beside the parameters."""
        self.model.save(f"{path}/model", overwrite=overwrite)

    @classmethod
    def read_data(cls, path: str) -> Self:
        """Read the coefficients that `write_data` wrote."""
        return cls(LogisticModel.load(f"{path}/model"))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        roles = ("rawPredictionCol", "probabilityCol", "predictionCol")
        check_new_columns(dataset, {role: name for role in roles if (name := self.getOrDefault(role))})

        def outputs(logit: Column, probability: Column) -> dict[str, Column]:
            if self.numClasses == 2:
                raw = F.array(-logit, logit)
                shares = F.array(probability_of(-logit), probability)
                chosen = F.when(probability > self.getThreshold(), 1.0).when(probability.isNotNull(), 0.0)
            else:
                raw, shares = logit, probability
                chosen = (F.array_position(logit, F.array_max(logit)) - 1).cast("double")
            added = {
                self.getRawPredictionCol(): F.when(logit.isNotNull(), array_to_vector(raw)),
                self.getProbabilityCol(): F.when(logit.isNotNull(), array_to_vector(shares)),
                self.getPredictionCol(): chosen,
            }
            return {name: column for name, column in added.items() if name}

        # The features may have another name here than in the table of the fit.
        predictor = replace(self.model.predictor, features=self.getFeaturesCol())
        return with_forecasts(dataset, predictor, outputs)
