"""What lies where in a store, as its planning modules want to have it told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from typing import Final, Literal, cast

import attrs

from deepseek_store.codes.code import Code
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.state import State
from deepseek_store.index.rows import SegmentRow, Version, VersionId
from deepseek_store.log.records import unpack_extents
from deepseek_store.planning.policy import TIERS, TierName
from deepseek_store.planning.steps import SegmentState
from deepseek_store.planning.tiering import ObjectState
from deepseek_store.read.access_rates import AccessRates

_COLDEST_FIRST: Final = tuple(reversed(TIERS))


@attrs.frozen(kw_only=True)
class Census:
    """All live bytes by segment, and all objects, at one moment.

    `live_nbytes` counts what any version that is kept needs, of a snapshot too; `records` counts
    the PUT and DELETE records in a segment that the index still points to.
    """

    objects: tuple[ObjectState, ...]
    live_nbytes: Mapping[int, int]
    records: Mapping[int, int]

    def segment_states(self, state: State) -> list[SegmentState]:
        """Sealed segments as the planner sees them."""
        return [
            SegmentState(
                id=row.id,
                nbytes=row.nbytes,
                live_nbytes=min(self.live_nbytes.get(row.id, 0), row.nbytes),
                sealed_s=row.created_s,
                local=row.local,
                stripe=row.stripe,
                tier=tier_of_segment(row, state),
            )
            for row in list(state.segments.values())
            if row.state == "sealed"
        ]


def take_census(
    state: State, heat: AccessRates | None, *, without: Container[VersionId] = ()
) -> Census:
    """Walk through the whole catalog once; as if the versions in `without` were not there.

    Without a `heat` it has no objects.
    """
    live: dict[int, int] = defaultdict(int)
    records: dict[int, int] = defaultdict(int)
    seen: set[tuple[int, int]] = set()
    objects = []
    for version in state.catalog.all_versions():
        if version.id in without:
            continue
        records[version.segment] += 1
        parts: dict[int, int] = defaultdict(int)
        for extent in unpack_extents(version.extents):
            parts[extent.segment] += extent.nbytes
            if (extent.segment, extent.offset) not in seen:
                seen.add((extent.segment, extent.offset))
                live[extent.segment] += extent.nbytes
        if heat is None or version.deleted:
            continue
        if state.catalog.current(version.key) == version:
            objects.append(object_state(version, parts, state, heat))
    return Census(objects=tuple(objects), live_nbytes=live, records=records)


def tier_of_segment(row: SegmentRow | None, state: State) -> TierName:
    """Where readers of a segment find it."""
    if row is None or row.local or row.stripe is None:
        return "hot"
    stripe = state.stripes.get(row.stripe)
    return "cold" if stripe is None else stripe.tier


def tier_of(segments: Iterable[int], state: State) -> TierName:
    """The coldest place that a read of these segments has to go to."""
    found = {tier_of_segment(state.segments.get(number), state) for number in segments}
    return next((each for each in _COLDEST_FIRST if each in found), "hot")


def named_code(config: StoreConfig, tier: Literal["hot", "warm", "cold"]) -> Code | None:
    """The code that the policy names for a tier; None for `auto`."""
    text = config.policy.codes[tier]
    return None if text == "auto" else Code.parse(text)


def object_state(
    version: Version, parts: Mapping[int, int], state: State, heat: AccessRates
) -> ObjectState:
    """An object as tiering sees it; `parts` are the segments that hold its bytes, and how many."""
    rows = [row for number in parts if (row := state.segments.get(number)) is not None]
    stripes = [state.stripes.get(row.stripe) for row in rows if row.stripe is not None]
    since_s = max((s.created_s for s in stripes if s is not None), default=version.created_s)
    return ObjectState(
        key=version.key,
        nbytes=version.nbytes,
        heat=heat.of(version.key, version.created_s),
        tier=tier_of(parts, state),
        since_s=since_s if rows and not rows[0].local else version.created_s,
        pinned=cast(TierName | None, state.pins.get(version.key)),
        parts=tuple(sorted(parts.items())),
    )
