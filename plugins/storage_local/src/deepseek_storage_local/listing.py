"""Objects below a folder, in the order of their keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from deepseek_core import ObjectStat
from deepseek_storage_local.names import folder_of, read_file, read_folder

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def walk(root: int, prefix: str) -> Iterator[ObjectStat]:
    """Objects below the open folder `root` whose key starts with `prefix`, by key.

    Raises:
        OSError: a folder can't be read; one that is removed meanwhile is empty.
    """
    folder, base = folder_of(prefix)
    return _walk(root, folder, base, prefix)


def _walk(root: int, folder: str, base: str, prefix: str) -> Iterator[ObjectStat]:
    entries = _entries(root, folder, base, prefix)
    if any(not below.endswith("/") for below, _, stat in entries if stat is None):
        # A part that is cut goes on among its neighbors: rare, so all of them are sorted at once.
        below = (_below(root, folder, entry, prefix) for entry in entries)
        yield from sorted((s for found in below for s in found), key=lambda s: s.key)
        return
    for entry in entries:
        yield from _below(root, folder, entry, prefix)


_Entry = tuple[str, str, os.stat_result | None]  # front of the keys, name, of a file what it is


def _below(root: int, folder: str, entry: _Entry, prefix: str) -> Iterator[ObjectStat]:
    key, name, stat = entry
    if stat is None:
        yield from _walk(root, f"{folder}{name}/", key, prefix)
    else:
        yield ObjectStat(key=key, nbytes=stat.st_size, modified_s=stat.st_mtime)


def _entries(root: int, folder: str, base: str, prefix: str) -> list[_Entry]:
    """What in a folder may hold such keys; `a/` comes after `a-b`, as its keys do."""
    try:
        opened = os.open(folder or ".", _FOLDER_FLAGS, dir_fd=root)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        with os.scandir(opened) as found:
            return sorted(
                entry for each in found if (entry := _entry(each, base, prefix)) is not None
            )
    finally:
        os.close(opened)


def _entry(found: os.DirEntry[str], base: str, prefix: str) -> _Entry | None:
    if (name := read_file(found.name)) is not None:
        if not (base + name).startswith(prefix):
            return None
        try:
            return base + name, found.name, found.stat(follow_symlinks=False)
        except FileNotFoundError:  # deleted meanwhile
            return None
    front = read_folder(found.name)
    # The disk of a failure domain may be a link in the root.
    if front is None or not found.is_dir(follow_symlinks=not base):
        return None
    key = base + front
    return (key, found.name, None) if key.startswith(prefix) or prefix.startswith(key) else None
