"""Marks on a disk of the log that say which other disk has missed something.

A disk goes by what the store calls it, so that a home or a mirror that was moved is still known.
Older marks go by the path that the disk had. One that names no disk of today may mean any of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from deepseek_store.log.disk import Disk
from deepseek_store.log.records import hash_of

MARKER: Final = "stale-"
"""How the names of files begin that say: a disk has missed something."""

_BY_IDENTITY: Final = f"{MARKER}id-"


def mark_of(disk: Disk) -> str:
    """The name of the file, on the others, that says: this disk has missed something."""
    if not disk.identity:
        return _mark_by_path(disk)
    return f"{_BY_IDENTITY}{hash_of(disk.identity.encode()):016x}"


def _mark_by_path(disk: Disk) -> str:
    # A home is named from any folder: relative paths mean the same disk.
    return f"{MARKER}{hash_of(str(Path(disk.url).absolute()).encode()):016x}"


class MissedMarks:
    """The marks on all disks of a log that can be read; `names` are their files, by url."""

    def __init__(self, disks: Sequence[Disk], names: Mapping[str, Collection[str]]) -> None:
        self._names = {disk.url: {mark_of(disk), _mark_by_path(disk)} for disk in disks}
        self._current = {mark_of(disk) for disk in disks}
        self._on = {url: {n for n in found if n.startswith(MARKER)} for url, found in names.items()}

    def naming(self, disk: Disk, *, on: str) -> set[str]:
        """The marks on one disk that say of another one that it has missed something."""
        if disk.url == on:
            return set()
        known = set().union(*self._names.values())
        there = self._on.get(on, set())
        return (there & self._names[disk.url]) | (there - known)

    def is_named(self, disk: Disk) -> bool:
        """Whether any disk says that it has missed something."""
        return any(self.naming(disk, on=url) for url in self._on)

    def is_named_by_old(self, disk: Disk) -> bool:
        """Whether a mark says so that was made before deletes were kept for a disk's return."""
        return any(self.naming(disk, on=url) - self._current for url in self._on)


def has_marks(names: Iterable[str]) -> bool:
    """Whether some of these files are marks."""
    return any(name.startswith(MARKER) for name in names)
