"""Space kept back on a store's disk, so that a full one can still be cared for.

A file of zeros in the home. Deletes, collecting, opening and the index may use it when there
is no other space; objects may not, so they are refused until it is back. It is lent in parts:
what else fills the disk gets the part that is free, never all of it. Deletes leave half of it to
what makes space.

Its size follows what is cared for in the home, within limits: a part of the log, for segments that
are half dead are rewritten; and twice the index, of which a delete of all objects writes each
page, and a rebuild too. What lies on tiers needs none. On a small disk the log's segments are
short, so that what lives in one has space in what deletes leave.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeVar

from deepseek_core import errors
from deepseek_store import handles
from deepseek_store.commands import command
from deepseek_store.index.opening import INDEX_FILE

T = TypeVar("T")

FILE: Final = "reserve"
_LEAST_NBYTES: Final = 512 << 10
_MOST_NBYTES: Final = 32 << 20  # of which what makes space can write most of a segment
_DISK_PART: Final = 32  # of the disk, at most one part of so many
_SEGMENT_DISK_PART: Final = 128
_LEAST_SEGMENT_NBYTES: Final = 64 << 10
_LOG_PART: Final = 8
_INDEXES: Final = 2
_PARTS: Final = 8
_PIECE_NBYTES: Final = 1 << 20

Purpose = Literal["objects", "deletes", "room"]
"""What a segment is for: objects leave the reserve whole, deletes half, what makes space little."""


class Reserve:
    """The kept space of one home; safe to use from several threads and processes.

    Nothing here fails: where no space can be had, `take` says so.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._lock = threading.Lock()
        self._log_nbytes = 0
        self.whole_nbytes = 0  # how much was there before any was lent
        self.is_lent = False  # by this process; to know it costs nothing

    @property
    def nbytes(self) -> int:
        """How much is to be kept for index and log as they are now."""
        return _wanted_nbytes(self._path.parent, self._log_nbytes)

    @property
    def kept_nbytes(self) -> int:
        """How much is there."""
        return _size(self._path)

    @property
    def free_nbytes(self) -> int:
        """What is free on the disk beside it; below 0 where it is not whole."""
        return free_nbytes(self._path.parent) - max(0, self.nbytes - self.kept_nbytes)

    @property
    def rewrite_nbytes(self) -> int:
        """How much may be rewritten at once: half of what is kept, and half of what is free.

        The other halves are for the index, and for those who write meanwhile.
        """
        return (self.kept_nbytes + free_nbytes(self._path.parent)) // 2

    def fit(self, log_nbytes: int) -> bool:
        """Keep back what a log of that size in the home needs, and no more; False if less is."""
        with self._lock:
            self._log_nbytes = log_nbytes
            wanted = self.nbytes
            if self.kept_nbytes > wanted:
                self._cut(wanted)
        is_whole = self.take()
        self.whole_nbytes = max(self.whole_nbytes, self.kept_nbytes)
        return is_whole

    def take(self, *, more_nbytes: int = 0) -> bool:
        """Keep the space back, if it is not; for a log that is to grow, too. False: it can't be."""
        with self._lock:
            self._log_nbytes += more_nbytes
            kept, wanted = self.kept_nbytes, self.nbytes
            if kept >= wanted:
                self.is_lent = False
                return True
            try:
                _allocate(self._path, wanted)
            except OSError:
                self._cut(kept)
                self._log_nbytes -= more_nbytes
                return False
            self.whole_nbytes = wanted
            self.is_lent = False
            return True

    def release(self, *, whole: bool = False, left_nbytes: int = 0) -> bool:
        """Let whoever comes first have a part of the space, or all; False if no more is left."""
        with self._lock:
            kept = self.kept_nbytes
            if kept <= left_nbytes:
                return False
            self.is_lent = True
            self._cut(0 if whole else max(left_nbytes, kept - self.nbytes // _PARTS))
            return True

    def lend(
        self, work: Callable[[], T], *, whole: bool = False, purpose: Purpose | None = None
    ) -> T:
        """Do some work; where the disk is full, again with a part of the space, while there is any.

        `whole`: with all of it at once, for work that would leave much behind at each attempt.
        `purpose`: with as much as a segment for that may have.

        Raises:
            TierFull: all of it was not enough.
        """
        while True:
            try:
                return work()
            except errors.TierFull:
                left_nbytes = 0 if purpose is None else self._left_nbytes(purpose)
                if not self.release(whole=whole, left_nbytes=left_nbytes):
                    raise

    def require(self, purpose: Purpose, *, log_nbytes: int) -> None:
        """Make sure that a segment of so many bytes leaves what is kept from its purpose.

        Raises:
            TierFull: too much is lent, and there is too little space to take it back.
        """
        # What may have a part does not try to take it back, for the index may need it just now.
        if purpose != "objects" and self.kept_nbytes >= self._left_nbytes(purpose):
            return
        if self.take(more_nbytes=log_nbytes if purpose == "objects" else 0):
            return
        home = self._path.parent
        needed = "deletes and gc need" if purpose == "objects" else "gc needs"
        gc = f"run `{command('gc', home)}`"
        room = f"free {self.nbytes >> 10} KiB and what you want to put on that disk"
        raise errors.TierFull(
            f"{home}: the disk is full but for what {needed}",
            url=str(home),
            remedy=f"delete objects and {gc}, or {room}"
            if purpose == "objects"
            else f"{gc}; if it frees too little, {room}",
        )

    def _left_nbytes(self, purpose: Purpose) -> int:
        """How much has to stay, of what it was if it could not grow as the index did.

        Half of it, or of what makes space an eighth: that is told to the index before it helps.
        """
        return max(self.whole_nbytes, _LEAST_NBYTES) // (_PARTS if purpose == "room" else 2)

    def _cut(self, nbytes: int) -> None:
        with suppress(OSError):
            if nbytes:
                os.truncate(self._path, nbytes)
            else:
                self._path.unlink(missing_ok=True)


def fitting_segment_nbytes(home: Path, most_nbytes: int) -> int:
    """How long segments of the log may be on the home's disk, and `most_nbytes` at most."""
    part = _disk_nbytes(home) // _SEGMENT_DISK_PART
    return min(most_nbytes, max(_LEAST_SEGMENT_NBYTES, part))


def free_nbytes(folder: Path) -> int:
    """Space left on a folder's file system."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _disk_nbytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize


def _wanted_nbytes(home: Path, log_nbytes: int) -> int:
    index = home / INDEX_FILE
    # What is in its journal has yet to get space in the index itself.
    index_nbytes = _INDEXES * _size(index) + _size(index.with_name(f"{index.name}-wal"))
    nbytes = min(log_nbytes // _LOG_PART, _disk_nbytes(home) // _DISK_PART) + index_nbytes
    largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if largest != resource.RLIM_INFINITY:
        nbytes = min(nbytes, largest)
    return min(_MOST_NBYTES, max(_LEAST_NBYTES, nbytes))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _allocate(path: Path, nbytes: int) -> None:
    # In place, from the front: its size says at any moment how much others may count on.
    descriptor = handles.open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, nbytes)
        else:  # macOS: zeros that are written take the room as well
            for start in range(os.fstat(descriptor).st_size, nbytes, _PIECE_NBYTES):
                os.pwrite(descriptor, bytes(min(_PIECE_NBYTES, nbytes - start)), start)
    finally:
        os.close(descriptor)
