"""What failures of a log would have cost a training that saves by some rule; a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from deepseek_parallel.hazard.gaps import GapPredictor
from deepseek_parallel.hazard.interval import next_interval
from deepseek_parallel.hazard.weibull import Floats, Forecast

_PAUSE_S: Final = 3600.0


def waste(
    gaps_s: Sequence[float], predictor: GapPredictor, cost_s: float, *, replays: int = 20
) -> float:
    """Share of all time that went to saves and to work that was lost; a mean of some replays.

    A training takes the whole system, each save stops it for `cost_s`, and after a failure it goes
    on from its last finished save, in each replay after another pause of up to an hour: where a
    failure falls between two saves is chance. The predictor learns each gap when it is over.
    """
    rng = np.random.default_rng(0)
    lost_s = used_s = 0.0
    for gap_s in gaps_s:
        begin_s = np.minimum(rng.uniform(0, _PAUSE_S, replays), gap_s)
        lost_s += float(_lost_s(predictor.forecast(), begin_s, gap_s, cost_s).sum())
        used_s += float((gap_s - begin_s).sum())
        predictor.observe(gap_s)
    return lost_s / used_s if used_s else 0.0


def _lost_s(forecast: Forecast, begin_s: Floats, gap_s: float, cost_s: float) -> Floats:
    """Seconds of saves and of lost work between two failures, for trainings that begin then."""
    now_s, lost_s = begin_s.copy(), np.zeros_like(begin_s)
    while True:
        next_s = now_s + next_interval(forecast, now_s, cost_s) + cost_s
        saved = next_s <= gap_s  # else it fails before the save is finished
        if not saved.any():
            return lost_s + gap_s - now_s
        lost_s += np.where(saved, cost_s, 0.0)
        now_s = np.where(saved, next_s, now_s)


def mean_log_likelihood(gaps_s: Sequence[float], predictor: GapPredictor, skip: int = 0) -> float:
    """Mean over the gaps after the first `skip`, each forecast before it was seen."""
    total = 0.0
    for number, gap_s in enumerate(gaps_s):
        if number >= skip:
            total += predictor.forecast().log_likelihood(gap_s)
        predictor.observe(gap_s)
    return total / (len(gaps_s) - skip)
