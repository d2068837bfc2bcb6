"""What a command prints: whatever the terminal, the pipe or the file behind it can take."""

import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str, stream: TextIO | None) -> str | None:
    """Print a text and a line's end; what the stream's encoding lacks is shown as Python writes it in a string.

    Returns
    -------
    str or None: why it could not be printed
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
    """Keep the numbers of closed standard streams from the files that are opened next, and from what Java prints."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
