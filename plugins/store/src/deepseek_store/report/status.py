"""A store at one moment: tiers, where bytes lie, heat, durability, counts and faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core import TierProfile, errors
from deepseek_store import handles
from deepseek_store.check.presence import look_for_places
from deepseek_store.check.stripe_health import Health
from deepseek_store.codes.choose import CodeChoice
from deepseek_store.codes.code import Code
from deepseek_store.codes.durability import DurabilityModel, nines_by_repair
from deepseek_store.home.counters import Counters, LedgerEntry
from deepseek_store.home.findings import KeptFinding
from deepseek_store.index.opening import INDEX_FILE
from deepseek_store.log.reserve import free_nbytes
from deepseek_store.planning.policy import TIERS, TierName
from deepseek_store.report.tier_totals import Tally, take_tally

if TYPE_CHECKING:
    from deepseek_store.parts import Parts
    from deepseek_store.store import Store

DAY_S: Final = 86_400.0
BORDERS: Final = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Of the bins of heat, in accesses a day."""


@attrs.frozen(kw_only=True)
class TierStatus:
    """One tier. Its `stored_nbytes` are live, redundancy and garbage.

    `codes` counts stripes by code; `choice` is the code of new stripes, `refused` why there is
    none. `simulated`: its failure domains only stand for devices. `redundancy_nbytes` counts
    parities, copies and headers; `garbage_nbytes` what is no longer needed and not yet collected.
    `domains` are those that are there now, of `domains_configured`; `away` says why others are not.
    Of its stripes `stripes_hurt` lack fragments, and `stripes_unreadable` can't be read now;
    `domain_losses_now` and `nines_now` are the least that any of its stripes has.
    """

    name: TierName
    places: tuple[str, ...]
    medium: str = ""
    simulated: bool = False
    domains: int = 0
    capacity_nbytes: int | None = None
    free_nbytes: int | None = None
    stored_nbytes: int = 0
    live_nbytes: int = 0
    redundancy_nbytes: int = 0
    objects: int = 0
    objects_nbytes: int = 0
    stripes: int = 0
    codes: Mapping[str, int] = attrs.field(factory=dict)
    choice: CodeChoice | None = None
    refused: str = ""
    unreachable: str = ""
    domains_configured: int = 0
    away: Mapping[str, str] = attrs.field(factory=dict)
    stripes_hurt: int = 0
    stripes_unreadable: int = 0
    segments_unreadable: int = 0
    """Of the log: they are in no folder that is there, and in no stripe."""
    domain_losses_now: int | None = None
    nines_now: float | None = None

    @property
    def garbage_nbytes(self) -> int:
        """What is neither live nor redundancy."""
        return max(0, self.stored_nbytes - self.live_nbytes - self.redundancy_nbytes)

    @property
    def efficiency(self) -> float | None:
        """Live over stored bytes; None where nothing is stored."""
        return self.live_nbytes / self.stored_nbytes if self.stored_nbytes else None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        facts = attrs.asdict(self, recurse=False, filter=attrs.filters.exclude("choice", "name"))
        choice = self.choice
        return {"temperature": self.name, **facts} | {
            "garbage_nbytes": self.garbage_nbytes,
            "efficiency": self.efficiency,
            "code": None if choice is None else choice.code.name,
            "code_efficiency": None if choice is None else choice.efficiency,
            "domain_losses": None if choice is None else choice.domain_losses,
            "nines": None if choice is None else dict(choice.nines),
        }


@attrs.frozen(kw_only=True)
class StoreStatus:
    """All of a store at one moment.

    `heat_bins`: objects by tier in each bin between `BORDERS`. `damaged` are units that scrubs
    left damaged; `recovered` says what opening it had to put right.
    """

    home: str
    at_s: float
    objects: int
    objects_nbytes: int
    tiers: tuple[TierStatus, ...]
    index_nbytes: int
    index_behind: int
    heat_bins: tuple[Mapping[TierName, int], ...]
    pins: int
    snapshots: int
    counts: Counters
    entries: tuple[LedgerEntry, ...]
    damaged: int
    recovered: tuple[str, ...]
    findings: tuple[KeptFinding, ...] = ()
    """What is wrong by all that was found, and is not healed yet; the oldest first."""

    @property
    def healthy(self) -> bool:
        """Whether nothing is known to be wrong; what nobody has looked at may be."""
        hurt = (
            tier.away or tier.stripes_hurt or tier.segments_unreadable or tier.unreachable
            for tier in self.tiers
        )
        whole = not any(hurt)
        return whole and not self.findings and not self.damaged

    @property
    def verdict(self) -> str:
        """The state of the store in a sentence."""
        lost = sum(each.lost for each in self.findings)
        if lost:
            return f"LOST: bytes of objects in {lost:,} places; `repair` names what it can't fix"
        stripes = sum(tier.stripes_unreadable for tier in self.tiers)
        segments = sum(tier.segments_unreadable for tier in self.tiers)
        if stripes or segments:
            return f"BROKEN: {stripes:,} stripes and {segments:,} segments can't be read now"
        if not self.healthy:
            return (
                "DEGRADED: as far as is known, all can be read, "
                "but it survives fewer losses than meant"
            )
        return "no fault is known (`scrub` reads all bytes)"

    @property
    def stored_nbytes(self) -> int:
        """All that lies on disks and tiers, the index too."""
        return self.index_nbytes + sum(tier.stored_nbytes for tier in self.tiers)

    @property
    def efficiency(self) -> float | None:
        """Bytes of objects over stored bytes."""
        return self.objects_nbytes / self.stored_nbytes if self.objects_nbytes else None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        facts = attrs.asdict(self, recurse=False, filter=attrs.filters.exclude("heat_bins"))
        return facts | {
            "tiers": [tier.to_json() for tier in self.tiers],
            "counts": attrs.asdict(self.counts) | {"cache_hit_rate": self.counts.cache_hit_rate},
            "entries": [attrs.asdict(entry) for entry in self.entries],
            "temperatures": [
                {"below_per_day": border, **bin_}
                for border, bin_ in zip((*BORDERS, None), self.heat_bins, strict=True)
            ],
            "stored_nbytes": self.stored_nbytes,
            "efficiency": self.efficiency,
            "findings": [attrs.asdict(each) for each in self.findings],
            "healthy": self.healthy,
            "verdict": self.verdict,
        }


def look(store: Store) -> StoreStatus:
    """The store as it is now; sums over all objects once, and asks each domain if it is there.

    Raises:
        IndexUnavailable: the database does not answer.
    """
    parts = store.parts
    state = parts.state
    state.refresh()
    parts.committer.flush()
    now_s = parts.clock()
    parts.heat.settle(now_s)
    tally = take_tally(
        state,
        parts.heat,
        now_s=now_s,
        half_life_s=parts.config.policy.half_life_s,
        borders=[border / DAY_S for border in BORDERS],
    )
    entries = parts.ledger.all()
    now = Health.of(parts, look_for_places(parts))
    return StoreStatus(
        home=str(store.home),
        at_s=now_s,
        objects=sum(tally.objects.values()),
        objects_nbytes=sum(tally.nbytes.values()),
        tiers=tuple(_tiers(parts, tally, now)),
        index_nbytes=_index_nbytes(parts),
        index_behind=parts.committer.behind,
        heat_bins=tally.heat_bins,
        pins=len(state.pins),
        snapshots=len(store.snapshots()),
        counts=sum((entry.counts for entry in entries), Counters()),
        entries=tuple(entries),
        damaged=_damaged(parts),
        recovered=tuple(_recovered(parts)),
        findings=now.findings,
    )


def _tiers(parts: Parts, tally: Tally, now: Health) -> Iterable[TierStatus]:
    stored = parts.state.stored_nbytes()
    live = _live(parts, tally)
    for tier in TIERS:
        facts: dict[str, Any] = {
            "name": tier,
            "stored_nbytes": stored[tier],
            "live_nbytes": live[tier],
            "objects": tally.objects[tier],
            "objects_nbytes": tally.nbytes[tier],
        }
        if tier == "hot":
            yield TierStatus(**facts | _hot(parts, now, live["hot"], stored["hot"]))
        elif parts.config.of(tier):
            yield TierStatus(**facts | _distant(parts, tier) | _now(parts, now, tier))


def _live(parts: Parts, tally: Tally) -> Counter[str]:
    """Payload that some version needs, by every place that has a copy of it."""
    state = parts.state
    live: Counter[str] = Counter()
    for row in list(state.segments.values()):
        nbytes = tally.live_nbytes.get(row.id, 0)
        live["hot"] += nbytes if row.local else 0
        stripe = None if row.stripe is None else state.stripes.get(row.stripe)
        if stripe is not None:
            live[stripe.tier] += nbytes
    return live


def _now(parts: Parts, now: Health, tier: TierName) -> dict[str, Any]:
    """What of a tier is there now, and what its stripes bear."""
    numbers = parts.config.of(tier)
    domains = [place for place in now.presence.domains if place.tier in numbers]
    away = {p: why for p, why in now.presence.away.items() if p.tier in numbers}
    stripes = [each for each in parts.state.stripes.values() if each.tier == tier]
    margins = [now.margin(stripe) for stripe in stripes]
    return {
        "domains": len(domains) - len(away),
        "domains_configured": len(domains),
        "away": {parts.tiers.url_of(place): why for place, why in away.items()},
        "stripes_hurt": sum(bool(margin.lost) for margin in margins),
        "stripes_unreadable": sum(not margin.decodable for margin in margins),
        "domain_losses_now": min((margin.domain_losses for margin in margins), default=None),
        "nines_now": min((min(margin.nines.values()) for margin in margins), default=None),
    }


def _hot(parts: Parts, now: Health, live_nbytes: int, stored: int) -> dict[str, Any]:
    """The log: its copies are on disks of their own, as its user says."""
    copies = 1 + len(parts.config.mirrors)
    code = Code.parse(f"replication({copies})")
    nines = nines_by_repair(code, DurabilityModel())
    left = max(1, sum(not why for why in now.presence.copies.values()))
    away = {name: why for name, why in now.presence.copies.items() if why}
    left_nines = nines_by_repair(Code.parse(f"replication({left})"), DurabilityModel())
    free = free_nbytes(parts.home)
    return {
        "places": (str(parts.home / "log"), *parts.config.mirrors),
        "medium": "log",
        "domains": copies - len(away),
        "domains_configured": copies,
        "away": away,
        "domain_losses_now": left - 1,
        "nines_now": min(left_nines.values()),
        "segments_unreadable": sum(
            row.local
            and row.state == "sealed"
            and row.stripe is None
            and not now.presence.in_log(row.id)
            for row in list(parts.state.segments.values())
        ),
        "capacity_nbytes": free + stored,
        "free_nbytes": free,
        "stored_nbytes": stored * copies,
        "redundancy_nbytes": live_nbytes * (copies - 1),
        "choice": CodeChoice(
            code=code,
            nines=nines,
            efficiency=code.efficiency,
            fragments_per_domain=1,
            domain_losses=copies - 1,
            rule="one copy of the log on each disk",
            candidates=(),
        ),
        "unreachable": _joined(away) if len(away) == copies else "",
    }


def _joined(away: Mapping[str, str]) -> str:
    return "; ".join(f"{place}: {why}" for place, why in away.items())


def _distant(parts: Parts, tier: TierName) -> dict[str, Any]:
    assert tier != "hot"
    stripes = [each for each in parts.state.stripes.values() if each.tier == tier]
    numbers = parts.config.of(tier)
    facts: dict[str, Any] = {
        "places": tuple(parts.config.tiers[number].url for number in numbers),
        "stripes": len(stripes),
        "codes": dict(Counter(each.code.name for each in stripes)),
        "redundancy_nbytes": sum(
            each.object_nbytes - sum(one.nbytes for one in each.fragments[: each.width])
            for each in stripes
        ),
    }
    try:
        profiles = [handles.patiently(parts.tiers.tier(number).profile) for number in numbers]
    except errors.StorageError as error:
        return facts | {"unreachable": error.message}
    facts |= _told(profiles)
    try:
        facts["choice"] = parts.mover.choice(tier)
    except errors.ConfigError as error:
        facts["refused"] = error.message
    return facts


def _told(profiles: Sequence[TierProfile]) -> dict[str, Any]:
    capacity = [profile.capacity_nbytes for profile in profiles]
    free = [profile.free_nbytes for profile in profiles]
    return {
        "medium": ", ".join(sorted({profile.medium for profile in profiles})),
        "simulated": any(profile.evidence == "simulated" for profile in profiles),
        "capacity_nbytes": None if None in capacity else sum(filter(None, capacity)),
        "free_nbytes": None if None in free else sum(filter(None, free)),
    }


def _index_nbytes(parts: Parts) -> int:
    """Files of the index in the home; nothing of a database elsewhere."""
    return sum(path.stat().st_size for path in parts.home.glob(f"{INDEX_FILE}*"))


def _damaged(parts: Parts) -> int:
    from deepseek_store.check.repair import known_damage

    return len(known_damage(parts))


def _recovered(parts: Parts) -> Iterable[str]:
    if parts.opened.truncated_nbytes:
        yield f"{parts.opened.truncated_nbytes} bytes of a torn tail of the log were dropped"
    for segment, faults in parts.opened.faults.items():
        for fault in faults:
            yield f"segment {segment:x}: {fault.nbytes} bytes at {fault.offset}: {fault.reason}"
