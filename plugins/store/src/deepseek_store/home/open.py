"""Opens a store: locks, the index, and what the log has beyond it after a crash."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.locks import (
    LOCK_FILE,
    FileLock,
    has_other_writers,
    take_writer,
    wait_for_lock,
    writer_is_alive,
)
from deepseek_store.home.state import State
from deepseek_store.home.version_records import version_of
from deepseek_store.index.base import Index
from deepseek_store.index.epoch import Epoch
from deepseek_store.index.opening import open_index as index_at
from deepseek_store.index.rows import Batch, SegmentRow, Version
from deepseek_store.log.disk import Disk
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.records import Kind
from deepseek_store.log.recovery import Recovered, recover
from deepseek_store.log.reserve import Reserve
from deepseek_store.log.scan import Fault
from deepseek_store.log.segment import SegmentInfo, sealed_name

_LOG: Final = logging.getLogger(__name__)
LOG_FOLDER: Final = "log"
WRITERS: Final = "writers"
_LONGEST_RECOVERY_S: Final = 3600.0


@attrs.frozen(kw_only=True)
class Opened:
    """The parts that an open store is made of, and what recovery had to do."""

    config: StoreConfig
    home: Path
    disk: Disk
    state: State
    writer: int
    shared: bool
    reserve: Reserve
    locks: tuple[FileLock, ...]
    truncated_nbytes: int
    faults: dict[int, tuple[Fault, ...]]

    def close(self) -> None:
        """Let go of all, the locks last."""
        self.state.close()
        self.disk.close()
        for lock in self.locks:
            lock.close()


def open_parts(
    home: Path, *, shared: bool, disk: Disk | None = None, index: Index | None = None
) -> Opened:
    """Open what lies in a home; `disk` and `index` stand in for those that the home names.

    Raises:
        ConfigError: there is no store.
        StoreLocked: another process has it open, and not both share it.
        ForeignStore: a file is not this store's, or the index is damaged.
        StorageError: the disk or the database does not answer.
    """
    reserve = Reserve(home)
    try:
        opened = _open_parts(home, reserve, shared=shared, disk=disk, index=index)
    except errors.TierFull:
        # A full disk: what is kept back is for this.
        if disk is not None or index is not None or not reserve.release():
            raise
        opened = _open_parts(home, reserve, shared=shared)
    reserve.take()
    return opened


def _open_parts(
    home: Path,
    reserve: Reserve,
    *,
    shared: bool,
    disk: Disk | None = None,
    index: Index | None = None,
) -> Opened:
    config = StoreConfig.load(home)
    if config.index != "sqlite" and not shared:
        shared = True  # a database is there to be shared
    lock = FileLock(home / LOCK_FILE, shared=shared)
    try:
        number, lease = take_writer(home / WRITERS)
    except BaseException:
        lock.close()
        raise
    locks = (lease, lock)
    try:
        disk = disk or open_disk(home, config)
        index = index or open_index(home, config)
        state = State(
            index,
            Epoch(home / "epoch") if shared else None,
            remote=config.index != "sqlite",
            others=lambda: has_other_writers(home / WRITERS, number),
            reserve=reserve,
        )
        state.load()
        recovered = _recover(home, config, disk, state, number)
    except BaseException:
        if index is not None:
            index.close()
        if disk is not None:
            disk.close()
        for each in locks:
            each.close()
        raise
    return Opened(
        config=config,
        home=home,
        disk=disk,
        state=state,
        writer=number,
        shared=shared,
        reserve=reserve,
        locks=locks,
        truncated_nbytes=sum(recovered.truncated.values()),
        faults=dict(recovered.faults),
    )


def open_disk(home: Path, config: StoreConfig) -> Disk:
    """The log's folder, and its mirrors if it has some."""
    first = FileDisk(home / LOG_FOLDER)
    if not config.mirrors:
        return first
    from deepseek_store.log.mirrored import MirroredDisk

    return MirroredDisk([first, *(FileDisk(Path(mirror)) for mirror in config.mirrors)])


def open_index(home: Path, config: StoreConfig, *, create: bool = False) -> Index:
    """The index that the configuration names."""
    return index_at(config.index, home, config.store_id, create=create)


def _recover(home: Path, config: StoreConfig, disk: Disk, state: State, number: int) -> Recovered:
    """Bring the log into order, and the index up to it; one process at a time."""
    lock = wait_for_lock(home / "recovery.lock", longest_s=_LONGEST_RECOVERY_S)
    try:
        _finish_removals(disk, state)
        rows = state.segments
        recovered = recover(
            disk,
            store_id=config.store_id,
            writer_alive=lambda n: n != number and writer_is_alive(home / WRITERS, n),
            known=[row.id for row in rows.values() if row.state == "sealed" and row.local],
            synced={row.id: row.applied for row in rows.values()},
        )
        catch_up(state, recovered, recovered.segments)
    finally:
        lock.close()
    for segment, faults in recovered.faults.items():
        for fault in faults:
            _LOG.error(
                "segment %x: %d bytes at %d are damaged: %s",
                segment, fault.nbytes, fault.offset, fault.reason,
            )  # fmt: skip
    return recovered


def catch_up(state: State, recovered: Recovered, segments: Sequence[SegmentInfo]) -> None:
    """Put into the index what these segments have and it has not."""
    versions: list[Version] = []
    rows: list[SegmentRow] = []
    for info in segments:
        known = state.segments.get(info.id)
        if known is not None and known.state == "sealed":
            continue
        rows.append(segment_row(info))
        if not info.sealed:
            continue  # its writer lives, and tells of it itself
        applied = 0 if known is None else known.applied
        versions += [
            version_of(placed)
            for placed in recovered.placed(info.id)
            if placed.offset >= applied and placed.record.kind in (Kind.PUT, Kind.DELETE)
        ]
    if rows:
        state.commit(Batch(versions=versions, segments=rows, durable=True))


def segment_row(info: SegmentInfo) -> SegmentRow:
    """A segment of the log as the index keeps it, all of it applied."""
    return SegmentRow(
        id=info.id,
        writer=info.writer,
        state="sealed" if info.sealed else "active",
        nbytes=info.nbytes,
        min_generation=info.min_generation,
        created_s=info.created_s,
        applied=info.nbytes if info.sealed else 0,
    )


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
