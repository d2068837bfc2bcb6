"""Print text as far as the terminal, the pipe or the file behind a stream can take it."""

import os
import sys
from contextlib import suppress
from functools import cache
from typing import TextIO


def say(text: str, stream: TextIO | None, instead: int | None = None) -> str | None:
    """Print a text and a line break. Characters that the stream's encoding lacks are written as Python escapes.

    Parameters
    ----------
    text : str
    stream : stream, or None where Python found it closed
    instead : int, optional
        The number of an open file that takes the place of a stream that cannot be written to; by default its text is
        lost.

    Returns
    -------
    str, why it could not be printed; None if it was
    """
    if stream is None:
        return "it is closed"
    encoding = stream.encoding or "utf-8"
    line = f"{text}\n".encode(encoding, "backslashreplace")
    try:
        stream.write(line.decode(encoding))
        stream.flush()
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            # What may wait in the stream's buffer would fail once more at the end of the process.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            stream.flush()
            if instead is not None:
                os.dup2(instead, stream.fileno())
                os.write(instead, line)
        return getattr(error, "strerror", None) or str(error)
    return None


def tell(text: str) -> None:
    """Print a line on stderr, or where that is gone on the stderr of the spark-submit that runs us."""
    say(text, sys.stderr, submitters_stderr())


@cache
def submitters_stderr() -> int | None:
    """Open the stderr of spark-submit: its Java prints what we print, and a signal may end it before us.

    Returns
    -------
    int, the number of the open file; None in a process that spark-submit did not start, and where there is no /proc
    """
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return None
    try:
        return os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
    except OSError:
        return None


def open_standard_streams() -> None:
    """Open standard streams that are closed, or the next files would get their numbers, and what Java prints."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
    submitters_stderr()  # opened while its process is there
