"""Gives a file a name that must be free, however a file system can do that."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from pathlib import Path
from typing import Any, Final

from deepseek_store import handles

_AT_FDCWD: Final = -100
_NOREPLACE: Final = 1
# What kernels and file systems say that do not know `renameat2`, or no hard links (FAT, some NFS).
_UNKNOWN: Final = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EMLINK}
)


def rename_new(old: str, new: str) -> None:
    """Rename a file; `new` is never replaced.

    Raises:
        FileExistsError: the name is taken.
        OSError: as `rename` does.
    """
    for way in (_exchange_free, _link, _claim):
        try:
            way(old, new)
        except FileExistsError:
            raise
        except OSError as error:
            if way is _claim or error.errno not in _UNKNOWN:
                raise
        else:
            return


def _exchange_free(old: str, new: str) -> None:
    """In one step: Linux 3.15 and later, most file systems of disks."""
    call = _renameat2()
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), old, None, new)


def _link(old: str, new: str) -> None:
    """In two; a crash in between leaves both names, the old one of which recovery removes."""
    os.link(old, new, follow_symlinks=False)
    folder = handles.open_file(Path(new).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # The new name first: a power cut must not keep the removal alone.
        os.fsync(folder)
    finally:
        os.close(folder)
    Path(old).unlink()


def _claim(old: str, new: str) -> None:
    """Take the name with an empty file, and replace that; recovery removes one that stays empty."""
    os.close(handles.open_file(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    try:
        Path(old).replace(new)
    except BaseException:
        Path(new).unlink()
        raise


@cache
def _renameat2() -> Any:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # another libc
        return None
    text, number = ctypes.c_char_p, ctypes.c_int
    call.argtypes = (number, text, number, text, ctypes.c_uint)
    return call
