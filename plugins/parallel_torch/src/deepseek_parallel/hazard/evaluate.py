"""How well predictors do on a log, judged on the part of it that they did not learn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from deepseek_parallel.hazard.nodes import DAY_S, HISTORY, Judged, NodeDays, judged, node_days
from deepseek_parallel.hazard.replay import forecasts, waste
from deepseek_parallel.hazard.risk import RiskModel
from deepseek_parallel.hazard.weibull import Forecast

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


def evaluate_system(log: FailureLog, cost_s: float, weights: Weights | None = None) -> SystemReport:
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
    predictors: dict[str, GapPredictor] = {
        CONSTANT: Constant(mean_s),
        RUNNING: RunningMean(mean_s),
        LSTM: Learned(mean_s, weights),
        BLEND: failure_predictor(mean_s, weights),
    }
    later_s, scored = gaps_s[learned:], []
    for name, predictor in predictors.items():
        told = forecasts(gaps_s, predictor)
        later = Forecast(*(column[learned:] for column in told))
        likely = float(later.log_likelihood(later_s).mean())
        lost = waste(later_s, later, cost_s)
        scored.append(Scored(name=name, log_likelihood=likely, waste=lost))
    forecast = predictors[BLEND].forecast()
    return SystemReport(
        system=log.system,
        num_nodes=log.num_nodes,
        num_failures=len(log.times_s),
        num_judged=len(gaps_s) - learned,
        mean_s=mean_s,
        scored=tuple(scored),
        next_mean_s=float(forecast.mean_s),
        interval_s=float(next_interval(forecast, 0.0, cost_s)),
        constant_interval_s=float(young_daly(cost_s, mean_s)),
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
    """Nodes of a system with the highest risk for the day after its last failure.

    Raises:
        InputError: it has too few days.
    """
    (system,) = _long_enough([log])
    model.fit([system], [len(system.counts)])
    risk = model.risk(system, len(system.counts))
    order = np.argsort(-risk, kind="stable")[:top]
    names = dict(enumerate(log.names))
    return [(names.get(int(i), "one without failures"), float(risk[i])) for i in order]


def has_history(log: FailureLog) -> bool:
    """Whether it spans days enough for models of nodes: 28 of history, and as many again."""
    return bool((log.times_s[-1] - log.times_s[0]) // DAY_S >= 2 * HISTORY)


def _long_enough(logs: Sequence[FailureLog]) -> list[NodeDays]:
    systems = [node_days(log) for log in logs if has_history(log)]
    if not systems:
        raise errors.InputError(
            f"no system has the {2 * HISTORY + 1} days that models of nodes need",
            remedy="give a longer log, or ask without --nodes",
        )
    return systems


def _split(system: NodeDays) -> int:
    return HISTORY + math.floor(system.num_days * LEARNED_SHARE)
