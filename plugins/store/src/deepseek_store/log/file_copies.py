"""Puts copies of files in place: whole, durably, and never over another segment's file."""

from __future__ import annotations

import itertools
import logging
from typing import Final

from deepseek_core import errors
from deepseek_store.log.disk import Disk
from deepseek_store.log.segment import (
    HEADER_NBYTES,
    TRAILER_NBYTES,
    parse_footer,
    parse_segment_header,
    read_footer,
)

_log = logging.getLogger(__name__)
COPY: Final = "copy-"
_ASIDE: Final = "aside-"
_COPY_NBYTES: Final = 4 << 20


def copy_file(source: Disk, target: Disk, name: str) -> None:
    """Make a file on `target` what it is on `source`, whole or not at all, and durably."""
    partial = f"{COPY}{name}"
    target.remove(partial)
    nbytes = source.size(name)
    target.create(partial, nbytes)
    for offset in range(0, nbytes, _COPY_NBYTES):
        target.write_at(partial, offset, [source.read_at(name, offset, _COPY_NBYTES)])
    target.sync(partial)
    put_in_place(target, partial, name)


def put_in_place(disk: Disk, partial: str, name: str, *, over: bool = False) -> None:
    """Give a finished copy its name, and make that durable.

    What has the name is replaced if it is the same segment, damaged, or if it is known to be in the
    copy (`over`); another one is kept aside.
    """
    there = None if over else ends_there(disk, name)
    if there is not None and there != (None, None):
        right = ends_there(disk, partial)
        if right is not None and differ(there, right):
            set_aside(disk, name)
    disk.replace(partial, name)
    disk.sync_dir()


def set_aside(disk: Disk, name: str) -> None:
    """Give a file that must neither be used nor lost a name that nobody reads."""
    taken = set(disk.list())
    names = (f"{_ASIDE}{name}-{number}" for number in itertools.count(1))
    aside = next(each for each in names if each not in taken)
    _log.error("%s on %s is another segment of that number: kept as %s", name, disk.url, aside)
    disk.rename(name, aside)
    disk.sync_dir()


Ends = tuple[bytes | None, bytes | None]


def ends_of(disk: Disk, name: str) -> Ends | None:
    """Header and footer of a sealed segment, where both are whole; None otherwise."""
    found = ends_there(disk, name)
    return None if found is None or None in found else found


def ends_there(disk: Disk, name: str) -> Ends | None:
    """Header and footer of a file, each None where it is damaged; None: there is no such file."""
    head = b""  # a bad sector, or a right that lacks: as damaged as other bytes
    try:
        nbytes = disk.size(name)
        head = disk.read_at(name, 0, HEADER_NBYTES)
        trailer = disk.read_at(name, max(0, nbytes - TRAILER_NBYTES), TRAILER_NBYTES)
        footer = read_footer(trailer, nbytes)
        table = b"" if footer is None else disk.read_at(name, footer.offset, footer.nbytes)
        if footer is not None:
            parse_footer(table)
    except errors.ObjectMissing:
        return None
    except errors.StorageError:
        footer, table = None, b""
    try:
        is_head = parse_segment_header(head) is not None
    except errors.StorageError:
        is_head = False
    return head if is_head else None, table if footer is not None else None


def differ(there: Ends, right: Ends) -> bool:
    """Whether two files are of different segments, as far as their ends are whole."""
    pairs = zip(there, right, strict=True)
    return any(a is not None and b is not None and a != b for a, b in pairs)


def is_copy(name: str) -> bool:
    """A copy that was not finished."""
    return name.startswith(COPY)
