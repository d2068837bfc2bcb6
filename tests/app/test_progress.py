"""Progress is one line of a terminal or a notebook, and gone at the end; elsewhere there is none."""

import io
import os
import threading

import pytest

from logloss_spark.app import progress as progress_
from logloss_spark.app.progress import THREAD, ProgressLine, progress, rewrites_lines
from tests.conftest import MODE


class Terminal(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What a person saw, one text after the other."""
        return [text.rstrip() for text in self.getvalue().split("\r") if text.strip()]


class Cell(io.StringIO):
    """The output of a notebook's cell."""

    __module__ = "ipykernel.iostream"


def running_threads() -> list[str]:
    """The names of the threads of this process."""
    return [thread.name for thread in threading.enumerate()]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(progress_, "DELAY", 0.0)
    monkeypatch.setattr(progress_, "INTERVAL", 0.002)
    monkeypatch.delenv("TERM", raising=False)


def test_lines_are_written_over_in_terminals_and_notebooks_alone(monkeypatch):
    assert [rewrites_lines(stream) for stream in (Terminal(), Cell(), io.StringIO(), None)] == [
        True,
        True,
        False,
        False,
    ]
    closed = Terminal()
    closed.close()
    assert not rewrites_lines(closed)
    monkeypatch.setenv("TERM", "dumb")
    assert not rewrites_lines(Terminal())


def test_a_line_covers_the_one_before_and_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(progress_.shutil, "get_terminal_size", lambda: os.terminal_size((30, 24)))
    screen = Terminal()
    line = ProgressLine(screen)
    line.show(0, 0)
    assert screen.getvalue() == ""
    line.show(1_999, 2_000)
    line.show(3, 4)
    line.clear()
    line.show(4, 4)
    first, second, blank, after = screen.getvalue().split("\r")[1:]
    assert first == "1,999 of 2,000 tasks done, 0:"  # one sign less than the terminal has
    assert second.rstrip() == "3 of 4 tasks done, 0:00 since"[:29]
    assert len(second) >= len(first)
    assert (blank.strip(), len(blank) >= len(second.rstrip()), after) == ("", True, "")


def test_quick_work_and_other_outputs_show_nothing(monkeypatch):
    monkeypatch.setattr(progress_, "DELAY", 60.0)
    screen = Terminal()
    line = ProgressLine(screen)
    line.show(1, 2)
    line.clear()
    assert screen.getvalue() == ""


def test_a_terminal_that_is_gone_is_no_error():
    screen = Terminal()
    line = ProgressLine(screen)
    screen.close()
    line.show(1, 2)
    line.clear()


@pytest.mark.connect
def test_the_tasks_of_a_job_are_shown_until_it_ends(spark):
    if MODE == "connect":
        spark.conf.set("spark.connect.progress.reportInterval", "20ms")
    screen, file = Terminal(), io.StringIO()
    with progress(spark, screen), progress(spark, file):
        rows = spark.range(0, 3_000_000, numPartitions=8).selectExpr(
            "id % 1000 AS k", "sha2(cast(id AS string), 512) AS s"
        )
        assert rows.groupBy("k").agg({"s": "max"}).count() == 1000
    assert THREAD not in running_threads()
    assert screen.lines()
    assert all("tasks done" in line for line in screen.lines())
    assert screen.getvalue().endswith(" \r")
    assert file.getvalue() == ""
    before = screen.getvalue()
    assert spark.range(10).count() == 10
    assert screen.getvalue() == before


@pytest.mark.connect
def test_the_line_and_the_thread_end_with_a_job_that_fails(spark):
    screen = Terminal()

    def interrupted() -> None:
        with progress(spark, screen):
            spark.range(10).count()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert THREAD not in running_threads()
    assert screen.getvalue() == "" or screen.getvalue().endswith(" \r")
