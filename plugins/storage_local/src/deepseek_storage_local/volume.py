"""One folder on one disk, held by its descriptor, so that what takes its place is never written to.

Below it lie objects, and in `.ds` what the tier needs itself: the volume's identity and the files
that are being written.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from deepseek_core import errors
from deepseek_storage_local.handles import Descriptor
from deepseek_storage_local.names import OWN
from deepseek_storage_local.vendor_errors import vanished

IDENTITY: Final = f"{OWN}/identity"
ASIDE: Final = f"{OWN}/aside"
"""Where objects are written before they get their name."""

_FORMAT: Final = "deepseek-tier 1"
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Volume:
    """An open folder; `path` is where it is expected to be. Safe to use from several threads.

    It closes when nobody uses it any more.
    """

    def __init__(self, path: Path, url: str, durable: dict[str, int]) -> None:
        """Open the volume that was made there.

        `durable` outlives it: of each folder whose name is on the disk, its inode.

        Raises:
            OSError: it can't be opened; FileNotFoundError if there is none.
            ConfigError: it is of another version.
        """
        self.path = path
        self._held = Descriptor(os.open(path, _FOLDER_FLAGS))
        self.folder = self._held.number
        self.device = os.fstat(self.folder).st_dev
        self.identity = _read_identity(self.folder, path, url)
        self._durable = durable

    def check(self, url: str) -> None:
        """See whether the folder is still where it was.

        Raises:
            TierUnavailable: it is gone, or another one took its place.
        """
        try:
            there, mine = self.path.stat(), os.fstat(self.folder)
        except OSError:
            raise vanished(self.path, url) from None
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise vanished(self.path, url)

    def make_folder(self, folder: str) -> None:
        """Make a folder and those above it."""
        made = ""
        for part in folder.split("/"):
            made += part
            with suppress(FileExistsError):
                os.mkdir(made, dir_fd=self.folder)
            made += "/"

    def sync_folder(self, folder: str) -> None:
        """Have the names in a folder, and its own, on the disk."""
        inode = self._sync(folder)
        # Whoever made it may not have got this far: the first to use it sees to that.
        if folder and self._durable.get(folder) != inode:
            self.sync_folder(folder.rpartition("/")[0])
            if len(self._durable) > 10_000:
                self._durable.clear()
            self._durable[folder] = inode

    def prune(self, folder: str) -> None:
        """Remove a folder and those above it as far as they are empty."""
        while folder:
            try:
                os.rmdir(folder, dir_fd=self.folder)
            except OSError:
                return
            folder = folder.rpartition("/")[0]

    def _sync(self, folder: str) -> int:
        opened = os.open(folder or ".", _FOLDER_FLAGS, dir_fd=self.folder)
        try:
            os.fsync(opened)
            return os.fstat(opened).st_ino
        finally:
            os.close(opened)


def make_volume(path: Path) -> str:
    """Make a volume of a folder that exists, unless it is one; its identity.

    Raises:
        OSError: it can't be written to.
    """
    (path / ASIDE).mkdir(parents=True, exist_ok=True)
    target = path / IDENTITY
    if not target.exists():
        identity = secrets.token_hex(16)
        write_whole(target, f"{_FORMAT}\n{identity}\n")
    return target.read_text("utf-8").split("\n")[1]


def write_whole(target: Path, text: str) -> None:
    """Write a small file, durably, whole or not at all.

    Not by `console.whole_file`, which syncs neither file nor folders: it need not last.

    Raises:
        OSError: it can't be written.
    """
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    for folder in (target.parent, target.parent.parent, target.parent.parent.parent):
        sync_path(folder)


def sync_path(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    opened = os.open(folder, _FOLDER_FLAGS)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _read_identity(folder: int, path: Path, url: str) -> str:
    opened = os.open(IDENTITY, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        lines = os.read(opened, 4096).decode("utf-8", "replace").split("\n")
    finally:
        os.close(opened)
    if lines[0] != _FORMAT or len(lines) < 2:
        from deepseek_core import console  # only a remedy needs it

        raise errors.ConfigError(
            f"{url}: {path / IDENTITY} is of another version of this tier",
            remedy=console.update_command("deepseek-storage-local"),
        )
    return lines[1]
