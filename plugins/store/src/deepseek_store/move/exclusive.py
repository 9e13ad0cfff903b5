"""One at a time moves or collects, among all threads and processes of a store."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final, Self

from deepseek_store.errors import StoreLocked
from deepseek_store.home.locks import FileLock, wait_for_lock
from deepseek_store.home.state import State

LONGEST_WAIT_S: Final = 3600.0


class Exclusive:
    """A lock to hold while data is moved, repaired or removed; re-entrant.

    Who gets it knows what others have done before: a mover must not look for a file that a
    collector has removed, nor bring back a version whose tombstone is forgotten.
    """

    def __init__(self, state: State, path: Path | None) -> None:
        self._state, self._path = state, path
        self._turn = threading.RLock()
        self._depth = 0
        self._file: FileLock | None = None

    def __enter__(self) -> Self:
        if not self._turn.acquire(timeout=LONGEST_WAIT_S):
            raise StoreLocked(
                f"another thread has moved or collected for {LONGEST_WAIT_S:.0f} s",
                remedy="wait for it, and try again",
            )
        try:
            if not self._depth:
                self._file = self._wait()
                self._state.refresh(sure=True)
            self._depth += 1
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._depth -= 1
        self._let_go()

    def _let_go(self) -> None:
        if not self._depth and self._file is not None:
            self._file.close()
            self._file = None
        self._turn.release()

    def _wait(self) -> FileLock | None:
        if self._path is None:
            return None
        return wait_for_lock(self._path, longest_s=LONGEST_WAIT_S)
