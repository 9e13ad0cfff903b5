"""Openings of a tier: a locked file for each, which the kernel unlocks when its process dies.

Locks are those of flock(2): they hold across processes and containers, and between two openings
within one process too. A process's number would not do: containers that share a disk count again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from deepseek_storage_local.handles import Descriptor
from deepseek_storage_local.names import OWN
from deepseek_storage_local.vendor_errors import TierLocked

# For reading, which a lock needs no more than: a disk may be mounted read-only below us.
_FLAGS: Final = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)


class Opening:
    """One opening of a tier; `name` is the front part of the files that it writes aside.

    It has no name where the tier may only be read.
    """

    def __init__(self, root: Path, url: str, *, exclusive: bool) -> None:
        """Join the others, or have the tier alone.

        Raises:
            TierLocked: someone has it alone, or others have it when `exclusive` is asked for.
            OSError: the folder can't be read.
        """
        self._folder = root / OWN / "sessions"
        self._folder.mkdir(exist_ok=True)
        self._lock = Descriptor(os.open(root / OWN / "lock", _FLAGS, 0o644))
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(self._lock.number, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TierLocked(
                f"{root} is open in {self._holders() or 'another process'}",
                url=url,
                remedy="close it there, or open both without exclusive=1",
            ) from None
        self.name, self._mine = self._enroll_if_allowed()

    def is_dead(self, name: str) -> bool:
        """Whether an opening of this name has ended."""
        if name == self.name:
            return False
        try:
            other = Descriptor(os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            return True
        with suppress(BlockingIOError):
            fcntl.flock(other.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def forget_dead(self) -> None:
        """Remove what ended openings left of themselves."""
        if not self.name:
            return
        for name in os.listdir(self._folder):  # noqa: PTH208 (names, not paths)
            if self.is_dead(name):
                (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Leave; the locks go with the descriptors."""
        with suppress(OSError):
            if self.name:
                (self._folder / self.name).unlink(missing_ok=True)

    def _enroll_if_allowed(self) -> tuple[str, Descriptor | None]:
        try:
            return self._enroll()
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            return "", None

    def _enroll(self) -> tuple[str, Descriptor]:
        while True:
            name = secrets.token_hex(8)
            mine = Descriptor(os.open(self._folder / name, _FLAGS | os.O_EXCL, 0o644))
            fcntl.flock(mine.number, fcntl.LOCK_EX)
            # Between both lines another process may have taken it for a dead one's.
            if os.fstat(mine.number).st_nlink:
                (self._folder / name).write_text(_who(), "utf-8")
                return name, mine

    def _holders(self) -> str:
        """The processes that have the tier open, in words."""
        found = []
        for name in sorted(os.listdir(self._folder)):  # noqa: PTH208
            with suppress(OSError):
                if not self.is_dead(name):
                    found.append((self._folder / name).read_text("utf-8"))
        return ", ".join(found)

    # `is_dead` is asked before this opening has a name of its own.
    name: str = ""


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Keep other processes from making the same tier at once."""
    held = Descriptor(os.open(root / OWN / "making", _FLAGS, 0o644))
    fcntl.flock(held.number, fcntl.LOCK_EX)
    yield
    del held


def _who() -> str:
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return f"process {os.getpid()} ({program}) on {socket.gethostname()}"
