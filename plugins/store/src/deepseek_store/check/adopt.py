"""Decides that a home has its store from now on, whichever copy of the home had it before."""

from __future__ import annotations

from pathlib import Path

from deepseek_store.check.rebuild_index import Progress, RebuildReport, Wishes, rebuild_locked
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.locks import lock_store
from deepseek_store.home.tier_set import Opener


def adopt_home(
    home: Path,
    *,
    force: bool = False,
    progress: Progress | None = None,
    tiers: Opener | None = None,
) -> RebuildReport:
    """Take the tiers and mirrors of a store for a home, and make its index from all that is there.

    Whoever had them before is refused from then on. What it wrote to the tiers is taken in; what
    lies in its own log alone is not here. Mirrors that are new or have missed something are brought
    up to date by `repair`. `force`: also if a tier can't be reached, which then is not taken.
    `tiers` opens the tier of a URL, as for `Store`.

    Raises:
        ConfigError: there is no store.
        StoreLocked: somebody has it open.
        TierUnavailable: a tier can't be reached.
    """
    config = StoreConfig.load(home)
    lock = lock_store(home)
    try:
        wishes = Wishes(adopt=True, force=force, progress=progress, tiers=tiers)
        return rebuild_locked(home, config, wishes)
    finally:
        lock.close()
