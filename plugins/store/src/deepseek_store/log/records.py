"""Records of the log: their form in bytes, and the extents that point into them.

A record is header, key, meta, payload, and zeros up to a multiple of 8 bytes; little-endian:

    offset  bytes  field
         0      4  magic
         4      1  format version
         5      1  kind
         6      2  flags
         8      2  nbytes of the key (UTF-8)
        10      2  zero
        12      4  nbytes of the meta
        16      8  nbytes of the payload
        24     56  generation, writer, move, created_s, object_offset, object_nbytes, xxh3 (payload)
        80      8  xxh3 of the 80 bytes above, key and meta

The header's hash is seeded with store, segment and offset: a record that lies anywhere else than
where it was written (an old block, a segment stored as somebody's payload) is none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import attrs
import xxhash

from deepseek_core import errors
from deepseek_store.errors import Corrupt

Buffer = bytes | bytearray | memoryview

MAGIC: Final = b"DSr\xd5"
FORMAT: Final = 1
HEADER_NBYTES: Final = 88
LONGEST_KEY_NBYTES: Final = 4096
_LARGEST: Final = (1 << 63) - 1
_HEAD: Final = struct.Struct("<4sBBHHHIQQQQdQQQ")
_HASH: Final = struct.Struct("<Q")
_EXTENT: Final = struct.Struct("<QQQQ")
EXTENT_NBYTES: Final = _EXTENT.size
_MASK: Final = (1 << 64) - 1

MANIFEST: Final = 1
"""Flag: the payload is a list of extents."""
BATCH_START: Final = 2
"""Flag: the first record of one `append`; what follows up to the next one is of that batch too."""

_hash64 = xxhash.xxh3_64_intdigest

hash_of = _hash64
"""xxh3-64 of a payload."""


class Kind(IntEnum):
    """What a record says."""

    PUT = 1
    SHARD = 2
    DELETE = 3
    GROUP = 4
    FOOTER = 5


# A look-up instead of Kind(number): a third of the time of parsing a header.
_KINDS: Final = {int(kind): kind for kind in Kind}


class Extent(NamedTuple):
    """Where a piece of an object lies: `nbytes` at `offset` of a segment, and their xxh3-64."""

    segment: int
    offset: int
    nbytes: int
    xxh3: int


@attrs.frozen(kw_only=True, slots=True)
class Record:
    """A piece of the log, before it has a place.

    `object_offset` and `object_nbytes`: which part of what object the payload is. `manifest`: the
    payload is the packed list of the object's extents. The payload must not change while it is
    written.

    Raises:
        InputError: a number is out of range, or the key is too long or no text.
    """

    kind: Kind
    key: str
    generation: int
    writer: int
    move: int = 0
    created_s: float = 0.0
    object_offset: int = 0
    object_nbytes: int = 0
    meta: bytes = b""
    manifest: bool = False
    payload: Buffer = b""

    def __attrs_post_init__(self) -> None:
        # One function, not a validator a field: it is on the path of every write and every scan.
        if not (
            0 <= self.generation <= _LARGEST
            and 0 <= self.writer <= _LARGEST
            and 0 <= self.move <= _LARGEST
            and 0 <= self.object_offset <= _LARGEST
            and 0 <= self.object_nbytes <= _LARGEST
        ):
            raise errors.InputError(f"record of {self.key[:80]!r}: a number is out of range")
        if len(self.key) * 4 > LONGEST_KEY_NBYTES:
            _encoded(self.key)


class Placed(NamedTuple):
    """A record and its place: `offset` and `nbytes` of all of it, and where its payload begins.

    `xxh3` is that of the payload, whose length is `payload_nbytes` also where the record has come
    from a footer, without its payload. `batch_start`: it was the first of its `append`.
    """

    record: Record
    segment: int
    offset: int
    payload_offset: int
    payload_nbytes: int
    nbytes: int
    xxh3: int
    batch_start: bool = False

    @property
    def extent(self) -> Extent:
        """Where the payload lies."""
        return Extent(self.segment, self.payload_offset, self.payload_nbytes, self.xxh3)

    @property
    def packed_extent(self) -> bytes:
        """The same as `pack_extents` packs it."""
        return _EXTENT.pack(self.segment, self.payload_offset, self.payload_nbytes, self.xxh3)

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.nbytes


class Header(NamedTuple):
    """The numbers of a header, in the order of their bytes."""

    kind: Kind
    flags: int
    key_nbytes: int
    meta_nbytes: int
    payload_nbytes: int
    generation: int
    writer: int
    move: int
    created_s: float
    object_offset: int
    object_nbytes: int
    payload_xxh3: int

    @property
    def front_nbytes(self) -> int:
        """Bytes of header, key and meta."""
        return HEADER_NBYTES + self.key_nbytes + self.meta_nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of the whole record."""
        return aligned(self.front_nbytes + self.payload_nbytes)


def aligned(nbytes: int) -> int:
    """The next multiple of 8."""
    return (nbytes + 7) & ~7


def salt_of(store_id: bytes, segment: int) -> int:
    """What the hashes of all headers in a segment are seeded with, apart from their offset."""
    return _hash64(store_id, segment & _MASK)


def nbytes_of(data: Buffer) -> int:
    """Length in bytes, whatever the items are."""
    return data.nbytes if isinstance(data, memoryview) else len(data)


def front_nbytes(record: Record) -> int:
    """Bytes of header, key and meta, once they are encoded."""
    return HEADER_NBYTES + len(_encoded(record.key)) + len(record.meta)


class Prepared(NamedTuple):
    """A record whose bytes are done, but for the hash that depends on its place.

    `front_nbytes` are those of header, key and meta, `nbytes` those of the whole record, and
    `table_nbytes` what it adds to the footer's table.
    """

    record: Record
    head: bytes
    tail: bytes
    payload_nbytes: int
    front_nbytes: int
    nbytes: int
    table_nbytes: int
    xxh3: int
    batch_start: bool

    def front(self, seed: int) -> bytes:
        """Header, key and meta, for the place of that seed (salt + offset)."""
        hashed = _hash64(self.head + self.tail, seed & _MASK)
        return b"".join((self.head, _HASH.pack(hashed), self.tail))


def prepare(record: Record, *, batch_start: bool = True) -> Prepared:
    """What can be done before it is known where the record goes; its payload is hashed here.

    Raises:
        InputError: a field does not fit its place.
    """
    key, meta = _encoded(record.key), record.meta
    payload_nbytes, xxh3 = nbytes_of(record.payload), _hash64(record.payload)
    try:
        head = _HEAD.pack(
            MAGIC,
            FORMAT,
            record.kind,
            MANIFEST * record.manifest | BATCH_START * batch_start,
            len(key),
            0,
            len(meta),
            payload_nbytes,
            record.generation,
            record.writer,
            record.move,
            record.created_s,
            record.object_offset,
            record.object_nbytes,
            xxh3,
        )
    except struct.error as error:
        raise errors.InputError(f"record of {record.key[:80]!r}: {error}") from error
    tail = key + meta
    front = HEADER_NBYTES + len(tail)
    nbytes = (front + payload_nbytes + 7) & ~7
    table = _HASH.size + front + payload_nbytes * record.manifest
    return Prepared(record, head, tail, payload_nbytes, front, nbytes, table, xxh3, batch_start)


def encode(
    record: Record, *, salt: int, offset: int, batch_start: bool = True
) -> tuple[bytes, Buffer, bytes]:
    """Front (header, key, meta), payload and padding, for `offset` of the segment of that salt."""
    ready = prepare(record, batch_start=batch_start)
    front = ready.front(salt + offset)
    return front, record.payload, bytes(-(len(front) + ready.payload_nbytes) & 7)


def encode_mark(*, salt: int, offset: int, count: int, nbytes: int, chain: int) -> bytes:
    """The mark that closes a group of `count` records in the `nbytes` before `offset`."""
    head = _HEAD.pack(MAGIC, FORMAT, Kind.GROUP, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, count, nbytes, chain)
    return head + _HASH.pack(_hash64(head, (salt + offset) & _MASK))


def chain_of(headers: Sequence[Buffer], start: int) -> int:
    """One hash over the headers (key and meta included) of a group that begins at `start`."""
    return _hash64(b"".join([head[80:HEADER_NBYTES] for head in headers]), start)


def parse_header(data: Buffer, at: int) -> Header | None:
    """The header that begins at `data[at]`, unverified; None if there is none."""
    if at < 0 or at + HEADER_NBYTES > len(data):
        return None
    magic, version, number, flags, key, _zero, meta, *rest = _HEAD.unpack_from(data, at)
    kind = _KINDS.get(number)
    if magic != MAGIC or version != FORMAT or kind is None:
        return None
    return Header(kind, flags, key, meta, *rest)


def verified_header(data: Buffer, at: int, *, salt: int, offset: int) -> Header | None:
    """The header at `data[at]` if it was written for `offset` of the segment of that salt."""
    header = parse_header(data, at)
    if header is None or at + header.front_nbytes > len(data):
        return None
    front = bytes(data[at : at + header.front_nbytes])
    (stored,) = _HASH.unpack_from(front, 80)
    wanted = _hash64(front[:80] + front[HEADER_NBYTES:], (salt + offset) & _MASK)
    return header if stored == wanted else None


def record_of(header: Header, tail: bytes, payload: Buffer) -> Record:
    """The record of a header and what follows it (key and meta in `tail`)."""
    return Record(
        kind=header.kind,
        key=tail[: header.key_nbytes].decode(),
        generation=header.generation,
        writer=header.writer,
        move=header.move,
        created_s=header.created_s,
        object_offset=header.object_offset,
        object_nbytes=header.object_nbytes,
        meta=tail[header.key_nbytes : header.key_nbytes + header.meta_nbytes],
        manifest=bool(header.flags & MANIFEST),
        payload=payload,
    )


def placed_of(header: Header, record: Record, *, segment: int, offset: int) -> Placed:
    """A record that was read, at its place."""
    start = offset + header.front_nbytes
    first = bool(header.flags & BATCH_START)
    payload_nbytes, xxh3 = header.payload_nbytes, header.payload_xxh3
    return Placed(record, segment, offset, start, payload_nbytes, header.nbytes, xxh3, first)


def placed_in_table(
    table: bytes, at: int, *, segment: int, offset: int
) -> tuple[Placed, int] | None:
    """The record whose front stands at `at` of a footer's table, and where its entry ends.

    All in one function: a rebuild calls it once for each record of a store. None if it is not one.
    """
    tail = at + HEADER_NBYTES
    if tail > len(table):
        return None
    magic, version, number, flags, key_nbytes, _, meta_nbytes, nbytes, *numbers = _HEAD.unpack_from(
        table, at
    )
    kind = _KINDS.get(number)
    if magic != MAGIC or version != FORMAT or kind is None:
        return None
    generation, writer, move, created_s, object_offset, object_nbytes, xxh3 = numbers
    meta_at = tail + key_nbytes
    end = meta_at + meta_nbytes
    manifest = flags & MANIFEST != 0
    entry_end = end + nbytes if manifest else end
    record = Record(
        kind=kind,
        key=table[tail:meta_at].decode(),
        generation=generation,
        writer=writer,
        move=move,
        created_s=created_s,
        object_offset=object_offset,
        object_nbytes=object_nbytes,
        meta=table[meta_at:end],
        manifest=manifest,
        payload=table[end:entry_end] if manifest else b"",
    )
    start = offset + end - at
    first = flags & BATCH_START != 0
    whole_nbytes = (end - at + nbytes + 7) & ~7
    return Placed(record, segment, offset, start, nbytes, whole_nbytes, xxh3, first), entry_end


TableRow = tuple[int, bool, str, int, int, int, float, int, bytes, bytes, int]
"""Kind, manifest, key, generation, writer, move, created_s, object_nbytes, meta, extents, offset"""


def rows_in_table(table: bytes, at: int, *, segment: int) -> Iterator[TableRow]:
    """The entries of a footer's table from `at` on: what a rebuild wants, and no records.

    `extents` are those of a manifest, else the packed place of the payload.

    Raises:
        ValueError: what stands there is no entry.
    """
    unpack, entry, pack, total = _HEAD.unpack_from, _HASH.unpack_from, _EXTENT.pack, len(table)
    while at < total:
        start = at + _HASH.size
        tail = start + HEADER_NBYTES
        if tail > total:
            raise ValueError(f"the entry at {at} is cut off")
        (offset,) = entry(table, at)
        (
            magic, version, kind, flags, key_nbytes, _, meta_nbytes, nbytes,
            generation, writer, move, created_s, _, object_nbytes, xxh3,
        ) = unpack(table, start)  # fmt: skip
        if magic != MAGIC or version != FORMAT or kind not in _KINDS:
            raise ValueError(f"the entry at {at} is not a record")
        meta_at = tail + key_nbytes
        end = at = meta_at + meta_nbytes
        if flags & MANIFEST:
            at = end + nbytes
            where = table[end:at]
        else:
            where = pack(segment, offset + end - start, nbytes, xxh3)
        yield (
            kind, flags & MANIFEST != 0, table[tail:meta_at].decode(), generation, writer, move,
            created_s, object_nbytes, table[meta_at:end], where, offset,
        )  # fmt: skip


def segments_in(extents: bytes) -> Sequence[int]:
    """The segments that packed extents name, one for each.

    Raises:
        Corrupt: it is not a list of extents.
    """
    if len(extents) == _EXTENT.size:
        return _HASH.unpack_from(extents)
    return [extent.segment for extent in unpack_extents(extents)]


def pack_extents(extents: Sequence[Extent]) -> bytes:
    """32 bytes each, in order."""
    pack = _EXTENT.pack
    return b"".join([pack(*extent) for extent in extents])


def unpack_extent(data: Buffer) -> Extent:
    """The one that is packed in 32 bytes."""
    # Not Extent._make: it is a function in Python, and this is on the path of every hot read.
    return tuple.__new__(Extent, _EXTENT.unpack(data))


def unpack_extents(data: Buffer) -> tuple[Extent, ...]:
    """What `pack_extents` packed.

    Raises:
        Corrupt: it is not a list of extents.
    """
    if len(data) == EXTENT_NBYTES:
        return (unpack_extent(data),)
    if len(data) % _EXTENT.size:
        raise Corrupt(
            f"a list of extents has {len(data)} bytes, no multiple of {_EXTENT.size}",
            url="log",
            remedy="run `ds-sdk store fsck HOME`",
        )
    return tuple(map(Extent._make, _EXTENT.iter_unpack(data)))


def _encoded(key: str) -> bytes:
    try:
        encoded = key.encode()
    except UnicodeEncodeError as error:
        raise errors.InputError(f"key {key[:80]!r} is not text: {error}") from error
    if len(encoded) > LONGEST_KEY_NBYTES:
        raise errors.InputError(
            f"a key of {len(encoded)} bytes is too long",
            remedy=f"use at most {LONGEST_KEY_NBYTES} bytes of UTF-8",
        )
    return encoded
