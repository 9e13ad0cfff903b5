"""Keeps what checks read below so many bytes a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from deepseek_core import errors


class RateLimit:
    """Lets `bytes_per_s` pass on average; None: all. Safe to use from several threads."""

    def __init__(
        self,
        bytes_per_s: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if bytes_per_s is not None and not bytes_per_s > 0:
            raise errors.InputError(
                f"{bytes_per_s} bytes per second", remedy="give more than 0, or None for no limit"
            )
        self._bytes_per_s, self._clock, self._sleep = bytes_per_s, clock, sleep
        self._free_s = -float("inf")
        self._lock = threading.Lock()
        self.nbytes = 0
        """What has passed so far."""

    def __call__(self, nbytes: int) -> None:
        """Wait until so many bytes may be read."""
        with self._lock:
            self.nbytes += nbytes
            if self._bytes_per_s is None:
                return
            now_s = self._clock()
            start_s = max(now_s, self._free_s)
            self._free_s = start_s + nbytes / self._bytes_per_s
        if start_s > now_s:
            self._sleep(start_s - now_s)
