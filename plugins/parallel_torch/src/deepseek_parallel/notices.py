"""Signals to a launcher: passed on to its workers, which save."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SAVE: Final = getattr(signal, "SIGUSR1", None)
"""Asks for a save; None where there is no such signal."""


@contextmanager
def passed_on(workers: Callable[[], Iterable[subprocess.Popen[bytes]]]) -> Iterator[None]:
    """While the block runs, SIGUSR1 reaches all workers, and SIGTERM is a Ctrl-C.

    Raises:
        KeyboardInterrupt: SIGTERM came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a handler
        return

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for process in workers():
            process.send_signal(number)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    handlers = {signal.SIGTERM: interrupt, **({} if SAVE is None else {SAVE: pass_on})}
    before = {number: signal.getsignal(number) for number in handlers}
    mine = [number for number, old in before.items() if old is signal.SIG_DFL]
    try:
        for number in mine:
            signal.signal(number, handlers[number])
        yield
    finally:
        for number in mine:
            signal.signal(number, before[number])


@contextmanager
def unheard() -> Iterator[None]:
    """A process started in the block ignores SIGUSR1 until it listens: else that would end it."""
    if SAVE is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(SAVE, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(SAVE, before if before is not None else signal.SIG_DFL)
