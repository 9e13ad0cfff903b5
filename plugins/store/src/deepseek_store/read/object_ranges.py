"""Reads a range of an object: from the log where it lies there, else through cache and tiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deepseek_core import errors
from deepseek_store.index.rows import Version
from deepseek_store.log.records import EXTENT_NBYTES, Extent, unpack_extent, unpack_extents
from deepseek_store.planning.access_log import AccessLog
from deepseek_store.read.access_rates import AccessRates
from deepseek_store.read.read_ahead import ReadAhead
from deepseek_store.read.shard_reader import Reader


class ObjectRanges:
    """Reads versions of objects; safe to use from any number of threads.

    `rates` and `log` are told what was asked for. `read_ahead` gives what fetches ahead of readers,
    or None; it is asked for the first time when a shard does not lie in the log.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        rates: AccessRates,
        log: AccessLog,
        read_ahead: Callable[[], ReadAhead | None],
    ) -> None:
        self._reader, self._rates, self._log = reader, rates, log
        self._read_ahead = read_ahead

    def read(self, version: Version, start: int, stop: int) -> memoryview:
        """A range of a version, verified; `stop` may be beyond its end.

        Raises:
            InputError: a range that begins before the object, or ends before it begins.
            SegmentGone: it moved meanwhile: look it up again.
        """
        if start < 0 or stop < start:
            raise errors.InputError(
                f"bytes {start} to {stop} are no range",
                remedy="count from 0, stop not before start",
            )
        self._rates.note(version.key)
        packed = version.extents
        if len(packed) == EXTENT_NBYTES:
            data = self._reader.local(unpack_extent(packed))
            if data is not None:
                whole = memoryview(data)
                return whole if start == 0 and stop >= len(data) else whole[start:stop]
        elif not packed:
            return memoryview(b"")
        return self._read_pieces(version, start, min(stop, version.nbytes))

    def _read_pieces(self, version: Version, start: int, stop: int) -> memoryview:
        extents, first, skip = overlapping(unpack_extents(version.extents), start, stop)
        if not extents:
            return memoryview(b"")
        if not all(map(self._reader.is_local, extents)):
            self._note_distant(version, extents, first, (start, stop))
        pieces = self._reader.read_all(extents)
        joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return memoryview(joined)[skip : skip + stop - start]

    def _note_distant(
        self, version: Version, extents: Sequence[Extent], first: int, span: tuple[int, int]
    ) -> None:
        self._log.add(version.key, span[0], span[1] - span[0])
        ahead = self._read_ahead()
        if ahead is not None:
            near = [
                (first + i, extent, self._reader.is_near(extent))
                for i, extent in enumerate(extents)
            ]
            ahead.note(version.key, near, len(version.extents) // EXTENT_NBYTES)


def overlapping(extents: Sequence[Extent], start: int, stop: int) -> tuple[list[Extent], int, int]:
    """The pieces that hold a range, the first one's position, and where in it the range begins."""
    found: list[Extent] = []
    first = skip = at = 0
    for position, extent in enumerate(extents):
        end = at + extent.nbytes
        if end > start and at < stop:
            if not found:
                first, skip = position, start - at
            found.append(extent)
        at = end
    return found, first, skip
