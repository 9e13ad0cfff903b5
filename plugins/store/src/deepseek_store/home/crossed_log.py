"""Brings disks of the log together that were away in turn, when a store is opened."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from deepseek_store.home.config import StoreConfig
from deepseek_store.home.state import State
from deepseek_store.home.version_records import sealed_of
from deepseek_store.index.rows import Batch
from deepseek_store.log.copies import Sealed
from deepseek_store.log.disk import Disk
from deepseek_store.log.mirrored import MirroredDisk
from deepseek_store.log.union import LogIndex


def bring_together(
    disk: Disk, config: StoreConfig, state: State | None, *, is_alone: Callable[[], bool]
) -> frozenset[tuple[int, str]]:
    """Give each disk what it has missed, where no other has all of it.

    Where others write to the log, which can't be for long, the disks that they use are used.
    `state` is None for one who makes the index again. What was given: segment, and url of a disk.

    Raises:
        TierUnavailable, TierFull: no disk takes what it has missed.
    """
    if not isinstance(disk, MirroredDisk) or disk.lacks_nothing():
        return frozenset()
    disk.look_again()  # who had the turn before may have brought it into order
    if not disk.is_crossed:
        return frozenset()
    if not is_alone():
        disk.follow_newest()
        return frozenset()
    index = LogIndex(store_id=config.store_id) if state is None else _told(config, state)
    return disk.unite(index).given


def _told(config: StoreConfig, state: State) -> LogIndex:
    def find(number: int) -> Sealed | None:
        row = state.segments.get(number)
        if row is None or not row.local or row.state != "sealed":
            return None
        return sealed_of(row, config.store_id)

    def is_dropped(number: int) -> bool:
        row = state.segments.get(number)
        return row is not None and (not row.local or row.state == "gone")

    def again(number: int) -> None:
        row = attrs.evolve(state.segments[number], state="active", applied=0)
        state.commit(Batch(segments=[row], durable=True))

    return LogIndex(
        is_there=True, find=find, is_dropped=is_dropped, again=again, store_id=config.store_id
    )
