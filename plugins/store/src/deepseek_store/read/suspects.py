"""Segments that readers have come to suspect, and what exactly they met."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from deepseek_core import errors
from deepseek_store.errors import Corrupt
from deepseek_store.home.findings import Findings, What
from deepseek_store.home.state import State
from deepseek_store.home.tier_set import TierSet
from deepseek_store.log.disk import Disk
from deepseek_store.log.scan import DamagedRange
from deepseek_store.stripes.identity import FragmentFault
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import Stripe

_LOG: Final = logging.getLogger(__name__)


class Suspects:
    """Segments of which a reader got wrong bytes, or none; safe to use from several threads.

    What was met is kept in the home, too, once it is sure that the segment is still where the
    reader looked: another process may have moved it meanwhile.
    """

    def __init__(self, state: State, findings: Findings, tiers: TierSet, disk: Disk) -> None:
        self._state, self._findings, self._tiers, self._disk = state, findings, tiers, disk
        disk.watch(self.note_copy, self.note_left_out)
        tiers.watch(self.note_tier)
        self._found: dict[int, str] = {}
        self._lock = threading.Lock()
        self.total = 0

    def note(self, segment: int, detail: str) -> None:
        """A read of a segment met a fault; what it read it had from elsewhere, or not at all."""
        with self._lock:
            known = segment in self._found
            self._found[segment] = detail
            self.total += not known
        if not known:
            _LOG.warning("segment %x: %s", segment, detail)

    def note_copy(self, segment: int, error: errors.StorageError, *, lost: bool = False) -> None:
        """A file of the log, on the disk that the error names, did not give the right bytes."""
        self._state.refresh(sure=True)
        row = self._state.segments.get(segment)
        if row is not None and not row.local:
            return
        self.note(segment, error.message)
        kind = _kind_of(error)
        if kind == "missing" and (row is None or row.state != "sealed"):
            return  # it is being written, or was collected
        self._findings.note("segment", segment, kind, error.url, detail=error.message, lost=lost)

    def note_left_out(self, folder: str, why: str) -> None:
        """The log goes on without one of its disks."""
        self._findings.note("mirror", 0, "left out", folder, detail=why, by="write")

    def note_opened(self, faults: Mapping[int, Sequence[DamagedRange]]) -> None:
        """Opening the store met damaged places in segments that nobody had sealed."""
        for segment, ranges in faults.items():
            first = ranges[0]
            detail = f"{len(ranges)} places, {first.nbytes} bytes at {first.offset}: {first.reason}"
            self.note(segment, detail)
            for disk in self._disk.replicas():
                self._findings.note(
                    "segment", segment, "damaged", disk.url, detail=detail, by="open"
                )

    def note_fragments(
        self,
        segment: int,
        stripe: Stripe,
        faults: Iterable[FragmentFault],
        *,
        lost: bool = False,
    ) -> None:
        """Fragments of a stripe did not give the right bytes of a segment, or none.

        `lost`: nor do the others together.
        """
        self._state.refresh(sure=True)
        if self._state.stripes.get(stripe.id) is not stripe:
            return
        for fault in faults:
            self.note(segment, f"fragment {fault.index}: {fault.kind}, {fault.detail}")
            place = stripe.fragments[fault.index].place
            url = self._tiers.url_of(place)
            if fault.kind == "unreachable":
                self._note_away(place, fault.detail)
            else:
                self._findings.note(
                    "stripe", stripe.id, fault.kind, url,
                    index=fault.index, detail=fault.detail, lost=lost,
                )  # fmt: skip

    def note_tier(self, number: int, why: str) -> None:
        """A tier can't be opened; or it can again, if there is no reason."""
        url = self._tiers.url_of(Place(tier=number))
        if why:
            self._findings.note("tier", number, "unreachable", url, detail=why, by="open")
        else:
            self._findings.heal(lambda each: each.what == "tier" and each.place == url)

    def _note_away(self, place: Place, detail: str) -> None:
        """A domain is away, or all of its tier."""
        if place.tier in self._tiers.failed:
            place = Place(tier=place.tier)
        what: What = "domain" if place.domain else "tier"
        url = self._tiers.url_of(place)
        self._findings.note(what, place.tier, "unreachable", url, detail=detail)

    def take(self) -> Mapping[int, str]:
        """All that were noted since the last call, with what was met."""
        with self._lock:
            found, self._found = self._found, {}
        return found

    def __len__(self) -> int:
        return len(self._found)


def _kind_of(error: errors.StorageError) -> str:
    if isinstance(error, errors.ObjectMissing):
        return "missing"
    return "damaged" if isinstance(error, Corrupt) else "unreachable"
