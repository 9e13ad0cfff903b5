"""Walks through a folder: its files, empty folders and links in order, the rest by name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import attrs

from deepseek_store.cli.local.names import object_path
from deepseek_store.cli.local.patterns import Filter
from deepseek_store.cli.partial_failures import Troubles

Links = Literal["skip", "follow", "keep"]
FOLDER_MARK: Final = ".ds-folder"
"""The last part of the key that keeps an empty folder, for `ds://` too."""

_OTHERS: Final = (
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "character device"),
    (stat.S_ISBLK, "block device"),
)
Identity = tuple[int, int]


@attrs.frozen(kw_only=True, slots=True)
class WalkEntry:
    """A file, a folder that is to be kept, or a symbolic link; `path` is the object's, relative."""

    path: str
    file: str
    kind: Literal["file", "folder", "link"]
    found: os.stat_result


@attrs.frozen(kw_only=True)
class WalkOptions:
    """What a walk takes along. `never` are folders of no interest: those of the store itself."""

    links: Links = "skip"
    filter: Filter = attrs.field(factory=Filter)
    one_file_system: bool = False
    empty_folders: bool = True
    never: frozenset[Identity] = frozenset()


def identity(found: os.stat_result) -> Identity:
    """What is the same for two names of one file."""
    return found.st_dev, found.st_ino


def kind_of_other(mode: int) -> str | None:
    """What it is, if it is neither file, folder nor link."""
    return next((name for is_it, name in _OTHERS if is_it(mode)), None)


class FolderWalk:
    """One walk below a folder; what can't be taken along is told to `troubles`."""

    def __init__(self, top: str, options: WalkOptions, troubles: Troubles) -> None:
        self._top, self._options, self._troubles = top, options, troubles
        self._device = -1

    def __iter__(self) -> Iterator[WalkEntry]:
        """All entries, folder by folder."""
        try:
            found = Path(self._top).stat()
        except OSError as error:  # as if it vanished just now
            self._troubles.fail(self._top, f"the folder can't be read: {error.strerror}")
            return
        self._device = found.st_dev
        folders = [("", self._top, found, frozenset((identity(found),)))]
        while folders:
            path, file, found, above = folders.pop()
            inside: list[tuple[str, str, os.stat_result, frozenset[Identity]]] = []
            yield from self._folder(path, file, found, above, inside)
            folders += reversed(inside)

    def _folder(
        self,
        path: str,
        file: str,
        found: os.stat_result,
        above: frozenset[Identity],
        inside: list[tuple[str, str, os.stat_result, frozenset[Identity]]],
    ) -> Iterator[WalkEntry]:
        """The files of one folder; folders in it are put into `inside`."""
        listing = self._listing(path, file)
        if listing is None:
            return
        follow = self._options.links == "follow"
        folders = {each.name for each in listing if each.is_dir(follow_symlinks=follow)}
        bare = True  # until something in it is taken along, or was left out on purpose
        for each in listing:
            taken = self._entry(path, each, folders, above)
            bare = bare and taken is _NOTHING
            if isinstance(taken, WalkEntry):
                if taken.kind == "folder":
                    below = above | {identity(taken.found)}
                    inside.append((taken.path, taken.file, taken.found, below))
                else:
                    yield taken
        wanted = self._options.empty_folders and not self._options.filter.has_includes
        if path and wanted and (bare or _unusual(found)):
            yield WalkEntry(path=path, file=file, kind="folder", found=found)

    def _listing(self, path: str, file: str) -> list[os.DirEntry[str]] | None:
        try:
            with os.scandir(file) as entries:
                return sorted(entries, key=lambda each: each.name)
        except OSError as error:
            self._troubles.fail(path or file, f"the folder can't be read: {error.strerror}")
            return None

    def _entry(
        self, folder: str, each: os.DirEntry[str], folders: set[str], above: frozenset[Identity]
    ) -> WalkEntry | object:
        """What to take along; `_NOTHING` for what is no content, `_LEFT_OUT` for the rest."""
        path = f"{folder}/{each.name}" if folder else each.name
        try:
            path.encode()
        except UnicodeEncodeError:
            self._troubles.fail(path, "its name is not UTF-8")
            return _LEFT_OUT
        try:
            found = each.stat(follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                return self._link(path, each, found, folders, above)
            return self._plain(path, each, found, folders, above)
        except OSError as error:
            self._troubles.fail(path, f"can't be read: {error.strerror}")
            return _LEFT_OUT

    def _link(
        self,
        path: str,
        each: os.DirEntry[str],
        found: os.stat_result,
        folders: set[str],
        above: frozenset[Identity],
    ) -> WalkEntry | object:
        name = _object_path(path, folders)
        if not self._options.filter.takes(name):
            return _LEFT_OUT
        if self._options.links == "skip":
            self._troubles.skip(path, "symbolic link", " (-L follows it, --links keeps it)")
            return _NOTHING
        if self._options.links == "keep":
            return WalkEntry(path=name, file=each.path, kind="link", found=found)
        return self._plain(path, each, each.stat(), folders, above)

    def _plain(
        self,
        path: str,
        each: os.DirEntry[str],
        found: os.stat_result,
        folders: set[str],
        above: frozenset[Identity],
    ) -> WalkEntry | object:
        if stat.S_ISDIR(found.st_mode):
            return self._subfolder(path, each, found, above)
        if each.name == FOLDER_MARK:
            self._troubles.fail(path, "its name is kept for empty folders; give it another one")
            return _LEFT_OUT
        name = _object_path(path, folders)
        if not self._options.filter.takes(name):
            return _LEFT_OUT
        if not stat.S_ISREG(found.st_mode):
            self._troubles.skip(path, kind_of_other(found.st_mode) or "no file")
            return _NOTHING
        return WalkEntry(path=name, file=each.path, kind="file", found=found)

    def _subfolder(
        self, path: str, each: os.DirEntry[str], found: os.stat_result, above: frozenset[Identity]
    ) -> WalkEntry | object:
        options = self._options
        if options.filter.leaves_out(path):
            return _LEFT_OUT
        if identity(found) in options.never:
            self._troubles.skip(path, "the store itself")
            return _LEFT_OUT
        if identity(found) in above:
            self._troubles.fail(path, "a symbolic link to a folder that it lies in: a circle")
            return _LEFT_OUT
        if options.one_file_system and found.st_dev != self._device:
            self._troubles.skip(path, "another file system")
            return _LEFT_OUT
        return WalkEntry(path=path, file=each.path, kind="folder", found=found)


def _object_path(path: str, folders: set[str]) -> str:
    """The object that a file or a link stands for, beside these folders."""
    return object_path(path, lambda stem: stem.rpartition("/")[2] in folders)


_NOTHING: Final = object()
_LEFT_OUT: Final = object()


def folders_of_store(home: str | Path, urls: tuple[str, ...] = ()) -> frozenset[Identity]:
    """Folders that are never stored nor deleted: its home, mirrors, tiers on local disks."""
    found = set()
    for path in (os.fspath(home), *urls):
        try:
            found.add(identity(Path(path).stat()))
        except OSError:
            continue
    return frozenset(found)


def _unusual(found: os.stat_result) -> bool:
    """Whether a folder that is rebuilt would have other permissions."""
    return stat.S_IMODE(found.st_mode) & 0o7777 != 0o777 & ~current_umask()


def current_umask() -> int:
    """What this process takes away from the permissions of new files."""
    global _umask  # noqa: PLW0603 - it can't be asked for without setting it: once, early
    if _umask is None:
        _umask = os.umask(0o077)
        os.umask(_umask)
    return _umask


_umask: int | None = None
