"""Opens the folders of a store's log: that of its home, and the mirrors on other disks.

A folder counts if it carries the store's mark, and is not an older copy of itself. The place where
a disk was to be mounted is there too, and empty: it never passes for a mirror.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_store.commands import command
from deepseek_store.errors import NotOwner
from deepseek_store.home.config import LOG_FOLDER, StoreConfig
from deepseek_store.home.folder_marks import FolderMarks
from deepseek_store.home.locks import FileLock
from deepseek_store.home.numbers import Marks
from deepseek_store.home.owner_epochs import Owner
from deepseek_store.log.disk import MARK, Disk
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.missing_disk import MissingDisk
from deepseek_store.log.segment import parse_name

_LOG: Final = logging.getLogger(__name__)
_LOCK: Final = f"{MARK}lock"


@attrs.frozen(kw_only=True)
class Folder:
    """One folder of the log: its name in a home's records, and what is wrong with it.

    `absent`: it is not the store's, so nothing must be written into it. `late`: it is, and has
    missed something.
    """

    home: Path
    store: str
    name: str
    path: Path
    absent: str = ""
    late: str = ""

    @property
    def marks(self) -> FolderMarks:
        """What says whose it is."""
        return FolderMarks(self.path)

    @property
    def remedy(self) -> str:
        """What to do where it is absent."""
        adopt = command("adopt", self.home)
        return f"mount it; or take what is there for a new disk: {adopt}"

    def disk(self) -> Disk:
        """It as a disk."""
        if self.absent:
            disk: Disk = MissingDisk(str(self.path), self.absent, remedy=self.remedy)
        else:
            disk = FileDisk(self.path)
        disk.home, disk.identity = self.home, f"{self.store}/{self.name}"
        return disk


def lock_mirrors(home: Path, config: StoreConfig, *, shared: bool) -> tuple[FileLock, ...]:
    """Keep copies of this home out of its mirrors while it is open; those that are there.

    Raises:
        StoreLocked: a copy of this home is open.
    """
    locks: list[FileLock] = []
    try:
        for folder in folders_of(home, config)[1:]:
            # One that is away, full or not ours is left out later, or says so itself.
            with suppress(OSError, errors.StorageError):
                if folder.marks.store() == config.store_id:
                    locks.append(FileLock(folder.path / _LOCK, shared=shared))
    except BaseException:
        for lock in locks:
            lock.close()
        raise
    return tuple(locks)


def open_log(home: Path, config: StoreConfig, owner: Owner, *, writing: bool) -> Disk:
    """The log's folder, and its mirrors if it has some; those that do not count are left out.

    Raises:
        NotOwner: another home writes to a mirror.
        TierUnavailable: no folder is there, and something is to be written.
    """
    found = [_look(each, config, owner, writing=writing) for each in folders_of(home, config)]
    found = _without_empty(found, owner)
    if writing:
        found = [_marked(folder, config, owner) for folder in found]
    for folder in found:
        if not writing and (why := folder.absent or folder.late):  # else the mirrored disk says it
            _LOG.error("the log goes on without %s: %s", folder.path, why)
    sound = [folder for folder in found if not folder.absent and not folder.late]
    if not sound and writing:
        raise _refusal(found[0])
    new = [folder.name for folder in sound if not owner.is_marked(folder.name)]
    if writing and new:
        owner.note_marked(new)
    disk = _joined(found, writing=writing)
    if writing:
        _take_late(found, owner)
    return disk


def folders_of(home: Path, config: StoreConfig) -> list[Folder]:
    """All that the store should have."""
    store = config.store_id.hex()
    mirrors = [
        Folder(home=home, store=store, name=f"mirror {number}", path=Path(mirror))
        for number, mirror in enumerate(config.mirrors, start=1)
    ]
    return [Folder(home=home, store=store, name=LOG_FOLDER, path=home / LOG_FOLDER), *mirrors]


def told_by_mirrors(home: Path, config: StoreConfig, owner: Owner) -> Marks:
    """The numbers of which the mirrors' own marks tell."""
    found = Marks()
    for folder in folders_of(home, config)[1:]:
        if folder.path.is_dir():
            with suppress(errors.StorageError):
                found |= owner.told(folder.marks)
    return found


def adopt_folders(home: Path, config: StoreConfig, owner: Owner) -> None:
    """Take all folders that are there for this home, whoever had them before.

    One without the store's mark gets it; it is taken for one that has missed something, which
    `repair` brings up to date. What another copy of this home put into a mirror comes into the
    log: a note here that the mirror has missed something may be of before, and hide all of it.

    Raises:
        TierUnavailable, TierFull: the log does not take it.
    """
    log, *_ = folders = folders_of(home, config)
    for folder in folders:
        if not folder.path.is_dir():
            continue
        theirs = folder.marks.store()
        if theirs is None:
            folder.marks.mark(config.store_id)
            owner.note_marked([folder.name])
        elif theirs == config.store_id and folder.name != LOG_FOLDER:
            try:
                owner.check(folder.name, folder.marks)
            except NotOwner:
                if log.path.is_dir() and log.marks.store() == config.store_id:
                    _bring_new(folder, log)
                owner.claim(folder.name, folder.marks, by_force=True)


def _bring_new(source: Folder, target: Folder) -> None:
    from deepseek_store.log.resync import bring_new

    with closing(source.disk()) as disk, closing(target.disk()) as log:
        bring_new(disk, log)


def _look(folder: Folder, config: StoreConfig, owner: Owner, *, writing: bool) -> Folder:
    try:
        absent = _absence(folder, config, owner)
        is_mirror = folder.name != LOG_FOLDER
        late = not absent and is_mirror and owner.lag(folder.name, folder.marks)
    except NotOwner as error:
        if writing:
            raise
        absent, late = error.message, False
    except errors.TierUnavailable as error:
        absent, late = error.message, False
    return attrs.evolve(folder, absent=absent, late="it is an older copy of itself" if late else "")


def _absence(folder: Folder, config: StoreConfig, owner: Owner) -> str:
    """Why a folder is not the store's; empty if it is."""
    if not folder.path.is_dir():
        return "there is no such folder"
    if not os.access(folder.path, os.R_OK | os.X_OK):
        return "it may not be read"
    theirs = folder.marks.store()
    if theirs is None:
        unknown = "it does not know this store: a disk that is not mounted, or an empty one"
        return unknown if owner.is_marked(folder.name) else ""
    return "" if theirs == config.store_id else "it belongs to another store"


def _without_empty(found: Sequence[Folder], owner: Owner) -> list[Folder]:
    """For a store without marks: leave out a folder without segments, where others have some."""
    unmarked = [each for each in found if not each.absent and not owner.is_marked(each.name)]
    has = {each.name: _has_segments(each.path) for each in unmarked}
    if not any(has.values()) and all(each in unmarked for each in found):
        return list(found)
    why = "it is empty: a disk that is not mounted, or a new one"
    return [
        attrs.evolve(each, absent=why) if each in unmarked and not has[each.name] else each
        for each in found
    ]


def _has_segments(folder: Path) -> bool:
    return any(parse_name(path.name) is not None for path in folder.iterdir())


def _marked(folder: Folder, config: StoreConfig, owner: Owner) -> Folder:
    """A sound folder with the store's mark in it, and taken by this home."""
    if folder.absent or folder.late:
        return folder
    try:
        if folder.marks.store() is None:
            folder.marks.mark(config.store_id)
        if folder.name != LOG_FOLDER:
            owner.claim(folder.name, folder.marks)
    except errors.TierFull:
        return folder  # it may be read, and what is written next says so itself
    except errors.TierUnavailable as error:
        return attrs.evolve(folder, absent=error.message)
    return folder


def _take_late(found: Sequence[Folder], owner: Owner) -> None:
    """What has missed something is ours all the same; the others remember that it has."""
    for folder in found:
        if folder.late:
            with suppress(errors.TierFull, errors.TierUnavailable):
                owner.claim(folder.name, folder.marks)


def _joined(found: Sequence[Folder], *, writing: bool) -> Disk:
    disks = [folder.disk() for folder in found]
    if len(disks) == 1:
        return disks[0]
    from deepseek_store.log.mirrored import MirroredDisk

    late = {str(folder.path): folder.late for folder in found if folder.late}
    if all(folder.absent for folder in found):
        return disks[0]
    return MirroredDisk(disks, late=late, writing=writing)


def _refusal(folder: Folder) -> errors.TierUnavailable:
    return errors.TierUnavailable(
        f"{folder.path}: {folder.absent or folder.late}",
        url=str(folder.path),
        remedy=folder.remedy,
    )
