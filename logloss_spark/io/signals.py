"""Turn SIGTERM and SIGINT into an exception that ends a job; hold them back where half a step would do harm."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)

PATIENCE = 0.3
"""Seconds between two requests to end what Spark does: a request that comes before the work began has no effect."""


SOON = 0.05
"""Seconds after which a signal is delivered again: by then a callback has ended."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the job. `stands` says what the job has written; code that knows more than the default sets it.

    It is a KeyboardInterrupt because py4j then knows that the answer to its last command is still to come.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.stands = "nothing was written; the old tables are whole"

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that the signal ended."""
        return 128 + self.number

    def __str__(self) -> str:
        return f"{'interrupted' if self.number == signal.SIGINT else 'terminated'}: {self.stands}"


def interruption(error: BaseException | None) -> Interrupted | None:
    """Return the signal behind an exception, or None. An exception may be raised while that of a signal is handled."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error if isinstance(error, Interrupted) or error is None else Interrupted(signal.SIGINT)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal that comes within this block raise `Interrupted`."""
    with handled_by(interrupt), delivered_again():
        yield


def interrupt(number: int, _: FrameType | None) -> None:
    """Raise `Interrupted`, as the handler of a signal."""
    raise Interrupted(number)


def end_process(work: Callable[[], int]) -> NoReturn:
    """Do work that handles signals itself, and end the process with its exit code; a signal that comes then is late.

    Without it a signal that comes when all is written, while Python ends, would make a failure of a job that is done.
    """
    handle_by(lambda *_: None)
    code = work()
    handle_by(signal.SIG_IGN)  # Python forgets its own handlers before it has ended
    sys.exit(code)


def handle_by(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Handle signals by a function from now on. One that is ignored stays so, as a shell does for the background."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def delivered_again() -> Iterator[None]:
    """Deliver a signal once more if Python could not raise its exception within this block.

    Python calls weakref callbacks, as py4j has one for each Java object, between any two lines of a program. An
    exception that a signal raises there is printed and lost.
    """
    before, timers = sys.unraisablehook, list[threading.Timer]()

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        stop = unraisable.exc_value
        if isinstance(stop, Interrupted):
            timers.append(threading.Timer(SOON, signal.pthread_kill, [threading.main_thread().ident, stop.number]))
            timers[-1].start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()


@contextmanager
def held_back(meanwhile: Callable[[], object] | None = None) -> Iterator[None]:
    """Let a signal that comes within this block count at its end.

    Parameters
    ----------
    meanwhile : callable, optional
        Makes the block end sooner. Once a signal has come, a thread calls it again and again.
    """
    came: list[int] = []
    ended = threading.Event()

    def hasten() -> None:
        while meanwhile and not ended.wait(PATIENCE):
            with suppress(Exception):
                meanwhile()

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            threading.Thread(target=hasten, daemon=True).start()

    try:
        with handled_by(note):
            yield
    finally:
        ended.set()
        if came and not isinstance(sys.exc_info()[1], Interrupted):
            signal.raise_signal(came[0])


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle signals by a function within this block. Python allows that in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        handle_by(handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
