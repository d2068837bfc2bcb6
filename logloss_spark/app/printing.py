"""Print text as far as the terminal, the pipe or the file behind a stream can take it."""

import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str, stream: TextIO | None) -> str | None:
    """Print a text and a line break. Characters that the stream's encoding lacks are written as Python escapes.

    Returns
    -------
    str, why it could not be printed; None if it was
    """
    if stream is None:  # Python's word for one that was closed when it started
        return "it is closed"
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):  # what waits in its buffer would fail once more at the end of the process
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return getattr(error, "strerror", None) or str(error)
    return None


def tell(text: str) -> None:
    """Print a line on stderr, if it can be printed."""
    say(text, sys.stderr)


def open_standard_streams() -> None:
    """Open standard streams that are closed, or the next files would get their numbers, and what Java prints."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
