"""Carries what lives in some segments of the log into others."""

from __future__ import annotations

import logging
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_store.errors import Corrupt
from deepseek_store.home.version_records import moved_record, record_back
from deepseek_store.index.rows import Version
from deepseek_store.log.copies import read_back
from deepseek_store.log.disk import Disk
from deepseek_store.log.records import Extent, Kind, Placed, Record, nbytes_of, unpack_extents
from deepseek_store.read.shard_reader import Reader
from deepseek_store.write.writer import Writer

_LOG: Final = logging.getLogger(__name__)
_BATCH_NBYTES: Final = 64 << 10  # small objects that wait for one flush of the disk together
_BATCH_RECORDS: Final = 64


class Carrier:
    """Writes versions again, as far as they lie in these segments, and reads back what it wrote.

    What they have elsewhere stays there, and what several share is written once. All that was
    carried is in the log, and right, after `flush`. `skip`: damaged ones stay where they are.
    """

    def __init__(
        self,
        segments: frozenset[int],
        *,
        reader: Reader,
        writer: Writer,
        disk: Disk,
        skip: bool = True,
        makes_room: bool = False,
    ) -> None:
        self._segments, self._skip, self._makes_room = segments, skip, makes_room
        self._reader, self._writer, self._disk = reader, writer, disk
        self._carried: dict[Extent, Extent] = {}  # old place -> new place
        self._batch: list[_Rewrite] = []  # records to be written next
        self._batch_nbytes = 0
        self._unread: list[Placed] = []  # written and not read back yet

    def carry(self, version: Version) -> None:
        """Write a version again, at the latest with `flush`.

        Raises:
            TierFull, TierUnavailable: it stays where it is, and maybe those since the last flush.
            Corrupt: so, for a disk does not return what was written; or it is damaged.
        """
        if version.deleted:
            self._add(_Rewrite(version, moved_record(version, Kind.DELETE, version.extents)))
            return
        before = unpack_extents(version.extents)
        if any(one.source in before for one in self._batch):
            self.flush()  # it shares bytes that are about to be written
        extents = [self._carried.get(extent, extent) for extent in before]
        here = [extent for extent in extents if extent.segment in self._segments]
        try:
            pieces = [
                self._reader.read(one) if one.segment in self._segments else one for one in extents
            ]
        except Corrupt as error:
            if not self._skip:
                raise
            _LOG.error("%r stays where it is: %s", version.key, error)
            return
        placed, record = self._writer.begin_rewrite(version, pieces, makes_room=self._makes_room)
        self._unread += placed
        self._carried.update(zip(here, (one.extent for one in placed), strict=False))
        self._add(_Rewrite(version, record, here[0] if here and not placed else None))

    def flush(self) -> None:
        """Write what waits; see `carry`."""
        batch, self._batch, self._batch_nbytes = self._batch, [], 0
        unread, self._unread = self._unread, []
        written = self._end([one.record for one in batch])
        try:
            read_back(self._disk, [*unread, *written])
        except errors.StorageError:
            # What they had before is there: nothing goes that a version names.
            self._end([back for one in batch if (back := one.back()) is not None])
            raise
        for one, placed in zip(batch, written, strict=True):
            if one.source is not None:
                self._carried[one.source] = placed.extent

    def _add(self, rewrite: _Rewrite) -> None:
        self._batch.append(rewrite)
        self._batch_nbytes += nbytes_of(rewrite.record.payload)
        if self._batch_nbytes >= _BATCH_NBYTES or len(self._batch) >= _BATCH_RECORDS:
            self.flush()

    def _end(self, records: list[Record]) -> list[Placed]:
        return self._writer.end_rewrites(records, makes_room=self._makes_room)


@attrs.frozen
class _Rewrite:
    """A version, the record that is to tell of it, and the extent whose bytes that has, if any."""

    version: Version
    record: Record
    source: Extent | None = None

    def back(self) -> Record | None:
        """The record by which the version lies again where it did; a delete lies nowhere."""
        return None if self.version.deleted else record_back(self.version)
