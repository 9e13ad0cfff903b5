"""Which segments the objects under way need, told to all processes that share a store.

No version names their pieces yet, so they look like garbage; a collector leaves them alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepseek_store.home.locks import writer_is_alive
from deepseek_store.index.epoch import Epoch

_SUFFIX = ".flight"


class InFlight:
    """The first segment that each object under way needs; of other processes, too.

    In a shared store each writer keeps the lowest of its own in eight bytes of shared memory below
    `folder` (0: none, else the segment + 1).
    """

    def __init__(self, folder: Path, writer: int, *, shared: bool) -> None:
        self._folder, self._writer = folder, writer
        self._lock = threading.Lock()
        self._under_way: dict[object, int] = {}
        self._cell = Epoch(folder / f"{writer}{_SUFFIX}") if shared else None
        self._tell()

    def begin(self, segment: int) -> object:
        """An object that may need this segment or later ones is under way, until `end`."""
        token = object()
        with self._lock:
            self._under_way[token] = segment
            self._tell()
        return token

    def end(self, token: object) -> None:
        """It is named by a version now, or given up; idempotent."""
        with self._lock:
            self._under_way.pop(token, None)
            self._tell()

    @contextmanager
    def holding(self, segment: int) -> Iterator[None]:
        """Under way as long as this lasts."""
        token = self.begin(segment)
        try:
            yield
        finally:
            self.end(token)

    def first(self) -> int | None:
        """The first segment that an object under way may need, in any process; None: no such."""
        with self._lock:
            found = list(self._under_way.values())
        if self._cell is not None:
            found += self._of_others()
        return min(found, default=None)

    def close(self) -> None:
        """Let go of the memory."""
        with self._lock:
            cell, self._cell = self._cell, None
        if cell is not None:
            cell.close()

    def _tell(self) -> None:
        if self._cell is not None:
            self._cell.bump(min(self._under_way.values(), default=-1) + 1)

    def _of_others(self) -> Iterator[int]:
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(ValueError):
                writer = int(path.stem)
                if writer != self._writer and writer_is_alive(self._folder, writer):
                    with Epoch(path) as cell:
                        value = cell.value
                    if value:
                        yield value - 1
