"""Locks of a store: one process alone, or several that share it; and each writer's number.

The locks are the kernel's (`flock`): they end with the process, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from deepseek_store import from_os_error, handles
from deepseek_store.errors import StoreLocked

LOCK_FILE: Final = "LOCK"
RECOVERY_LOCK: Final = "recovery.lock"
"""Held by the one process that brings a log into order."""
_MOST_WRITERS: Final = 1024
_PAUSE_S: Final = 0.005


class FileLock:
    """A locked file; the holder's process number stands in it, for the message to others.

    `read_only`: share it without writing, and without making the file.

    Raises:
        StoreLocked: somebody else holds it, and not both share it.
        FileNotFoundError: there is no such folder, or (`read_only`) no such file.
        StorageError: the file can't be opened.
    """

    def __init__(self, path: Path, *, shared: bool = False, read_only: bool = False) -> None:
        self._path = path
        self._process = os.getpid()
        self._descriptor = _open(path, os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT)
        kind = fcntl.LOCK_SH if shared or read_only else fcntl.LOCK_EX
        try:
            self._lock(kind)
            if not read_only:
                self._sign()
        except BaseException:
            self.close()  # also if an interrupt came when it was taken
            raise

    def _lock(self, kind: int) -> None:
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise from_os_error.typed(error, str(self._path), str(self._path.parent)) from error
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            raise _locked(self._path, holder) from None

    def close(self) -> None:
        """Let go of it; idempotent. In a forked child it stays its parent's."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self._process == os.getpid():
            # Closing is not enough: a child that was forked meanwhile has the descriptor too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def _sign(self) -> None:
        """Leave our number; a full disk only costs the others that part of their message."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)


def lock_store(home: Path, *, shared: bool = False) -> FileLock:
    """The lock of a whole store.

    Raises:
        StoreLocked: somebody else holds it, and not both share it.
        TierUnavailable: its home may not be written.
    """
    path = home / LOCK_FILE
    try:
        return FileLock(path, shared=shared)
    except FileNotFoundError as error:
        raise from_os_error.typed(error, str(path), str(home)) from error


def wait_for_lock(path: Path, *, longest_s: float = 600.0) -> FileLock:
    """The lock, when whoever has it lets go.

    Raises:
        StoreLocked: nobody did for so long.
    """
    end_s = time.monotonic() + longest_s
    while True:
        try:
            return FileLock(path)
        except StoreLocked as error:
            if time.monotonic() > end_s:
                raise StoreLocked(
                    f"{error.message}, and has held {path.name} for {longest_s:.0f} s",
                    remedy="wait for what it does, or end that process if it hangs",
                ) from None
        time.sleep(_PAUSE_S)


def _open(path: Path, flags: int) -> int:
    try:
        return handles.open_file(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise from_os_error.typed(error, str(path), str(path.parent)) from error


def _locked(path: Path, holder: str) -> StoreLocked:
    who = f"process {holder}" if holder else "another process"
    return StoreLocked(
        f"{who} has the store in {path.parent} open",
        remedy="wait for it, or open the store with shared=True in all processes",
    )


def take_writer(folder: Path) -> tuple[int, FileLock]:
    """The lowest number that no live process writes under, and the lock that keeps it.

    Raises:
        StoreLocked: there are too many writers.
    """
    folder.mkdir(exist_ok=True)
    for number in range(1, _MOST_WRITERS + 1):
        try:
            return number, FileLock(_writer_path(folder, number))
        except StoreLocked:
            continue
    raise StoreLocked(
        f"{_MOST_WRITERS} processes write to the store in {folder.parent}",
        remedy="close some of them",
    )


def writer_is_alive(folder: Path, number: int) -> bool:
    """Whether a process, this one too, writes under that number."""
    try:
        # Shared: of two that ask at once, neither takes the other for the writer.
        FileLock(_writer_path(folder, number), read_only=True).close()
    except FileNotFoundError:
        return False
    except StoreLocked:
        return True
    return False


def has_other_writers(folder: Path, number: int) -> bool:
    """Whether somebody writes under another number."""
    numbers = [int(path.stem) for path in folder.glob("*.lock") if path.stem.isdigit()]
    return any(each != number and writer_is_alive(folder, each) for each in numbers)


def _writer_path(folder: Path, number: int) -> Path:
    return folder / f"{number}.lock"
