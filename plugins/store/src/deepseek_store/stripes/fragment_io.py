"""Fragments on tiers: ranged reads, reads in parallel with bounded memory, deletes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from deepseek_core import DeepSeekError, Tier, errors
from deepseek_store import handles
from deepseek_store.at_once import AtOnce
from deepseek_store.codes import Code, Codec, DecodePlan
from deepseek_store.errors import Corrupt, Unrecoverable
from deepseek_store.stripes.identity import FragmentFault, fault_of, judge
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import FragmentPlace, Stripe

_SMALLEST_COLUMN: Final = 1 << 16

TIER_FAULTS: Final = (DeepSeekError, OSError)
"""All that a tier may raise; whatever it is, other fragments stand in for this one."""

Throttle = Callable[[int], None]
"""Called with a number of bytes before each read, from several threads; it may wait."""

Content = Callable[[int, memoryview], str]
"""Says what is wrong with the segment that a fragment holds, by its number; "" if nothing is."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def no_throttle(_nbytes: int) -> None:
    """Read as fast as it goes."""


def _numbered(place: FragmentPlace) -> str:
    return f"tier number {place.tier}"


class FragmentIO:
    """The tiers of one store and the threads that read and write them.

    At most `budget_nbytes` are in flight at once, and one fragment at least.
    """

    def __init__(
        self, tiers: Sequence[Tier | None], store: bytes, *, threads: int, budget_nbytes: int
    ) -> None:
        self.tiers = tuple(tiers)  # by number, as fragments name them; None: not there
        self.urls: Sequence[str] = ()  # by number, for errors
        self.why_away: Mapping[int, str] = {}  # number of a tier that is None -> why
        self.store = store
        self.threads = handles.threads(threads)
        self.budget_nbytes = budget_nbytes
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="stripes")
        self._codecs: dict[Code, Codec] = {}  # made once for each code
        self._codecs_lock = threading.Lock()

    def close(self) -> None:
        """End the threads; the tiers stay open."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def codec(self, code: Code) -> Codec:
        """The arithmetic of a code, made once."""
        with self._codecs_lock:
            if code not in self._codecs:
                self._codecs[code] = Codec(code)
            return self._codecs[code]

    def column_nbytes(self, fragments: int) -> int:
        """How much of each of so many fragments may be held at once."""
        return max(_SMALLEST_COLUMN, self.budget_nbytes // max(1, fragments))

    def plan(self, stripe: Stripe, lost: Collection[int], wanted: Collection[int]) -> DecodePlan:
        """What to read to rebuild the wanted fragments.

        Raises:
            Unrecoverable: more is lost than the code can bear.
        """
        zeros = set(stripe.virtual)
        data = [index for index in zeros if index < stripe.code.k]
        try:
            return self.codec(stripe.code).plan(set(lost) - zeros, wanted, data)
        except Unrecoverable as error:
            raise Unrecoverable(
                f"stripe {stripe.id:x}: {error.message}",
                url=self.url_of(stripe.fragments[min(wanted)]),
                lost=error.lost,
                remedy=error.remedy,
            ) from None

    def tier_of(self, place: FragmentPlace) -> Tier:
        """The tier where a fragment lies.

        Raises:
            TierUnavailable: there is none of that number.
        """
        tier = self._tier(place.tier)
        if tier is None:
            url, why = self.url_of(place), self.why_away.get(place.tier, "it is not open")
            raise errors.TierUnavailable(
                why if url and why.startswith(url) else f"{url or _numbered(place)}: {why}",
                url=url,
                remedy="bring the tier back, then try again",
            )
        return tier

    def _tier(self, number: int) -> Tier | None:
        return self.tiers[number] if number < len(self.tiers) else None

    def url_of(self, place: FragmentPlace) -> str:
        """The URL of the tier where a fragment lies."""
        tier = self._tier(place.tier)
        if tier is not None:
            return tier.url
        return self.urls[place.tier] if place.tier < len(self.urls) else ""

    def places(self, tiers: Iterable[int]) -> tuple[Place, ...]:
        """All failure domains of those of the tiers that are open."""
        opened = ((number, self._tier(number)) for number in sorted(set(tiers)))
        return tuple(
            Place(tier=number, domain=domain)
            for number, tier in opened
            if tier is not None
            for domain in tier.failure_domains or ("",)
        )

    def read_range(self, stripe: Stripe, index: int, start: int, nbytes: int) -> bytes:
        """Bytes of a fragment's payload, fewer only where it ends: one ranged get.

        Raises:
            ObjectMissing: the fragment is not there.
            TierUnavailable: its tier can't be reached.
            Corrupt: the object is too short.
        """
        place = stripe.fragments[index]
        nbytes = min(nbytes, place.nbytes - start)
        if nbytes <= 0:
            return b""
        if not place.key:
            raise errors.ObjectMissing(
                f"fragment {index} of stripe {stripe.id:x} is lost", url=self.url_of(place)
            )
        tier, begin = self.tier_of(place), stripe.payload_start(index) + start
        # Want of descriptors is ours, not the tier's: no fragment is taken for lost because of it.
        data = handles.patiently(lambda: tier.get(place.key, begin, nbytes))
        if len(data) != nbytes:
            raise Corrupt(
                f"{place.key} ends early: {len(data)} bytes where {nbytes} were written",
                url=self.url_of(place),
                remedy="`ds-sdk store scrub HOME` finds it, `ds-sdk store repair HOME` rebuilds it",
            )
        return data

    def inspect(
        self,
        stripe: Stripe,
        index: int,
        *,
        deep: bool = True,
        throttle: Throttle = no_throttle,
        content: Content | None = None,
    ) -> FragmentFault | None:
        """What is wrong with a fragment as it lies there; None if nothing is.

        `deep` reads all of it, else header, table and length are looked at. `content` judges the
        segment in it, if all of it was read.
        """
        place = stripe.fragments[index]
        if not place.nbytes:
            return None
        if not place.key:
            return FragmentFault(index=index, kind="missing", detail="it is known to be lost")
        try:
            data, object_nbytes = self._look(stripe, index, deep, throttle)
        except TIER_FAULTS as error:
            return fault_of(index, error)
        fault = judge(stripe, index, self.store, data, object_nbytes)
        if fault is not None or content is None or not deep or index >= stripe.width:
            return fault
        why = content(place.segment, memoryview(data)[stripe.payload_start(index) :])
        return FragmentFault(index=index, kind="corrupt-segment", detail=why) if why else None

    def _look(
        self, stripe: Stripe, index: int, deep: bool, throttle: Throttle
    ) -> tuple[bytes, int]:
        place = stripe.fragments[index]
        tier = self.tier_of(place)
        start = stripe.payload_start(index)
        # One byte more than it should have: a longer object is seen, and memory stays bounded.
        nbytes = start + place.nbytes + 1 if deep else start
        throttle(nbytes)
        data = handles.patiently(lambda: tier.get(place.key, 0, nbytes))
        return data, len(data) if deep else tier.stat(place.key).nbytes

    def delete(self, places: Iterable[FragmentPlace]) -> tuple[FragmentPlace, ...]:
        """Delete fragments; those that could not be deleted come back."""
        stored = [place for place in places if place.key]
        done = self.each(self.remove, stored, nbytes=0)
        return tuple(place for place, deleted in done if not deleted)

    def remove(self, place: FragmentPlace) -> bool:
        """Delete one fragment, in this thread; whether it could be."""
        try:
            self.tier_of(place).delete(place.key)
        except TIER_FAULTS:
            return False
        return True

    def each(
        self, work: Callable[[Item], Outcome], items: Iterable[Item], *, nbytes: int
    ) -> Iterator[tuple[Item, Outcome]]:
        """Each item and what `work` made of it, in parallel, in the order of their ends.

        `nbytes` are what one of them holds in memory. The first error ends it: nothing new is
        begun, and what runs is waited for. `work` must not call this again: threads are few.
        """
        width = max(1, min(self.threads, self.budget_nbytes // max(1, nbytes)))
        with AtOnce(width, pool=self._pool, ahead=1) as at_once:
            yield from at_once.results(lambda item: (item, work(item)), items)
