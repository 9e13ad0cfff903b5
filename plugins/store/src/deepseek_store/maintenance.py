"""The upkeep of an open store: where things lie, moves, checks, repairs, garbage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from deepseek_core import errors
from deepseek_store.home.pins_and_snapshots import note_pins
from deepseek_store.index.rows import Batch
from deepseek_store.parts import Parts
from deepseek_store.planning.policy import TIERS, TierName

if TYPE_CHECKING:
    from deepseek_store.check.explain import Explanation
    from deepseek_store.check.fsck import FsckReport
    from deepseek_store.check.scrub_report import ScrubReport
    from deepseek_store.codes.choose import CodeChoice
    from deepseek_store.move.gc import GcReport
    from deepseek_store.planning.moves import MovePlan


class Maintenance:
    """What `store.maintenance` offers; `parts` gives the parts of the store while it is open."""

    def __init__(self, parts: Callable[[], Parts]) -> None:
        self._parts = parts

    def explain(self, key: str) -> Explanation:
        """Where an object lies, in which code and shards, its heat, why, and what comes.

        Raises:
            ObjectMissing: there is none.
        """
        from deepseek_store.check.explain import explain

        parts = self._parts()
        parts.state.refresh()
        return explain(parts, parts.versions.find(key))

    def codes(self) -> dict[str, CodeChoice]:
        """The code that new stripes of each tier get, with reasons.

        Raises:
            CodeRefused: the tiers can't carry what the policy asks for.
        """
        parts = self._parts()
        return {
            tier: parts.mover.choice(tier) for tier in ("warm", "cold") if parts.config.of(tier)
        }

    def plan(self, *, flush: bool = False, budget_nbytes: int | None = None) -> MovePlan:
        """What should move now, and why; nothing is done. `flush`: also stripes not full."""
        from deepseek_store.check.plan_moves import make_plan

        return make_plan(self._parts(), flush=flush, budget_nbytes=budget_nbytes)

    def apply(
        self, moves: MovePlan, *, progress: Callable[[int, int, str], None] | None = None
    ) -> int:
        """Carry out a plan; how many steps. What has changed since it was made is left out."""
        from deepseek_store.check.plan_moves import apply_plan

        return apply_plan(self._parts(), moves, progress)

    def send(self, keys: Iterable[str], tier: str) -> None:
        """Bring objects to a tier now, however often they are read.

        Raises:
            ConfigError: the store has no such tier.
        """
        name = check_tier(tier)
        parts = self._parts()
        parts.flush()
        found, sources = list(keys), dict[TierName, int]()
        for version in filter(None, map(parts.state.catalog.get, found)):
            source = parts.reader.tier_of(version)
            sources[source] = sources.get(source, 0) + version.nbytes
        try:
            parts.mover.send(found, name)
        except errors.TierFull as error:
            parts.events.full(error)
            raise
        for source, nbytes in sources.items():
            parts.events.moved(source, name, nbytes)

    def pin(self, prefix: str, tier: str) -> int:
        """Keep all objects below a prefix in a tier, where `plan` brings them; how many.

        Raises:
            ConfigError: there is no such tier.
        """
        return self.pin_keys(self._keys(prefix), tier)

    def unpin(self, prefix: str) -> int:
        """Let the use of objects below a prefix decide again; how many objects."""
        return self.pin_keys(self._keys(prefix), None)

    def pin_keys(self, keys: Iterable[str], tier: str | None) -> int:
        """Keep these very objects in a tier; None: let their use decide again. How many.

        Raises:
            ConfigError: there is no such tier.
        """
        parts, found = self._parts(), list(keys)
        name = None if tier is None else check_tier(tier)
        parts.state.commit(Batch(pins=dict.fromkeys(found, name)))
        note_pins(parts.home, found, name)
        return len(found)

    def scrub(self, **options: Any) -> ScrubReport:
        """Read and verify what is stored; see `check.scrub.scrub`."""
        from deepseek_store.check.scrub import scrub

        parts = self._parts()
        parts.flush()
        return scrub(parts, **options)

    def repair(self, report: ScrubReport | None = None, **options: Any) -> ScrubReport:
        """Repair what a report tells of; without one, look first: see `check.repair.repair`."""
        from deepseek_store.check.repair import repair

        parts = self._parts()
        parts.flush()
        return repair(parts, report, **options)

    def fsck(self, *, deep: bool = False) -> FsckReport:
        """Compare index, log and tiers; nothing is changed. `deep`: read all bytes."""
        from deepseek_store.check.fsck import fsck

        parts = self._parts()
        parts.flush()
        return fsck(parts, deep=deep)

    def gc(self, *, dry_run: bool = False) -> GcReport:
        """Free the space of what nobody can see any more."""
        parts = self._parts()
        if not dry_run:
            parts.journal.seal()  # what is dead in the active segment can't be freed
        parts.flush()
        return parts.collector.collect(parts.heat, dry_run=dry_run)

    def _keys(self, prefix: str) -> list[str]:
        state = self._parts().state
        state.refresh()
        return list(state.catalog.keys(prefix))


def check_tier(name: str) -> TierName:
    """The tier of that name.

    Raises:
        ConfigError: there is no such tier.
    """
    for tier in TIERS:
        if tier == name:
            return tier
    raise errors.ConfigError(f"there is no tier {name!r}", remedy=f"use one of {', '.join(TIERS)}")
