"""How long to train until the next checkpoint."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from deepseek_core import errors
from deepseek_parallel.hazard.gaps import GapPredictor
from deepseek_parallel.hazard.weibull import Floats, Forecast

_ROUNDS: Final = 4  # of the fixed point, which halves its error in each
_MOST: Final = 8.0  # times the interval of a constant rate
_MOST_GAPS: Final = 1000  # that a checkpoint remembers
_LEAST: Final = 1e-30  # expected failures in an interval, so that it can be divided by


def young_daly(cost_s: float, mean_s: ArrayLike) -> Floats:
    """Seconds between checkpoints that cost `cost_s`, if failures come every `mean_s`.

    The first-order optimum of Young (1974), sqrt(2 C M); never less than a save takes.
    """
    return np.maximum(np.sqrt(2 * cost_s * np.asarray(mean_s, np.float64)), cost_s)


def next_interval(forecast: Forecast, elapsed_s: ArrayLike, cost_s: float) -> Floats:
    """Seconds to train before the next checkpoint, `elapsed_s` after the last failure.

    As `young_daly`, with the rate of failures that is expected in just those seconds.
    """
    # Failures of a shape below 1 seem to end at last: the interval stays one that people choose.
    first_s = young_daly(cost_s, forecast.mean_s)
    begin_s = np.asarray(elapsed_s, np.float64)
    begin = forecast.log_survival(begin_s)
    interval_s = first_s
    for _ in range(_ROUNDS):
        fallen = np.maximum(begin - forecast.log_survival(begin_s + interval_s), _LEAST)
        rate = fallen / interval_s
        interval_s = np.clip(np.sqrt(2 * cost_s / rate), cost_s, _MOST * first_s)
    return interval_s


class SaveInterval:
    """When the next checkpoint is due, by what saves cost and how failures come.

    Times are seconds of one clock, whichever it is. A save costs the seconds by which it holds up
    training; until one was measured, `cost_s`.

    Raises:
        ConfigError: a cost that is no positive number.
    """

    def __init__(self, predictor: GapPredictor, *, now_s: float, cost_s: float = 1.0) -> None:
        self._predictor, self._cost_s = predictor, _positive(cost_s)
        self._failed_s = now_s
        self._gaps_s: deque[float] = deque(maxlen=_MOST_GAPS)  # that were met, not those of a log
        self._due_s = self._next(now_s)

    @property
    def due_s(self) -> float:
        """When the next checkpoint is due."""
        return self._due_s

    def is_due(self, now_s: float) -> bool:
        """Whether to save now."""
        return now_s >= self._due_s

    def saved(self, now_s: float, cost_s: float) -> None:
        """Training goes on now, after a save that held it up for `cost_s`."""
        if cost_s > 0:
            self._cost_s = cost_s
        self._due_s = self._next(now_s)

    def failed(self, now_s: float) -> None:
        """A failure was met now."""
        self._observe(max(now_s - self._failed_s, 0.0))
        self._failed_s = now_s
        self._due_s = self._next(now_s)

    def state(self, now_s: float) -> dict[str, Any]:
        """The gaps between failures that were met, and the seconds since the last: for JSON."""
        return {"gaps_s": list(self._gaps_s), "elapsed_s": max(now_s - self._failed_s, 0.0)}

    def restore(self, state: Mapping[str, Any], now_s: float, *, has_failed: bool) -> None:
        """Go on from a state; `has_failed` says that what followed it was a failure.

        When that came is not known: it counts at the state, sooner than it was.
        """
        for gap_s in state["gaps_s"]:
            self._observe(float(gap_s))
        self._failed_s = now_s - float(state["elapsed_s"])
        self._due_s = self._next(now_s)
        if has_failed:
            self.failed(now_s)

    def _observe(self, gap_s: float) -> None:
        self._gaps_s.append(gap_s)
        self._predictor.observe(gap_s)

    def _next(self, now_s: float) -> float:
        elapsed_s = max(now_s - self._failed_s, 0.0)
        interval_s = next_interval(self._predictor.forecast(), elapsed_s, self._cost_s)
        return now_s + float(interval_s)


def _positive(cost_s: float) -> float:
    if not 0 < cost_s < math.inf:
        raise errors.ConfigError(
            f"the cost of a checkpoint must be a number of seconds above 0, got {cost_s!r}"
        )
    return cost_s
