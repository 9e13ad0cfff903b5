"""Opens a store to be read, and nothing else: no file of it is changed.

What the log has beyond the index is taken into memory alone. Others may have the store open if
they share it; their changes are seen where their index can be read as it grows.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import DeepSeekError
from deepseek_store.errors import IndexOutdated, ReadOnlyStore
from deepseek_store.home import ages
from deepseek_store.home.catch_up import known_segments, lacking, segment_row, synced_ends
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.locks import LOCK_FILE, FileLock, writer_is_alive
from deepseek_store.home.log_folders import open_log
from deepseek_store.home.numbers import Numbers
from deepseek_store.home.opened import WRITERS, OpenedHome
from deepseek_store.home.owner_epochs import Owner
from deepseek_store.home.seams import Seams
from deepseek_store.home.state import State
from deepseek_store.home.tier_set import TierSet
from deepseek_store.index.base import Index
from deepseek_store.index.epoch import Epoch
from deepseek_store.index.opening import open_index
from deepseek_store.log.disk import Disk
from deepseek_store.log.missing_disk import MissingDisk
from deepseek_store.log.recovery import Recovered, recover

_LOG: Final = logging.getLogger(__name__)


def open_to_read(
    home: Path,
    config: StoreConfig,
    refusal: ReadOnlyStore,
    seams: Seams,
) -> OpenedHome:
    """Open what lies in a home without a change of it; `refusal` is told to whoever tries one.

    Raises:
        StoreLocked: a process has it open alone.
        ForeignStore: a file is not this store's, or the index is damaged.
        StorageError: the disk or the database does not answer.
    """
    with ExitStack() as stack:
        locks = _share(home)
        for lock in locks:
            stack.callback(lock.close)
        owner = Owner(home, config.store_id, Numbers(home))
        disk = seams.disk or open_log(home, config, owner, writing=False)
        stack.callback(disk.close)
        index = seams.index or open_index(config.index, home, config.store_id, read_only=refusal)
        stack.callback(index.close)
        _warn_if_old(home, index)
        epoch = None if index.frozen else _epoch(home)
        state = State(index, epoch, remote=config.index != "sqlite")
        stack.callback(state.close)
        state.load()
        recovered = _look(home, config, disk, state)
        stack.pop_all()
    return OpenedHome(
        config=config,
        home=home,
        disk=disk,
        tiers=TierSet(config, home=home, refusal=refusal, opener=seams.tiers),
        state=state,
        writer=0,
        shared=False,
        locks=locks,
        faults={} if recovered is None else dict(recovered.faults),
        read_only=refusal.message,
    )


def _warn_if_old(home: Path, index: Index) -> None:
    """An older index than its store's can be read as far as what it names is still there."""
    try:
        ages.compare(home, index, Numbers(home))
    except IndexOutdated as error:
        _LOG.error("%s", error)


def _share(home: Path) -> tuple[FileLock, ...]:
    """The lock that keeps out who would have the store alone; none where it can't be read."""
    try:
        return (FileLock(home / LOCK_FILE, read_only=True),)
    except OSError:
        return ()


def _epoch(home: Path) -> Epoch | None:
    """What tells of others' commits; None where there is nothing, or it can't be read."""
    with suppress(DeepSeekError):
        return Epoch(home / "epoch", read_only=True)
    return None


def _look(home: Path, config: StoreConfig, disk: Disk, state: State) -> Recovered | None:
    """Take into memory what the log has beyond the index."""
    if isinstance(disk, MissingDisk):
        return None
    recovered = recover(
        disk,
        store_id=config.store_id,
        writer_alive=lambda number: writer_is_alive(home / WRITERS, number),
        known=known_segments(state),
        synced=synced_ends(state),
        look_only=True,
    )
    ended = [info for info in recovered.segments if info.sealed]
    found = [version for info in ended for version in lacking(state, recovered, info.id)]
    for info in recovered.segments:
        known = state.segments.get(info.id)
        if known is None or known.state == "active":
            row = segment_row(info)
            is_open = info.id in recovered.open
            state.segments[info.id] = attrs.evolve(row, state="active") if is_open else row
    for version in found:
        state.catalog.apply(version)
    return recovered
