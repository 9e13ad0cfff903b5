"""Keeps what rungs found and built in the cache folder, by the content that it rests on.

A file or folder is either whole or not there; two processes that make the same one do no harm. A
folder that can't be written only costs time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from deepseek_core import console, errors
from deepseek_fpga.files import write_atomically
from deepseek_fpga.process import ToolFailed

_log = logging.getLogger(__name__)

_FORMAT: Final = 1
_PREFIX: Final = "making-"
_ROOM_BYTES: Final = 64 << 20  # several times what a build takes
_LEFTOVER_S: Final = 3600.0  # older than any build: its maker was killed


def key_of(*parts: object) -> str:
    """A name for what depends on these parts."""
    text = "\0".join(str(part) for part in (_FORMAT, *parts))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Kept:
    """Facts as JSON and built programs as folders below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def facts(self, key: str) -> dict[str, Any] | None:
        """What was kept under a key; None if nothing was or it is damaged."""
        try:
            content = json.loads(console.read_own(self._file(key)))
            facts, digest = content["facts"], content["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return facts if isinstance(facts, dict) and digest == _digest(facts) else None

    def keep(self, key: str, facts: dict[str, Any]) -> None:
        """Keep facts under a key."""
        text = json.dumps({"facts": facts, "digest": _digest(facts)}, indent=1)
        try:
            write_atomically(self._file(key), text.encode())
        except OSError as error:
            _log.warning("what was found can't be kept in %s: %s", self.folder, error)

    @contextmanager
    def built(self, key: str, wanted: str, make: Callable[[Path], None]) -> Iterator[Path]:
        """The file `wanted` of a built folder, which `make` fills if it is not there or damaged.

        One that fails in use is not kept: a tool that is repaired would not be asked again.

        Raises:
            WriteError: neither the cache nor the folder for temporary files can be written.
        """
        target = self.folder / key
        if _is_whole(target / wanted):
            with _dropped_if_useless(target):
                yield target / wanted
            return
        making = self._place()
        try:
            make(making)
            _seal(making / wanted)
            shutil.rmtree(target, ignore_errors=True)  # there only if it is damaged
            with suppress(OSError):  # another process was quicker
                making.rename(target)
            with _dropped_if_useless(target):
                yield (target if _is_whole(target / wanted) else making) / wanted
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def _place(self) -> Path:
        """A new folder beside the target, or for this once among temporary files."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            return _new_folder(_PREFIX, self.folder)
        except OSError as error:
            _log.warning("what is built can't be kept in %s: %s", self.folder, error)
        try:
            return _new_folder("deepseek-fpga-", Path(tempfile.gettempdir()))
        except OSError as error:
            raise errors.WriteError(
                f"nothing can be built in {tempfile.gettempdir()}: {error.strerror}",
                remedy="set TMPDIR to a folder with space",
            ) from error

    def _sweep(self) -> None:
        """Remove what processes left behind that were killed."""
        for folder in self.folder.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > _LEFTOVER_S:
                    shutil.rmtree(folder, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _new_folder(prefix: str, parent: Path) -> Path:
    """A folder with space: verilator does not notice when what it writes is cut short.

    Raises:
        OSError: it can't be made, or there is no space.
    """
    if shutil.disk_usage(parent).free < _ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))


@contextmanager
def _dropped_if_useless(folder: Path) -> Iterator[None]:
    try:
        yield
    except ToolFailed as error:
        if not error.overdue:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _seal(file: Path) -> None:
    """Write a file's checksum beside it."""
    try:
        _checksum(file).write_text(hashlib.sha256(file.read_bytes()).hexdigest(), encoding="utf-8")
    except OSError as error:
        raise errors.WriteError(
            f"{file} can't be kept: {error.strerror}", remedy="free space there"
        ) from error


def _is_whole(file: Path) -> bool:
    try:
        kept = console.read_own(_checksum(file)).decode("ascii")
        return kept == hashlib.sha256(console.read_own(file)).hexdigest()
    except (OSError, ValueError):
        return False


def _checksum(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
