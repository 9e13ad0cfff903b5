"""Reads from stripes that lost fragments: the same byte range of others stands in."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import xxhash

from deepseek_store.errors import Corrupt
from deepseek_store.stripes.fragment_io import TIER_FAULTS, FragmentIO
from deepseek_store.stripes.stripe import Stripe


@attrs.frozen(kw_only=True)
class Span:
    """A range of the payload of one fragment."""

    index: int
    start: int
    nbytes: int


def read_degraded(io: FragmentIO, stripe: Stripe, span: Span, failed: set[int]) -> bytes:
    """A range of a fragment from the others; failures met on the way are added to `failed`.

    Raises:
        Unrecoverable: more failed than the code can bear.
    """
    failed.add(span.index)
    end = min(span.start + span.nbytes, stripe.fragments[span.index].nbytes)
    column = io.column_nbytes(stripe.code.k)
    starts = range(span.start, end, column)
    parts = [Span(index=span.index, start=at, nbytes=min(column, end - at)) for at in starts]
    return b"".join(_rebuild(io, stripe, part, failed) for part in parts)


def _rebuild(io: FragmentIO, stripe: Stripe, span: Span, failed: set[int]) -> bytearray:
    got: dict[int, bytes] = {}
    while True:
        plan = io.plan(stripe, failed, (span.index,))
        wanted = [other for other in plan.reads if other not in got]
        read = dict(_read_all(io, stripe, wanted, span))
        got.update({index: data for index, data in read.items() if data is not None})
        if not (bad := read.keys() - got.keys()):
            return io.codec(stripe.code).rebuild(plan, got, span.nbytes)[span.index]
        failed |= bad


def _read_all(
    io: FragmentIO, stripe: Stripe, indexes: Iterable[int], span: Span
) -> Iterable[tuple[int, bytes | None]]:
    """The range of each fragment, in parallel; None for one that can't be read."""
    return io.each(lambda index: _read_one(io, stripe, index, span), indexes, nbytes=span.nbytes)


def _read_one(io: FragmentIO, stripe: Stripe, index: int, span: Span) -> bytes | None:
    try:
        return io.read_range(stripe, index, span.start, span.nbytes)
    except TIER_FAULTS:
        return None


def read_verified(io: FragmentIO, stripe: Stripe, span: Span, xxh3: int, failed: set[int]) -> bytes:
    """The range, from wherever its hash fits.

    Where the fragment does not give it and neither do those that stand in, a fault among them
    is silent: each is read wholly, and the bad ones are left out.

    Raises:
        Unrecoverable: more failed than the code can bear.
        Corrupt: no fragment is at fault, and yet the hash does not fit.
    """
    if span.index not in failed:
        first = _read_one(io, stripe, span.index, span)
        if first is not None and xxhash.xxh3_64_intdigest(first) == xxh3:
            return first
    while True:
        data = read_degraded(io, stripe, span, failed)
        if xxhash.xxh3_64_intdigest(data) == xxh3:
            return data
        if not (bad := _silent(io, stripe, span.index, failed)):
            raise Corrupt(
                f"{span.nbytes} bytes from {span.start} of fragment {span.index} of stripe "
                f"{stripe.id:x} have another hash, and so they have when they are rebuilt",
                url=io.url_of(stripe.fragments[span.index]),
                remedy="run `ds-sdk store fsck`: the index may be of another store",
            )
        failed |= bad


def _silent(io: FragmentIO, stripe: Stripe, index: int, failed: set[int]) -> set[int]:
    """Which of the fragments that stood in for this one are bad."""
    reads = io.plan(stripe, failed, (index,)).reads
    looked = io.each(lambda other: io.inspect(stripe, other), reads, nbytes=stripe.nbytes)
    return {other for other, fault in looked if fault is not None}
