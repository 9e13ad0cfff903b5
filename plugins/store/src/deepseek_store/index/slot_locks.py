"""Numbered locks between the processes of one machine: bytes of a file."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK: Final = struct.Struct("hhqqi4x")


class SlotLocks:
    """Exclusive locks between open files; a crash lets go of them.

    Of open file descriptions, not of processes: two of these in one process exclude each other,
    and closing one keeps the other's. Threads that share one are not kept apart.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    @contextmanager
    def hold(self, slot: int) -> Iterator[None]:
        """Wait for a lock, and hold it in the block."""
        self._set(fcntl.F_WRLCK, slot)
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

    def _set(self, kind: int, slot: int) -> None:
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLKW, _FLOCK.pack(kind, os.SEEK_SET, slot, 1, 0))
