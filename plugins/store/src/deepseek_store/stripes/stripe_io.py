"""Stripes on tiers: write, read, check, repair, delete, discover."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Self

from deepseek_core import Tier, errors
from deepseek_store.codes import Code
from deepseek_store.stripes import read as reading
from deepseek_store.stripes.check import check_stripe
from deepseek_store.stripes.discover import Discovery, discover_stripes
from deepseek_store.stripes.fragment import Buffer, TierName
from deepseek_store.stripes.fragment_io import Content, FragmentIO, Throttle, no_throttle
from deepseek_store.stripes.identity import FragmentFault
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.outage import Failed
from deepseek_store.stripes.read import FragmentRange
from deepseek_store.stripes.rebuild_fragments import repair_stripe
from deepseek_store.stripes.stripe import FragmentPlace, Stripe
from deepseek_store.stripes.write import Birth, FragmentWriter, write_stripe

_STORE_ID_NBYTES: Final = 16


class StripeIO:
    """The stripes of one store on its tiers, which are numbered as they are given.

    None stands for a tier that can't be opened now: its fragments are unreachable, and reads go
    around them. `urls` name all of them, `why_away` says of a number why that tier is not open.
    `threads` read and write at once; at most `budget_nbytes` are in flight. Safe to share
    between threads. Tiers bring their own time-outs: what they take is waited for.
    """

    def __init__(
        self,
        tiers: Sequence[Tier | None],
        store_id: bytes,
        *,
        threads: int = 16,
        budget_nbytes: int = 256 << 20,
        urls: Sequence[str] = (),
        why_away: Mapping[int, str] | None = None,
    ) -> None:
        if len(store_id) != _STORE_ID_NBYTES:
            raise errors.InputError(f"a store's id has 16 bytes, not {len(store_id)}")
        self._io = FragmentIO(tiers, store_id, threads=threads, budget_nbytes=budget_nbytes)
        self._io.urls, self._io.why_away = tuple(urls), why_away or {}

    def close(self) -> None:
        """End the threads; the tiers stay open."""
        self._io.close()

    def replace_tier(self, number: int, tier: Tier) -> None:
        """Use a tier that could not be opened before."""
        tiers = list(self._io.tiers)
        tiers[number] = tier
        self._io.tiers = tuple(tiers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def places(self, tiers: Collection[int] | None = None) -> tuple[Place, ...]:
        """All failure domains of these tiers, of all without; none of those that are not open."""
        return self._io.places(range(len(self._io.tiers)) if tiers is None else tiers)

    def decodable(self, stripe: Stripe, lost: Collection[int]) -> bool:
        """Whether everything is left if these fragments are lost."""
        gone = set(lost) - set(stripe.virtual)
        return self._io.codec(stripe.code).decodable(gone)

    def write(
        self,
        id: int,
        segments: Sequence[tuple[int, Buffer]],
        code: Code,
        places: Sequence[Place],
        *,
        spares: Iterable[Place] = (),
        tier: TierName = "cold",
        created_s: float = 0.0,
        deep: bool = True,
    ) -> Stripe:
        """Encode segments (number, content) and write a fragment to each place.

        A place that is full or can't be reached is replaced by one of the `spares`. What was
        written is read back: all of it if `deep`, else headers and lengths.
        Memory: the segments as they are given, n - k parities, two copies of a fragment for
        each that is in flight.

        Raises:
            InputError: no segment, too many, an empty one, or not a place for each fragment.
            StorageError: a fragment could be written nowhere; those written are deleted again.
        """
        birth = Birth(id=id, code=code, tier=tier, created_s=created_s)
        free = [place for place in spares if place not in set(places)]
        writer = FragmentWriter(self._io, spares=free, deep=deep)
        return write_stripe(self._io, birth, segments, places, writer)

    def read(self, stripe: Stripe, index: int, start: int, nbytes: int) -> bytes:
        """A range of a fragment's payload by one ranged get. It is not verified.

        Raises:
            ObjectMissing: the fragment is not there.
            TierUnavailable: its tier can't be reached.
            Corrupt: the object is too short.
        """
        return self._io.read_range(stripe, index, start, nbytes)

    def read_degraded(
        self, stripe: Stripe, index: int, start: int, nbytes: int, *, failed: Failed
    ) -> bytes:
        """The range from the same range of other fragments. It is not verified.

        `failed` are fragments not to use; more that are met on the way are added.

        Raises:
            TierUnavailable: too many can't be reached now; nothing is known to be lost.
            Unrecoverable: more are missing or damaged than the code can bear.
        """
        span = FragmentRange(index=index, start=start, nbytes=nbytes)
        return reading.read_degraded(self._io, stripe, span, failed)

    def read_verified(
        self,
        stripe: Stripe,
        index: int,
        start: int,
        nbytes: int,
        *,
        xxh3: int,
        failed: Failed | None = None,
    ) -> bytes:
        """The range from the fragment or from others, with this hash.

        Raises:
            TierUnavailable: too many can't be reached now; nothing is known to be lost.
            Unrecoverable: more are missing or damaged than the code can bear.
            Corrupt: the hash fits no way, though no fragment is at fault.
        """
        failed = {} if failed is None else failed
        span = FragmentRange(index=index, start=start, nbytes=nbytes)
        return reading.read_verified(self._io, stripe, span, xxh3, failed)

    def check(
        self,
        stripe: Stripe,
        *,
        deep: bool = True,
        throttle: Throttle = no_throttle,
        only: Collection[int] | None = None,
        content: Content | None = None,
    ) -> tuple[FragmentFault, ...]:
        """What is wrong with the stripe's fragments, or with some; `deep` reads all bytes.

        `content` judges the segment that a data fragment holds.
        """
        return check_stripe(
            self._io, stripe, deep=deep, throttle=throttle, only=only, content=content
        )

    def repair(
        self,
        stripe: Stripe,
        faults: Iterable[FragmentFault] = (),
        places: Sequence[Place] | None = None,
        *,
        throttle: Throttle = no_throttle,
    ) -> Stripe:
        """The stripe with the faulty and lost fragments rewritten, a generation later.

        A single loss reads its local group and nothing else; several are one decode. New
        fragments go to `places` (all domains of the stripe's tiers without) where the stripe
        has none yet. Old ones stay: delete `superseded` when the index has switched. Let one
        process at a time repair a stripe: two may take fragments of each other.

        Raises:
            Unrecoverable: more is lost than the code can bear; nothing is written or deleted.
            StorageError: a fragment could be written nowhere; nothing is left behind.
        """
        return repair_stripe(self._io, stripe, faults, places, throttle)

    def delete(self, stripe: Stripe) -> tuple[FragmentPlace, ...]:
        """Delete all fragments; those that could not be deleted come back."""
        return self._io.delete(stripe.fragments)

    def delete_fragments(self, places: Iterable[FragmentPlace]) -> tuple[FragmentPlace, ...]:
        """Delete some fragments; those that could not be deleted come back."""
        return self._io.delete(places)

    def discover(
        self, places: Sequence[Place] | None = None, *, throttle: Throttle = no_throttle
    ) -> Discovery:
        """All stripes of this store, from listings and headers alone."""
        if places is None:
            away = [Place(tier=n) for n, tier in enumerate(self._io.tiers) if tier is None]
            places = (*self.places(), *away)
        return discover_stripes(self._io, places, throttle)


def superseded(old: Stripe, new: Stripe) -> tuple[FragmentPlace, ...]:
    """The fragments of the old stripe that the new one does not use."""
    kept = {(each.tier, each.key) for each in new.fragments}
    return tuple(each for each in old.fragments if each.key and (each.tier, each.key) not in kept)
