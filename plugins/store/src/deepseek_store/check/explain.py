"""Tells of one object where it lies, in which code and shards, its heat, and what comes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import attrs

from deepseek_core import DeepSeekError, TierProfile, errors
from deepseek_store.check.check_units import place_url
from deepseek_store.check.plan_moves import terms
from deepseek_store.check.presence import look_for_places
from deepseek_store.check.stripe_health import Health
from deepseek_store.codes.durability import Repair
from deepseek_store.index.rows import SegmentRow, Version
from deepseek_store.log.records import Extent, unpack_extents
from deepseek_store.move.census import object_state
from deepseek_store.parts import HOT_SPEED, Parts
from deepseek_store.planning import sizing
from deepseek_store.planning.policy import Policy, TierName
from deepseek_store.planning.tiering import judge
from deepseek_store.planning.verdict import TierVerdict
from deepseek_store.stripes.stripe import Stripe

_MODELS: Final[Mapping[Repair, str]] = {
    "equal": "if all repairs take one time",
    "bandwidth": "bound by bandwidth",
    "latent": "with latent sector errors",
}


@attrs.frozen(kw_only=True)
class Copy:
    """Where a part of an object, or all of it, lies.

    `places` are folders of the log and its mirrors, or the failure domains of the fragments that
    hold it; all else is of the stripe. `lost` fragments of it are gone, or lie where nobody answers
    (`away`); `nines` and `domain_losses` count what is there now, `nines_whole` and
    `domain_losses_whole` are those of the stripe when all is. Not `readable`: not now. `found` is
    what is known to be wrong with it.
    """

    tier: TierName
    nbytes: int
    segments: tuple[int, ...]
    places: tuple[str, ...]
    stripe: int | None = None
    code: str | None = None
    nines: Mapping[str, float] | None = None
    domain_losses: int | None = None
    efficiency: float | None = None
    full: bool = True
    lost: int = 0
    away: Mapping[str, str] = attrs.field(factory=dict)
    nines_whole: Mapping[str, float] | None = None
    domain_losses_whole: int | None = None
    readable: bool = True
    found: tuple[str, ...] = ()

    def __str__(self) -> str:
        size = f"{self.nbytes:,} bytes"
        many = f" and {len(self.places) - 3} more" if len(self.places) > 3 else ""
        places = ", ".join(self.places[:3]) + many
        if self.stripe is None:
            copies = f", {len(self.places)} copies" if len(self.places) > 1 else ""
            return f"{size} in the log: {places}{copies}{self._troubles}"
        nines = ", ".join(f"{n:.1f} {_MODELS[m]}" for m, n in _ordered(self.nines or {}))
        part = "" if self.full else ", which is not full"
        more = "more " if self.lost else ""
        return (
            f"{size} in {self.tier} stripe {self.stripe:x}{part}, {self.code}: {places}; "
            f"its efficiency is {self.efficiency:.3f}, it survives {self.domain_losses} {more}lost "
            f"domains, nines of annual durability: {nines}{self._troubles}"
        )

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        facts = attrs.asdict(self)
        return {"temperature": facts.pop("tier"), **facts}

    @property
    def _troubles(self) -> str:
        """What is wrong with it now."""
        told = []
        if self.lost:
            whole = min((self.nines_whole or {}).values(), default=0.0)
            told.append(
                f"{self.lost} of its fragments are not there now (whole it survives "
                f"{self.domain_losses_whole} and has {whole:.1f} nines)"
            )
        told += [f"{place} is away: {why}" for place, why in self.away.items()]
        told += [] if self.readable else ["it can't be read now"]
        return "".join(f"; {each}" for each in [*told, *self.found])


@attrs.frozen(kw_only=True)
class Explanation:
    """What a store knows of one object, and what it will do with it.

    `shards` maps a size in bytes to how many there are. `verdict` is None where `unknown` says why
    it can't be told, as when a tier does not answer. Times are seconds since the epoch.
    """

    key: str
    nbytes: int
    generation: int
    created_s: float
    now_s: float
    tier: TierName
    copies: tuple[Copy, ...]
    shards: Mapping[int, int]
    shards_why: str
    pinned: TierName | None = None
    accesses_per_day: float = 0.0
    learned: bool = False
    verdict: TierVerdict | None = None
    unknown: str | None = None

    @property
    def next_at_s(self) -> float | None:
        """When it will move if nobody reads it: now, later, or never (None)."""
        if self.verdict is None:
            return None
        if self.verdict.tier != self.tier:
            return self.now_s
        return None if self.verdict.next_move is None else self.verdict.next_move.at_s

    @property
    def next_tier(self) -> TierName | None:
        """Where it will go then."""
        if self.verdict is None or self.next_at_s is None:
            return None
        move = self.verdict.next_move
        return self.verdict.tier if move is None else move.tier

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        found = attrs.asdict(self, filter=lambda field, _value: field.name != "verdict")
        found["copies"] = [copy.to_json() for copy in self.copies]
        found["shards"] = {str(nbytes): count for nbytes, count in self.shards.items()}
        found["verdict"] = None if self.verdict is None else self.verdict.to_json()
        found["next_tier"], found["next_at_s"] = self.next_tier, self.next_at_s
        return found

    def sentences(self) -> tuple[str, ...]:
        """The same for people."""
        lines = [
            f"{self.key}: {self.nbytes:,} bytes, generation {self.generation}, "
            f"in tier {self.tier}.",
            *(f"{copy}." for copy in self.copies),
            f"{_shards_text(self.shards)}: {self.shards_why}.",
        ]
        if self.pinned is not None:
            lines.append(f"It is pinned to {self.pinned}.")
        if self.verdict is not None:
            told = self.verdict.sentences()
            lines += told if self.verdict.next_move is None else told[:-1]
        if self.unknown is not None:
            lines.append(f"Its best tier is not known: {self.unknown}.")
        lines.append(self._next_sentence())
        return tuple(lines)

    def _next_sentence(self) -> str:
        if self.next_at_s is None:
            return "No automatic move is planned."
        if self.next_at_s <= self.now_s:
            return f"It moves to {self.next_tier} with the next plan."
        local = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.next_at_s))
        why = self.verdict.next_move.why if self.verdict and self.verdict.next_move else ""
        in_s = self.next_at_s - self.now_s
        return (
            f"If nobody reads it, it moves to {self.next_tier} at {local}, in {in_s:,.0f} s: {why}."
        )


def explain(parts: Parts, version: Version) -> Explanation:
    """All about a version: by the index, what was found before, and who answers now."""
    extents = unpack_extents(version.extents)
    held: Counter[int] = Counter()
    for extent in extents:
        held[extent.segment] += extent.nbytes
    now_s = parts.clock()
    parts.heat.settle(now_s)
    state = object_state(version, held, parts.state, parts.heat)
    verdict, unknown = None, None
    try:
        learned = parts.learner.foretold
        verdict = judge(state, terms(parts), parts.config.policy, now_s, learned)
    except DeepSeekError as error:
        unknown = error.message
    return Explanation(
        key=version.key,
        nbytes=version.nbytes,
        generation=version.generation,
        created_s=version.created_s,
        now_s=now_s,
        tier=state.tier,
        copies=_copies(parts, held),
        shards=dict(sorted(Counter(extent.nbytes for extent in extents).items(), reverse=True)),
        shards_why=_shards_why(parts, extents, state.tier),
        pinned=state.pinned,
        accesses_per_day=0.0 if verdict is None else verdict.accesses_per_day,
        learned=verdict is not None and verdict.learned,
        verdict=verdict,
        unknown=unknown,
    )


def _copies(parts: Parts, held: Mapping[int, int]) -> tuple[Copy, ...]:
    """The log's copies first, then those in stripes, each stripe once."""
    local: dict[int, int] = {}
    striped: dict[int, dict[int, int]] = {}
    for number, nbytes in held.items():
        row = parts.state.segments.get(number)
        if row is None or row.local:
            local[number] = nbytes
        if row is not None and row.stripe is not None:
            striped.setdefault(row.stripe, {})[number] = nbytes
    stripes = [s for s in map(parts.state.stripes.get, striped) if s is not None]
    places = {fragment.place for s in stripes for fragment in s.fragments if fragment.key}
    now = Health.of(parts, look_for_places(parts, places))
    found = [_stripe_copy(parts, now, number, at) for number, at in sorted(striped.items())]
    if local:
        found.insert(0, _log_copy(parts, now, local))
    return tuple(copy for copy in found if copy is not None)


def _log_copy(parts: Parts, now: Health, local: Mapping[int, int]) -> Copy:
    found = [each for number in sorted(local) for each in now.of_segment(number)]
    return Copy(
        tier="hot",
        nbytes=sum(local.values()),
        segments=tuple(sorted(local)),
        places=tuple(disk.url for disk in parts.disk.replicas()),
        away={name: why for name, why in now.presence.copies.items() if why},
        readable=all(map(now.presence.in_log, local)),
        found=tuple(map(str, found)),
    )


def _stripe_copy(parts: Parts, now: Health, number: int, inside: Mapping[int, int]) -> Copy | None:
    stripe = parts.state.stripes.get(number)
    if stripe is None:
        return None
    rows: list[SegmentRow] = [parts.state.segments[segment] for segment in sorted(inside)]
    fragments = [stripe.fragments[row.fragment] for row in rows if row.fragment is not None]
    margin = now.margin(stripe)
    own = frozenset(row.fragment for row in rows if row.fragment is not None)
    return Copy(
        tier=stripe.tier,
        nbytes=sum(inside.values()),
        segments=tuple(row.id for row in rows),
        places=tuple(dict.fromkeys(place_url(parts, each.place) for each in fragments)),
        stripe=number,
        code=stripe.code.name,
        nines=dict(margin.nines),
        domain_losses=margin.domain_losses,
        efficiency=_efficiency(stripe),
        full=stripe.width == stripe.code.k,
        lost=len(margin.lost),
        away=now.away_of(stripe),
        nines_whole=dict(margin.nines_whole),
        domain_losses_whole=margin.domain_losses_whole,
        readable=margin.decodable or not own & margin.lost,
        found=tuple(map(str, now.of_stripe(number))),
    )


def _efficiency(stripe: Stripe) -> float:
    """Bytes of its segments over all bytes of its objects."""
    logical = sum(each.nbytes for each in stripe.fragments[: stripe.code.k])
    return logical / stripe.object_nbytes if stripe.object_nbytes else 0.0


def _ordered(nines: Mapping[str, float]) -> list[tuple[Repair, float]]:
    return [(model, nines[model]) for model in _MODELS if model in nines]


def _shards_text(shards: Mapping[int, int]) -> str:
    if not shards:
        return "It has no shards"
    if sum(shards.values()) == 1:
        return f"One shard of {next(iter(shards)):,} bytes"
    if len(shards) <= 3:
        listed = ", ".join(f"{count} of {nbytes:,} bytes" for nbytes, count in shards.items())
        return f"{sum(shards.values())} shards: {listed}"
    return f"{sum(shards.values())} shards of {min(shards):,} to {max(shards):,} bytes"


def _shards_why(parts: Parts, extents: tuple[Extent, ...], tier: TierName) -> str:
    """Why shards of this tier are as large as they are."""
    policy: Policy = parts.config.policy
    if len(extents) == 1:
        return "the object fits into one shard"
    profile: TierProfile | None = HOT_SPEED
    if tier != "hot":
        try:
            profile = parts.tiers.profile(tier)
        except errors.StorageError:
            profile = None
    if profile is None:
        return f"{tier} does not answer"
    sizes = sizing.ruled(policy, tier, profile)
    cut = "" if tier == "hot" else "; the last shard of a segment may be smaller"
    return f"shard size in {tier} is {sizes.base_nbytes >> 10:,} KiB, {sizes.why}{cut}"
