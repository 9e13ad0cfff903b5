"""Opens a store: locks, the index, and what the log has beyond it after a crash."""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from deepseek_core import errors
from deepseek_store.errors import NotOwner, ReadOnlyStore
from deepseek_store.home import ages
from deepseek_store.home.catch_up import catch_up, drop_empty, known_segments, synced_ends
from deepseek_store.home.config import LOG_FOLDER, StoreConfig
from deepseek_store.home.findings import Findings
from deepseek_store.home.locks import (
    LOCK_FILE,
    RECOVERY_LOCK,
    has_other_writers,
    lock_store,
    take_writer,
    wait_for_lock,
    writer_is_alive,
)
from deepseek_store.home.log_folders import lock_mirrors, open_log
from deepseek_store.home.numbers import Numbers
from deepseek_store.home.opened import WRITERS, OpenedHome
from deepseek_store.home.owner_epochs import Owner
from deepseek_store.home.owner_watch import OwnerWatch
from deepseek_store.home.read_only import open_to_read
from deepseek_store.home.seams import NO_SEAMS, Seams
from deepseek_store.home.state import State
from deepseek_store.home.tier_set import TierSet
from deepseek_store.index.base import Index
from deepseek_store.index.epoch import Epoch
from deepseek_store.index.opening import INDEX_FILE
from deepseek_store.index.opening import open_index as index_at
from deepseek_store.index.rows import Batch
from deepseek_store.log.disk import Disk
from deepseek_store.log.recovery import Recovered, recover
from deepseek_store.log.reserve import Reserve
from deepseek_store.log.segment import sealed_name

_LOG: Final = logging.getLogger(__name__)
_LONGEST_RECOVERY_S: Final = 3600.0


def open_parts(
    home: Path,
    *,
    shared: bool,
    read_only: bool = False,
    seams: Seams = NO_SEAMS,
) -> OpenedHome:
    """Open what lies in a home.

    Where the home may not be written or its disk is full, its log is away, or another
    home has taken its tiers, it is opened for reading only, and that is said loudly.

    Raises:
        ConfigError: there is no store.
        StoreLocked: another process has it open, and not both share it.
        ForeignStore: a file is not this store's, or the index is damaged.
        IndexOutdated: the index is older than the store, and can't be caught up from the log.
        StorageError: the disk or the database does not answer.
    """
    reserve = Reserve(home)
    attempt = partial(_open_parts, home, shared, read_only, seams, reserve)
    if seams.disk is not None or seams.index is not None:
        return attempt()
    try:
        return reserve.lend(attempt)
    except errors.TierFull as error:
        refusal = _refusal(home, error)
        _LOG.error("%s", refusal)
        return open_to_read(home, StoreConfig.load(home), refusal, seams)


def _open_parts(
    home: Path, shared: bool, read_only: bool, seams: Seams, reserve: Reserve
) -> OpenedHome:
    config = StoreConfig.load(home)
    refusal = _asked(home) if read_only else _unwritable(home, config)
    if refusal is None:
        try:
            opened = _open_to_write(home, config, shared, seams, reserve)
            reserve.fit(opened.state.local_nbytes())
            return opened
        except (NotOwner, LogMissing) as error:
            refusal = _refusal(home, error)
    if not read_only:
        _LOG.error("%s", refusal)
    return open_to_read(home, config, refusal, seams)


class LogMissing(errors.TierUnavailable):
    """No folder of the log is there."""


def _asked(home: Path) -> ReadOnlyStore:
    remedy = "open it without read_only (--read-only)"
    return ReadOnlyStore("the store was opened for reading only", url=str(home), remedy=remedy)


def _refusal(home: Path, error: errors.StorageError) -> ReadOnlyStore:
    what = f"the store in {home} is open for reading only: {error.message}"
    return ReadOnlyStore(what, url=error.url, remedy=error.remedy)


def _open_to_write(
    home: Path, config: StoreConfig, shared: bool, seams: Seams, reserve: Reserve
) -> OpenedHome:
    shared = shared or config.index != "sqlite"  # a database is there to be shared
    with ExitStack() as stack:
        lock = lock_store(home, shared=shared)
        stack.callback(lock.close)
        number, lease = take_writer(home / WRITERS)
        stack.callback(lease.close)
        numbers = Numbers(home)
        owner = Owner(home, config.store_id, numbers)
        if config.tiers or config.mirrors:
            owner.check_home()
        mirrors = lock_mirrors(home, config, shared=shared)
        for each in mirrors:
            stack.callback(each.close)
        disk = seams.disk or _log_of(home, config, owner)
        stack.callback(disk.close)
        index = seams.index or open_index(home, config)
        stack.callback(index.close)
        tiers = TierSet(config, owner, home=home, opener=seams.tiers)
        stack.callback(tiers.close)
        watch = OwnerWatch(config, owner, tiers, index)
        watch.look()
        state = State(
            index,
            Epoch(home / "epoch") if shared else None,
            remote=config.index != "sqlite",
            numbers=numbers,
            gate=watch.check,
            others=lambda: has_other_writers(home / WRITERS, number),
            reserve=reserve,
        )
        stack.callback(state.close)
        state.load()
        recovered = _recover(home, config, disk, state, number)
        stack.pop_all()
    return OpenedHome(
        config=config,
        home=home,
        disk=disk,
        tiers=tiers,
        state=state,
        writer=number,
        shared=shared,
        reserve=reserve,
        locks=(*mirrors, lease, lock),
        truncated_nbytes=sum(recovered.truncated.values()),
        faults=dict(recovered.faults),
    )


def _unwritable(home: Path, config: StoreConfig) -> ReadOnlyStore | None:
    """Why a home can't be written to; None if it can, as far as its permissions say."""
    needed = [home, home / LOCK_FILE, home / WRITERS, home / LOG_FOLDER]
    if config.index == "sqlite":
        needed.append(home / INDEX_FILE)
    closed = [path for path in needed if path.exists() and not os.access(path, os.W_OK)]
    if not closed:
        return None
    what = f"the store in {home} is open for reading only: {closed[0]} may not be written"
    return ReadOnlyStore(what, url=str(home), remedy="get the permission, or remount it writable")


def _log_of(home: Path, config: StoreConfig, owner: Owner) -> Disk:
    try:
        return open_log(home, config, owner, writing=True)
    except errors.TierUnavailable as error:
        raise LogMissing(error.message, url=error.url, remedy=error.remedy) from error


def open_index(home: Path, config: StoreConfig, *, create: bool = False) -> Index:
    """The index that the configuration names."""
    return index_at(config.index, home, config.store_id, create=create)


def _recover(home: Path, config: StoreConfig, disk: Disk, state: State, number: int) -> Recovered:
    """Bring the log into order, and the index up to it; one process at a time."""
    numbers = Numbers(home)

    def writer_alive(writer: int) -> bool:
        return writer != number and writer_is_alive(home / WRITERS, writer)

    lock = wait_for_lock(home / RECOVERY_LOCK, longest_s=_LONGEST_RECOVERY_S)
    try:
        found = ages.compare(home, state.index, numbers)
        _bring_together(home, config, disk, state, number)
        _finish_removals(disk, state)
        recovered = recover(
            disk,
            store_id=config.store_id,
            writer_alive=writer_alive,
            known=known_segments(state),
            synced=synced_ends(state),
        )
        ages.check_files(home, state, recovered.present)
        catch_up(state, recovered, recovered.segments)
        if disk.lacks_nothing():
            there = set(recovered.present).difference(recovered.removed)
            drop_empty(state, there, writer_alive)
        ages.settle(home, state, numbers, found, [info.id for info in recovered.segments])
    finally:
        lock.close()
    for segment, faults in recovered.faults.items():
        for fault in faults:
            _LOG.error(
                "segment %x: %d bytes at %d are damaged: %s",
                segment, fault.nbytes, fault.offset, fault.reason,
            )  # fmt: skip
    return recovered


def _bring_together(home: Path, config: StoreConfig, disk: Disk, state: State, number: int) -> None:
    """The disks of the log; where they can't be, the store can still be read."""
    from deepseek_store.home.crossed_log import bring_together

    try:
        alone = partial(has_other_writers, home / WRITERS, number)
        given = bring_together(disk, config, state, is_alone=lambda: not alone())
        Findings(home, time.time).heal(
            lambda each: each.what == "segment" and (each.number, each.place) in given
        )
    except errors.TierUnavailable as error:
        raise LogMissing(error.message, url=error.url, remedy=error.remedy) from error


def _finish_removals(disk: Disk, state: State) -> None:
    """Segments that were given up before a crash, and whose files were not removed any more."""
    gone = [row.id for row in state.segments.values() if row.state == "gone"]
    if gone:
        for number in gone:
            disk.remove(sealed_name(number))
        disk.sync_dir()
        state.commit(Batch(drop_segments=gone))
    # Dropped, but for the file itself.
    names = {sealed_name(row.id) for row in state.segments.values() if not row.local}
    left = names.intersection(disk.list())
    for name in left:
        disk.remove(name)
    if left:
        disk.sync_dir()
