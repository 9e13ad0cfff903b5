"""Decides that a home has its store from now on, whichever copy of the home had it before."""

from __future__ import annotations

from pathlib import Path

from deepseek_store.check.rebuild import Progress, RebuildReport, rebuild_locked
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.locks import lock_store


def adopt_home(
    home: Path, *, force: bool = False, progress: Progress | None = None
) -> RebuildReport:
    """Take the tiers and mirrors of a store for a home, and make its index from all that is there.

    Whoever had them before is refused from then on. What it wrote to the tiers is taken in; what
    lies in its own log alone is not here. Mirrors that are new or have missed something are brought
    up to date by `repair`. `force`: also if a tier can't be reached, which then is not taken.

    Raises:
        ConfigError: there is no store.
        StoreLocked: somebody has it open.
        TierUnavailable: a tier can't be reached.
    """
    config = StoreConfig.load(home)
    lock = lock_store(home)
    try:
        return rebuild_locked(home, config, force=force, adopt=True, progress=progress)
    finally:
        lock.close()
