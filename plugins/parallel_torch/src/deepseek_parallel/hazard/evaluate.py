"""How well predictors do on a log, judged on the part of it that they did not learn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import numpy as np

from deepseek_core import errors
from deepseek_parallel.hazard.gaps import (
    Constant,
    GapPredictor,
    Learned,
    RunningMean,
    failure_predictor,
)
from deepseek_parallel.hazard.interval import next_interval, young_daly
from deepseek_parallel.hazard.log import FailureLog
from deepseek_parallel.hazard.lstm import Weights
from deepseek_parallel.hazard.nodes import HISTORY, Judged, NodeDays, judged, node_days
from deepseek_parallel.hazard.replay import mean_log_likelihood, waste
from deepseek_parallel.hazard.risk import RiskModel

LEARNED_SHARE: Final = 0.6
LEAST_GAPS: Final = 20
CONSTANT, RUNNING, LSTM, BLEND = "constant rate", "mean of the last 20", "LSTM", "blend"


@attrs.frozen(kw_only=True)
class Scored:
    """One predictor on the later gaps: mean log-likelihood, and the share of time lost."""

    name: str
    log_likelihood: float
    waste: float


@attrs.frozen(kw_only=True)
class SystemReport:
    """One system: what its past says of its predictors, and of what comes next."""

    system: str
    num_nodes: int
    num_failures: int
    num_judged: int
    mean_s: float
    scored: tuple[Scored, ...]
    next_mean_s: float
    interval_s: float
    constant_interval_s: float


def evaluate_system(
    log: FailureLog, cost_s: float, weights: Weights | None = None, *, replays: int = 20
) -> SystemReport:
    """Judge the predictors on the last 40 % of the gaps of a system, forecast one by one.

    Their first guess is the mean of the earlier gaps, and saves cost `cost_s`.

    Raises:
        InputError: fewer than 20 gaps between failures.
    """
    gaps_s = log.gaps_s.tolist()
    if len(gaps_s) < LEAST_GAPS:
        raise errors.InputError(
            f"system {log.system} has {len(gaps_s)} gaps between failures, too few to judge by",
            remedy=f"give a log of {LEAST_GAPS + 1} failures or more",
        )
    learned = int(len(gaps_s) * LEARNED_SHARE)
    mean_s = sum(gaps_s[:learned]) / learned
    makers: dict[str, Callable[[], GapPredictor]] = {
        CONSTANT: lambda: Constant(mean_s),
        RUNNING: lambda: RunningMean(mean_s),
        LSTM: lambda: Learned(mean_s, weights),
        BLEND: lambda: failure_predictor(mean_s, weights),
    }
    scored = tuple(
        Scored(
            name=name,
            log_likelihood=mean_log_likelihood(gaps_s, make(), skip=learned),
            waste=waste(
                gaps_s[learned:], _taught(make(), gaps_s[:learned]), cost_s, replays=replays
            ),
        )
        for name, make in makers.items()
    )
    forecast = _taught(makers[BLEND](), gaps_s).forecast()
    return SystemReport(
        system=log.system,
        num_nodes=log.num_nodes,
        num_failures=len(log.times_s),
        num_judged=len(gaps_s) - learned,
        mean_s=mean_s,
        scored=scored,
        next_mean_s=forecast.mean_s,
        interval_s=float(next_interval(forecast, 0.0, cost_s)),
        constant_interval_s=young_daly(cost_s, mean_s),
    )


def evaluate_nodes(logs: Sequence[FailureLog], models: Sequence[RiskModel]) -> dict[str, Judged]:
    """Judge models of the risk of a node on the last 40 % of the days, by their names.

    Raises:
        InputError: no system has days enough, or no node failed in the later days.
    """
    systems = _long_enough(logs)
    until = [_split(system) for system in systems]
    found: dict[str, Judged] = {}
    for model in models:
        model.fit(systems, until)
        scores, failed = [], []
        for system, end in zip(systems, until, strict=True):
            for day in range(end, len(system.counts)):
                scores.append(model.risk(system, day))
                failed.append(system.counts[day] > 0)
        found[model.name] = judged(np.concatenate(scores), np.concatenate(failed))
    return found


def riskiest(log: FailureLog, model: RiskModel, top: int) -> list[tuple[str, float]]:
    """Nodes of a system with the highest risk for the day after its last failure."""
    system = node_days(log)
    model.fit([system], [len(system.counts)])
    risk = model.risk(system, len(system.counts))
    order = np.argsort(-risk, kind="stable")[:top]
    names = dict(enumerate(log.names))
    return [(names.get(int(i), "one without failures"), float(risk[i])) for i in order]


def _long_enough(logs: Sequence[FailureLog]) -> list[NodeDays]:
    systems = [system for system in map(node_days, logs) if system.num_days > HISTORY]
    if not systems:
        raise errors.InputError(
            f"no system has the {2 * HISTORY} days that models of nodes need",
            remedy="give a longer log",
        )
    return systems


def _split(system: NodeDays) -> int:
    return HISTORY + math.floor(system.num_days * LEARNED_SHARE)


def _taught(one: GapPredictor, gaps_s: Sequence[float]) -> GapPredictor:
    for gap_s in gaps_s:
        one.observe(gap_s)
    return one
