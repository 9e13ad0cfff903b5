"""An object on its way into the log: its bytes are handed over piece by piece, then it appears."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from deepseek_core import errors
from deepseek_store.log.records import Buffer, Extent
from deepseek_store.write.buffers import bytes_of, steady
from deepseek_store.write.receipt import Receipt

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


# Of the pieces, or of all bytes where there are no pieces yet; how many bytes; what is expected.
Finish = Callable[[Sequence[Extent], Buffer, int, int | None], Receipt]


class Upload:
    """Nobody sees the object before `commit`; without it, its pieces are garbage for `gc`.

    For one thread at a time. As a context it ends itself, so pieces are never kept for long.
    `landed` is given the receipt before `commit` returns what it answers. `extents` are pieces that
    come first, of the object's generation `expect`; `join` takes short ones off their end, and puts
    their bytes before those that it is given.
    """

    def __init__(
        self,
        *,
        shard_nbytes: int,
        append: Callable[[Buffer, int], Sequence[Extent]],
        finish: Finish,
        release: Callable[[], None],
        landed: Callable[[Receipt], Receipt],
        extents: Sequence[Extent] = (),
        join: Callable[[list[Extent], Buffer], Buffer] | None = None,
        expect: int | None = None,
    ) -> None:
        self._cutter = Cutter(shard_nbytes)
        self._append, self._finish, self._release = append, finish, release
        self._landed = landed
        self._extents, self._join, self._expect = list(extents), join, expect
        self._kept = len(extents)  # shards of the object that this one is put behind
        # bytes that are in the log
        self._appended_nbytes = sum(extent.nbytes for extent in extents)
        self._ended = False  # committed or given up
        self._process = os.getpid()
        self.nbytes = self._appended_nbytes
        """Length of the object so far: what was handed over, behind what was there."""

    @property
    def foreign(self) -> bool:
        """Whether it is the business of the process that this one was forked from."""
        return self._process != os.getpid()

    def write(self, chunk: ReadableBuffer) -> None:
        """Hand over the next bytes, of any object that has some; they may be changed afterwards.

        Raises:
            NotBytes: it has no bytes.
            InputError: the upload has ended.
            TierFull, TierUnavailable: no space, or the disk does not answer; the upload has ended.
        """
        self._check_open()
        data = bytes_of(chunk)
        try:
            for piece in self._cutter.feed(data):
                self._add(piece)
        except BaseException:
            self.abort()  # how much of the chunk is in the log nobody knows
            raise
        self.nbytes = self._appended_nbytes + self._cutter.held_nbytes

    def commit(self, *, expect: int | None = None) -> Receipt:
        """Make the object appear; durable when it returns.

        `expect`: only if it has that generation now (0: if there is none).

        Raises:
            GenerationMismatch: it is not what was expected.
            TierFull, TierUnavailable: no space, or the disk does not answer; there is no object.
        """
        self._check_open()
        try:
            rest = self._joined(self._cutter.rest())
            if self._extents and rest:
                self._add(rest)
                rest = b""
            wanted = self._expect if expect is None else expect
            return self._landed(self._finish(self._extents, rest, self.nbytes, wanted))
        finally:
            self.abort()

    def abort(self) -> None:
        """Give it up, unless it was committed; idempotent."""
        if not self._ended:
            self._ended = True
            if not self.foreign:
                self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.abort()

    def _joined(self, rest: Buffer) -> Buffer:
        """What is left to write, with short pieces before it: many appends leave few pieces."""
        if self._join is None or not rest or len(self._extents) > self._kept:
            return rest
        rest = self._join(self._extents, rest)
        self._appended_nbytes = sum(extent.nbytes for extent in self._extents)
        return rest

    def _add(self, piece: Buffer) -> None:
        self._extents += self._append(piece, self._appended_nbytes)
        self._appended_nbytes += len(piece)

    def _check_open(self) -> None:
        if self._ended or self.foreign:
            raise errors.InputError("this upload has ended", remedy="begin another one")


class Cutter:
    """Cuts bytes that come in chunks into pieces of one length; views where that is possible."""

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._held = bytearray()

    @property
    def held_nbytes(self) -> int:
        """Bytes that do not fill a piece yet."""
        return len(self._held)

    def feed(self, chunk: bytes | memoryview) -> Iterator[Buffer]:
        """The pieces that are full now, of bytes that nobody can change any more."""
        view = memoryview(chunk)
        at = 0
        if self._held:
            at = min(self._nbytes - len(self._held), len(view))
            self._held += view[:at]
            if len(self._held) == self._nbytes:
                yield self.rest()
        while len(view) - at >= self._nbytes:
            yield steady(view[at : at + self._nbytes])
            at += self._nbytes
        self._held += view[at:]

    def rest(self) -> Buffer:
        """What is left, shorter than a piece."""
        held, self._held = self._held, bytearray()
        return held
