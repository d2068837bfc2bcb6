"""An estimator of pyspark.ml with the parameters of Spark's LogisticRegression, and its model.

Plain Python over the DataFrame API, so that they run classic and over Connect. What they write is JSON.
"""

from typing import Any

from pyspark import keyword_only
from pyspark.ml import Estimator, Model
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import (
    HasElasticNetParam,
    HasFeaturesCol,
    HasFitIntercept,
    HasLabelCol,
    HasMaxIter,
    HasPredictionCol,
    HasProbabilityCol,
    HasRawPredictionCol,
    HasRegParam,
    HasStandardization,
    HasTol,
    HasWeightCol,
)
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import DataError
from logloss_spark.fit.fitting import fitted
from logloss_spark.fit.model import (
    LogisticModel,
    check_new_columns,
    load_text,
    probability_column,
    save_text,
)
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import classes_of


class Written(MLWritable):
    """What is written as JSON: a folder `metadata`, and for a model another with its coefficients."""

    def write(self) -> MLWriter:
        """Return a writer, as Spark's stages do."""
        return JsonWriter(self)


class JsonWriter(MLWriter):
    """Writes a stage. Spark's own writer cannot overwrite over Connect, which has no JVM to ask."""

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def save(self, path: str) -> None:
        """Write the parameters, and a model's coefficients."""
        metadata = DefaultParamsWriter._get_metadata_to_save(self.instance, self.sparkSession)
        place = path.rstrip("/")
        save_text(metadata, f"{place}/metadata", overwrite=self.shouldOverwrite)
        if isinstance(self.instance, LogisticRegressionGDModel):
            save_text(self.instance.model.to_json(), f"{place}/model", overwrite=self.shouldOverwrite)


class JsonReader(MLReader[Any]):
    """Reads what `JsonWriter` wrote."""

    def __init__(self, of_class: Any) -> None:
        super().__init__()
        self.of_class = of_class

    def load(self, path: str) -> Any:
        """Read a stage."""
        place = path.rstrip("/")
        text = load_text(f"{place}/metadata")
        model = LogisticModel.load(f"{place}/model") if issubclass(self.of_class, LogisticRegressionGDModel) else None
        try:
            metadata = DefaultParamsReader._parseMetaData(text)
            if metadata["class"].rpartition(".")[2] != self.of_class.__name__:
                raise ValueError(metadata["class"])
            instance = self.of_class() if model is None else self.of_class(model)
            instance._resetUid(metadata["uid"])
            DefaultParamsReader.getAndSetParams(instance, metadata)
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            what = f"{type(error).__name__} {error}"
            raise DataError(
                f"{place}/metadata must describe a {self.of_class.__name__}, got something else: {what}"
            ) from error
        return instance


class ReadAsJson(MLReadable[Any]):
    """What `JsonReader` reads."""

    @classmethod
    def read(cls) -> MLReader[Any]:
        """Return a reader, as Spark's stages do."""
        return JsonReader(cls)


class Columns(HasFeaturesCol, HasLabelCol, HasPredictionCol, HasProbabilityCol, HasRawPredictionCol, HasWeightCol):
    """The columns that the estimator and its model share, and the probability above which 1 is predicted."""

    threshold: Param[float] = Param(
        Params._dummy(), "threshold", "predict 1 where its probability is above this", TypeConverters.toFloat
    )

    def getThreshold(self) -> float:  # noqa: N802  # Spark's name
        """Return the threshold."""
        return float(self.getOrDefault(self.threshold))


class LogisticRegressionGD(
    Estimator["LogisticRegressionGDModel"],
    Columns,
    HasRegParam,
    HasElasticNetParam,
    HasFitIntercept,
    HasStandardization,
    HasMaxIter,
    HasTol,
    Written,
    ReadAsJson,
):
    """Logistic regression by `logloss_spark.fit_logistic`, as an Estimator with the names of Spark's own.

    Parameters are those of `pyspark.ml.classification.LogisticRegression`; labels are 0..K-1. `tol` is how far above
    the optimum the objective may end, as a share of the labels' entropy. `solver` is "gd", "lbfgs" or "newton".
    Where `fitIntercept` is off a constant column that is not zero stays in the fit; Spark's own gives it 0.

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
    def setParams(self, **given: Any) -> "LogisticRegressionGD":  # noqa: N802
        """Set parameters by their names."""
        return self._set(**given)

    def _fit(self, dataset: DataFrame) -> "LogisticRegressionGDModel":
        training = Training(
            features=self.getFeaturesCol(),
            label=self.getLabelCol(),
            weight=weight_column(self),
            family=self.getOrDefault("family"),
            reg_param=float(self.getRegParam()),
            elastic_net_param=float(self.getElasticNetParam()),
            fit_intercept=self.getFitIntercept(),
            standardization=self.getStandardization(),
            solver=self.getOrDefault("solver"),
            max_iter=self.getMaxIter(),
            tol=float(self.getTol()),
        )
        found = classes_of(dataset, training)
        strangers = [label for label in found if not isinstance(label, int) or label < 0]
        if strangers:
            raise DataError(
                f"labels of an Estimator are 0..K-1, and column {training.label!r} has {strangers[0]!r}: "
                "use StringIndexer, or logloss_spark.fit_logistic, which takes any label"
            )
        classes = tuple(range(len(found)))
        if found != classes:
            absent = next(label for label in classes if label not in found)
            raise DataError(
                f"labels of an Estimator are 0..K-1, with rows of each, and column {training.label!r} has {found[-1]} "
                f"and no {absent}: use StringIndexer, or logloss_spark.fit_logistic, which takes any label"
            )
        model = fitted(dataset, Training(**vars(training) | {"classes": classes}))
        return self._copyValues(LogisticRegressionGDModel(model))


class LogisticRegressionGDModel(Model, Columns, Written, ReadAsJson):
    """A fitted LogisticRegressionGD. `model` is the `LogisticModel`, with its report.

    Of two classes the raw prediction is [-z, z], z being the logit of label 1; of K classes it is their logits.
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

    def _transform(self, dataset: DataFrame) -> DataFrame:
        roles = ("rawPredictionCol", "probabilityCol", "predictionCol")
        check_new_columns(dataset, {role: name for role in roles if (name := self.getOrDefault(role))})

        def outputs(logit: Column, probability: Column) -> dict[str, Column]:
            if self.numClasses == 2:
                raw = F.array(-logit, logit)
                shares = F.array(probability_column(-logit), probability)
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

        # The table of the fit may have called its features something else.
        return self.model.scored(dataset, features=self.getFeaturesCol(), outputs=outputs)


def weight_column(stage: HasWeightCol) -> str | None:
    """The name of a stage's weight; an empty one is none, as it is to Spark."""
    return stage.getWeightCol() or None if stage.isDefined(stage.weightCol) else None
