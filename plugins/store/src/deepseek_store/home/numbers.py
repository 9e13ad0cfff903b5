"""The highest numbers that a store has ever used, in a small file of its home.

The index counts, but an index may be lost or restored from an older copy. So what it gave out, and
what it said durably, is noted here too, before it is relied on: an index that knows less than this
file is an older one, and no number is given out twice.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import xxhash

from deepseek_store import from_os_error, handles
from deepseek_store.home.config import sync_folder

FILE: Final = "numbers"
_MAGIC: Final = b"DSnumber"
_SLOT: Final = struct.Struct("<8s5Q")
_HASH: Final = struct.Struct("<Q")
# Two sectors, written in turns: a write that is torn leaves the one before it.
_SLOT_NBYTES: Final = 512
_WAIT_S: Final = 30.0
_PAUSE_S: Final = 0.002


@attrs.frozen(kw_only=True)
class Marks:
    """The highest numbers: of segments, stripes and generations, and the index's last commit.

    `seq` is that of the last durable commit; a rebuilt index begins to count again.
    """

    segment: int = 0
    stripe: int = 0
    generation: int = 0
    seq: int = 0

    def __or__(self, other: Marks) -> Marks:
        """The higher of each."""
        return Marks(
            segment=max(self.segment, other.segment),
            stripe=max(self.stripe, other.stripe),
            generation=max(self.generation, other.generation),
            seq=max(self.seq, other.seq),
        )


class Numbers:
    """The file of one home; safe between threads and processes, and after a crash.

    Raises (all calls):
        TierUnavailable: the home can't be read or written.
        TierFull: there is no space to make the file.
    """

    def __init__(self, home: Path) -> None:
        self._home, self._path = home, home / FILE
        self._known = Marks()

    def read(self) -> Marks | None:
        """What was noted; None where there is no file, or none that can be read."""
        try:
            with handles.patiently(lambda: self._path.open("rb")) as file:
                found = _newest(file.read(2 * _SLOT_NBYTES))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error.typed(error, str(self._path), str(self._home)) from error
        return None if found is None else found[1]

    def raise_to(self, marks: Marks) -> None:
        """Note these where they are higher; durable when it returns."""
        if self._known | marks == self._known:
            return
        self._change(lambda found: found | marks)

    def begin_anew(self, marks: Marks) -> None:
        """Note these for a new index, whose commits are counted again."""
        self._change(lambda found: attrs.evolve(found | marks, seq=marks.seq))

    def _change(self, change: Callable[[Marks], Marks]) -> None:
        try:
            with self._locked() as file:
                turn, found = _newest(os.pread(file, 2 * _SLOT_NBYTES, 0)) or (0, Marks())
                wanted = change(found)
                if wanted != found or not turn:
                    offset = (turn + 1) % 2 * _SLOT_NBYTES
                    write_all(file, _packed(turn + 1, wanted), offset)
                    os.fdatasync(file)
                self._known = wanted
        except OSError as error:
            raise from_os_error.typed(error, str(self._path), str(self._home)) from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        file = self._opened()
        try:
            _wait_for(file)
            yield file
        finally:
            os.close(file)

    def _opened(self) -> int:
        try:
            return handles.open_file(self._path, os.O_RDWR)
        except FileNotFoundError:
            file = handles.open_file(self._path, os.O_RDWR | os.O_CREAT)
            # Its space is taken now: a full disk must not keep a store from freeing some.
            if os.fstat(file).st_size < 2 * _SLOT_NBYTES:
                write_all(file, bytes(_SLOT_NBYTES), _SLOT_NBYTES)
            os.fsync(file)
            sync_folder(self._home)
            return file


def write_all(file: int, data: bytes, offset: int) -> None:
    """Write all bytes at an offset, in as many calls as that takes."""
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], offset + done)


def _packed(turn: int, marks: Marks) -> bytes:
    body = _SLOT.pack(_MAGIC, turn, *attrs.astuple(marks))
    return body + _HASH.pack(xxhash.xxh3_64_intdigest(body))


def _newest(data: bytes) -> tuple[int, Marks] | None:
    """The turn and content of the slot that was written last and is whole."""
    found: list[tuple[int, Marks]] = []
    for start in (0, _SLOT_NBYTES):
        body = data[start : start + _SLOT.size]
        said = data[start + _SLOT.size : start + _SLOT.size + _HASH.size]
        if len(said) < _HASH.size or _HASH.pack(xxhash.xxh3_64_intdigest(body)) != said:
            continue
        magic, turn, segment, stripe, generation, seq = _SLOT.unpack(body)
        if magic == _MAGIC:
            marks = Marks(segment=segment, stripe=stripe, generation=generation, seq=seq)
            found.append((turn, marks))
    return max(found, key=lambda each: each[0], default=None)


def _wait_for(file: int) -> None:
    """Lock the file; whoever holds it writes one sector."""
    end_s = time.monotonic() + _WAIT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end_s:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
