"""What a sync finds on its two sides, and whether two files have the same bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from deepseek_core import errors
from deepseek_store.cli.key_view import KeyView, folder_of_mark, is_folder_mark
from deepseek_store.cli.local.file_facts import is_link, mode_of, mtime_ns_of
from deepseek_store.cli.local.patterns import Filter
from deepseek_store.cli.local.walk import WalkEntry
from deepseek_store.cli.sync_plan import Item, Kind, Name
from deepseek_store.log.records import unpack_extents

if TYPE_CHECKING:
    from deepseek_store.store import ObjectInfo, Store


def name_of(entry: WalkEntry) -> Name:
    """An entry as a sync knows it."""
    return entry.path, entry.kind == "folder"


def item_of(entry: WalkEntry) -> Item:
    """What lies here."""
    link = entry.kind == "link"
    return Item(
        kind=entry.kind,
        nbytes=entry.found.st_size,
        mtime_ns=entry.found.st_mtime_ns,
        mode=entry.found.st_mode & 0o7777,
        text=os.fsencode(os.readlink(entry.file)) if link else None,  # noqa: PTH115 - bytes
    )


def stored_items(view: KeyView, folder: str, filter_: Filter) -> dict[Name, Item]:
    """What lies in a folder of the store (`""` or ending in `/`)."""
    found: dict[Name, Item] = {}
    for key in view.below(folder):
        path = key[len(folder) :]
        if is_folder_mark(path):
            inside = folder_of_mark(path)
            wanted = inside and not filter_.has_includes and not filter_.leaves_out(inside)
            if wanted and (info := view.look(key)) is not None:
                found[inside, True] = _stored(info, "folder")
        elif filter_.takes(path) and (info := view.look(key)) is not None:
            if not is_link(info.meta):
                found[path, False] = _stored(info, "file")
            elif (text := _link_text(view, key)) is not None:
                found[path, False] = _stored(info, "link", text)
    return found


def _link_text(view: KeyView, key: str) -> bytes | None:
    try:
        return bytes(view.store.get(key, snapshot=view.snapshot))
    except errors.ObjectMissing:  # deleted since
        return None


def _stored(info: ObjectInfo, kind: Kind, text: bytes | None = None) -> Item:
    mtime_ns = mtime_ns_of(info.meta)
    return Item(
        kind=kind,
        nbytes=info.nbytes,
        mtime_ns=int(info.created_s * 1e9) if mtime_ns is None else mtime_ns,
        mode=mode_of(info.meta),
        text=text,
    )


def has_bytes_of(store: Store, key: str, file: Path) -> bool:
    """Whether a file has the bytes of an object: by the hashes that the store keeps of its pieces.

    Raises:
        OSError: the file can't be read.
    """
    version = store.parts.state.catalog.get(key)
    if version is None:
        return False
    with file.open("rb") as reading:
        for extent in unpack_extents(version.extents):
            piece = reading.read(extent.nbytes)
            if len(piece) != extent.nbytes or xxhash.xxh3_64_intdigest(piece) != extent.xxh3:
                return False
        return not reading.read(1)
