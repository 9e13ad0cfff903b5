"""The footers of all segments, to be compared with an index."""

from __future__ import annotations

from collections.abc import Iterator

from deepseek_core import errors
from deepseek_store.index.rows import SegmentRow, Version
from deepseek_store.log.records import Extent, Kind
from deepseek_store.parts import Parts


class FooterTables:
    """The footers of all segments, read once each."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pieces: dict[int, set[Extent]] = {}
        self._records: dict[int, set[tuple[int, str, int, int]]] = {}
        self.unread: dict[int, str] = {}
        # Generation, writer, and whether it is an object: else it is deleted.
        self._newest: dict[str, tuple[int, int, bool]] = {}
        for row in list(parts.state.segments.values()):
            self._read(row)

    def _read(self, row: SegmentRow) -> None:
        try:
            placed = list(self._parts.tables.placed(row))
        except errors.StorageError as error:
            # One that its writer began, and gave up before anything in it counted, had a row if
            # another process was opened meanwhile; the next opening drops that.
            is_empty = row.state == "active" and not row.applied
            if not (is_empty and isinstance(error, errors.ObjectMissing)):
                self.unread[row.id] = error.message
            return
        self._pieces[row.id] = {one.extent for one in placed}
        self._records[row.id] = {
            (one.offset, one.record.key, one.record.generation, one.record.writer) for one in placed
        }
        for one in placed:
            record = one.record
            if record.kind in (Kind.PUT, Kind.DELETE):
                order = (record.generation, record.writer, record.kind is Kind.PUT)
                self._newest[record.key] = max(self._newest.get(record.key, order), order)

    def has(self, extent: Extent) -> bool:
        """Whether there is such a piece, as far as its segment can be read."""
        return extent.segment in self.unread or extent in self._pieces.get(extent.segment, ())

    def has_record(self, version: Version) -> bool:
        """Whether its record is where the index says, as far as that segment can be read."""
        wanted = (version.offset, version.key, version.generation, version.writer)
        known = self._records.get(version.segment, ())
        return version.segment in self.unread or wanted in known

    def newer(self) -> Iterator[tuple[str, int]]:
        """Keys of which a segment has a later generation than the index knows, and which."""
        current = self._parts.state.catalog.current
        for key, (generation, writer, exists) in sorted(self._newest.items()):
            known = current(key)
            # Who is deleted and forgotten was deleted all the same.
            if exists if known is None else known.order < (generation, writer):
                yield key, generation
