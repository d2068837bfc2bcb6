"""Log loss of stored predictions on Apache Spark: exact per row, mergeable per slice.

Evaluate: `log_loss` is one number, `evaluate` gives an `Evaluation` with metrics by slices, `compare` tells whether one
model is better than another, `rows_needed` how many rows that takes, and `compare_losses` puts log loss beside other
losses.

States: `Evaluation.state` is a `State`, a small table of sums. States add, with `+` or `merge`; metrics and other
tables are read off them; `State.save` and `read_state` store them, and a `Store` keeps those of many days; `windows`
reads the metrics of the last days, day by day; `drift` tells two apart; `State.calibrator` makes a `Calibrator`.
`help(logloss_spark.State.metrics)` says what each column is.

Fit: `fit_logistic` gives a `LogisticModel`. `logloss_spark.ml` has Estimators and an Evaluator for pipelines.

Rows: `functions` has the score of each row as a column. `session` starts a quiet local session, and
`read_table` reads a path with the types that you give its columns.

Errors are one line each: `SpecError` for what was asked, `DataError` for the data; both are `LogLossError`s and
`ValueError`s. Warnings are called `...Warning`.
"""

from logloss_spark import functions
from logloss_spark.calibrator import Calibrator
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
from logloss_spark.io.source import Source, read_table
from logloss_spark.losses import compare_losses
from logloss_spark.mean_loss import log_loss
from logloss_spark.planning import rows_needed
from logloss_spark.shift import Drift, drift
from logloss_spark.state import State, merge, read_state, windows
from logloss_spark.store import Store
from logloss_spark.version import __version__ as __version__

__all__ = [
    "Calibrator",
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
    "Source",
    "SpecError",
    "State",
    "Store",
    "StreamedFitWarning",
    "compare",
    "compare_losses",
    "drift",
    "evaluate",
    "fit_logistic",
    "functions",
    "log_loss",
    "merge",
    "read_state",
    "read_table",
    "rows_needed",
    "session",
    "windows",
]


def __dir__() -> list[str]:
    """What a notebook completes: the public names."""
    return [*__all__, "__version__"]
