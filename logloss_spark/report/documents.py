"""Write a document, such as a report or a verdict: readers find the old file or the new one, and no part of it."""

import os
from contextlib import suppress

from logloss_spark.errors import SpecError, UnreadableError
from logloss_spark.io.places import without_scheme
from logloss_spark.io.swap import flush, sibling
from logloss_spark.workers.opening import located


def write_document(what: str, path: str, text: str) -> None:
    """Write a text as UTF-8 to a file of this machine, or of a store that Arrow knows, in the place of an older one.

    On a disk the file is written beside its place and renamed. Stores of objects show one when it is complete.

    Raises
    ------
    SpecError
        It cannot be written there; `what` says what it is.
    """
    data = text.encode("utf-8", "backslashreplace")
    try:
        if "://" in path and not path.startswith("file:"):
            system, place = located(path, {})
            with system.open_output_stream(place) as stream:
                stream.write(data)
        else:
            replace_file(os.path.abspath(without_scheme(path)), data)
    except (OSError, UnreadableError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"{what} cannot be written to {path}: {reason}; name another file") from error


def replace_file(place: str, data: bytes) -> None:
    """Write a file beside its place, flush it to the disk, and rename it."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    beside = sibling(place, f"{os.getpid()}.new")
    try:
        with open(beside, "wb") as file:
            file.write(data)
        flush(beside)
        os.replace(beside, place)
    except OSError:
        with suppress(OSError):
            os.unlink(beside)
        raise
    flush(os.path.dirname(place))


def append_to(path: str, text: str) -> None:
    """Append a text to a file, as GitHub Actions wants the summary of a step."""
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
