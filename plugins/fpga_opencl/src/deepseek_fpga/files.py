"""Writing a file so that nobody ever sees half of it."""

from __future__ import annotations

from pathlib import Path

from deepseek_core import console


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers see all of it or nothing; its folder is made.

    Raises:
        OSError: the folder can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with console.whole_file(path) as partial:
        partial.write_bytes(content)
