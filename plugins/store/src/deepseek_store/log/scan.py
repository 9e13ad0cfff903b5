"""What a segment's bytes say: committed records, where the good part ends, and what is damaged.

A group counts when its mark is whole and fits it. The last group of a file that was being written
may be torn: it was never acknowledged, and is dropped. But marks are written one after the other,
each when the group before it is on disk: so damage in front of a good mark is corruption. It is
reported, and everything around it still counts.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_store.log import records as rec
from deepseek_store.log.records import Buffer, Header, Kind, Placed
from deepseek_store.log.segment import (
    HEADER_NBYTES,
    TRAILER_NBYTES,
    SegmentHeader,
    footer_header,
    parse_segment_header,
    read_footer,
)

_CHUNK: Final = 1 << 20


@attrs.frozen(kw_only=True, slots=True)
class DamagedRange:
    """Bytes that were written and synced once, and are not what was written."""

    offset: int
    nbytes: int
    reason: str


@attrs.frozen(kw_only=True, slots=True)
class Scan:
    """What the bytes of one segment say.

    `placed` are the records that count, in order; their payloads are views of the scanned bytes.
    `end` is the first byte after the last mark that counts (after the trailer, if `sealed`).
    `torn_nbytes` of a group that was never acknowledged follow it, zeros behind them left out.
    """

    header: SegmentHeader | None
    placed: list[Placed]
    end: int
    torn_nbytes: int
    faults: tuple[DamagedRange, ...]
    sealed: bool


def scan(
    data: Buffer | mmap.mmap,
    *,
    segment: int,
    store_id: bytes | None = None,
    start: int = HEADER_NBYTES,
    verify_payload: bool = True,
    synced: int = 0,
) -> Scan:
    """Read a segment's bytes (all of them, from its very begin).

    `start`: begin where a group, or the last record of one, ends. Without `verify_payload` only
    headers are read; then the last group of a file that was being written can't be trusted.
    `synced`: damage before this offset is corruption, whatever follows it (an index knows how far
    it had got).

    Raises:
        ForeignStore: of another store or a later format.
    """
    view = memoryview(data)
    header, fault = _header_of(view, segment, store_id)
    owner = header.store_id if header is not None else store_id
    if owner is None:
        return _nothing(view, fault)
    scanner = _Scanner(view, segment=segment, salt=rec.salt_of(owner, segment))
    scanner.verify_payload = verify_payload
    scanner.run(start)
    scanner.settle(synced)
    if scanner.placed or scanner.faults or scanner.sealed:
        # Zeros in an open segment: it was never synced, the header no more than the group after it.
        wrong = fault and (scanner.sealed or any(view[:HEADER_NBYTES]))
        scanner.faults[:0] = [fault] if wrong and fault else []
    elif header is None:
        return _nothing(view, None)
    return Scan(
        header=header,
        placed=scanner.placed,
        end=scanner.end,
        torn_nbytes=0 if scanner.sealed else _used_nbytes(view, scanner.end),
        faults=tuple(scanner.faults),
        sealed=scanner.sealed,
    )


@attrs.define
class _Group:
    """Records up to a mark, with what is wrong among them; `gaps` are bytes that are no record."""

    start: int
    placed: list[Placed] = attrs.field(factory=list)
    fronts: list[bytes] = attrs.field(factory=list)
    bad: set[int] = attrs.field(factory=set)
    gaps: list[tuple[int, int]] = attrs.field(factory=list)
    end: int = 0


class _Scanner:
    """One pass over a segment; damaged groups wait until a later mark shows that they counted."""

    def __init__(self, view: memoryview, *, segment: int, salt: int) -> None:
        self._view, self._segment, self._salt = view, segment, salt
        self.verify_payload = True
        self.placed: list[Placed] = []  # records of groups that count
        self.faults: list[DamagedRange] = []
        self.end = HEADER_NBYTES  # the first byte after the last good mark
        self.sealed = False  # whether the footer was met
        self._waiting: list[_Group] = []  # damaged groups: they count if a later mark is good
        self._start = HEADER_NBYTES
        self._group = _Group(start=HEADER_NBYTES)  # the records since the last mark

    def run(self, start: int) -> None:
        """Read all records from `start`."""
        self._start = self.end = at = start
        self._group = _Group(start=start)
        while not self.sealed:
            header = self._record_at(at)
            if header is None:
                found = self._resynchronize(at)
                if found is None:
                    break
                self._group.gaps.append((at, found))
                at = found
                continue
            self._take(header, at)
            at += header.nbytes

    def settle(self, synced: int) -> None:
        """Groups before `synced` did count, though no good mark follows them."""
        if synced <= self.end or self.sealed:
            return
        self._group.end = synced
        self._group.placed = [one for one in self._group.placed if one.end <= synced]
        last = self._group.placed[-1].end if self._group.placed else self._group.start
        if last < synced and not self._group.gaps:
            self._group.gaps.append((last, synced))
        for group in (*self._waiting, self._group):
            if group.start < synced:
                self._salvage(group)
                self.end = max(self.end, min(group.end, len(self._view)))
        self._waiting = []

    def _record_at(self, at: int) -> Header | None:
        header = rec.verified_header(self._view, at, salt=self._salt, offset=at)
        return header if header and at + header.nbytes <= len(self._view) else None

    def _resynchronize(self, at: int) -> int | None:
        """Where the next record begins, after bytes that are none."""
        for found in _aligned_finds(self._view, rec.MAGIC, at + 8):
            if self._record_at(found) is not None:
                return found
        return None

    def _take(self, header: Header, at: int) -> None:
        if header.kind is Kind.GROUP:
            self._close_group(header, at)
        elif header.kind is Kind.FOOTER:
            self._seal(header, at)
        else:
            self._add(header, at)

    def _add(self, header: Header, at: int) -> None:
        payload_at = at + header.front_nbytes
        payload = self._view[payload_at : payload_at + header.payload_nbytes]
        front = bytes(self._view[at:payload_at])
        record = rec.record_of(header, front[rec.HEADER_NBYTES :], payload)
        group = self._group
        group.placed.append(rec.placed_of(header, record, segment=self._segment, offset=at))
        group.fronts.append(front)
        if self.verify_payload and rec.hash_of(payload) != header.payload_xxh3:
            group.bad.add(at)

    def _close_group(self, mark: Header, at: int) -> None:
        """Split off what is not this mark's, then see whether its own records are all there."""
        start = at - mark.object_nbytes
        if at == self._start:  # the scan began right in front of it: it tells of what is known
            self.end = at + mark.nbytes
            self._group = _Group(start=self.end)
            return
        before, group = _split(self._group, start)
        if before is not None:
            self._waiting.append(before)
        group.end = at + mark.nbytes
        whole = (
            start == group.start
            and len(group.placed) == mark.object_offset
            and not group.gaps
            and rec.chain_of(group.fronts, start) == mark.payload_xxh3
        )
        if whole and not group.bad:
            self._confirm()
            self.placed += group.placed
            self.end = group.end
        else:
            self._waiting.append(group)
        self._group = _Group(start=at + mark.nbytes)

    def _seal(self, header: Header, at: int) -> None:
        end = at + header.nbytes + TRAILER_NBYTES
        footer = read_footer(self._view[at:end], end)
        payload_at = at + header.front_nbytes
        payload = self._view[payload_at : payload_at + header.payload_nbytes]
        if footer is None or footer.offset != at or rec.hash_of(payload) != header.payload_xxh3:
            self._group.gaps.append((at, at + header.nbytes))
            return
        if self._group.placed or self._group.gaps:
            self._group.end = at
            self._waiting.append(self._group)
        self._confirm()
        self.sealed, self.end = True, end

    def _confirm(self) -> None:
        for group in self._waiting:
            self._salvage(group)
        self._waiting = []

    def _salvage(self, group: _Group) -> None:
        """Keep what is good of a group that counted and is damaged."""
        for offset, end in group.gaps:
            self.faults.append(DamagedRange(offset=offset, nbytes=end - offset, reason="no record"))
        for placed, hurt in _with_batches(group):
            if placed.offset in group.bad:
                reason = f"the payload of {placed.record.key[:80]!r} has another hash"
                fault = DamagedRange(offset=placed.offset, nbytes=placed.nbytes, reason=reason)
                self.faults.append(fault)
            elif hurt and placed.record.kind is Kind.DELETE:
                # What it was to give way to may be what is damaged: better too much than too little
                reason = f"delete of {placed.record.key[:80]!r} withheld: its batch is damaged"
                fault = DamagedRange(offset=placed.offset, nbytes=placed.nbytes, reason=reason)
                self.faults.append(fault)
            else:
                self.placed.append(placed)
        if not group.gaps and not group.bad:
            reason = "the mark of a group does not fit it"
            nbytes = group.end - group.start
            self.faults.append(DamagedRange(offset=group.start, nbytes=nbytes, reason=reason))


def _split(group: _Group, start: int) -> tuple[_Group | None, _Group]:
    """What lies before the begin of a mark's group, and the group itself."""
    if start <= group.start:
        return None, group
    first = next((i for i, one in enumerate(group.placed) if one.offset >= start), None)
    cut = len(group.placed) if first is None else first
    before = _Group(
        start=group.start,
        placed=group.placed[:cut],
        fronts=group.fronts[:cut],
        bad={offset for offset in group.bad if offset < start},
        gaps=[(low, min(high, start)) for low, high in group.gaps if low < start],
        end=start,
    )
    after = _Group(
        start=start,
        placed=group.placed[cut:],
        fronts=group.fronts[cut:],
        bad=group.bad - before.bad,
        gaps=[(max(low, start), high) for low, high in group.gaps if high > start],
    )
    return before, after


def _with_batches(group: _Group) -> Iterator[tuple[Placed, bool]]:
    """Each record, and whether something of the batch that it was appended with is damaged."""
    batch: list[Placed] = []
    hurt = False
    gaps = iter([*group.gaps, (group.end, group.end)])
    gap = next(gaps)
    for placed in group.placed:
        crossed = gap[0] < placed.offset
        while gap[0] < placed.offset:
            gap = next(gaps)
        # After a gap nobody knows what batch goes on, up to the next begin of one.
        if placed.batch_start:
            yield from ((one, hurt or crossed) for one in batch)
            batch, hurt = [], False
        else:
            hurt = hurt or crossed
        hurt = hurt or placed.offset in group.bad
        batch.append(placed)
    hurt = hurt or gap[0] < group.end
    yield from ((one, hurt) for one in batch)


def _header_of(
    view: memoryview, segment: int, store_id: bytes | None
) -> tuple[SegmentHeader | None, DamagedRange | None]:
    """The segment's header; from its footer, if its begin is damaged."""
    header = parse_segment_header(view, store_id=store_id, segment=segment)
    if header is not None:
        return header, None
    fault = DamagedRange(offset=0, nbytes=HEADER_NBYTES, reason="no segment header")
    return _from_footer(view, segment), fault


def _from_footer(view: memoryview, segment: int) -> SegmentHeader | None:
    footer = read_footer(view[-TRAILER_NBYTES:], len(view))
    if footer is None:
        return None
    head = rec.parse_header(view, footer.offset)
    if head is None or head.kind is not Kind.FOOTER:
        return None
    try:
        header = footer_header(view[footer.offset :])
    except errors.StorageError:  # a damaged footer has no header to offer
        return None
    return header if header.segment == segment else None


def _nothing(view: memoryview, fault: DamagedRange | None) -> Scan:
    """Not one byte of it can be told."""
    used = _used_nbytes(view, 0)
    faults = (fault,) if fault and used else ()
    return Scan(header=None, placed=[], end=0, torn_nbytes=used, faults=faults, sealed=False)


def _aligned_finds(view: memoryview, what: bytes, start: int) -> Iterator[int]:
    """Offsets, multiples of 8, where `what` stands."""
    at = start
    while at < len(view):
        end = min(at + _CHUNK, len(view))
        # A copy, for a view can't search; chunks, for a whole segment is large.
        chunk = bytes(view[at : end + len(what) - 1])
        found = chunk.find(what)
        while found >= 0:
            if (at + found) % 8 == 0:
                yield at + found
            found = chunk.find(what, found + 1)
        at = end


def _used_nbytes(view: memoryview, start: int) -> int:
    """Bytes from `start` up to the last one that is not zero."""
    zeros = bytes(1 << 16)
    end = len(view)
    while end > start:
        low = max(start, end - len(zeros))
        chunk = view[low:end]
        if chunk != zeros[: end - low]:
            return low + len(bytes(chunk).rstrip(b"\0")) - start
        end = low
    return 0
