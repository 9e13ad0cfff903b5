"""What is kept of a file beside its bytes, in the meta of its object: mode, time, kind."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from typing import Final

import attrs

MODE: Final = "file-mode"
"""Permissions in octal, such as `644`."""
MTIME: Final = "file-mtime"
"""When its content was changed: seconds since the epoch, to the nanosecond."""
KIND: Final = "file-kind"
"""`link` for a symbolic link, whose object holds the path that it points to."""
LINK: Final = "link"
SPARSE: Final = "file-sparse"
"""`1` for a file with holes; they come back as holes."""

_MTIME: Final = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?")
_LARGE_NBYTES: Final = 64 << 10
_NS: Final = 1_000_000_000


@attrs.frozen(kw_only=True)
class Kept:
    """What is to be kept, and brought back."""

    mode: bool = True
    times: bool = True


def facts_of(found: os.stat_result, kept: Kept, *, link: bool = False) -> dict[str, str]:
    """The meta that a file's object gets."""
    facts = {}
    if kept.mode and not link:
        facts[MODE] = f"{stat.S_IMODE(found.st_mode):o}"
    if kept.times:
        facts[MTIME] = _seconds(found.st_mtime_ns)
    if link:
        facts[KIND] = LINK
    elif found.st_size >= _LARGE_NBYTES and found.st_blocks * 512 < found.st_size:
        facts[SPARSE] = "1"
    return facts


def mode_of(meta: Mapping[str, str]) -> int | None:
    """The permissions that an object's file had; None if nobody told, or told nonsense."""
    text = meta.get(MODE, "")
    if not re.fullmatch("[0-7]{1,4}", text):
        return None
    return int(text, 8)


def mtime_ns_of(meta: Mapping[str, str]) -> int | None:
    """When an object's file was changed; None if nobody told, or told nonsense."""
    found = _MTIME.fullmatch(meta.get(MTIME, ""))
    if found is None:
        return None
    ns = int(found[2]) * _NS + int((found[3] or "0").ljust(9, "0"))
    return -ns if found[1] else ns


def is_link(meta: Mapping[str, str]) -> bool:
    """Whether an object stands for a symbolic link."""
    return meta.get(KIND) == LINK


def is_sparse(meta: Mapping[str, str]) -> bool:
    """Whether an object's file had holes."""
    return meta.get(SPARSE) == "1"


def _seconds(ns: int) -> str:
    whole, rest = divmod(abs(ns), _NS)
    text = f"{'-' if ns < 0 else ''}{whole}"
    return f"{text}.{rest:09}".rstrip("0") if rest else text
