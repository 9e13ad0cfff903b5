"""Numbered locks between the processes of one machine: bytes of a file."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deepseek_core import errors
from deepseek_store import handles
from deepseek_store.errors import IndexUnavailable

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK: Final = struct.Struct("hhqqi4x")
LONGEST_S: Final = 120.0
"""So long a key's lock is waited for."""
_FIRST_PAUSE_S: Final = 0.0002
_LONGEST_PAUSE_S: Final = 0.01


class SlotLocks:
    """Exclusive locks between open files; a crash lets go of them.

    Of open file descriptions, not of processes: two of these in one process exclude each other,
    and closing one keeps the other's. Threads that share one are not kept apart.
    """

    def __init__(self, path: Path, *, longest_s: float = LONGEST_S) -> None:
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise errors.ConfigError(
                "a store that processes share needs Linux: this system has no locks of open files",
                remedy="open it in one process alone: Store(home), without shared=True",
            )
        self._path, self._longest_s = path, longest_s
        self._file = handles.open_file(path, os.O_RDWR | os.O_CREAT)

    @contextmanager
    def hold(self, slot: int) -> Iterator[None]:
        """Wait for a lock, and hold it in the block.

        Raises:
            IndexUnavailable: somebody has it for too long.
        """
        self._take(slot)
        try:
            yield
        finally:
            # Closing let go of it.
            if self._file >= 0:
                self._set(fcntl.F_UNLCK, slot)

    def close(self) -> None:
        """Let go of all; idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _take(self, slot: int) -> None:
        end_s, pause_s = time.monotonic() + self._longest_s, _FIRST_PAUSE_S
        while True:
            try:
                self._set(fcntl.F_WRLCK, slot)
            except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
                if time.monotonic() > end_s:
                    raise held_too_long(str(self._path), self._longest_s) from None
            else:
                return
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _set(self, kind: int, slot: int) -> None:
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, slot, 1, 0))


def held_too_long(url: str, longest_s: float) -> IndexUnavailable:
    """The error of one who has waited for nothing for others to be done with a key."""
    return IndexUnavailable(
        f"{url}: somebody has held the lock of a key for {longest_s:.0f} s",
        url=url,
        remedy="try it again; if a process of this store hangs, end it",
    )
