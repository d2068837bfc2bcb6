"""Texts in folders that Spark writes and reads: models and calibrators as JSON."""

import re

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from logloss_spark.errors import MissingInputError, SpecError
from logloss_spark.io.session import active_session

SAVED = re.compile(r"/part-00000-[^/]*\.txt$")
"""The file of a saved text."""


def save_text(text: str, path: str, *, overwrite: bool = False, what: str = "model") -> None:
    """Write a text to a folder through Spark, so that it lands where tables do. `what` it describes is for messages.

    Raises SpecError if something is there already; with `overwrite`, if that is anything but such a text.
    """
    if overwrite:
        check_replaceable(path, what)
    try:
        lines_of(text).write.mode("overwrite" if overwrite else "error").text(path)
    except Exception as error:
        if not isinstance(error, PySparkException) and not type(error).__module__.startswith("py4j."):
            raise
        if "PATH_ALREADY_EXISTS" in str(error):
            raise SpecError(
                f"a {what} must be written to a new path, but {path} exists: name another path, or pass overwrite=True"
            ) from error
        causes = re.findall(r"Exception: (.+)", str(error))
        reason = causes[-1] if causes else str(error)
        raise SpecError(f"a {what} must be written where Spark can write, got {path}: {reason}") from error


def check_replaceable(path: str, what: str) -> None:
    """Raise SpecError unless a path holds nothing but the file of a saved text, because the rest would be lost."""
    listing = active_session().read.format("binaryFile").option("recursiveFileLookup", True)
    try:
        files = [row["path"] for row in listing.load(path).select("path").limit(2).collect()]
    except PySparkException as error:
        if "PATH_NOT_FOUND" not in str(error):
            raise
        return
    strangers = [file for file in files if not SAVED.search(file)]
    if strangers or len(files) > 1:
        raise SpecError(
            f"overwrite replaces a saved {what} and nothing else, and {path} holds {(strangers or files)[-1]}: "
            "name another path"
        )


def lines_of(text: str) -> DataFrame:
    """A text as a table of its lines, which Spark writes as one file."""
    lines = [(line,) for line in text.splitlines()]
    return active_session().createDataFrame(lines, "value string").coalesce(1)


def load_text(path: str, *, what: str = "model") -> str:
    """Read the text that `save_text` wrote; raise MissingInputError if nothing is there."""
    try:
        lines = active_session().read.text(path, wholetext=True).collect()
    except PySparkException as error:
        if "PATH_NOT_FOUND" not in str(error):
            raise
        raise MissingInputError(
            f"a {what} must be read from where it was saved, but nothing is at {path}: check the path"
        ) from error
    return "\n".join(row["value"] for row in lines)
