"""When a failed request is sent again, and when no more. Pure: clock and chance are given.

Each request has its own limits (a number, and a time in all); all requests of a tier share a bucket
of tokens, so that a server that is down is not asked many times as often as one that is up.
"""

from __future__ import annotations

import threading
from typing import Final

import attrs

FIRST_DELAY_S: Final = 0.1
MOST_DELAY_S: Final = 5.0


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """`retries` after the first try, none of which begins `give_up_s` after it or later."""

    retries: int
    give_up_s: float

    def delay_s(self, failed: int, chance: float) -> float:
        """How long to wait after `failed` tries: exponential, of which at least half.

        `chance` is between 0 and 1: clients that failed at once shall not come back at once.
        """
        longest_s = min(MOST_DELAY_S, FIRST_DELAY_S * 2.0 ** (failed - 1))
        return longest_s * (0.5 + 0.5 * chance)

    def refusal(self, failed: int, elapsed_s: float, delay_s: float) -> str | None:
        """Why there is no further try; None if there is one."""
        if failed > self.retries:
            return f"no more than {self.retries} retries" if self.retries else "no retries"
        if elapsed_s + delay_s >= self.give_up_s:
            return f"no longer than {self.give_up_s:g} s"
        return None


class RetryBudget:
    """A bucket of tokens that fills with time; each retry takes one. Safe for several threads."""

    def __init__(self, *, most: float = 64.0, tokens_per_s: float = 2.0, now_s: float) -> None:
        self._most, self._tokens_per_s = most, tokens_per_s
        self._tokens, self._at_s = most, now_s
        self._lock = threading.Lock()

    def take(self, now_s: float) -> bool:
        """Take a token, if there is one."""
        with self._lock:
            # A clock that jumps back gives nothing and takes nothing.
            gained = max(0.0, now_s - self._at_s) * self._tokens_per_s
            self._tokens, self._at_s = min(self._most, self._tokens + gained), now_s
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True
