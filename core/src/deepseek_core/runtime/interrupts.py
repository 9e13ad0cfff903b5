"""Ctrl-C around libraries that take it badly: some crash, others call it an error of their own."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sized
from types import FrameType
from typing import Final

from deepseek_core.discovery.strangers import is_a

_LONGEST_CHAIN: Final = 100  # of errors, which a stranger may have bent into a circle


@contextlib.contextmanager
def held_back() -> Iterator[Sized]:
    """Let Ctrl-C wait until the block has ended; a second one does not wait.

    What it gives is empty until Ctrl-C came. For imports, since an extension module that is
    interrupted while it loads may take the process down; and for Python's conditions and futures,
    which are left locked, or let go twice, when it comes between two of their own lines.

    Raises:
        KeyboardInterrupt: it came meanwhile.
    """
    usual = signal.getsignal(signal.SIGINT)
    # Only the main thread may set a handler, and only Python's own kind raises.
    if not callable(usual) or threading.current_thread() is not threading.main_thread():
        yield ()
        return
    came: list[FrameType | None] = []

    def note(number: int, frame: FrameType | None) -> None:
        if came:
            usual(number, frame)
        came.append(frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, usual)
        if came:
            usual(signal.SIGINT, came[0])


def stop_if_interrupted(error: BaseException) -> None:
    """Raise the Ctrl-C that a library turned into an error of its own, if it did.

    An extension module that is interrupted while it loads raises ImportError from it.

    Raises:
        KeyboardInterrupt: the error comes from one.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # no Ctrl-C comes here
    cause: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if cause is None:
            return
        if is_a(cause, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        cause = cause.__context__ if cause.__cause__ is None else cause.__cause__
