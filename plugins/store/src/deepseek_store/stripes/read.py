"""Reads from stripes that lost fragments: the same byte range of others stands in."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import xxhash

from deepseek_store.errors import Corrupt
from deepseek_store.stripes.fragment_io import TIER_FAULTS, FragmentIO
from deepseek_store.stripes.identity import FragmentFault, fault_of
from deepseek_store.stripes.outage import Failed, plan_around
from deepseek_store.stripes.stripe import Stripe


@attrs.frozen(kw_only=True)
class FragmentRange:
    """A range of the payload of one fragment."""

    index: int
    start: int
    nbytes: int


def read_degraded(io: FragmentIO, stripe: Stripe, span: FragmentRange, failed: Failed) -> bytes:
    """A range of a fragment from the others; failures met on the way are added to `failed`.

    Raises:
        TierUnavailable: too many can't be reached now.
        Unrecoverable: more are missing or damaged than the code can bear.
    """
    failed.setdefault(span.index, _bad(span.index, "its bytes can't be used"))
    end = min(span.start + span.nbytes, stripe.fragments[span.index].nbytes)
    column = io.column_nbytes(stripe.code.k)
    starts = range(span.start, end, column)
    parts = [
        FragmentRange(index=span.index, start=at, nbytes=min(column, end - at)) for at in starts
    ]
    return b"".join(_rebuild(io, stripe, part, failed) for part in parts)


def _rebuild(io: FragmentIO, stripe: Stripe, span: FragmentRange, failed: Failed) -> bytearray:
    got: dict[int, bytes] = {}
    while True:
        plan = plan_around(io, stripe, failed, (span.index,))
        wanted = [other for other in plan.reads if other not in got]
        bad: Failed = {}
        for index, read in _read_all(io, stripe, wanted, span):
            if isinstance(read, FragmentFault):
                bad[index] = read
            else:
                got[index] = read
        if not bad:
            return io.codec(stripe.code).rebuild(plan, got, span.nbytes)[span.index]
        failed.update(bad)


def _read_all(
    io: FragmentIO, stripe: Stripe, indexes: Iterable[int], span: FragmentRange
) -> Iterable[tuple[int, bytes | FragmentFault]]:
    """The range of each fragment, in parallel; what is wrong with one that can't be read."""
    return io.each(lambda index: _read_one(io, stripe, index, span), indexes, nbytes=span.nbytes)


def _read_one(
    io: FragmentIO, stripe: Stripe, index: int, span: FragmentRange
) -> bytes | FragmentFault:
    try:
        return io.read_range(stripe, index, span.start, span.nbytes)
    except TIER_FAULTS as error:
        return fault_of(index, error)


def _bad(index: int, why: str) -> FragmentFault:
    return FragmentFault(index=index, kind="corrupt-payload", detail=why)


def read_verified(
    io: FragmentIO, stripe: Stripe, span: FragmentRange, xxh3: int, failed: Failed
) -> bytes:
    """The range, from wherever its hash fits.

    Where the fragment does not give it and neither do those that stand in, a fault among them
    is silent: each is read completely, and the bad ones are left out.

    Raises:
        TierUnavailable: too many can't be reached now.
        Unrecoverable: more are missing or damaged than the code can bear.
        Corrupt: no fragment is at fault, and yet the hash does not fit.
    """
    if span.index not in failed:
        first = _read_one(io, stripe, span.index, span)
        if isinstance(first, FragmentFault):
            failed[span.index] = first
        elif xxhash.xxh3_64_intdigest(first) == xxh3:
            return first
        else:
            why = f"{span.nbytes} bytes from {span.start} have another hash"
            failed[span.index] = _bad(span.index, why)
    while True:
        data = read_degraded(io, stripe, span, failed)
        if xxhash.xxh3_64_intdigest(data) == xxh3:
            return data
        if not (silent := _silent(io, stripe, span.index, failed)):
            raise Corrupt(
                f"{span.nbytes} bytes from {span.start} of fragment {span.index} of stripe "
                f"{stripe.id:x} have another hash, and so they have when they are rebuilt",
                url=io.url_of(stripe.fragments[span.index]),
                remedy="run `ds-sdk store fsck HOME`: the index may be of another store",
            )
        failed.update(silent)


def _silent(io: FragmentIO, stripe: Stripe, index: int, failed: Failed) -> Failed:
    """The faults of the fragments that stood in for this one, each read completely."""
    reads = plan_around(io, stripe, failed, (index,)).reads
    looked = io.each(lambda other: io.inspect(stripe, other), reads, nbytes=stripe.nbytes)
    return {other: fault for other, fault in looked if fault is not None}
