"""Log loss of stored predictions on Apache Spark: exact per row, mergeable per slice."""

from logloss_spark.errors import DataError, GateError, LogLossError, SpecError
from logloss_spark.evaluate.evaluation import Evaluation, InvalidRows, evaluate, log_loss
from logloss_spark.evaluate.state import merge
from logloss_spark.evaluate.tables import metrics, reliability
from logloss_spark.rows import functions

__all__ = [
    "DataError",
    "Evaluation",
    "GateError",
    "InvalidRows",
    "LogLossError",
    "SpecError",
    "evaluate",
    "functions",
    "log_loss",
    "merge",
    "metrics",
    "reliability",
]
