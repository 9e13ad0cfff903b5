"""What a segment holds, from its footer: in the log, or in a fragment on a tier."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import errors
from deepseek_store.commands import command
from deepseek_store.errors import Corrupt
from deepseek_store.home.state import State
from deepseek_store.home.tier_set import TierSet
from deepseek_store.index.rows import SegmentRow
from deepseek_store.log.disk import Disk
from deepseek_store.log.records import Placed, Record
from deepseek_store.log.recovery import read_placed
from deepseek_store.log.segment import TRAILER_NBYTES, parse_footer, read_footer
from deepseek_store.stripes.identity import fault_of
from deepseek_store.stripes.stripe import Stripe

_FIRST_READ_NBYTES = 64 << 10


class SegmentTables:
    """Reads the tables of sealed segments, by ranges where they are far."""

    def __init__(self, state: State, disk: Disk, tiers: TierSet) -> None:
        self._state, self._disk, self._tiers = state, disk, tiers

    def records(self, row: SegmentRow) -> Iterable[Record]:
        """All records of a segment, without payloads but those of manifests.

        Raises:
            StorageError: it can't be read, or is damaged.
        """
        return (placed.record for placed in self.placed(row))

    def placed(self, row: SegmentRow) -> Iterable[Placed]:
        """The same with their places."""
        if row.local:
            try:
                return read_placed(self._disk, row.id)
            except errors.ObjectMissing:
                if row.stripe is None:
                    raise
        stripe = None if row.stripe is None else self._stripe(row.stripe)
        if stripe is None or row.fragment is None:
            return ()
        return self.in_stripe(stripe, row.fragment)

    def in_stripe(self, stripe: Stripe, index: int) -> list[Placed]:
        """Table of the segment that is a data fragment of a stripe; see `footer_in_stripe`."""
        return footer_in_stripe(self._tiers, stripe, index)

    def _stripe(self, number: int) -> Stripe | None:
        found = self._state.stripes.get(number)
        if found is None and number in self._state.given_up:
            found = self._state.given_up[number][0]
        return found


def footer_in_stripe(tiers: TierSet, stripe: Stripe, index: int) -> list[Placed]:
    """The records of the segment that is a data fragment of a stripe, from its footer.

    Raises:
        Corrupt: the fragment holds no sealed segment.
        TierUnavailable: too many of its domains can't be reached now.
        Unrecoverable: it is lost.
    """
    nbytes = stripe.fragments[index].nbytes
    first = min(nbytes, _FIRST_READ_NBYTES)
    tail = _read(tiers, stripe, index, nbytes - first, first)
    footer = read_footer(tail[-TRAILER_NBYTES:], nbytes)
    if footer is None:
        raise Corrupt(
            f"fragment {index} of stripe {stripe.id:x} ends in no footer",
            url=f"stripe {stripe.id:x}",
            remedy=command("scrub", tiers.home, "--repair"),
        )
    if footer.nbytes > len(tail):
        tail = _read(tiers, stripe, index, footer.offset, footer.nbytes)
    return parse_footer(tail[-footer.nbytes :])


def _read(tiers: TierSet, stripe: Stripe, index: int, start: int, nbytes: int) -> bytes:
    try:
        return tiers.stripes.read(stripe, index, start, nbytes)
    except errors.StorageError as error:
        failed = {index: fault_of(index, error)}
        return tiers.stripes.read_degraded(stripe, index, start, nbytes, failed=failed)
