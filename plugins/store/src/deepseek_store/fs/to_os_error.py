"""What goes wrong with a file, as the `OSError` that programs look for, and as our own at once.

`except OSError` with its `errno`, `except PermissionError` and `except Corrupt` all work; the error
as the store raised it is the `__cause__`. That a store can't be opened or asked at all
(`ConfigError`, `StoreClosed`, `IndexUnavailable`) is not about a file, and is passed on: fsspec
takes an `OSError` for "there is no such file" in some places.
"""

from __future__ import annotations

import errno
import os
from types import TracebackType
from typing import Any, Final

from deepseek_core import errors
from deepseek_store.errors import (
    Corrupt,
    GenerationMismatch,
    KeyRefused,
    ReadOnlyStore,
    Unrecoverable,
)


class FileError(errors.DeepSeekError, OSError):
    """Base of them; `errno` and `filename` as of any `OSError`."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what an `OSError` keeps outside of its dictionary, too."""
        return _made, (type(self), self.args, self.__dict__, self.errno, self.filename)


class NameRefused(FileError, KeyRefused):
    """A name that a store does not take (EINVAL, ENAMETOOLONG)."""


class FileReplaced(FileError, GenerationMismatch):
    """Somebody else wrote the file meanwhile (ESTALE)."""


class FileCorrupt(FileError, Corrupt):
    """All copies of the file's bytes are damaged (EIO)."""


class FileUnrecoverable(FileError, Unrecoverable):
    """More fragments of the file are lost than its code can bear (EIO)."""


class NoRoom(FileError, errors.TierFull):
    """There is no space (ENOSPC, EDQUOT)."""


class FileUnavailable(FileError, errors.TierUnavailable):
    """What holds the file can't be reached (the disk's own errno, or EIO)."""

    retryable = True


class FileForbidden(FileUnavailable, PermissionError):
    """What holds the file may not be used (EACCES, EPERM)."""


KINDS: Final[tuple[tuple[type[errors.DeepSeekError], type[FileError], int], ...]] = (
    (KeyRefused, NameRefused, errno.EINVAL),
    (GenerationMismatch, FileReplaced, errno.ESTALE),
    (Unrecoverable, FileUnrecoverable, errno.EIO),
    (Corrupt, FileCorrupt, errno.EIO),
    (errors.TierFull, NoRoom, errno.ENOSPC),
    (errors.TierUnavailable, FileUnavailable, errno.EIO),
)
_OF_THE_DISK: Final = (NoRoom, FileUnavailable)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM)


class OsErrors:
    """Errors about the file `path`, raised inside this context, leave it as `OSError`."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if isinstance(error, errors.DeepSeekError) and not isinstance(error, FileError):
            told = os_error(error, self._path)
            if told is not error:
                raise told from error


def os_error(error: errors.DeepSeekError, path: str) -> errors.DeepSeekError:
    """The same error as an `OSError`; itself, if it is not about a file."""
    if isinstance(error, ReadOnlyStore):  # an OSError already, and no other is as exact
        error.errno, error.strerror, error.filename = errno.EROFS, os.strerror(errno.EROFS), path
        return error
    for kind, made, usual in KINDS:
        if isinstance(error, kind):
            number = _number_of(error, made, usual)
            forbidden = made is FileUnavailable and number in _FORBIDDEN
            return _made(
                FileForbidden if forbidden else made, error.args, error.__dict__, number, path
            )
    return error


def _number_of(error: BaseException, made: type[FileError], usual: int) -> int:
    if made is NameRefused and "too long" in str(error):
        return errno.ENAMETOOLONG
    return (made in _OF_THE_DISK and _errno_of_cause(error)) or usual


def not_found(path: str) -> FileNotFoundError:
    """Nothing is there."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def is_folder(path: str) -> IsADirectoryError:
    """A folder is there, and a file is asked for."""
    return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


def is_file(path: str) -> NotADirectoryError:
    """A file is there, and a folder is asked for."""
    return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)


def exists(path: str) -> FileExistsError:
    """Something is there already."""
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def plain(number: int, path: str) -> OSError:
    """Any other error of the operating system's."""
    return OSError(number, os.strerror(number), path)


def _made(
    kind: type[FileError], args: tuple[Any, ...], state: dict[str, Any], number: int, path: str
) -> FileError:
    made = kind.__new__(kind, *args)
    made.args = args
    made.__dict__.update(state)
    made.errno, made.strerror, made.filename = number, os.strerror(number), path
    return made


def _errno_of_cause(error: BaseException | None) -> int | None:
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__
    return None
