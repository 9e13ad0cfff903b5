"""A hint, shared by the processes of one machine, that the index has changed."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final, Self

from deepseek_store import handles, os_faults

_NBYTES: Final = 8


class Epoch:
    """Eight bytes of shared memory: the number of a commit that came lately.

    Reading costs some 100 ns. Read `value`, then catch up with `Index.changes_since`, and keep the
    value: catch up again whenever it differs. Any other value is news, a lower one too, for two
    committers may write in either order; no number is written twice.

    It is a hint: who crashes between commit and `bump` leaves it behind, so poll now and then.
    """

    def __init__(self, path: Path) -> None:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            file = handles.patiently(lambda: os.open(path, flags, 0o644))
            try:
                # Not only its length: to write to a map without a block on a full disk is SIGBUS.
                if os.fstat(file).st_size < _NBYTES or not os.fstat(file).st_blocks:
                    os.pwrite(file, os.pread(file, _NBYTES, 0).ljust(_NBYTES, b"\0"), 0)
                self._map = mmap.mmap(file, _NBYTES)
            finally:
                os.close(file)
        except OSError as error:
            raise os_faults.typed(error, str(path), str(path)) from error
        self._cell = memoryview(self._map).cast("Q")

    @property
    def value(self) -> int:
        """The number that was written last."""
        return self._cell[0]

    def bump(self, seq: int) -> None:
        """Tell of a commit; its number is `Index.commit`'s."""
        self._cell[0] = seq

    def close(self) -> None:
        """Let go of the memory; idempotent."""
        self._cell.release()
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
