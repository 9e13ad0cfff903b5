"""What is done with a log when it is opened: torn tails are cut, dead writers' segments sealed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

import attrs

from deepseek_core import errors
from deepseek_store.log.copies import Span, patched
from deepseek_store.log.disk import Disk
from deepseek_store.log.file_copies import (
    copy_file,
    differ,
    ends_of,
    ends_there,
    is_copy,
    set_aside,
)
from deepseek_store.log.records import Placed
from deepseek_store.log.scan import DamagedRange, Scan, scan
from deepseek_store.log.segment import (
    HEADER_NBYTES,
    TRAILER_NBYTES,
    SegmentHeader,
    SegmentInfo,
    SegmentLayout,
    active_name,
    check_store_id,
    parse_footer,
    parse_name,
    parse_segment_header,
    read_footer,
    sealed_name,
    writer_of_new,
)

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Recovered:
    """A log as it is after recovery.

    The `nbytes` of a segment that a live writer has open include space that is not written yet.
    `faults` are damaged places by segment; `truncated` how many bytes of a torn tail were dropped;
    `placed` reads the records of a segment (their payloads only where they are manifests). `open`
    are those that have ended, and that a look without changes has left as they were. `present` are
    all that had a file, those that need no look too; of `removed` nothing counted, and it went.
    """

    segments: tuple[SegmentInfo, ...]
    faults: Mapping[int, tuple[DamagedRange, ...]]
    truncated: Mapping[int, int]
    open: Collection[int] = ()
    present: Collection[int] = ()
    removed: Collection[int] = ()
    _found: Mapping[int, list[Placed]]
    _disk: Disk

    def placed(self, segment: int) -> list[Placed]:
        """The records of a segment that count, in order.

        Raises:
            Corrupt: its footer is damaged, and so is the segment.
        """
        found = self._found.get(segment)
        return read_placed(self._disk, segment) if found is None else found


def recover(
    disk: Disk,
    *,
    store_id: bytes,
    writer_alive: Callable[[int], bool],
    known: Collection[int] = (),
    synced: Mapping[int, int] | None = None,
    look_only: bool = False,
) -> Recovered:
    """Bring a log into order after whatever happened.

    Segments that dead writers left open lose their torn tail and are sealed. `writer_alive` must
    say no to the caller's own number: what was left under it is nobody's now. Only one process may
    do this at a time. `known` are sealed segments that need no look, `synced` how far an index had
    got in the others: damage before that is corruption even at the end of a file.

    Raises:
        ForeignStore: a segment is of another store, or of a later format.
        TierUnavailable, TierFull: the disk does not do what it should.
    """
    kind = _Look if look_only else _Recovery
    work = kind(disk, check_store_id(store_id), writer_alive, synced or {})
    present = work.find()
    for segment, is_sealed in present:
        try:
            if not is_sealed:
                if segment not in known or disk.lacks_nothing():
                    work.take_active(segment)
            elif segment not in known or work.is_lacking(segment):
                work.take_sealed(segment)
        except errors.ObjectMissing:
            if work.is_there(segment):
                raise
            _log.info("segment %016x was collected meanwhile", segment)
    work.end()
    return Recovered(
        segments=tuple(work.segments),
        faults=work.faults,
        truncated=work.truncated,
        open=work.open,
        present=[segment for segment, _ in present],
        removed=work.removed,
        found=work.found,
        disk=disk,
    )


def read_placed(disk: Disk, segment: int) -> list[Placed]:
    """The records of a segment that count: from its footer, or by reading all of it.

    Raises:
        Corrupt: neither is possible.
    """
    name = sealed_name(segment)
    try:
        nbytes = disk.size(name)
    except errors.ObjectMissing:
        name = active_name(segment)
        nbytes = disk.size(name)
    footer = read_footer(disk.read_at(name, max(0, nbytes - TRAILER_NBYTES), nbytes), nbytes)
    if footer is not None:
        try:
            return parse_footer(disk.read_at(name, footer.offset, footer.nbytes))
        except errors.StorageError as error:
            _log.warning("segment %016x: %s", segment, error)
    return _bare(scan(disk.read_at(name, 0, nbytes), segment=segment).placed)


class _Recovery:
    """One pass over the segments of a disk, and over its replicas where it has some."""

    def __init__(
        self,
        disk: Disk,
        store_id: bytes,
        writer_alive: Callable[[int], bool],
        synced: Mapping[int, int],
    ) -> None:
        self._disk, self._store_id = disk, store_id
        self._writer_alive, self._synced = writer_alive, synced
        self._names: dict[str, frozenset[str]] = {}  # URL of a disk -> names of its files
        self.segments: list[SegmentInfo] = []  # what was found, sealed ones and open ones
        # segment -> damaged ranges before its last good mark
        self.faults: dict[int, tuple[DamagedRange, ...]] = {}
        # segment -> bytes of an incomplete write that were cut off
        self.truncated: dict[int, int] = {}
        self.open: set[int] = set()  # segments of writers that are alive
        self.removed: set[int] = set()  # segments without a record
        self.found: dict[int, list[Placed]] = {}  # segment -> its records

    def find(self) -> list[tuple[int, bool]]:
        """All segments, and whether one of the replicas has it sealed; new files of the dead go."""
        found: dict[int, bool] = {}
        for name in self._disk.list():
            writer = writer_of_new(name)
            if is_copy(name) or (writer is not None and not self._writer_alive(writer)):
                self._remove(self._disk, name)
            parsed = parse_name(name)
            if parsed is not None:
                found[parsed[0]] = found.get(parsed[0], False) or parsed[1]
        for disk in self._disk.replicas():
            names = set(disk.list())
            for segment in _twice(names):
                names.discard(self._leave_one(disk, segment))
            self._names[disk.url] = frozenset(names)
        return [(number, self._is_sealed(number)) for number in sorted(found)]

    def end(self) -> None:
        """Make the names durable."""
        self._disk.sync_dir()

    def is_lacking(self, segment: int) -> bool:
        """Whether a replica lacks a segment that another has sealed."""
        name = sealed_name(segment)
        return any(name not in self._names[one.url] for one in self._disk.replicas())

    def is_there(self, segment: int) -> bool:
        """Whether a replica has it now: who has the log open may collect meanwhile."""
        names = {active_name(segment), sealed_name(segment)}
        return any(names.intersection(one.list()) for one in self._disk.replicas())

    def _is_sealed(self, segment: int) -> bool:
        name = sealed_name(segment)
        return any(name in names for names in self._names.values())

    def _leave_one(self, disk: Disk, segment: int) -> str:
        """Remove one name of a file that a crash has left under both; return the removed name."""
        sealed, active = sealed_name(segment), active_name(segment)
        if not disk.size(sealed):  # it only held the name
            self._remove(disk, sealed)
            return sealed
        there, other = ends_there(disk, sealed), ends_there(disk, active)
        if there is not None and other is not None and differ(there, other):
            self._set_aside(disk, active)
        else:
            self._remove(disk, active)
        return active

    def _set_aside(self, disk: Disk, name: str) -> None:
        set_aside(disk, name)

    def _remove(self, disk: Disk, name: str) -> None:
        disk.remove(name)

    def take_sealed(self, segment: int) -> None:
        """List it; make it whole on replicas that do not have it so."""
        name = sealed_name(segment)
        source = self._whole_one(segment)
        self._spread(segment, source)
        nbytes = source.size(name)
        header = parse_segment_header(
            source.read_at(name, 0, HEADER_NBYTES), store_id=self._store_id, segment=segment
        )
        footer = read_footer(source.read_at(name, max(0, nbytes - TRAILER_NBYTES), nbytes), nbytes)
        if header is None or footer is None:
            self._take_damaged(segment, source.read_at(name, 0, nbytes))
            return
        self.segments.append(
            SegmentInfo(
                id=segment,
                writer=header.writer,
                nbytes=nbytes,
                sealed=True,
                created_s=header.created_s,
                min_generation=footer.min_generation,
            )
        )

    def _whole_one(self, segment: int) -> Disk:
        """The replica whose file has a header and a footer; the first, if none has."""
        name = sealed_name(segment)
        having = [one for one in self._disk.replicas() if name in self._names[one.url]]
        if len(having) == 1:
            return having[0]
        whole = [one for one in having if ends_of(one, name) is not None]
        # One that was sealed where its disk had left is shorter.
        return max(whole, key=lambda one: one.size(name), default=having[0])

    def take_active(self, segment: int) -> None:
        """List it if its writer lives; else end it where its last good mark is."""
        name = active_name(segment)
        found: list[tuple[Scan, bytes, Disk]] = []
        for disk in self._disk.replicas():
            try:
                data = disk.read_at(name, 0, disk.size(name))
            except errors.ObjectMissing:
                continue
            header = parse_segment_header(data, store_id=self._store_id, segment=segment)
            if header is not None and self._writer_alive(header.writer):
                self._list_live(header, len(data))
                return
            found.append((self._scan(segment, data), data, disk))
        if found and not self._is_behind(segment, [data for _, data, _ in found]):
            # Every acknowledged group is on all replicas: who has most has all of them.
            best = max(found, key=lambda one: (one[0].end, -len(one[0].faults)))
            self._end(segment, *self._patched(segment, best, [data for _, data, _ in found]))

    def _is_behind(self, segment: int, copies: Sequence[bytes]) -> bool:
        """Whether the index has more of it than any disk here, and one is away that may have it."""
        synced = self._synced.get(segment, 0)
        if not synced or self._disk.lacks_nothing():
            return False
        ends = (scan(each, segment=segment, store_id=self._store_id).end for each in copies)
        return max(ends) < synced

    def _patched(
        self, segment: int, best: tuple[Scan, bytes, Disk], copies: list[bytes]
    ) -> tuple[Scan, bytes, Disk]:
        """A copy whose damaged places are as another copy has them, where that is right."""
        scanned, data, disk = best

        def damaged(data: bytes) -> list[Span]:
            found = self._scan(segment, data)
            spans = [(fault.offset, fault.offset + fault.nbytes) for fault in found.faults]
            return [*spans, (found.end, scanned.end)] if found.end < scanned.end else spans

        if not scanned.faults or len(copies) < 2:
            return best
        data = patched(data, copies, damaged)
        for start, stop in ((f.offset, f.offset + f.nbytes) for f in scanned.faults):
            if data[start:stop] != best[1][start:stop]:
                disk.write_at(active_name(segment), start, [data[start:stop]])
        return self._scan(segment, data), data, disk

    def _scan(self, segment: int, data: bytes) -> Scan:
        synced = self._synced.get(segment, 0)
        return scan(data, segment=segment, store_id=self._store_id, synced=synced)

    def _list_live(self, header: SegmentHeader, nbytes: int) -> None:
        layout = SegmentLayout(header)
        self.segments.append(layout.info(nbytes, sealed=False))

    def _end(self, segment: int, scanned: Scan, data: bytes, disk: Disk) -> None:
        """Cut the torn tail, seal, and give the replicas the same."""
        name = active_name(segment)
        if scanned.torn_nbytes:
            self.truncated[segment] = scanned.torn_nbytes
        if scanned.faults:
            self.faults[segment] = scanned.faults
        if not scanned.placed and not scanned.faults:
            self._disk.remove(name)
            self.removed.add(segment)
            return
        nbytes = scanned.end
        layout = SegmentLayout(scanned.header or self._unknown_header(segment, scanned.placed))
        layout.adopt(scanned.placed, data, scanned.end)
        if data[:HEADER_NBYTES] != layout.header.to_bytes():
            # Before the footer: a sealed segment without its header would be a damaged one.
            disk.write_at(name, 0, [layout.header.to_bytes()])
            disk.sync(name)
        disk.truncate(name, scanned.end)
        if not scanned.sealed:
            footer = layout.footer()
            disk.write_at(name, scanned.end, [footer])
            nbytes += len(footer)
        disk.sync(name)
        disk.rename(name, sealed_name(segment))
        disk.sync_dir()
        self._spread(segment, disk)
        self.segments.append(layout.info(nbytes, sealed=True))
        self.found[segment] = _bare(scanned.placed)

    def _unknown_header(self, segment: int, placed: list[Placed]) -> SegmentHeader:
        """For a segment whose own header is damaged; its records say who wrote it."""
        first = placed[0].record if placed else None
        return SegmentHeader(
            store_id=self._store_id,
            segment=segment,
            writer=first.writer if first else 0,
            created_s=first.created_s if first else 0.0,
        )

    def _take_damaged(self, segment: int, data: bytes) -> None:
        """A sealed segment without a header or a trailer: what can be read of it."""
        scanned = self._scan(segment, data)
        self.faults[segment] = scanned.faults or (
            DamagedRange(offset=scanned.end, nbytes=len(data) - scanned.end, reason="no footer"),
        )
        layout = SegmentLayout(scanned.header or self._unknown_header(segment, scanned.placed))
        layout.adopt(scanned.placed, data, scanned.end)
        self.segments.append(layout.info(len(data), sealed=True))
        self.found[segment] = _bare(scanned.placed)

    def _spread(self, segment: int, source: Disk) -> None:
        """Replicas that lack the sealed file, or have another length, get it; open ones go."""
        replicas = self._disk.replicas()
        if len(replicas) == 1:
            return
        name = sealed_name(segment)
        nbytes = source.size(name)
        for disk in replicas:
            has_it = name in self._names[disk.url]
            disk.remove(active_name(segment))
            if disk is source or (has_it and disk.size(name) == nbytes):
                continue
            if has_it and self._scan(segment, source.read_at(name, 0, nbytes)).faults:
                continue  # both are damaged: repair puts them together
            copy_file(source, disk, name)


class _Look(_Recovery):
    """The same without a change, for one who may only read."""

    def end(self) -> None:
        """There is nothing to make durable."""

    def _remove(self, disk: Disk, name: str) -> None:
        return None

    def _set_aside(self, disk: Disk, name: str) -> None:
        return None

    def _spread(self, segment: int, source: Disk) -> None:
        return None

    def _end(self, segment: int, scanned: Scan, data: bytes, disk: Disk) -> None:
        if scanned.faults:
            self.faults[segment] = scanned.faults
        if not scanned.placed:
            return
        layout = SegmentLayout(scanned.header or self._unknown_header(segment, scanned.placed))
        layout.adopt(scanned.placed, data, scanned.end)
        self.segments.append(layout.info(scanned.end, sealed=True))
        self.found[segment] = _bare(scanned.placed)
        self.open.add(segment)


def _twice(names: Collection[str]) -> list[int]:
    """Segments that have a file under both names."""
    parsed = [found for name in names if (found := parse_name(name)) is not None]
    sealed = {segment for segment, is_sealed in parsed if is_sealed}
    return [segment for segment, is_sealed in parsed if not is_sealed and segment in sealed]


def _bare(placed: list[Placed]) -> list[Placed]:
    """Without the payloads, but for manifests: what a footer would say."""
    bare = []
    for one in placed:
        payload = bytes(one.record.payload) if one.record.manifest else b""
        bare.append(one._replace(record=attrs.evolve(one.record, payload=payload)))
    return bare
