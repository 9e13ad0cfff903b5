"""The bytes of a fragment: a header that knows itself, then the payload.

    header 128 B | table of the stripe's segments, parities only | payload

A stripe is known again from its fragments alone. Recovery takes the code that is written here,
never a configured one (seaweedfs#9958 lost data that way).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import attrs
import xxhash

from deepseek_core import DeepSeekError
from deepseek_store.codes import Code

Buffer = bytes | bytearray | memoryview
TierName = Literal["hot", "warm", "cold"]

HEADER_NBYTES: Final = 128
FORMAT_VERSION: Final = 1
CAUCHY: Final = 1
"""The kind of matrix: local rows of ones, global rows `1 / ((k + i) xor j)` over 0x11d."""

_MAGIC: Final = b"DSFr"
_FAMILIES: Final = ("replication", "rs", "lrc")
_TIERS: Final = get_args(TierName)
_CODE: Final = struct.Struct("<BHHH")  # family, k, groups, parities
_ROW: Final = struct.Struct("<QQQ")
_HASH: Final = struct.Struct("<Q")
# magic, version, store | stripe, generation, segment, nbytes, stripe's, payload's hash |
# created_s | index, width | code | matrix, tier | table's length and hash | zeros
_BODY: Final = struct.Struct("<4sH16sQQQQQQdHH7sBBIQ17x")
assert _BODY.size + _HASH.size == HEADER_NBYTES


class BadFragment(ValueError):
    """Bytes that are no header or table of a fragment; it stays within this package."""


@attrs.frozen(kw_only=True)
class TableRow:
    """One data fragment in the table of its stripe."""

    segment: int
    nbytes: int
    xxh3: int


@attrs.frozen(kw_only=True)
class FragmentHeader:
    """What a fragment says of itself; `xxh3` and `nbytes` are of its payload alone.

    `width` data fragments are stored; those from there to `code.k` are zeros and lie nowhere.
    `stripe_nbytes` is the longest payload of the stripe, to which the others are padded in
    the parity math only. `segment` is 0 for a parity, which has a table instead.
    """

    store: bytes
    stripe: int
    generation: int
    index: int
    code: Code
    width: int
    nbytes: int
    stripe_nbytes: int
    xxh3: int
    segment: int = 0
    tier: TierName = "cold"
    created_s: float = 0.0
    matrix: int = CAUCHY
    table_nbytes: int = 0
    table_xxh3: int = 0

    @property
    def payload_start(self) -> int:
        """Where the payload starts in the object, in bytes."""
        return HEADER_NBYTES + self.table_nbytes

    @property
    def object_nbytes(self) -> int:
        """Length of the whole object."""
        return self.payload_start + self.nbytes


def payload_start(code: Code, width: int, index: int) -> int:
    """Where the payload of a fragment starts, without reading its header."""
    return HEADER_NBYTES + (0 if index < code.k else _ROW.size * width)


def payload_lengths(code: Code, segments: Sequence[int]) -> tuple[int, ...]:
    """Bytes of every fragment of a stripe of segments of these lengths.

    A parity is as long as the longest that it covers, for the rest of it would be zeros. Of a
    group without segments nothing is left, and it is not stored at all.
    """
    data = [*segments, *[0] * (code.k - len(segments))]
    groups = [max(data[i] for i in code.members(code.k + g)[:-1]) for g in range(code.groups)]
    return (*data, *groups, *[max(data)] * code.parities)


def pack_header(header: FragmentHeader) -> bytes:
    """The header's 128 bytes, its own hash at the end."""
    body = _BODY.pack(
        _MAGIC, FORMAT_VERSION, header.store,
        header.stripe, header.generation, header.segment, header.nbytes, header.stripe_nbytes,
        header.xxh3, header.created_s, header.index, header.width, pack_code(header.code),
        header.matrix, _TIERS.index(header.tier),
        header.table_nbytes, header.table_xxh3,
    )  # fmt: skip
    return body + _HASH.pack(xxhash.xxh3_64_intdigest(body))


def parse_header(data: Buffer) -> FragmentHeader:
    """The header at the start of a fragment.

    Raises:
        BadFragment: too short, a hash that does not fit, or of another format.
    """
    body = bytes(data[:HEADER_NBYTES])
    if len(body) < HEADER_NBYTES:
        raise BadFragment(f"{len(body)} bytes are no header of {HEADER_NBYTES}")
    body, said = body[: _BODY.size], body[_BODY.size :]
    if body[:4] != _MAGIC:
        raise BadFragment("it does not start as a fragment does")
    if _HASH.pack(xxhash.xxh3_64_intdigest(body)) != said:
        raise BadFragment("its header's hash does not fit")
    return _from_fields(_BODY.unpack(body))


def _from_fields(fields: tuple[Any, ...]) -> FragmentHeader:
    _, version, *rest = fields
    if version != FORMAT_VERSION:
        raise BadFragment(f"its format is version {version}, this reads {FORMAT_VERSION}")
    (store, stripe, generation, segment, nbytes, stripe_nbytes, xxh3, created_s, index, width,
     code, matrix, tier, table_nbytes, table_xxh3) = rest  # fmt: skip
    if matrix != CAUCHY:
        raise BadFragment(f"its matrix is of kind {matrix}, this knows {CAUCHY}")
    if tier >= len(_TIERS):
        raise BadFragment(f"its tier is number {tier}")
    return FragmentHeader(
        store=store, stripe=stripe, generation=generation, segment=segment, nbytes=nbytes,
        stripe_nbytes=stripe_nbytes, xxh3=xxh3, created_s=created_s, index=index, width=width,
        code=unpack_code(code), tier=_TIERS[tier],
        table_nbytes=table_nbytes, table_xxh3=table_xxh3,
    )  # fmt: skip


def pack_code(code: Code) -> bytes:
    """A code in 7 bytes."""
    return _CODE.pack(_FAMILIES.index(code.family), code.k, code.groups, code.parities)


def unpack_code(data: bytes) -> Code:
    """The code of `pack_code`.

    Raises:
        BadFragment: no such code.
    """
    family, k, groups, parities = _CODE.unpack(data)
    try:
        return Code(family=_FAMILIES[family], k=k, groups=groups, parities=parities)
    except (DeepSeekError, IndexError) as error:
        raise BadFragment(f"its code is none: {error}") from error


def pack_table(rows: Sequence[TableRow]) -> bytes:
    """The table that a parity carries: 24 bytes for each segment."""
    return b"".join(_ROW.pack(row.segment, row.nbytes, row.xxh3) for row in rows)


def parse_table(header: FragmentHeader, data: Buffer) -> tuple[TableRow, ...]:
    """The rows of the table, checked against the header; a data fragment has none.

    Raises:
        BadFragment: cut off, or a hash that does not fit.
    """
    table = bytes(data[: header.table_nbytes])
    wanted = payload_start(header.code, header.width, header.index) - HEADER_NBYTES
    if not len(table) == header.table_nbytes == wanted:
        raise BadFragment("its table is cut off")
    if table and xxhash.xxh3_64_intdigest(table) != header.table_xxh3:
        raise BadFragment("its table's hash does not fit")
    return tuple(
        TableRow(segment=segment, nbytes=nbytes, xxh3=xxh3)
        for segment, nbytes, xxh3 in _ROW.iter_unpack(table)
    )
