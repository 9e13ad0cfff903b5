"""Rows by number, and the bytes of all of them by tier, which are counted as rows come and go."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

R = TypeVar("R")


class Tallied(dict[int, R], Generic[R]):
    """Rows by number; changed by one row at a time, from any thread.

    All rows are gone through when their sum is asked for first, and never again: a store of a
    hundred thousand stripes tells its state each second.

    Legend: `_measure` gives the tier and the bytes of a row, None for one that counts for none;
    `_nbytes` are bytes by tier, None until somebody asks.
    """

    def __init__(self, measure: Callable[[R], tuple[str, int] | None]) -> None:
        super().__init__()
        self._measure, self._lock = measure, threading.Lock()
        self._nbytes: Counter[str] | None = None

    def nbytes(self) -> Mapping[str, int]:
        """Bytes by tier."""
        with self._lock:
            if self._nbytes is None:
                self._nbytes = Counter()
                for row in self.values():
                    self._count(row, 1)
            return dict(self._nbytes)

    def __setitem__(self, number: int, row: R) -> None:
        with self._lock:
            self._forget(number)
            super().__setitem__(number, row)
            self._count(row, 1)

    def remove(self, number: int) -> None:
        """Take a row away, if it is there."""
        with self._lock:
            self._forget(number)
            super().pop(number, None)

    def _forget(self, number: int) -> None:
        if number in self:
            self._count(self[number], -1)

    def _count(self, row: R, sign: int) -> None:
        if self._nbytes is None or (found := self._measure(row)) is None:
            return
        tier, nbytes = found
        self._nbytes[tier] += sign * nbytes
