"""How a run ends that an error or a signal ends: its exit code, and what is said of it in one line."""

from collections.abc import Sequence

from logloss_spark.errors import MESSAGE, LogLossError
from logloss_spark.io.secrets import redacted
from logloss_spark.io.signals import interruption
from logloss_spark.io.spark_errors import from_spark, translated
from logloss_spark.wording import visible


def last_words(error: BaseException, hidden: Sequence[str]) -> tuple[str, int]:
    """Return what is said of an error in one line, without secrets, and the exit code that it leads to."""
    if stop := interruption(error):
        return redacted(str(stop), hidden), stop.exit_code
    known = translated(error) if from_spark(error) else error
    if isinstance(known, LogLossError):
        return redacted(f"error: {known}", hidden), known.exit_code
    said = " ".join(f"{type(error).__name__}: {redacted(str(error), hidden)}; --traceback shows where".split())
    return redacted(f"error: {visible(said, MESSAGE)}", hidden), LogLossError.exit_code
