"""How an object gets its name: written aside, flushed, linked, and the folder flushed.

link(2) fails if the name is taken, so of several writers one wins, and whoever dies on the way
leaves a file aside that nobody lists. It is removed when the tier is opened again.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from itertools import count
from typing import Final

from deepseek_storage_local.direct import write_direct
from deepseek_storage_local.volume import ASIDE, Volume

_numbers = count()
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_LINK_TRIES: Final = 100  # each lost to someone who removed the folder as an empty one


def write_object(
    volume: Volume, path: str, data: memoryview, opening: str, buffer: memoryview | None
) -> bool:
    """Write a durable file unless there is one of that path; `buffer` is for direct I/O.

    Raises:
        OSError: it can't be written; nothing is left behind.
    """
    folder = path.rpartition("/")[0]
    if _exists(volume, path):
        volume.sync_folder(folder)  # whoever wrote it may not have got this far
        return False
    aside = f"{ASIDE}/{opening}.{threading.get_ident():x}.{next(_numbers)}"
    try:
        _write_aside(volume, aside, data, buffer)
        wrote = _link(volume, aside, path, folder)
    except OSError:
        volume.prune(folder)
        raise
    finally:
        with suppress(OSError):
            os.unlink(aside, dir_fd=volume.folder)
    _sync_name(volume, path, folder, wrote=wrote)
    return wrote


def names_aside(volume: Volume) -> list[str]:
    """The files that are written, or were left, on a volume.

    Raises:
        OSError: they can't be listed.
    """
    opened = os.open(ASIDE, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=volume.folder)
    try:
        return os.listdir(opened)  # noqa: PTH208 (of a descriptor)
    finally:
        os.close(opened)


def clean_aside(volume: Volume, name: str) -> None:
    """Remove one file that a dead writer left aside."""
    with suppress(FileNotFoundError):
        os.unlink(f"{ASIDE}/{name}", dir_fd=volume.folder)


def _exists(volume: Volume, path: str) -> bool:
    try:
        os.stat(path, dir_fd=volume.folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _write_aside(volume: Volume, aside: str, data: memoryview, buffer: memoryview | None) -> None:
    flags = _FLAGS if buffer is None else _FLAGS | os.O_DIRECT
    number = os.open(aside, flags, 0o644, dir_fd=volume.folder)
    try:
        if buffer is None:
            done = 0
            while done < len(data):
                done += os.write(number, data[done:])
        else:
            write_direct(number, data, buffer)
        os.fdatasync(number)
    finally:
        os.close(number)


def _link(volume: Volume, aside: str, path: str, folder: str) -> bool:
    for _ in range(_LINK_TRIES):
        try:
            os.link(aside, path, src_dir_fd=volume.folder, dst_dir_fd=volume.folder)
        except FileExistsError:
            return False
        except FileNotFoundError:
            if not folder:
                raise
            with suppress(FileNotFoundError):
                volume.make_folder(folder)
        else:
            return True
    raise FileNotFoundError(2, "its folder is removed again and again", path)


def _sync_name(volume: Volume, path: str, folder: str, *, wrote: bool) -> None:
    """Have the object's name on the disk; where that fails, it is not an object."""
    try:
        volume.sync_folder(folder)
    except FileNotFoundError:
        if not wrote:
            return  # the winner's object is deleted already
        raise
    except OSError:
        if wrote:
            with suppress(OSError):
                os.unlink(path, dir_fd=volume.folder)
        raise
