"""Folders of our own, closed to others, and files that are there whole or not at all.

Not by `console.make_private`: that refuses a folder with a file of another user, where the engine
cache builds that one engine again; and it lets others read, who could copy a model's engine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from pathlib import Path
from typing import Final

from deepseek_trt.errors import CacheUnusable

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_CHOOSE: Final = "choose another folder (--cache FOLDER or DEEPSEEK_CACHE_DIR), or --no-cache"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter, or see that it is one.

    One that others could read is closed to them; so is an empty one that they could write to.

    Raises:
        CacheUnusable: it can't be made, is somebody else's or a link, or others could put
            files into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise CacheUnusable(f"{folder} is not a folder, or a link to one", remedy=_CHOOSE)
        if status.st_uid != os.getuid():
            raise CacheUnusable(f"{folder} belongs to user {status.st_uid}", remedy=_CHOOSE)
        if status.st_mode & _OTHERS_WRITE and any(folder.iterdir()):
            raise CacheUnusable(
                f"others can write to {folder}, so its engines may be anybody's",
                remedy=f"remove it, and it is rebuilt: rm -r {shlex.quote(str(folder))}",
            )
        if status.st_mode & _OTHERS:
            folder.chmod(0o700)
    except OSError as error:
        if isinstance(error, CacheUnusable):
            raise
        raise unusable(folder, error) from error


def write_whole(path: Path, content: bytes, temporary: Path) -> None:
    """Write a file that readers see whole or not at all, and that survives a crash.

    `temporary` is a name in the same folder that nobody else writes to now.

    Raises:
        CacheUnusable: there is no space, or no right to write.
    """
    try:
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _flush_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: OSError) -> CacheUnusable:
    """Our error for one of the system's about a path."""
    first = (
        "free space there" if error.errno in _FULL else "give this user the right to write there"
    )
    return CacheUnusable(f"{path}: {error.strerror or error}", remedy=f"{first}, or {_CHOOSE}")


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems can't
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
