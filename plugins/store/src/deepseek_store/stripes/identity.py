"""What a fragment must say of itself, and what is wrong with one that was read. Pure.

A fragment may be valid and still not be the right one: of another stripe, another index, an
older generation or another store. Such a one is a fault, and its bytes are never used.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import attrs
import xxhash

from deepseek_core import errors
from deepseek_store.errors import Corrupt
from deepseek_store.stripes.fragment import (
    HEADER_NBYTES,
    BadFragment,
    Buffer,
    FragmentHeader,
    TableRow,
    pack_table,
    parse_header,
    parse_table,
)
from deepseek_store.stripes.stripe import Stripe

FaultKind: TypeAlias = Literal[
    "missing", "truncated", "corrupt-header", "corrupt-payload", "swapped", "unreachable",
    "corrupt-segment",
]  # fmt: skip

_IDENTITY: Final = (
    "store", "stripe", "index", "generation", "code", "width", "segment", "nbytes", "xxh3",
    "table_nbytes", "table_xxh3",
)  # fmt: skip


@attrs.frozen(kw_only=True)
class FragmentFault:
    """What is wrong with one fragment of a stripe; `detail` and `remedy` are for people."""

    index: int
    kind: FaultKind
    detail: str = ""
    remedy: str = ""


def fault_of(index: int, error: Exception) -> FragmentFault:
    """The fault of a fragment whose read ended in this error."""
    if isinstance(error, errors.ObjectMissing):
        return FragmentFault(index=index, kind="missing", detail=error.message)
    if isinstance(error, Corrupt):
        return FragmentFault(index=index, kind="truncated", detail=error.message)
    message = getattr(error, "message", "") or str(error) or type(error).__name__
    remedy = getattr(error, "remedy", None) or ""
    return FragmentFault(index=index, kind="unreachable", detail=message, remedy=remedy)


def rows_of(stripe: Stripe) -> tuple[TableRow, ...]:
    """The table of a stripe's segments; a hash that is not known is 0 there."""
    return tuple(
        TableRow(segment=each.segment, nbytes=each.nbytes, xxh3=each.xxh3 or 0)
        for each in stripe.fragments[: stripe.width]
    )


def header_of(stripe: Stripe, index: int, store: bytes) -> tuple[FragmentHeader, bytes]:
    """The header that a fragment of this stripe has, and its table (empty for data)."""
    place = stripe.fragments[index]
    table = b"" if index < stripe.code.k else pack_table(rows_of(stripe))
    header = FragmentHeader(
        store=store, stripe=stripe.id, generation=place.generation, index=index,
        code=stripe.code, width=stripe.width, nbytes=place.nbytes, stripe_nbytes=stripe.nbytes,
        xxh3=place.xxh3 or 0, segment=place.segment, tier=stripe.tier,
        created_s=stripe.created_s, table_nbytes=len(table),
        table_xxh3=xxhash.xxh3_64_intdigest(table) if table else 0,
    )  # fmt: skip
    return header, table


def judge(
    stripe: Stripe, index: int, store: bytes, data: Buffer, object_nbytes: int
) -> FragmentFault | None:
    """What is wrong with an object that should be this fragment; None if nothing is.

    `data` is its beginning, header and table at least where it is long enough. The payload is
    judged too if `data` is the whole object.
    """
    try:
        header = parse_header(data)
    except BadFragment as bad:
        short = object_nbytes < HEADER_NBYTES
        return _fault(index, "truncated" if short else "corrupt-header", str(bad))
    if found := _difference(stripe, index, store, header):
        return _fault(index, "swapped", found)
    if object_nbytes < header.object_nbytes:
        return _fault(index, "truncated", f"{object_nbytes} bytes of {header.object_nbytes}")
    try:
        parse_table(header, data[HEADER_NBYTES:])
    except BadFragment as bad:
        return _fault(index, "corrupt-header", str(bad))
    return _judge_payload(index, header, data, object_nbytes)


def _judge_payload(
    index: int, header: FragmentHeader, data: Buffer, object_nbytes: int
) -> FragmentFault | None:
    if object_nbytes > header.object_nbytes:
        more = object_nbytes - header.object_nbytes
        return _fault(index, "corrupt-payload", f"{more} bytes more than were written")
    if len(data) < header.object_nbytes:
        return None
    payload = memoryview(data)[header.payload_start :]
    if xxhash.xxh3_64_intdigest(payload) != header.xxh3:
        return _fault(index, "corrupt-payload", "its hash does not fit")
    return None


def _difference(stripe: Stripe, index: int, store: bytes, header: FragmentHeader) -> str:
    """In what the header is another fragment's; empty if it is the right one's."""
    right, _ = header_of(stripe, index, store)
    # What is not known can't differ: after a loss of headers some hashes are not.
    unknown = {"xxh3"} if stripe.fragments[index].xxh3 is None else set()
    if any(each.xxh3 is None for each in stripe.fragments[: stripe.width]):
        unknown |= {"table_xxh3"}
    for name in _IDENTITY:
        found, wanted = getattr(header, name), getattr(right, name)
        if found != wanted and name not in unknown:
            return f"its {name} is {_text(found)}, not {_text(wanted)}"
    return ""


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _fault(index: int, kind: FaultKind, detail: str) -> FragmentFault:
    return FragmentFault(index=index, kind=kind, detail=detail)
