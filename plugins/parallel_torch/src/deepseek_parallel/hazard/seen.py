"""What predictors remember of the gaps between failures."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

WINDOW: Final = 20  # gaps of the running mean
_LEAST_S: Final = 1e-3  # of a mean
_MOST_LOG: Final = 8.0


class Seen:
    """The mean of the last 20 gaps and of all, in seconds; the first one is a guess."""

    def __init__(self, guess_s: float) -> None:
        self._last = deque([guess_s], maxlen=WINDOW)
        self._sum_s, self._count = guess_s, 1

    def observe(self, gap_s: float) -> tuple[float, float]:
        """Take a gap: what an LSTM sees of it, free of the unit and size of the system.

        The gap and the running mean that counts it, each over the mean of all, as logarithms.
        """
        self._last.append(gap_s)
        self._sum_s, self._count = self._sum_s + gap_s, self._count + 1
        return _log_ratio(gap_s, self.running_s), _log_ratio(self.running_s, self.mean_s)

    @property
    def running_s(self) -> float:
        """Mean of the last 20."""
        return max(sum(self._last) / len(self._last), _LEAST_S)

    @property
    def mean_s(self) -> float:
        """Mean of all."""
        return max(self._sum_s / self._count, _LEAST_S)


def _log_ratio(value: float, other: float) -> float:
    return max(-_MOST_LOG, min(_MOST_LOG, math.log(max(value, 1e-9) / other)))
