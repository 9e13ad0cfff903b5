"""Signals as wishes: a stop after the step that runs, with a save; or a save alone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import attrs

SAVE: Final = signal.SIGUSR1
"""Asks for a save."""


@attrs.define
class Wishes:
    """Whether a stop was asked for, and by what; whether a save was."""

    stop: str = ""
    save: bool = False


@contextmanager
def interruptible(wishes: Wishes) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM ask for a stop, and SIGUSR1 for a save, while the block runs.

    SIGUSR1 is what Slurm sends some time before it takes a job's nodes away, if it is asked to
    (--signal=USR1@60); a handler of the user's own stays.

    Raises:
        KeyboardInterrupt: Ctrl-C came again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a handler
        return

    def ask(number: int, _frame: FrameType | None) -> None:
        if number == SAVE:
            wishes.save = True
            return
        if wishes.stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        wishes.stop = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # Python can't put back a handler that it did not set: None.
    mine = [n for n, old in before.items() if old is not None and old is not signal.SIG_IGN]
    if signal.getsignal(SAVE) in (signal.SIG_DFL, signal.SIG_IGN):
        before[SAVE] = signal.getsignal(SAVE)
        mine.append(SAVE)
    try:
        for number in mine:
            signal.signal(number, ask)
        yield
    finally:
        for number in mine:
            signal.signal(number, before[number])


@contextmanager
def unheard() -> Iterator[None]:
    """Let a process started in the block ignore SIGUSR1 until it listens: it would end it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(SAVE, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(SAVE, before if before is not None else signal.SIG_DFL)
