"""How much a tier may hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deepseek_core import errors


class Quota:
    """Counts bytes of objects; what other processes write is seen whenever it counts again.

    It counts only while no other change of its own is under way, which it might see half of.
    """

    def __init__(self, limit_nbytes: int, count: Callable[[], int], url: str) -> None:
        self._limit_nbytes, self._count, self._url = limit_nbytes, count, url
        self._used_nbytes: int | None = None
        self._under_way = 0
        self._lock = threading.Lock()

    @property
    def used_nbytes(self) -> int:
        """Bytes that are taken, those of writes under way included."""
        with self._lock:
            return self._known()

    @contextmanager
    def room_for(self, nbytes: int) -> Iterator[None]:
        """Take space, and give it back if the block fails.

        Raises:
            TierFull: there is none, also after counting again.
        """
        with self.changing():
            self._take(nbytes)
            try:
                yield
            except BaseException:
                self.give_back(nbytes)
                raise

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep from counting again while objects come and go."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def give_back(self, nbytes: int) -> None:
        """Count bytes as free that were taken."""
        with self._lock:
            if self._used_nbytes is not None:
                self._used_nbytes = max(0, self._used_nbytes - nbytes)

    def _take(self, nbytes: int) -> None:
        with self._lock:
            if self._known() + nbytes > self._limit_nbytes and self._under_way == 1:
                self._used_nbytes = None
            used_nbytes = self._known()
            if used_nbytes + nbytes > self._limit_nbytes:
                raise errors.TierFull(
                    f"{self._url}: {nbytes} bytes do not fit; {used_nbytes} of "
                    f"{self._limit_nbytes} are taken",
                    url=self._url,
                    remedy="delete objects or raise capacity=",
                )
            self._used_nbytes = used_nbytes + nbytes

    def _known(self) -> int:
        if self._used_nbytes is None:
            self._used_nbytes = self._count()
        return self._used_nbytes
