"""What an open store is made of, before its parts are put together."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from deepseek_store.home.config import StoreConfig
from deepseek_store.home.locks import FileLock
from deepseek_store.home.state import State
from deepseek_store.home.tier_set import TierSet
from deepseek_store.log.disk import Disk
from deepseek_store.log.reserve import Reserve
from deepseek_store.log.scan import DamagedRange

WRITERS: Final = "writers"


@attrs.frozen(kw_only=True)
class OpenedHome:
    """The parts that an open store is made of, and what recovery had to do.

    `read_only` says why nothing can be changed; empty: it can.
    """

    config: StoreConfig
    home: Path
    disk: Disk
    tiers: TierSet
    state: State
    writer: int
    shared: bool
    locks: tuple[FileLock, ...]
    reserve: Reserve | None = None
    truncated_nbytes: int = 0
    faults: dict[int, tuple[DamagedRange, ...]] = attrs.field(factory=dict)
    read_only: str = ""

    def close(self) -> None:
        """Let go of all, the locks last."""
        self.state.close()
        self.disk.close()
        for lock in self.locks:
            lock.close()
