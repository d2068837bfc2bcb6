"""Signals end a job wherever they come."""

import signal
import time
import weakref

import pytest

from logloss_spark.io.signals import SIGNALS, Interrupted, interruptible


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
