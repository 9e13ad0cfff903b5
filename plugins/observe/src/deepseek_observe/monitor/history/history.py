"""The past on disk: files of blocks, of a bounded size in all; the oldest file goes first."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import attrs

from deepseek_core import console, errors
from deepseek_observe.monitor.families import KEPT, Series
from deepseek_observe.monitor.history import block
from deepseek_observe.monitor.history.table import Recent, Table
from deepseek_observe.monitor.sample import Sample

LIMIT: Final = 64 << 20
"""Bytes of all files together, unless told otherwise."""
ROWS: Final = 60
_FILES: Final = 16  # that share the limit
_SUFFIX: Final = ".dsh"
_LOG = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class _Place:
    """Where a block lies, and the times that it is of."""

    file: Path
    start: int
    nbytes: int
    first_s: float
    last_s: float


class History:
    """The blocks of a folder, which one process writes.

    `_places` are in the order of writing. `_rows` are those that no block has yet. `fault` says
    why the last block could not be written; None: it was.

    Raises:
        ConfigError: another monitor writes there, or the folder can't be used.
    """

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        self.folder = folder
        self.fault: str | None = None
        self._limit = limit
        self._lock = threading.RLock()
        self._held = _hold(folder)
        self._dropped = 0
        self._last_s = float("-inf")
        self._places = [place for file in self._files() for place in self._scan(file)]
        self._cut_last()
        self._begin()

    @property
    def dropped(self) -> int:
        """How many damaged blocks were found, and left out."""
        return self._dropped

    def add(self, time_s: float, drawn: Mapping[Series, float]) -> None:
        """Keep a row; each `ROWS` rows become a block."""
        with self._lock:
            if self._count and time_s <= self._last_s:
                self.flush()  # a clock that was set: a block is of times that rise
            self._rows.add(time_s, {s: v for s, v in drawn.items() if s[0] in KEPT})
            self._count += 1
            self._last_s = time_s
            if self._count >= ROWS:
                self.flush()

    def take(self, sample: Sample) -> None:
        """Keep what is drawn of a sample."""
        self.add(sample.time_s, sample.drawn)

    def flush(self) -> None:
        """Write what is kept so far; where that fails, it is dropped and `fault` says why."""
        with self._lock:
            if not self._count:
                return
            data = block.packed(self._rows.table(float("-inf")))
            self._begin()
            try:
                self._append(data)
                self.fault = None
            except OSError as error:
                self.fault = f"{self.folder}: {error.strerror or error}"

    def tables(self, since_s: float, wanted: Collection[str]) -> Iterator[Table]:
        """Blocks with rows from that time on, in the order of time; of some families alone."""
        with self._lock:
            places = sorted(
                (place for place in self._places if place.last_s >= since_s),
                key=lambda place: place.first_s,
            )
            rest = self._rows.table(since_s)
        for place in places:
            found = self._read(place, wanted)
            if found is not None:
                yield found
        yield rest

    def close(self) -> None:
        """Write the rest and let another monitor have the folder."""
        self.flush()
        self._held.close()

    def _begin(self) -> None:
        self._rows, self._count = Recent(ROWS), 0
        self._last_s = float("-inf")

    def _files(self) -> list[Path]:
        return sorted(p for p in self.folder.glob(f"*{_SUFFIX}") if p.stem.isdecimal())

    def _scan(self, file: Path) -> Iterator[_Place]:
        """The blocks of a file by their heads; the first that is cut ends it."""
        try:
            with file.open("rb") as stream:
                size, start = os.fstat(stream.fileno()).st_size, 0
                while start + block.HEAD.size <= size:
                    stream.seek(start)
                    magic, nbytes, _crc, first_s, last_s = block.HEAD.unpack(
                        stream.read(block.HEAD.size)
                    )
                    end = start + block.HEAD.size + nbytes
                    if magic != block.MAGIC or nbytes > block.MOST_BYTES or end > size:
                        break
                    yield _Place(
                        file=file, start=start, nbytes=nbytes, first_s=first_s, last_s=last_s
                    )
                    start = end
                if start < size:
                    self._dropped += 1
                    _LOG.warning("%s: %d bytes at its end are no whole block", file, size - start)
        except OSError as error:
            _LOG.warning("%s is left out: %s", file, error)

    def _cut_last(self) -> None:
        """Cut what is torn off the file that is written on."""
        files = self._files()
        if files:
            ends = [
                p.start + block.HEAD.size + p.nbytes for p in self._places if p.file == files[-1]
            ]
            with suppress(OSError):
                os.truncate(files[-1], max(ends, default=0))

    def _read(self, place: _Place, wanted: Collection[str]) -> Table | None:
        try:
            with place.file.open("rb") as stream:
                stream.seek(place.start)
                head = block.HEAD.unpack(stream.read(block.HEAD.size))
                body = stream.read(place.nbytes)
            if zlib.crc32(body) != head[2]:
                raise ValueError("its checksum is another")
            return block.unpacked(body, wanted)
        except FileNotFoundError:
            return None  # the oldest, which made room a moment ago
        except (OSError, ValueError) as error:
            with self._lock:
                if place in self._places:
                    self._places.remove(place)
                    self._dropped += 1
            _LOG.warning("%s: a block at %d is left out: %s", place.file, place.start, error)
            return None

    def _append(self, data: bytes) -> None:
        files = self._files()
        file = files[-1] if files else self.folder / f"{1:08d}{_SUFFIX}"
        if files and file.stat().st_size + len(data) > self._limit // _FILES:
            file = self.folder / f"{int(file.stem) + 1:08d}{_SUFFIX}"
        with file.open("ab", buffering=0) as stream:
            start, left = stream.seek(0, os.SEEK_END), data
            try:
                while left:
                    left = left[stream.write(left) :]
            except OSError:
                stream.truncate(start)
                raise
        _magic, nbytes, _crc, first_s, last_s = block.HEAD.unpack_from(data)
        with self._lock:
            self._places.append(
                _Place(file=file, start=start, nbytes=nbytes, first_s=first_s, last_s=last_s)
            )
        self._make_room()

    def _make_room(self) -> None:
        files = self._files()
        sizes = {file: file.stat().st_size for file in files}
        while len(files) > 1 and sum(sizes.values()) > self._limit:
            oldest = files.pop(0)
            oldest.unlink(missing_ok=True)
            del sizes[oldest]
            with self._lock:
                self._places = [place for place in self._places if place.file != oldest]


def _hold(folder: Path) -> IO[str]:
    """A lock on the folder, for as long as the file is open."""
    problem = console.make_private(folder)
    if problem is not None:
        raise errors.ConfigError(
            f"no history can be kept in {folder}: {problem}",
            remedy="ds-sdk monitor --no-history (or --history with another folder)",
        )
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read(20).strip() or "?"
        file.close()
        raise errors.ConfigError(
            f"another monitor (process {console.printable(holder)}) keeps its history in {folder}",
            remedy="ds-sdk monitor --no-history (or --history with another folder)",
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
