"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deepseek_core.contracts.errors import DeepSeekError, WriteError

_START: Final = 50  # characters, of up to 4 bytes each


def is_own(path: Path) -> bool:
    """Whether this user or root has made it: nobody else's code or figures are in it.

    Raises:
        OSError: it can't be looked at.
    """
    return not hasattr(os, "getuid") or path.stat().st_uid in (os.getuid(), 0)


def read_own(path: Path) -> bytes:
    """Read a file of a cache, which only this user or root may have made.

    Raises:
        PermissionError: it is somebody else's.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid not in (os.getuid(), 0):
            raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
        return file.read()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which it replaces when the block ends without an error.

    Where `path` is a link, the file that it points to is replaced. What is not a file, such as a
    pipe or `/dev/null`, is written to as it is.

    Raises:
        WriteError: it can't be written or moved; nothing is left behind.
    """
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        target = path.resolve()
        # A file may have a name of 255 bytes, so this one keeps no more than its start.
        start = target.name[:_START]
        partial = target.with_name(f"{start}.{os.getpid()}-{threading.get_ident()}.part")
        try:
            yield partial
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except DeepSeekError:  # what the block says is no fault of the file, an OSError or not
        raise
    except OSError as error:
        raise WriteError(
            f"{path} can't be written: {error.strerror or error}",
            remedy="free space there, or choose another place",
        ) from error
