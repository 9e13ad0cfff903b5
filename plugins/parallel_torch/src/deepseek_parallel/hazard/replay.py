"""What failures of a log would have cost a training that saves by some rule; a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from deepseek_parallel.hazard.gaps import GapPredictor
from deepseek_parallel.hazard.interval import next_interval
from deepseek_parallel.hazard.weibull import Floats, Forecast

_PAUSE_S: Final = 3600.0
_SHIFT: Final = 0.1
_RUNS: Final = 5_000  # from one failure to the next, in all replays
_LEAST_REPLAYS: Final = 10
_MOST_SAVES: Final = 2_000
"""Between two failures; after so many the interval stays as it is then."""


def forecasts(gaps_s: Sequence[float], predictor: GapPredictor) -> Forecast:
    """What was forecast before each gap was seen, [gaps, parts]; the predictor learns each."""
    told = []
    for gap_s in gaps_s:
        told.append(predictor.forecast())
        predictor.observe(gap_s)
    return Forecast.stacked(told)


def waste(gaps_s: Sequence[float], told: Forecast, cost_s: float) -> float:
    """Share of all time that went to saves and to work that was lost; a mean of many replays.

    `told` was forecast before each gap. A training takes the whole system, each save stops it for
    `cost_s`, and after a failure and a pause of up to an hour it goes on from its last finished
    save. Where a failure falls between two saves is chance, and by how much that counts, too: so
    in each replay the failures come up to 10 % sooner or later.
    """
    replays = max(_LEAST_REPLAYS, _RUNS // len(gaps_s))
    rng = np.random.default_rng(0)
    ends_s = np.repeat(np.asarray(gaps_s, np.float64), replays)
    ends_s *= rng.uniform(1 - _SHIFT, 1 + _SHIFT, len(ends_s))
    begins_s = np.minimum(rng.uniform(0, _PAUSE_S, len(ends_s)), ends_s)
    each = Forecast(*(np.repeat(column, replays, axis=0) for column in told))
    used_s = float((ends_s - begins_s).sum())
    return float(_lost_s(each, begins_s, ends_s, cost_s).sum()) / used_s if used_s else 0.0


def _lost_s(forecast: Forecast, begins_s: Floats, ends_s: Floats, cost_s: float) -> Floats:
    """Seconds of saves and of lost work of trainings that begin and fail then."""
    now_s, lost_s, runs = begins_s.copy(), np.zeros_like(begins_s), np.arange(len(begins_s))
    for _ in range(_MOST_SAVES):
        at = Forecast(*(column[runs] for column in forecast))
        turn_s = next_interval(at, now_s[runs], cost_s) + cost_s
        is_saved = now_s[runs] + turn_s <= ends_s[runs]  # else it fails before that is finished
        runs, turn_s = runs[is_saved], turn_s[is_saved]
        if not len(runs):
            break
        now_s[runs] += turn_s
        lost_s[runs] += cost_s
    else:
        more = (ends_s[runs] - now_s[runs]) // turn_s
        now_s[runs] += more * turn_s
        lost_s[runs] += more * cost_s
    return lost_s + ends_s - now_s
