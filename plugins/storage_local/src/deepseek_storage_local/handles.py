"""Open files and folders, kept: the path of a warm read is one look-up, one fstat and one pread."""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
import weakref
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_MOST: Final = 2048
_COUNT_S: Final = 0.2
_DESCRIPTORS: Final = Path("/proc/self/fd")
_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE})


class Descriptor:
    """An open file that closes when the last one who uses it lets go.

    So a thread that reads is not disturbed by another one that closes or evicts: the number can't
    be given to another file under its hands.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self.number)


class Handles(Generic[T]):
    """What holds a descriptor and was used last, by key. Safe to use from several threads."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._open: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()
        _all.add(self)

    def find(self, key: str) -> T | None:
        """What is open of a key, if it is kept."""
        with self._lock:
            found = self._open.get(key)
            if found is not None:
                self._open.move_to_end(key)
            return found

    def keep(self, key: str, opened: T) -> None:
        """Keep what is open; the one that was used longest ago may go."""
        with self._lock:
            self._open[key] = opened
            self._open.move_to_end(key)
            most = _room() if self._most is None else self._most
            evicted = []
            while len(self._open) > most:
                evicted.append(self._open.popitem(last=False))
        del evicted  # closed here, outside the lock

    @property
    def num_open(self) -> int:
        """How many are kept now."""
        return len(self._open)

    def drop(self, key: str) -> None:
        """Let go of one."""
        with self._lock:
            self._open.pop(key, None)

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            dropped, self._open = self._open, OrderedDict()
        del dropped


_all: weakref.WeakSet[Handles[Any]] = weakref.WeakSet()


def none_left(error: OSError) -> bool:
    """Whether it says that there are no descriptors left; if so, all that is kept is let go of."""
    if error.errno not in _NONE_LEFT:
        return False
    for handles in list(_all):
        handles.clear()
    return True


def _room() -> int:
    """Limit for each: together an eighth of the files that others leave to this here."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if soft == resource.RLIM_INFINITY else min(_MOST, (soft - _others()) // 8)
    return max(2, most // max(1, len(_all)))


def _others() -> int:
    """How many descriptors of this process are none of these; looked at now and then."""
    if time.monotonic() > _counted.until_s:
        kept = sum(handles.num_open for handles in list(_all))
        with suppress(OSError):  # no /proc, or no descriptor left to read it
            _counted.others = max(0, sum(1 for _ in _DESCRIPTORS.iterdir()) - kept)
        _counted.until_s = time.monotonic() + _COUNT_S
    return _counted.others


class _Counted:
    """What was counted last, and until when it counts."""

    others, until_s = 0, 0.0


_counted: Final = _Counted()
