"""Log loss of stored predictions on Apache Spark: exact per row, mergeable per slice."""

from logloss_spark.errors import DataError, GateError, InvalidRows, LogLossError, MissingInputError, SpecError
from logloss_spark.evaluate.compare import Comparison, compare, comparison
from logloss_spark.evaluate.drift import Drift, drift
from logloss_spark.evaluate.evaluation import Evaluation, evaluate
from logloss_spark.evaluate.explain import explain
from logloss_spark.evaluate.mean_loss import log_loss
from logloss_spark.evaluate.state import merge
from logloss_spark.evaluate.tables import by_class, metrics, reliability
from logloss_spark.fit.fitting import fit_logistic
from logloss_spark.fit.model import LogisticModel
from logloss_spark.io.session import session
from logloss_spark.rows import functions

__all__ = [
    "Comparison",
    "DataError",
    "Drift",
    "Evaluation",
    "GateError",
    "InvalidRows",
    "LogLossError",
    "LogisticModel",
    "MissingInputError",
    "SpecError",
    "by_class",
    "compare",
    "comparison",
    "drift",
    "evaluate",
    "explain",
    "fit_logistic",
    "functions",
    "log_loss",
    "merge",
    "metrics",
    "reliability",
    "session",
]
