"""Signals end a job wherever they come."""

import signal
import subprocess
import sys
import time
import weakref

import pytest

from logloss_spark.io.signals import SIGNALS, Interrupted, interruptible
from tests.quick import quick


class Thing:
    """Something to refer to."""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_comes_in_a_callback_of_pythons_own_ends_the_block_and_prints_nothing(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    things = [Thing()]
    reference = weakref.ref(things[0], lambda _: signal.raise_signal(number))

    def work() -> None:
        with interruptible():
            things.clear()
            time.sleep(30)  # which the signal ends

    with pytest.raises(Interrupted) as stop:
        work()
    assert reference() is None
    assert stop.value.number == number
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", quick(SIGNALS, signal.SIGTERM))
def test_a_signal_that_comes_when_the_work_is_done_does_not_change_how_the_process_ends(number: signal.Signals) -> None:
    program = (
        "import atexit, signal\n"
        "from logloss_spark.io.signals import end_process\n"
        f"atexit.register(signal.raise_signal, {int(number)})\n"
        "end_process(lambda: 3)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 3
