"""Takes stock before a repair: is all there that the index names, and is a sample of it right.

Names and lengths of all files and fragments come from listings; bytes are read as far as a budget
goes, so that a small store is read completely. What was looked at and what was not is told.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import attrs

from deepseek_core import DeepSeekError
from deepseek_store.at_once import AtOnce
from deepseek_store.check.check_units import LogFiles, Look, check_fragments, check_segment
from deepseek_store.check.faults import CheckUnit
from deepseek_store.check.presence import Presence, look_for_places
from deepseek_store.parts import Parts
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import Stripe, folder_of

_THREADS: Final = 16
SAMPLE_NBYTES: Final = 256 << 20
"""So many bytes are read of what is stored, at most."""


@attrs.frozen(kw_only=True)
class Inventory:
    """What was looked at: how many there are, were listed, and were read to their last byte.

    `suspect` are units that are not as they should be, or lie where nobody answers. A fragment
    counts once, a segment once for each copy of the log.
    """

    presence: Presence
    suspect: tuple[CheckUnit, ...] = ()
    segments: int = 0
    segments_read: int = 0
    fragments: int = 0
    fragments_listed: int = 0
    fragments_read: int = 0

    @property
    def whole(self) -> bool:
        """Whether every byte was read."""
        return (self.segments, self.fragments) == (self.segments_read, self.fragments_read)

    @property
    def usable(self) -> bool:
        """Whether each tier has a domain that is there, and the log all of its copies."""
        tiers: dict[int, bool] = defaultdict(bool)
        for place, why in self.presence.domains.items():
            tiers[place.tier] |= not why
        for number, why in self.presence.tiers.items():
            tiers[number] &= not why
        return all(tiers.values()) and not any(self.presence.copies.values())

    @property
    def not_looked_at(self) -> tuple[str, ...]:
        """What nobody has looked at, for people."""
        lines = []
        if self.fragments > self.fragments_listed:
            count = self.fragments - self.fragments_listed
            lines.append(f"{count:,} fragments that lie where nobody answers")
        unread = self.fragments_listed - self.fragments_read
        if unread > 0:
            lines.append(f"the bytes of {unread:,} of {self.fragments:,} fragments (scrub does)")
        if self.segments > self.segments_read:
            count = self.segments - self.segments_read
            lines.append(f"the bytes of {count:,} of {self.segments:,} segments (scrub does)")
        return (*lines, "whether index, log and tiers agree (fsck does)")

    def to_json(self, parts: Parts) -> dict[str, Any]:
        """All of it as plain values."""
        counts = attrs.asdict(self, filter=attrs.filters.exclude("presence", "suspect"))
        return {**self.presence.to_json(parts), **counts, "whole": self.whole}

    def sentences(self) -> tuple[str, ...]:
        """What was looked at, for people."""
        domains, away = self.presence.domains, self.presence.away
        there = f"{len(domains) - len(away)} of {len(domains)} failure domains are there, "
        copies = self.presence.copies
        left = sum(not why for why in copies.values())
        lines = [
            f"{there if domains else ''}{left} of {len(copies)} copies of the log; "
            f"{self.fragments_listed:,} of {self.fragments:,} fragments were looked for by name "
            f"and length; {self.fragments_read:,} of them and {self.segments_read:,} of "
            f"{self.segments:,} segments were read completely."
        ]
        return (*lines, f"Not looked at: {'; '.join(self.not_looked_at)}.")


def take_inventory(parts: Parts, *, sample_nbytes: int = SAMPLE_NBYTES) -> Inventory:
    """Look at all that the index names, and read some of it.

    Raises:
        ConfigError: no plugin opens the URL of a tier.
    """
    parts.state.refresh()
    presence = look_for_places(parts, by="repair")
    stock = _Stock(parts, presence, sample_nbytes)
    stock.log()
    stock.listings()
    stock.sample()
    return stock.inventory()


class _Stock:
    """One look at everything; each method looks at one sort of things."""

    def __init__(self, parts: Parts, presence: Presence, sample_nbytes: int) -> None:
        self._parts, self._presence, self._left_nbytes = parts, presence, sample_nbytes
        self._suspect: dict[CheckUnit, None] = {}
        self._count: dict[str, int] = defaultdict(int)
        self._stripes = list(parts.state.stripes.values())

    def inventory(self) -> Inventory:
        """All that was seen."""
        return Inventory(presence=self._presence, suspect=tuple(self._suspect), **dict(self._count))

    def log(self) -> None:
        """Files of the log: all by name and length, and some by all their bytes."""
        look = Look(files=LogFiles(self._parts.disk.replicas()))
        rows = [r for r in self._parts.state.segments.values() if r.local and r.state == "sealed"]
        random.shuffle(rows)
        copies = len(self._parts.disk.replicas())
        for row in rows:
            deep = self._takes(row.nbytes * copies)
            self._count["segments"] += copies
            self._count["segments_read"] += copies * deep
            if check_segment(self._parts, row, attrs.evolve(look, deep=deep)):
                self._suspect[CheckUnit("log", row.id)] = None

    def listings(self) -> None:
        """Fragments: whether each is where it should be, and as long as it should be."""
        expected: dict[Place, dict[str, tuple[Stripe, int]]] = defaultdict(dict)
        for stripe in self._stripes:
            self._count["fragments"] += len(stripe.stored) + len(stripe.lost)
            if stripe.lost:
                self._suspect[CheckUnit("stripe", stripe.id)] = None
            for index in stripe.stored:
                fragment = stripe.fragments[index]
                expected[fragment.place][fragment.key] = stripe, index
        with AtOnce(_THREADS) as threads:
            listed = threads.in_order(self._list, expected)
            for place, found in zip(expected, listed, strict=True):
                self._compare(expected[place], found)

    def _list(self, place: Place) -> Mapping[str, int] | None:
        if self._presence.domains.get(place):
            return None
        try:
            tier = self._parts.tiers.tier(place.tier)
            return {each.key: each.nbytes for each in tier.list(folder_of(place.domain))}
        except (DeepSeekError, OSError):
            return None

    def _compare(
        self, expected: Mapping[str, tuple[Stripe, int]], found: Mapping[str, int] | None
    ) -> None:
        self._count["fragments_listed"] += len(expected) if found is not None else 0
        for key, (stripe, index) in expected.items():
            nbytes = stripe.payload_start(index) + stripe.fragments[index].nbytes
            if found is None or found.get(key) != nbytes:
                self._suspect[CheckUnit("stripe", stripe.id)] = None

    def sample(self) -> None:
        """Bytes of fragments: all, where the budget allows it; else one of each stripe."""
        look = Look(files=LogFiles(()))
        away = self._presence.away
        total = sum(stripe.object_nbytes for stripe in self._stripes)
        for stripe in random.sample(self._stripes, len(self._stripes)):
            there = [i for i in stripe.stored if stripe.fragments[i].place not in away]
            if total > self._left_nbytes:
                there = random.sample(there, min(1, len(there)))
            total -= stripe.object_nbytes
            if not there or not self._takes(sum(stripe.fragments[i].nbytes for i in there)):
                continue
            self._count["fragments_read"] += len(there)
            if check_fragments(self._parts, stripe, look, there):
                self._suspect[CheckUnit("stripe", stripe.id)] = None

    def _takes(self, nbytes: int) -> bool:
        """Whether the budget allows so many bytes; they are taken from it."""
        if nbytes > self._left_nbytes:
            return False
        self._left_nbytes -= nbytes
        return True
