"""A hint, shared by the processes of one machine, that the index has changed."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final, Self

from deepseek_core import errors
from deepseek_store import from_os_error, handles

_NBYTES: Final = 8


class Epoch:
    """Eight bytes of shared memory: the number of a commit that came lately.

    Reading costs some 100 ns. Read `value`, then catch up with `Index.changes_since`, and keep the
    value: catch up again whenever it differs. Any other value is news, a lower one too, for two
    committers may write in either order; no number is written twice.

    With `read_only` it must be there, and is not told anything.

    It is a hint: who crashes between commit and `bump` leaves it behind, so poll now and then.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT
        access = mmap.ACCESS_READ if read_only else mmap.ACCESS_WRITE
        try:
            file = handles.open_file(path, flags)
            try:
                # Not only its length: to write to a map without a block on a full disk is SIGBUS.
                found = os.fstat(file)
                if not read_only and (found.st_size < _NBYTES or not found.st_blocks):
                    os.pwrite(file, os.pread(file, _NBYTES, 0).ljust(_NBYTES, b"\0"), 0)
                self._map = mmap.mmap(file, _NBYTES, access=access)
            finally:
                os.close(file)
        except OSError as error:
            raise from_os_error.typed(error, str(path), str(path)) from error
        except ValueError as error:  # it is empty
            raise errors.TierUnavailable(
                f"{path}: {error}", url=str(path), remedy="open the store for writing once"
            ) from error
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
