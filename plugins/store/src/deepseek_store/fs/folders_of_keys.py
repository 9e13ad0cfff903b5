"""Folders over a flat store: there is one where keys lie below it, or where it was made.

A folder that was made is an object of no bytes below it, which listings leave out; so an empty one
stays, for other processes too.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from deepseek_store.errors import GenerationMismatch, KeyRefused
from deepseek_store.fs.to_os_error import OsErrors, is_file, is_folder, not_found, plain
from deepseek_store.home.state import State
from deepseek_store.index.rows import Version
from deepseek_store.log.records import unpack_extents
from deepseek_store.move.census import tier_of
from deepseek_store.store import Store

MARKER: Final = ".ds-folder"
Entry = dict[str, Any]


class Tree:
    """One look at the folders of a store; paths are keys without a slash at either end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state: State = store.parts.state
        self._state.refresh()

    def file(self, path: str) -> Version | None:
        """The object of that key, if it is one for users."""
        return None if is_marker(path) else self._state.catalog.get(path)

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder; the root is always there."""
        return not path or next(self._state.catalog.keys(f"{path}/"), None) is not None

    def entry(self, path: str) -> Entry:
        """What is at a path: an object first, where both are.

        Raises:
            FileNotFoundError: nothing is.
        """
        version = self.file(path)
        if version is not None:
            return self._file_entry(version)
        if self.is_folder(path):
            return folder_entry(path)
        raise not_found(path)

    def children(self, path: str) -> list[Entry]:
        """What is right inside a folder, in order; a file has itself.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        prefix = f"{path}/" if path else ""
        found: list[Entry] = []
        for name in self._state.catalog.children(prefix):
            if name.endswith("/"):
                found.append(folder_entry(name[:-1]))
            elif (version := self.file(name)) is not None:
                found.append(self._file_entry(version))
        if not found and not self.is_folder(path):
            found = [self.entry(path)]
        return found

    def below(self, path: str, depth: int | None = None) -> Iterator[Entry]:
        """All objects below a folder, in order, at most so many levels down."""
        prefix = f"{path}/" if path else ""
        for key in self._state.catalog.keys(prefix):
            if depth is None or key.count("/", len(prefix)) < depth:
                version = self.file(key)
                if version is not None:
                    yield self._file_entry(version)

    def folders_below(self, path: str, depth: int | None = None) -> Iterator[str]:
        """All folders below a folder, those of objects too, each once."""
        prefix = f"{path}/" if path else ""
        seen: set[str] = set()
        for key in self._state.catalog.keys(prefix):
            at = key.find("/", len(prefix))
            level = 1
            while at >= 0 and (depth is None or level <= depth):
                folder = key[:at]
                if folder not in seen:
                    seen.add(folder)
                    yield folder
                at, level = key.find("/", at + 1), level + 1

    def times_below(self, path: str) -> tuple[float, float] | None:
        """When the first and the last of what is below a folder were written; its own mark, too."""
        found = [
            version.created_s
            for key in self._keys(path)
            if (version := self._state.catalog.get(key)) is not None
        ]
        return (min(found), max(found)) if found else None

    def is_empty(self, path: str) -> bool:
        """Whether nothing is in a folder."""
        return all(key == marker_of(path) for key in self._keys(path))

    def has_marker(self, path: str) -> bool:
        """Whether the folder was made, and stays when it is empty."""
        return self._state.catalog.get(marker_of(path)) is not None

    def make(self, path: str) -> None:
        """Make a folder, if it was not made yet."""
        if path and not self.has_marker(path):
            with OsErrors(path), suppress(GenerationMismatch):  # another one may be faster
                self._store.put(marker_of(path), b"", if_generation=0, tier="hot")

    def unmake(self, path: str) -> None:
        """Take a folder away that was made and is empty.

        Raises:
            OSError: it is not empty.
        """
        if not self.is_empty(path):
            raise plain(errno.ENOTEMPTY, path)
        with OsErrors(path):
            self._store.delete(marker_of(path))

    def check_writable(self, path: str) -> None:
        """Whether there can be a file of that name.

        Raises:
            IsADirectoryError: it is a folder.
            NotADirectoryError: what it would lie in is a file.
            KeyRefused: the name stands for a folder.
        """
        if is_marker(path):
            with OsErrors(path):
                remedy = f"use another name than {MARKER!r}"
                raise KeyRefused(f"{path!r} marks a folder", remedy=remedy)
        if self.file(path) is None and self.is_folder(path):
            raise is_folder(path)
        self.check_parents(path)

    def check_parents(self, path: str) -> None:
        """Whether something can lie at that path.

        Raises:
            NotADirectoryError: what it would lie in is a file.
        """
        at = path.rfind("/")
        while at > 0:
            if self.file(path[:at]) is not None:
                raise is_file(path[:at])
            at = path.rfind("/", 0, at)

    def _keys(self, path: str) -> Iterator[str]:
        return self._state.catalog.keys(f"{path}/" if path else "")

    def _file_entry(self, version: Version) -> Entry:
        segments = {extent.segment for extent in unpack_extents(version.extents)}
        return {
            "name": version.key,
            "size": version.nbytes,
            "type": "file",
            "created": version.created_s,
            "mtime": version.created_s,
            "generation": version.generation,
            "tier": tier_of(segments, self._state),
        }


def folder_entry(path: str) -> Entry:
    """What listings say of a folder."""
    return {"name": path, "size": 0, "type": "directory"}


def marker_of(path: str) -> str:
    """The key of the object that keeps a folder."""
    return f"{path}/{MARKER}"


def is_marker(key: str) -> bool:
    """Whether an object stands for a folder."""
    return key == MARKER or key.endswith(f"/{MARKER}")
