"""Segments: files of records with a header, group marks and a footer; their names and layout.

    segment header (64 bytes) | record ... mark | record ... mark | ... | footer record | trailer

The footer record's payload is a copy of the segment's header and then, for each record, its offset,
its header, key and meta, and its payload where that is a manifest. The trailer (48 bytes, the very
end of a sealed segment) tells where the footer record begins. So a footer can be had in two ranged
reads, and alone tells all about its segment.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

import attrs

from deepseek_core import errors
from deepseek_store.errors import Corrupt, ForeignStore
from deepseek_store.log import records as rec
from deepseek_store.log.records import Buffer, Kind, Placed, Prepared, Record, TableRow

HEADER_NBYTES: Final = 64
TRAILER_NBYTES: Final = 48
FORMAT: Final = 1
STORE_ID_NBYTES: Final = 16
_MAGIC: Final = b"DSsegmnt"
_TRAILER_MAGIC: Final = b"DSfooter"
_HEAD: Final = struct.Struct("<8sII16sQQd")
_HASH: Final = struct.Struct("<Q")
_TRAILER: Final = struct.Struct("<QQQQ")
_OFFSET: Final = struct.Struct("<Q")
_NAME: Final = re.compile(r"(active|segment)-([0-9a-f]{16})\.seg")
_NEW_NAME: Final = re.compile(r"new-[0-9a-f]{16}-([0-9a-f]{16})\.seg")
_SMALL: Final = 4096  # copying so few bytes costs less than one more part of a write


@attrs.frozen(kw_only=True, slots=True)
class SegmentHeader:
    """What the first 64 bytes of a segment say: whose it is, and since when."""

    store_id: bytes
    segment: int
    writer: int
    created_s: float

    def to_bytes(self) -> bytes:
        """The 64 bytes."""
        head = _HEAD.pack(
            _MAGIC, FORMAT, 0, self.store_id, self.segment, self.writer, self.created_s
        )
        return head + _HASH.pack(rec.hash_of(head))


@attrs.frozen(kw_only=True, slots=True)
class SegmentInfo:
    """A segment as a store lists it; `min_generation` is the lowest of its records (0: none)."""

    id: int
    writer: int
    nbytes: int
    sealed: bool
    created_s: float
    min_generation: int = 0


@attrs.frozen(kw_only=True, slots=True)
class FooterAt:
    """Where the footer of a sealed segment is, up to its end; and what the trailer sums up."""

    offset: int
    nbytes: int
    min_generation: int
    count: int


def active_name(segment: int) -> str:
    """The file of a segment that is being written."""
    return f"active-{segment:016x}.seg"


def sealed_name(segment: int) -> str:
    """The file of a segment that will not change any more."""
    return f"segment-{segment:016x}.seg"


def new_name(segment: int, writer: int) -> str:
    """The file of a segment until it has its header."""
    return f"new-{segment:016x}-{writer:016x}.seg"


def writer_of_new(name: str) -> int | None:
    """Number of the writer that makes a new file; None if the name is not one of a new file."""
    match = _NEW_NAME.fullmatch(name)
    return int(match[1], 16) if match else None


def parse_name(name: str) -> tuple[int, bool] | None:
    """Segment id and whether it is sealed; None if it is not a segment's file."""
    match = _NAME.fullmatch(name)
    return (int(match[2], 16), match[1] == "segment") if match else None


def parse_segment_header(
    data: Buffer, *, store_id: bytes | None = None, segment: int | None = None
) -> SegmentHeader | None:
    """The header that `data` begins with; None if it is damaged or not written yet.

    Raises:
        ForeignStore: it is whole, but of another store or segment, or of a later format.
    """
    if len(data) < HEADER_NBYTES:
        return None
    front = bytes(data[: _HEAD.size])
    magic, version, _zero, store, number, writer, created_s = _HEAD.unpack(front)
    if magic != _MAGIC or _HASH.unpack_from(data, _HEAD.size)[0] != rec.hash_of(front):
        return None
    if version != FORMAT:
        raise _foreign(f"segment {number:016x} has format {version}, and this is format {FORMAT}")
    if store_id is not None and store != store_id:
        raise _foreign(f"segment {number:016x} belongs to store {store.hex()}")
    if segment is not None and number != segment:
        raise _foreign(f"a file named for segment {segment:016x} holds segment {number:016x}")
    return SegmentHeader(store_id=store, segment=number, writer=writer, created_s=created_s)


def read_footer(tail: Buffer, segment_nbytes: int) -> FooterAt | None:
    """Where the footer is, from the last bytes (48 at least) of a segment; None: not sealed."""
    if len(tail) < TRAILER_NBYTES:
        return None
    trailer = bytes(tail[-TRAILER_NBYTES:])
    offset, nbytes, min_generation, count = _TRAILER.unpack_from(trailer)
    (stored,) = _HASH.unpack_from(trailer, _TRAILER.size)
    if trailer[-8:] != _TRAILER_MAGIC or stored != rec.hash_of(trailer[: _TRAILER.size]):
        return None
    if offset + nbytes != segment_nbytes:
        return None
    return FooterAt(offset=offset, nbytes=nbytes, min_generation=min_generation, count=count)


def footer_padding(data: Buffer) -> tuple[int, int]:
    """Where a sealed segment, whose footer is whole, is padded before its trailer."""
    end = len(data) - TRAILER_NBYTES
    footer = read_footer(data[end:], len(data))
    if footer is None:
        return end, end
    (nbytes,) = _PAYLOAD_NBYTES.unpack_from(data, footer.offset + _PAYLOAD_NBYTES_AT)
    return footer.offset + rec.HEADER_NBYTES + nbytes, end


def parse_footer(data: Buffer) -> list[Placed]:
    """All records of a segment from its footer (`data` is from `FooterAt.offset` to the end).

    Their payload is empty, except that of manifests.

    Raises:
        Corrupt: it is not a footer, or it is damaged.
        ForeignStore: of a later format.
    """
    return _parse_footer(data)[1]


def footer_header(data: Buffer) -> SegmentHeader:
    """The copy of the segment's header in a footer; raises as `parse_footer` does."""
    return _parse_table(data)[0]


def footer_rows(data: Buffer) -> tuple[int, list[TableRow]]:
    """The segment's number, and its records as a rebuild wants them; raises as `parse_footer`."""
    header, table = _parse_table(data)
    try:
        rows = list(rec.rows_in_table(table, HEADER_NBYTES, segment=header.segment))
    except ValueError as error:
        raise _corrupt(str(error)) from error
    return header.segment, rows


# In the header of a record; see the table in `records`.
_PAYLOAD_NBYTES: Final = struct.Struct("<Q")
_PAYLOAD_NBYTES_AT: Final = 16
# Mark, header of the footer record, padding, trailer.
_FRAME_NBYTES: Final = 2 * rec.HEADER_NBYTES + 7 + TRAILER_NBYTES


class _Entry(NamedTuple):
    """What the footer says of a record; `payload` is empty unless it is a manifest."""

    offset: int
    front: bytes
    payload: Buffer
    generation: int

    @property
    def nbytes(self) -> int:
        return _OFFSET.size + len(self.front) + rec.nbytes_of(self.payload)


class SegmentLayout:
    """Lays out records in one segment: their places and bytes; no I/O.

    `place` and `mark` add; `commit` says that what was added is on disk; `rewind` forgets what was
    added since. `cursor` is where the next byte goes, `end` the first byte after the last mark that
    is on disk; `open` are the records between the two.
    """

    def __init__(self, header: SegmentHeader) -> None:
        self.header = header
        self.id = header.segment
        self.cursor = self.end = HEADER_NBYTES
        self.open: list[Placed] = []
        self._salt = rec.salt_of(header.store_id, header.segment)
        # the first bytes of records since the last mark, which the mark's hash covers
        self._fronts: list[bytes] = []
        self._entries: list[_Entry] = []  # of the footer: one for each record that counts
        self._table_nbytes = HEADER_NBYTES  # that the footer will take

    @property
    def is_empty(self) -> bool:
        """No record in it is on disk."""
        return self.end == HEADER_NBYTES

    def nbytes_with(self, body_nbytes: int, table_nbytes: int) -> int:
        """At most so large is the sealed segment if so much is added to it."""
        return self.cursor + body_nbytes + self._table_nbytes + table_nbytes + _FRAME_NBYTES

    def place(self, ready: Prepared, parts: list[Buffer]) -> Placed:
        """Put a record at the cursor; its bytes are added to `parts`."""
        record, offset = ready.record, self.cursor
        front = ready.front(self._salt + offset)
        payload_offset = offset + ready.front_nbytes
        self.cursor = end = offset + ready.nbytes
        padding = end - payload_offset - ready.payload_nbytes
        if ready.payload_nbytes > _SMALL:
            parts += (front, record.payload, bytes(padding))
        else:
            _add_small(parts, b"".join((front, record.payload, bytes(padding))))
        placed = Placed(
            record,
            self.id,
            offset,
            payload_offset,
            ready.payload_nbytes,
            ready.nbytes,
            ready.xxh3,
            ready.batch_start,
        )
        self._table_nbytes += ready.table_nbytes
        self.open.append(placed)
        self._fronts.append(front)
        return placed

    def mark(self) -> bytes:
        """The mark that closes what was placed since the last one."""
        mark = rec.encode_mark(
            salt=self._salt,
            offset=self.cursor,
            count=len(self.open),
            nbytes=self.cursor - self.end,
            chain=rec.chain_of(self._fronts, self.end),
        )
        self.cursor += len(mark)
        return mark

    def commit(self) -> list[Placed]:
        """The mark is on disk; the records that count now."""
        placed = self.open
        self._enter(map(_entry, placed, self._fronts))
        self.end = self.cursor
        self.open, self._fronts = [], []
        return placed

    def rewind(self) -> list[Placed]:
        """Forget what was placed since the last commit, even one that was broken off: this."""
        lost = self.open
        self.open, self._fronts = [], []
        self.cursor = self.end
        self._entries = [entry for entry in self._entries if entry.offset < self.end]
        self._table_nbytes = HEADER_NBYTES + sum(entry.nbytes for entry in self._entries)
        return lost

    def adopt(self, placed: Iterable[Placed], data: Buffer, end: int) -> None:
        """Take over what a scan of `data` found up to `end`."""
        self._enter(_entry(one, bytes(data[one.offset : one.payload_offset])) for one in placed)
        self.cursor = self.end = end
        self.rewind()

    def footer(self) -> bytes:
        """Footer record and trailer, for the cursor; everything placed must be committed."""
        table = b"".join(
            [self.header.to_bytes(), *(part for entry in self._entries for part in _parts(entry))]
        )
        record = Record(
            kind=Kind.FOOTER, key="", generation=0, writer=self.header.writer, payload=table
        )
        body = b"".join(rec.encode(record, salt=self._salt, offset=self.cursor))
        nbytes = len(body) + TRAILER_NBYTES
        summary = _TRAILER.pack(self.cursor, nbytes, self._lowest(), len(self._entries))
        return body + summary + _HASH.pack(rec.hash_of(summary)) + _TRAILER_MAGIC

    def info(self, nbytes: int, *, sealed: bool) -> SegmentInfo:
        """The segment as a store lists it."""
        return SegmentInfo(
            id=self.id,
            writer=self.header.writer,
            nbytes=nbytes,
            sealed=sealed,
            created_s=self.header.created_s,
            min_generation=self._lowest(),
        )

    def _enter(self, entries: Iterable[_Entry]) -> None:
        """Into the footer; all or none, whatever interrupts it."""
        self._entries.extend(list(entries))

    def _lowest(self) -> int:
        return min((entry.generation for entry in self._entries), default=0)


def segment_nbytes(records: Iterable[Record]) -> int:
    """Bytes of a whole sealed segment of these records."""
    body = table = HEADER_NBYTES
    for record in records:
        nbytes, entry = growth_nbytes(record)
        body, table = body + nbytes, table + entry
    return sealed_nbytes(body, table)


def growth_nbytes(record: Record) -> tuple[int, int]:
    """What a record adds to the body of a segment, and to the table in its footer."""
    payload, front = rec.nbytes_of(record.payload), rec.front_nbytes(record)
    return rec.aligned(front + payload), _OFFSET.size + front + payload * record.manifest


def sealed_nbytes(body_nbytes: int, table_nbytes: int) -> int:
    """Bytes of a segment of one group; both begin at 64 and grow by `growth_nbytes`."""
    return body_nbytes + rec.HEADER_NBYTES + _footer_nbytes(table_nbytes)


def _footer_nbytes(table_nbytes: int) -> int:
    return rec.aligned(rec.HEADER_NBYTES + table_nbytes) + TRAILER_NBYTES


def _entry(placed: Placed, front: bytes) -> _Entry:
    record = placed.record
    payload = record.payload if record.manifest else b""
    return _Entry(placed.offset, front, payload, record.generation)


def _parts(entry: _Entry) -> tuple[bytes, bytes, Buffer]:
    return _OFFSET.pack(entry.offset), entry.front, entry.payload


def _add_small(parts: list[Buffer], small: bytes) -> None:
    """Few parts: small ones are joined."""
    if parts and len(last := parts[-1]) <= _SMALL and isinstance(last, bytes):
        parts[-1] = last + small
    else:
        parts.append(small)


def _parse_footer(data: Buffer) -> tuple[SegmentHeader, list[Placed]]:
    header, table = _parse_table(data)
    placed = []
    at = HEADER_NBYTES
    while at < len(table):
        one, at = _parse_entry(table, at, header.segment)
        placed.append(one)
    return header, placed


def _parse_table(data: Buffer) -> tuple[SegmentHeader, bytes]:
    """The segment's header, and the footer's table with that in front; all verified."""
    head = rec.parse_header(data, 0)
    if head is None or head.kind is not Kind.FOOTER or head.nbytes > len(data):
        raise _corrupt("it does not begin with a footer record")
    start = head.front_nbytes
    table = bytes(data[start : start + head.payload_nbytes])
    if rec.hash_of(table) != head.payload_xxh3:
        raise _corrupt("its hash does not match")
    header = parse_segment_header(table)
    if header is None:
        raise _corrupt("it has no segment header")
    return header, table


def _parse_entry(table: bytes, at: int, segment: int) -> tuple[Placed, int]:
    (offset,) = _OFFSET.unpack_from(table, at)
    found = rec.placed_in_table(table, at + _OFFSET.size, segment=segment, offset=offset)
    if found is None:
        raise _corrupt(f"the entry at {at} is not a record")
    return found


def _corrupt(why: str) -> Corrupt:
    return Corrupt(
        f"a segment's footer is damaged: {why}",
        url="log",
        remedy="scan the segment itself (`ds-sdk store fsck HOME`)",
    )


def _foreign(why: str) -> ForeignStore:
    return ForeignStore(why, url="log", remedy="open the store that it belongs to")


def check_store_id(store_id: bytes) -> bytes:
    """The 16 bytes themselves.

    Raises:
        InputError: they are not 16.
    """
    if len(store_id) != STORE_ID_NBYTES:
        raise errors.InputError(f"a store id has {STORE_ID_NBYTES} bytes, not {len(store_id)}")
    return store_id
