"""Events of stores."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from deepseek_core.contracts.events.base import Event, one_line


@attrs.frozen(kw_only=True)
class ObjectsMoved(Event):
    """A store moved objects from one tier to another.

    `store` is the store's URL; `source` and `target` are "hot", "warm" or "cold". Since the last
    such event of these two, `moves` steps moved `nbytes` of objects; at most one in a second.
    """

    store: str = attrs.field(converter=one_line)
    source: str = attrs.field(converter=one_line)
    target: str = attrs.field(converter=one_line)
    moves: int
    nbytes: int


@attrs.frozen(kw_only=True)
class DamageFound(Event):
    """A store found damage: bytes that are gone, or not what was written.

    `store` is the store's URL. Since the last such event, at most one in a second, it met damage
    `times` times; `example` names the last (a segment, a fragment, a disk), `reason` says what is
    wrong with it, and `lost` whether bytes of objects are lost with any of them.
    """

    store: str = attrs.field(converter=one_line)
    times: int
    example: str = attrs.field(converter=one_line)
    reason: str = attrs.field(converter=one_line)
    lost: bool


@attrs.frozen(kw_only=True)
class DamageRepaired(Event):
    """Damage of a store is no more: it was repaired, or is right when it is read again.

    `store` is the store's URL; `repaired` findings are gone, `example` names one, `left` remain.
    """

    store: str = attrs.field(converter=one_line)
    repaired: int
    left: int
    example: str = attrs.field(converter=one_line)


@attrs.frozen(kw_only=True)
class ScrubEnded(Event):
    """A store has read what it holds and compared it with its checksums.

    `store` is the store's URL; `kind` is "scrub" for a pass over everything, "repair" where it
    looked at what was suspect. Of `faults`, `repaired` were; `lost_objects` are beyond repair.
    `nbytes` were read in `seconds`; `complete` says whether nothing is left of the pass.
    """

    store: str = attrs.field(converter=one_line)
    kind: str = attrs.field(converter=one_line)
    faults: int
    repaired: int
    lost_objects: int
    nbytes: int
    seconds: float
    complete: bool


@attrs.frozen(kw_only=True)
class TierLoad:
    """How full a tier is; part of a `StoreState`.

    `tier` is "hot", "warm" or "cold"; `used_bytes` of `capacity_bytes` are taken, which is None
    where it is not known.
    """

    tier: str = attrs.field(converter=one_line)
    used_bytes: int
    capacity_bytes: int | None


def _tier_loads(values: Iterable[TierLoad]) -> tuple[TierLoad, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class StoreState(Event):
    """How full and how busy a store is; at most one in a second while it is used.

    `store` is its URL; it has `objects` in `tiers`. Since this process opened it, shards were read
    `hot_reads` times from the hot tier; of requests for others the cache answered `cache_hits` and
    not `cache_misses`; `fetched` shards came from warm and cold tiers, and `degraded` of them were
    made of other fragments, as their own could not be read.
    """

    store: str = attrs.field(converter=one_line)
    objects: int
    tiers: tuple[TierLoad, ...] = attrs.field(converter=_tier_loads)
    hot_reads: int
    cache_hits: int
    cache_misses: int
    fetched: int
    degraded: int


@attrs.frozen(kw_only=True)
class TierFull(Event):
    """A tier of a store had no space for what was to be written.

    `store` is the store's URL, `url` that of the tier; `reason` says what did not fit.
    """

    store: str = attrs.field(converter=one_line)
    url: str = attrs.field(converter=one_line)
    reason: str = attrs.field(converter=one_line)
