"""Fragments on tiers that no stripe of the index has: which may go, and which must stay.

A move that was killed leaves some, and they may go: an index that is no older than its store, of a
home that owns the tier, knows every stripe whose number it gave. A stripe of a higher number was
written by somebody who knew more, and a rebuild may have had to leave some out: those stay.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Final

import attrs

from deepseek_core import ObjectStat, Tier, errors
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.state import State
from deepseek_store.home.tier_set import TierSet
from deepseek_store.stripes.fragment import (
    HEADER_NBYTES,
    BadFragment,
    FragmentHeader,
    parse_header,
)
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import Stripe, folder_of, parse_key

_SKEW_S: Final = 86_400.0
LEFT_OUT: Final = "left out"
"""An entry of the index's meta table: the numbers of stripes that it can't have, as JSON."""


@attrs.frozen(kw_only=True)
class Orphan:
    """A fragment of this store that no stripe of the index names."""

    place: Place
    stat: ObjectStat
    header: FragmentHeader


@attrs.define(kw_only=True)
class Sorted:
    """What was found: to delete now, to look at again later, and to be left alone."""

    dead: list[Orphan] = attrs.field(factory=list)
    waiting: int = 0
    unknown: list[int] = attrs.field(factory=list)
    unreachable: list[Place] = attrs.field(factory=list)


class Orphans:
    """Finds and judges the orphans of one store."""

    def __init__(
        self, config: StoreConfig, state: State, tiers: TierSet, clock: Callable[[], float]
    ) -> None:
        self._config, self._state, self._tiers, self._clock = config, state, tiers, clock

    def sort(self) -> Sorted:
        """Look at all tiers."""
        found = Sorted()
        by_stripe: dict[int, list[Orphan]] = defaultdict(list)
        for orphan in self._find(found):
            by_stripe[orphan.header.stripe].append(orphan)
        highest = self._state.index.counters().get("stripe", 0) if by_stripe else 0
        left_out = self._left_out() if by_stripe else ()
        for stripe, orphans in sorted(by_stripe.items()):
            old = [each for each in orphans if self._is_old(each.stat)]
            found.waiting += len(orphans) - len(old)
            if stripe > highest or stripe in left_out:
                found.unknown.append(stripe)
            elif stripe in self._state.stripes:
                self._sort_known(stripe, old, found)
            else:
                found.dead += old
        return found

    def _find(self, found: Sorted) -> Iterator[Orphan]:
        known = {
            (each.tier, each.key)
            for stripe in (*self._state.stripes.values(), *self._given_up())
            for each in stripe.fragments
        }
        for tier in ("warm", "cold"):
            if not self._config.of(tier):
                continue
            for place in self._tiers.places(tier):
                try:
                    yield from self._find_at(place, known)
                except errors.TierUnavailable:
                    found.unreachable.append(place)

    def _find_at(self, place: Place, known: set[tuple[int, str]]) -> Iterator[Orphan]:
        tier = self._tiers.tier(place.tier)
        for stat in list(tier.list(folder_of(place.domain))):
            if (place.tier, stat.key) in known or parse_key(place.domain, stat.key) is None:
                continue
            header = _header(tier, stat.key)
            # One that says that it is another store's is none of our business.
            if header is not None and header.store == self._config.store_id:
                yield Orphan(place=place, stat=stat, header=header)

    def _is_old(self, stat: ObjectStat) -> bool:
        """Whether its grace period is over."""
        age_s = self._clock() - stat.modified_s
        # A tier's clock that is ahead must not make what a move just wrote look old.
        return not -_SKEW_S < age_s < self._config.policy.grace_s

    def _sort_known(self, number: int, orphans: Iterable[Orphan], found: Sorted) -> None:
        """Fragments of a repair that was killed, or that has replaced them."""
        stripe = self._state.stripes[number]
        for orphan in orphans:
            index = orphan.header.index
            current = stripe.fragments[index] if index < len(stripe.fragments) else None
            # It is all there may be of a fragment that has no other place any more.
            if current is not None and current.key and self._is_there(current.tier, current.key):
                found.dead.append(orphan)
            else:
                found.waiting += 1

    def _is_there(self, tier: int, key: str) -> bool:
        try:
            self._tiers.tier(tier).stat(key)
        except errors.StorageError:
            return False
        return True

    def _left_out(self) -> Container[int]:
        """Stripes that a rebuild could not take in."""
        return set(json.loads(self._state.index.meta().get(LEFT_OUT, "[]")))

    def _given_up(self) -> Iterator[Stripe]:
        return (stripe for stripe, _ in self._state.given_up.values())


def _header(tier: Tier, key: str) -> FragmentHeader | None:
    try:
        return parse_header(tier.get(key, 0, HEADER_NBYTES))
    except (BadFragment, errors.ObjectMissing):
        return None
