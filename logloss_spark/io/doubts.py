"""How it is said that a table may be more than its files."""

from collections.abc import Iterator
from contextlib import contextmanager

from logloss_spark.io.spark_errors import from_spark


class DoubtError(Exception):
    """A table may be more than its files. Its text is the reason, which `files_of` returns."""


@contextmanager
def doubtful(reason: str) -> Iterator[None]:
    """Raise DoubtError for whatever Spark cannot do."""
    try:
        yield
    except Exception as error:
        if not from_spark(error):
            raise
        raise DoubtError(reason) from error
