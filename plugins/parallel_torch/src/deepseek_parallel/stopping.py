"""Ctrl-C as a wish: the step is finished and saved; a second one does not wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import attrs


@attrs.define
class Stop:
    """Whether a stop was asked for, and by what."""

    why: str = ""


@contextmanager
def interruptible(stop: Stop) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM ask for a stop while the block runs.

    Raises:
        KeyboardInterrupt: Ctrl-C came again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a handler
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.why and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.why = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"

    # Python can't put back a handler that it did not set: None.
    mine = [n for n, old in before.items() if old is not None and old is not signal.SIG_IGN]
    try:
        for number in mine:
            signal.signal(number, ask)
        yield
    finally:
        for number in mine:
            signal.signal(number, before[number])
