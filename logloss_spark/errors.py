"""One tree of errors. Each knows its exit code; its message is one line: the rule, what came, what to do."""

from logloss_spark.wording import visible

MESSAGE = 1_000
"""An error's message has at most this many: its rule comes first and its advice last, so its middle is cut."""


class LogLossError(Exception):
    """The base of all errors that this package raises. A message is one line that is safe to print."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(visible(message, MESSAGE))

    def _render_traceback_(self) -> list[str]:
        """Show the sentence alone in a notebook: IPython asks an exception for its lines before it prints a stack."""
        return [f"{type(self).__name__}: {self}"]


class SpecError(LogLossError, ValueError):
    """The caller's words do not fit together: an argument, an option, a config."""

    exit_code = 2


class GateError(LogLossError):
    """A gate failed: a metric is over a bound that a rule sets. `--fail-exit` gives it another exit code."""

    exit_code = 3

    def __init__(self, message: str, exit_code: int = 3) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class DataError(LogLossError, ValueError):
    """The input breaks its contract."""

    exit_code = 4


class MissingInputError(DataError):
    """The input is not there yet: no path, no table, or no row. Unlike other DataErrors it may be there later."""

    exit_code = 5


class UnreadableError(LogLossError):
    """Python workers cannot read a file of the input, or not exactly as Spark does. Spark itself may read it."""


class BusyError(LogLossError):
    """Another job is writing what this one would write: run again when it is done."""

    exit_code = 6


class InvalidRowsWarning(UserWarning):
    """Rows were dropped. Issued where the result (a float, a model) has no field to report them in."""


class ImpossibleEventsWarning(UserWarning):
    """Events that the forecast had ruled out make up a good share of a log loss. Issued where the result is a float."""


class StreamedFitWarning(UserWarning):
    """The fit reads the training table again in each pass, because its blocks cannot be kept on local disks."""
