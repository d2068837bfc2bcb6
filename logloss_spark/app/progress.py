"""One line of progress for long work, in a terminal or a notebook; nothing is written anywhere else.

A classic session is asked for its tasks by a thread that ends with the work, a Spark Connect server reports them.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock
from typing import Any, TextIO

from pyspark import InheritableThread
from pyspark.sql import SparkSession, is_remote

DELAY = 2.0
"""Seconds of work before the line is shown: what is quick needs none."""

INTERVAL = 0.25
"""Seconds between two looks at the tasks of a classic session."""

THREAD = "logloss-spark progress"


@contextmanager
def progress(spark: SparkSession, stream: TextIO | None = None) -> Iterator[None]:
    """Show the progress of Spark's tasks while a block runs, and clear the line at its end, however it ends.

    Parameters
    ----------
    spark : SparkSession
        Classic, or of Spark Connect.
    stream : text file, optional
        Where the line is written if it is a terminal or the output of a notebook's cell; by default stderr.

    Examples
    --------
    >>> from logloss_spark.app.progress import progress
    >>> with progress(spark):
    ...     spark.range(3).count()
    3
    """
    stream = sys.stderr if stream is None else stream
    if not rewrites_lines(stream):
        yield
        return
    line = ProgressLine(stream)
    watched = reported if is_remote() else polled
    try:
        with watched(spark, line.show):
            yield
    finally:
        line.clear()


def rewrites_lines(stream: TextIO | None) -> bool:
    """Whether a line that is written to a stream can be written over: in a terminal, and below a notebook's cell."""
    if stream is None or stream.closed:
        return False
    in_notebook = type(stream).__module__.startswith("ipykernel.")
    return in_notebook or (stream.isatty() and os.environ.get("TERM") != "dumb")


class ProgressLine:
    """A line that says how many tasks are done, written over with each new number. After `clear` it stays away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()
        self._width = 0
        self._cleared = False
        self._lock = Lock()  # of the thread that clears, and one that still shows

    def show(self, done: int, tasks: int) -> None:
        """Show the number of tasks that are done, and of all; nothing before `DELAY`, or where there are none."""
        seconds = int(time.monotonic() - self._started)
        if tasks and seconds >= DELAY:
            self._write(f"{done:,} of {tasks:,} tasks done, {seconds // 60}:{seconds % 60:02d} since the start")

    def clear(self) -> None:
        """Remove the line."""
        self._write("")

    def _write(self, text: str) -> None:
        # A full line would wrap, and could not be written over.
        text = text[: shutil.get_terminal_size().columns - 1]
        with self._lock, suppress(OSError, ValueError):  # a terminal that was closed needs no line
            was_cleared, self._cleared = self._cleared, self._cleared or not text
            if not was_cleared and (text or self._width):
                self._stream.write(f"\r{text.ljust(self._width)}" + ("" if text else "\r"))
                self._stream.flush()
                self._width = len(text)


@contextmanager
def polled(spark: SparkSession, show: Callable[[int, int], None]) -> Iterator[None]:
    """Look at the active stages of a classic session while a block runs, in a thread that ends with it."""
    over = Event()

    def look() -> None:
        # The session may be stopped, or its Java killed, and some clusters hide the context: then there is no line.
        with suppress(Exception):
            tracker = spark.sparkContext.statusTracker()
            while not over.wait(INTERVAL):
                found = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
                stages = [stage for stage in found if stage is not None]
                show(sum(stage.numCompletedTasks for stage in stages), sum(stage.numTasks for stage in stages))

    # Unlike a plain thread it closes its connection to Java at its end.
    thread = InheritableThread(target=look, name=THREAD, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def reported(spark: SparkSession, show: Callable[[int, int], None]) -> Iterator[None]:
    """Let a Spark Connect server report the stages of each query while a block runs."""

    def report(stages: Iterable[Any] | None, **_: Any) -> None:
        known = list(stages or ())
        show(sum(stage.num_completed_tasks for stage in known), sum(stage.num_tasks for stage in known))

    handler: Any = report  # PySpark's type is a class of its own, and its documentation has a function
    spark.registerProgressHandler(handler)
    try:
        yield
    finally:
        spark.removeProgressHandler(handler)
