"""Room kept back on a store's disk, so that a full one can still be cared for.

A file of zeros in the home. Deletes, collecting, opening and the index may have its room when there
is no other; objects may not, so they are refused until it is back. It is lent in parts: whoever
else fills the disk gets the part that is free, never all of it. Deletes leave half of it to what
makes room.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from deepseek_core import errors
from deepseek_store import handles
from deepseek_store.commands import command

T = TypeVar("T")

FILE: Final = "reserve"
_LEAST_NBYTES: Final = 1 << 20
_MOST_NBYTES: Final = 16 << 20
_SHARE: Final = 64  # of the disk, one part of so many
_PARTS: Final = 8


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
        return self._kept_nbytes() >= self.nbytes

    def take(self) -> bool:
        """Keep the room back, if it is not; False if there is too little."""
        with self._lock:
            kept = self._kept_nbytes()
            if kept >= self.nbytes:
                return True
            try:
                _allocate(self._path, self.nbytes)
            except OSError:
                self._cut(kept)
                return False
            return True

    def release(self, *, whole: bool = False) -> bool:
        """Let whoever comes first have a part of the room, or all; False if none is left."""
        with self._lock:
            kept = self._kept_nbytes()
            if kept:
                self._cut(0 if whole else max(0, kept - self.nbytes // _PARTS))
            return kept > 0

    def lend(self, work: Callable[[], T], *, whole: bool = False) -> T:
        """Do some work; where the disk is full, again with a part of the room, while there is any.

        `whole`: with all of it at once, for work that would leave much behind at each attempt.

        Raises:
            TierFull: all of it was not enough.
        """
        while True:
            try:
                return work()
            except errors.TierFull:
                if not self.release(whole=whole):
                    raise

    def require(self, *, for_delete: bool) -> None:
        """Make sure that objects do not take what is kept for care, nor deletes what gc needs.

        Raises:
            TierFull: too much is lent, and there is too little room to take it back.
        """
        if self.take() or (for_delete and 2 * self._kept_nbytes() >= self.nbytes):
            return
        home = self._path.parent
        needed = "gc needs" if for_delete else "deletes and gc need"
        gc = f"run `{command('gc', home)}`"
        room = f"free {self.nbytes >> 10} KiB and what you want to put on that disk"
        raise errors.TierFull(
            f"{home}: the disk is full but for what {needed}",
            url=str(home),
            remedy=gc if for_delete else f"delete objects and {gc}, or {room}",
        )

    def _kept_nbytes(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _cut(self, nbytes: int) -> None:
        with suppress(OSError):
            if nbytes:
                os.truncate(self._path, nbytes)
            else:
                self._path.unlink(missing_ok=True)


def _wanted_nbytes(home: Path) -> int:
    found = os.statvfs(home)
    nbytes = min(_MOST_NBYTES, found.f_blocks * found.f_frsize // _SHARE)
    largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if largest != resource.RLIM_INFINITY:
        nbytes = min(nbytes, largest)
    return max(_LEAST_NBYTES, nbytes)


def _allocate(path: Path, nbytes: int) -> None:
    # In place, from the front: its size says at any moment how much others may count on.
    descriptor = handles.open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        os.posix_fallocate(descriptor, 0, nbytes)
    finally:
        os.close(descriptor)
