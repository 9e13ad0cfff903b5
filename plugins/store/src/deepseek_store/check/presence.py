"""Looks which tiers, failure domains and copies of the log are there now.

A domain is asked for one fragment that it should have; one without any is asked for a listing. What
is away is kept among the findings, and what answers again is taken off them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final

import attrs

from deepseek_core import DeepSeekError, errors
from deepseek_store import handles
from deepseek_store.at_once import AtOnce
from deepseek_store.home.findings import MOST_DETAIL, By, KeptFinding, What
from deepseek_store.log.mirrored import MirroredDisk
from deepseek_store.log.segment import sealed_name
from deepseek_store.parts import Parts
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import Stripe, folder_of

_THREADS: Final = 16
# So many fragments are looked for before a domain that lacks them is listed.
_SAMPLE: Final = 3
# What is seen again before that is not counted once more: pages are asked for every few seconds.
_AGAIN_S: Final = 60.0
_MOST_MISSING: Final = 100


@attrs.frozen(kw_only=True)
class Presence:
    """What was looked for and is there; each value says why something is not, "" if it is.

    `tiers` are by number, `domains` as they are placed, `copies` of the log by their folder;
    `missing` are sealed segments of which there is no file in such a folder; `remedies` say what
    to do about a copy that is not there, where its folder tells.
    """

    tiers: Mapping[int, str] = attrs.field(factory=dict)
    domains: Mapping[Place, str] = attrs.field(factory=dict)
    copies: Mapping[str, str] = attrs.field(factory=dict)
    missing: Mapping[str, frozenset[int]] = attrs.field(factory=dict)
    remedies: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def away(self) -> Mapping[Place, str]:
        """Domains that are not there, and why."""
        return {place: why for place, why in self.domains.items() if why}

    def in_log(self, segment: int) -> bool:
        """Whether a copy of the log that is there has a file of a sealed segment."""
        there = (name for name, why in self.copies.items() if not why)
        return any(segment not in self.missing.get(name, ()) for name in there)

    def lost_of(self, stripe: Stripe) -> set[int]:
        """Fragments of a stripe that are known to be lost, or lie where nobody answers."""
        gone = set(stripe.lost)
        if away := self.away:
            stored = ((index, stripe.fragments[index].place) for index in stripe.stored)
            gone |= {index for index, place in stored if place in away}
        return gone

    def to_json(self, parts: Parts) -> dict[str, Any]:
        """All of it as plain values."""
        url = parts.tiers.url_of
        return {
            "domains": len(self.domains),
            "domains_there": len(self.domains) - len(self.away),
            "away": {url(place): why for place, why in self.away.items()},
            "tiers_away": {url(Place(tier=n)): why for n, why in self.tiers.items() if why},
            "log_copies": len(self.copies),
            "log_copies_away": {name: why for name, why in self.copies.items() if why},
        }


def look_for_places(
    parts: Parts, only: Collection[Place] | None = None, *, by: By = "status"
) -> Presence:
    """Ask all domains, or only some, and the copies of the log, whether they are there.

    Raises:
        ConfigError: no plugin opens the URL of a tier.
    """
    found = _copies(parts)
    if not parts.config.tiers or (only is not None and not only):
        _keep(parts, found, by)
        return found
    parts.tiers.reopen(now=True)
    tiers = {
        number: "" if tier is not None else parts.tiers.failed.get(number, "it is not open")
        for number, tier in enumerate(parts.tiers.tiers)
    }
    samples = _samples(parts.state.stripes.values())
    places = only if only is not None else {*samples, *parts.tiers.stripes.places()}
    with AtOnce(_THREADS) as threads:
        ordered = sorted(places, key=lambda place: (place.tier, place.domain))
        why = threads.in_order(
            lambda place: tiers[place.tier] or _why_away(parts, place, samples.get(place, ())),
            ordered,
        )
        domains = dict(zip(ordered, why, strict=True))
    found = attrs.evolve(found, tiers=tiers, domains=domains)
    _keep(parts, found, by)
    return found


def _samples(stripes: Iterable[Stripe]) -> dict[Place, list[str]]:
    """Keys of some fragments that each domain should have, the newest last."""
    found: dict[Place, list[str]] = defaultdict(list)
    for stripe in list(stripes):
        for fragment in stripe.fragments:
            if fragment.key:
                keys = found[fragment.place]
                keys.append(fragment.key)
                if len(keys) > _SAMPLE:
                    del keys[0]
    return found


def _why_away(parts: Parts, place: Place, keys: Iterable[str]) -> str:
    """Why a domain is not there; empty if it is."""
    tier = parts.tiers.tier(place.tier)
    asked = 0
    try:
        for key in keys:
            try:
                handles.patiently(partial(tier.stat, key))
            except errors.ObjectMissing:
                asked += 1
            else:
                return ""
        if next(iter(tier.list(folder_of(place.domain))), None) is None and asked > 1:
            return "it is empty: a disk that is not mounted, or another one"
    except (DeepSeekError, OSError) as error:
        return getattr(error, "message", "") or str(error)
    return ""


def _copies(parts: Parts) -> Presence:
    """The folders of the log: why each is left out or can't be read, and what it lacks."""
    mirrored = parts.disk if isinstance(parts.disk, MirroredDisk) else None
    found = dict(mirrored.degraded) if mirrored else {}
    remedies = dict(mirrored.remedies) if mirrored else {}
    missing: dict[str, frozenset[int]] = {}
    for disk in parts.disk.replicas():
        try:
            names = set(disk.list())
        except errors.StorageError as error:
            found[disk.url] = error.message.removeprefix(f"{disk.url}: ")
            remedies[disk.url] = error.remedy or ""
            continue
        found[disk.url] = ""
        if lacking := _lacking(parts, names):
            # They may have been collected just now, or sealed: both are known by a second look.
            parts.state.refresh(sure=True)
            missing[disk.url] = frozenset(lacking & _lacking(parts, set(disk.list())))
    return Presence(copies=found, missing=missing, remedies=remedies)


def _lacking(parts: Parts, names: Collection[str]) -> set[int]:
    """Sealed segments that the log should have, and of which there is no file."""
    rows = list(parts.state.segments.values())
    sealed = (row.id for row in rows if row.local and row.state == "sealed")
    return {number for number in sealed if sealed_name(number) not in names}


def _keep(parts: Parts, found: Presence, by: By) -> None:
    """Note what is away; take off what was and is there again."""
    findings, url = parts.findings, parts.tiers.url_of
    here = {url(place) for place, why in found.domains.items() if not why}
    here |= {url(Place(tier=number)) for number, why in found.tiers.items() if not why}
    here |= {name for name, why in found.copies.items() if not why}

    def back(each: KeptFinding) -> bool:
        return each.what in ("domain", "tier", "mirror") and each.place in here

    if any(map(back, findings.all())):
        findings.heal(back)
        parts.reader.forgive()
    fresh_s = parts.clock() - _AGAIN_S
    fresh = [each for each in findings.all() if each.last_s > fresh_s]
    known = {(each.place, each.detail) for each in fresh}
    known_missing = {(each.number, each.place) for each in fresh if each.what == "segment"}

    def note(what: What, number: int, kind: str, place: str, why: str) -> None:
        if (place, why[:MOST_DETAIL]) not in known:
            findings.note(what, number, kind, place, detail=why, by=by)

    for number, why in found.tiers.items():
        if why:
            note("tier", number, "unreachable", url(Place(tier=number)), why)
    for domain, why in found.away.items():
        if not found.tiers.get(domain.tier):
            what: What = "domain" if domain.domain else "tier"
            note(what, domain.tier, "unreachable", url(domain), why)
    for name, why in found.copies.items():
        if why:
            note("mirror", 0, "left out", name, why)
    for name, numbers in found.missing.items():
        for number in sorted(numbers)[:_MOST_MISSING]:
            if (number, name) not in known_missing:
                findings.note("segment", number, "missing", name, detail="no such file", by=by)
