"""A lock for each key, which the system frees when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from deepseek_trt.errors import CacheBusy
from deepseek_trt.private_files import unusable

_LOOK_EVERY_S: Final = 0.05
_WAIT_LONGER: Final = "wait for it, or raise --time-limit"


@contextlib.contextmanager
def held(path: Path, limit_s: float, waiting: Callable[[float], None]) -> Iterator[None]:
    """Hold the lock of a file; `waiting` gets the seconds so far, about each 50 ms.

    Raises:
        CacheBusy: somebody else holds it for longer than the limit.
        CacheUnusable: the file can't be made.
    """
    start_s = time.monotonic()
    while (handle := take(path)) is None:
        spent_s = time.monotonic() - start_s
        if spent_s > limit_s:
            what = f"{path.stem[:12]} is being built by another process for {spent_s:.0f} s"
            raise CacheBusy(what, remedy=_WAIT_LONGER)
        waiting(spent_s)
        time.sleep(_LOOK_EVERY_S)
    try:
        yield
    finally:
        release(path, handle)


def take(path: Path) -> int | None:
    """Take the lock now; None if somebody has it.

    Raises:
        CacheUnusable: the file can't be made.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it before may have removed the file that we opened.
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:  # a file system without locks
        os.close(handle)
        raise unusable(path, error) from error
    os.close(handle)
    return None


def release(path: Path, handle: int) -> None:
    """Free a lock and remove its file, as long as we still have it."""
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(handle)
