"""What a stripe can still bear, now: by who answers, and by what was found and is not healed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

import attrs

from deepseek_core import errors
from deepseek_store.check.presence import Presence
from deepseek_store.codes import Code
from deepseek_store.codes.durability import (
    DurabilityModel,
    nines_after_by_repair,
    nines_by_repair,
)
from deepseek_store.home.findings import KeptFinding
from deepseek_store.parts import Parts
from deepseek_store.stripes.stripe import Stripe

Nines = Mapping[str, float]


@attrs.frozen(kw_only=True)
class Margin:
    """What a stripe bears now, and what it bears when all of it is there.

    `lost` are the indexes of fragments that are not there now. `domain_losses` more domains may go
    for sure; 0 and 0 nines where nothing more may.
    """

    lost: frozenset[int]
    decodable: bool
    domain_losses: int
    domain_losses_whole: int
    nines: Nines
    nines_whole: Nines


class Health:
    """The state of all stripes and segments at one moment."""

    def __init__(self, parts: Parts, presence: Presence, findings: Sequence[KeptFinding]) -> None:
        self._parts, self.presence, self.findings = parts, presence, tuple(findings)
        self._found: dict[tuple[str, int], list[KeptFinding]] = defaultdict(list)
        for each in findings:
            self._found[each.what, each.number].append(each)
        self._promised: dict[str, float | None] = {}

    @classmethod
    def of(cls, parts: Parts, presence: Presence) -> Health:
        """With all findings that are kept."""
        return cls(parts, presence, parts.findings.all())

    def of_stripe(self, number: int) -> Sequence[KeptFinding]:
        """What was found of a stripe's fragments."""
        return self._found.get(("stripe", number), ())

    def of_segment(self, number: int) -> Sequence[KeptFinding]:
        """What was found of a segment of the log."""
        return self._found.get(("segment", number), ())

    def away_of(self, stripe: Stripe) -> dict[str, str]:
        """The domains of a stripe that are not there, and why."""
        places = dict.fromkeys(stripe.fragments[index].place for index in stripe.stored)
        away = self.presence.away
        return {self._parts.tiers.url_of(p): away[p] for p in places if p in away}

    def lost_of(self, stripe: Stripe) -> frozenset[int]:
        """Fragments that are not there now, or are known to be damaged."""
        gone = self.presence.lost_of(stripe)
        gone |= {each.index for each in self.of_stripe(stripe.id) if each.index is not None}
        return frozenset(gone)

    def margin(self, stripe: Stripe) -> Margin:
        """What a stripe bears."""
        lost = self.lost_of(stripe)
        crowd = Counter(stripe.fragments[index].place for index in stripe.stored)
        per_domain = max(crowd.values(), default=1)
        left = Counter(stripe.fragments[i].place for i in stripe.stored if i not in lost)
        decodable = not lost or self._parts.tiers.stripes.decodable(stripe, lost)
        spare = max(0, stripe.code.tolerance - len(lost))
        domains_lost = -(-len(lost) // per_domain)
        now, whole = _nines(stripe.code, per_domain, self._promised_nines(stripe), domains_lost)
        return Margin(
            lost=lost,
            decodable=decodable,
            domain_losses=spare // max(left.values(), default=1),
            domain_losses_whole=stripe.code.tolerance // per_domain,
            nines=dict(now),
            nines_whole=dict(whole),
        )

    def _promised_nines(self, stripe: Stripe) -> float | None:
        tier = stripe.tier
        if tier not in self._promised:
            try:
                self._promised[tier] = self._parts.tiers.promised_nines(tier)
            except errors.StorageError:
                self._promised[tier] = None
        return self._promised[tier]


_Items = tuple[tuple[str, float], ...]


@lru_cache(maxsize=256)
def _nines(code: Code, per_domain: int, promised: float | None, lost: int) -> tuple[_Items, _Items]:
    """Nines with so many domains lost, and with none, under the three models of repair."""
    model = DurabilityModel()
    if promised is not None:
        model = attrs.evolve(model, afr=10.0**-promised)
    whole = tuple(nines_by_repair(code, model, per_domain).items())
    if not lost:
        return whole, whole
    return tuple(nines_after_by_repair(code, model, lost, per_domain).items()), whole
