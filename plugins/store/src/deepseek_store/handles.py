"""How many files the stores of this process may keep open, by the limit that it lives under.

Kept files only spare the time to open them again: they take a quarter of `ulimit -n`, shared by all
who keep some, and free space at once where a file can't be opened for lack of descriptors.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

_MOST: Final = 256
_LEAST: Final = 2
_SHARE: Final = 4
_THREAD_SHARE: Final = 8
_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE})
# So long others are waited for, who hold descriptors for the moment of a read.
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.005


class KeepsFiles(Protocol):
    """Protocol of objects that keep files open which they could open again."""

    def let_go(self) -> None:
        """Close them all."""
        ...


_keepers: weakref.WeakSet[KeepsFiles] = weakref.WeakSet()
_lock = threading.Lock()


def register(keeper: KeepsFiles) -> None:
    """Count one who keeps files as long as it lives."""
    with _lock:
        _keepers.add(keeper)


def limit() -> int:
    """How many files this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def share() -> int:
    """How many files each of those who registered may keep now."""
    most = min(_MOST, limit() // _SHARE)
    return max(_LEAST, most // max(1, len(_keepers)))


def threads(most: int) -> int:
    """How many threads may open files at once, of at most so many: each has some open."""
    return max(1, min(most, limit() // _THREAD_SHARE))


def make_room() -> None:
    """Have all kept files closed."""
    with _lock:
        keepers = list(_keepers)
    for keeper in keepers:
        keeper.let_go()


def none_left(error: BaseException | None) -> bool:
    """Whether it says that there are no descriptors left, or was caused by one that does."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NONE_LEFT:
            return True
        error = error.__cause__
    return False


def open_file(path: str | Path, flags: int, mode: int = 0o644) -> int:
    """`os.open`, patiently; not handed on to other programs."""
    return patiently(lambda: os.open(path, flags | os.O_CLOEXEC, mode))


def patiently(use: Callable[[], T]) -> T:
    """What `use` gives; tried again while there are no descriptors left for it.

    Raises:
        What `use` raises at last.
    """
    end_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return use()
        except Exception as error:
            if not none_left(error) or time.monotonic() > end_s:
                raise
        make_room()
        time.sleep(_PAUSE_S)
