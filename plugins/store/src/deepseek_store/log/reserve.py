"""Room kept back on a store's disk, so that a full one can still be cared for.

A file of zeros in the home. Deletes, collecting, opening and the index may have its room when there
is no other; objects may not, so they are refused until it is back.
"""

from __future__ import annotations

import os
import resource
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from deepseek_core import errors

FILE: Final = "reserve"
_LEAST_NBYTES: Final = 512 << 10
_MOST_NBYTES: Final = 16 << 20
_SHARE: Final = 64  # of the disk, one part of so many


class Reserve:
    """The kept room of one home; safe to use from several threads and processes.

    Nothing here fails: where no room can be had, `take` says so.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._lock = threading.Lock()
        self._nbytes: int | None = None

    @property
    def nbytes(self) -> int:
        """How much is kept: enough for a few transactions and records, whatever the disk."""
        if self._nbytes is None:
            self._nbytes = _wanted_nbytes(self._path.parent)
        return self._nbytes

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there."""
        try:
            return self._path.stat().st_size >= self.nbytes
        except OSError:
            return False

    def take(self) -> bool:
        """Keep the room back, if it is not; False if there is too little."""
        with self._lock:
            if self.is_whole:
                return True
            try:
                _allocate(self._path, self.nbytes)
            except OSError:
                self._remove()
                return False
            return True

    def release(self) -> bool:
        """Let whoever comes first have the room; False if there was none."""
        with self._lock:
            had_some = self._path.exists()
            self._remove()
            return had_some

    def require(self) -> None:
        """Make sure that objects do not take what is kept for care.

        Raises:
            TierFull: it is lent, and there is too little room to take it back.
        """
        if not self.take():
            raise errors.TierFull(
                f"{self._path.parent}: the disk is full but for what deletes and gc need",
                url=str(self._path.parent),
                remedy=f"delete objects and run `ds-sdk store gc {self._path.parent}`, or free"
                f" {self.nbytes >> 10} KiB and what you want to put on that disk",
            )

    def _remove(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _wanted_nbytes(home: Path) -> int:
    found = os.statvfs(home)
    nbytes = min(_MOST_NBYTES, found.f_blocks * found.f_frsize // _SHARE)
    largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if largest != resource.RLIM_INFINITY:
        nbytes = min(nbytes, largest)
    return max(_LEAST_NBYTES, nbytes)


def _allocate(path: Path, nbytes: int) -> None:
    # Under another name until it is whole, or others would count on it.
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, nbytes)
        finally:
            os.close(descriptor)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
