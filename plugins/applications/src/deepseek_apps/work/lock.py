"""One writer at a time in a work folder; the kernel lets go of it when that one dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from deepseek_core import console, errors

NAME: Final = ".lock"
_POLL_S: Final = 0.05


@contextmanager
def alone(folder: Path, *, wait_s: float = 5.0) -> Iterator[None]:
    """Hold a work folder, for which at most `wait_s` are waited.

    Raises:
        ConfigError: another process holds it for longer; says which.
        WriteError: the folder can't be written to.
    """
    path = folder / NAME
    try:
        file = path.open("a+", encoding="ascii")
    except OSError as error:
        raise errors.WriteError(
            f"{path} can't be made: {error.strerror or error}", remedy="choose another folder"
        ) from error
    with file:
        _hold(file, folder, time.monotonic() + wait_s)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _hold(file: IO[str], folder: Path, end_s: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end_s:
                break
            time.sleep(_POLL_S)
    file.seek(0)
    holder = console.printable(file.read(20).strip() or "?")
    raise errors.ConfigError(
        f"process {holder} is at work in {folder}",
        remedy="wait for it, or work in another folder",
    )
