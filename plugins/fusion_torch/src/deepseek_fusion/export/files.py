"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from deepseek_core import errors


def check_folder(path: Path) -> None:
    """Check that a file can be put there at all, before long work is done for it.

    Raises:
        WriteError: there is no such folder.
    """
    if not path.parent.is_dir():
        raise errors.WriteError(
            f"{path} can't be written: there is no folder {path.parent}",
            remedy=f"mkdir -p {path.parent}",
        )


def write_whole(path: Path, content: bytes) -> None:
    """Write beside `path`, make it durable, then rename.

    Raises:
        WriteError: no space, no permission, or no such folder; nothing is left behind.
    """
    partial = path.with_name(f"{path.name[:50]}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise errors.WriteError(
            f"{path} can't be written: {error.strerror or error}",
            remedy="free space there, or choose another place",
        ) from error
