"""Log loss of stored predictions on Apache Spark: exact per row, mergeable per slice.

Evaluate: `log_loss` is one number, `evaluate` gives an `Evaluation` with metrics by slices, `compare` tells whether one
model is better than another, `compare_losses` puts log loss beside other losses.

States: `Evaluation.state` is a small table of sums. `merge` adds states; `metrics`, `reliability`, `by_class` and
`comparison` read tables off them, `drift` tells two apart. `help(logloss_spark.metrics)` says what each column is.

Fit: `fit_logistic` gives a `LogisticModel`. `logloss_spark.ml` has Estimators and an Evaluator for pipelines.

Rows: `functions` has the score of each row as a column. `session` starts a quiet local session, and
`read_table` reads a path with the types that you give its columns.

Errors are one line each: `SpecError` for what was asked, `DataError` for the data; both are `LogLossError`s and
`ValueError`s. Warnings are called `...Warning`.
"""

from logloss_spark import functions
from logloss_spark.comparison import Comparison, compare
from logloss_spark.errors import (
    DataError,
    GateError,
    ImpossibleEventsWarning,
    InvalidRowsWarning,
    LogLossError,
    MissingInputError,
    SpecError,
    StreamedFitWarning,
)
from logloss_spark.evaluation import Evaluation, evaluate
from logloss_spark.fit.fitting import fit_logistic
from logloss_spark.fit.model import LogisticModel
from logloss_spark.io.session import session
from logloss_spark.io.source import read_table
from logloss_spark.losses import compare_losses
from logloss_spark.mean_loss import log_loss
from logloss_spark.shift import Drift, drift
from logloss_spark.states.stored import merge
from logloss_spark.tables.by_class import by_class
from logloss_spark.tables.comparison import comparison
from logloss_spark.tables.metrics import metrics
from logloss_spark.tables.reliability import reliability

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "DataError",
    "Drift",
    "Evaluation",
    "GateError",
    "ImpossibleEventsWarning",
    "InvalidRowsWarning",
    "LogLossError",
    "LogisticModel",
    "MissingInputError",
    "SpecError",
    "StreamedFitWarning",
    "by_class",
    "compare",
    "compare_losses",
    "comparison",
    "drift",
    "evaluate",
    "fit_logistic",
    "functions",
    "log_loss",
    "merge",
    "metrics",
    "read_table",
    "reliability",
    "session",
]


def __dir__() -> list[str]:
    """What a notebook completes: the public names."""
    return [*__all__, "__version__"]
