"""Predictors of failures on the public logs of Los Alamos, split by time, beside plain baselines.

The log is LA-UR-05-7318 (22 systems, 1996 to 2005; Los Alamos asks to be named). Of each system the
first 60 % are learned from, the rest is forecast failure by failure. Time lost is a replay, which
is a simulation: a training on the whole system that saves for 60 s, mean of 20 replays. So is the
drift: failures at random whose mean time between goes from 6 to 21 h; `hindsight` is the constant
interval for 21 h, the best that a rate known exactly gives.

    python benchmarks/failure_prediction.py --data FOLDER [--json FILE]

FOLDER (or $DEEPSEEK_DATA) holds failures/lanl_1996-2005.csv.xz.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from _report import Report, pin, print_head, versions

LOG: Final = Path("failures", "lanl_1996-2005.csv.xz")
COST_S: Final = 60.0
BIG: Final = 5
LEAST_GAPS: Final = 100
LEAST_NODES: Final = 16
SEEDS: Final = 8
HOUR_S: Final = 3600.0
DRIFT: Final = 2.5
JOBS: Final = 3  # trainings of each system
MIN_GAPS: Final = 10


def add_gaps(report: Report, logs: Sequence[Any]) -> None:
    """Log-likelihood and time lost, with the weights of the package, on the later 40 %."""
    from deepseek_parallel.hazard import evaluate

    print(f"\n{'system':>12}{'judged':>8}   log-likelihood and time lost of each predictor")
    above: dict[str, float] = {}
    drifting = []
    for place, log in enumerate(logs):
        told = evaluate.evaluate_system(log, COST_S)
        by_name = {one.name: one for one in told.scored}
        print(
            f"{log.system:>12}{told.num_judged:8}   "
            + "   ".join(f"{s.name} {s.log_likelihood:.3f}, {s.waste:.2%}" for s in told.scored)
        )
        blend, running = by_name[evaluate.BLEND], by_name[evaluate.RUNNING]
        constant = by_name[evaluate.CONSTANT].waste
        above[f"{log.system}, {told.num_judged} gaps"] = 100 * (blend.waste / constant - 1)
        later_s = log.gaps_s[-told.num_judged :]
        if not 1 / DRIFT < later_s.mean() / told.mean_s < DRIFT:
            drifting.append((log.system, told.mean_s, later_s, constant, blend.waste))
        if place < BIG:
            gain = blend.log_likelihood - running.log_likelihood
            report.at_least(f"system {log.system}: log-likelihood over running mean", gain, 0, "")
    worst = max(above, key=lambda name: above[name])
    report.at_most(f"time lost above a constant interval, worst ({worst})", above[worst], 2.5, "%")
    print(f"\nmean gap that changed by a factor of {DRIFT} or more: time lost below a constant one")
    for system, mean_s, later_s, constant, found in drifting:
        hours = f"{mean_s / HOUR_S:.1f} to {later_s.mean() / HOUR_S:.1f} h"
        saved, known = (100 * (1 - w / constant) for w in (found, hindsight(later_s)))
        print(f"{system:>12}   {hours}: blend {saved:.1f} %, hindsight {known:.1f} %")
        claim = f"system {system}, drift from {hours}: time lost below a constant interval"
        report.at_least(claim, saved, 15, "%")


def hindsight(gaps_s: Any) -> float:
    """Time lost by the constant interval for the mean of these very gaps."""
    from deepseek_parallel.hazard.gaps import Constant
    from deepseek_parallel.hazard.replay import forecasts, waste

    return waste(gaps_s, forecasts(gaps_s, Constant(float(gaps_s.mean()))), COST_S)


def add_strange(report: Report, logs: Sequence[Any]) -> None:
    """The big systems, with weights learned from the others only."""
    from deepseek_parallel.hazard import evaluate
    from deepseek_parallel.hazard.fit import fit

    for log in logs[:BIG]:
        others = [other.gaps_s.tolist() for other in logs if other is not log]
        learned = [gaps[: int(len(gaps) * evaluate.LEARNED_SHARE)] for gaps in others]
        told = {s.name: s for s in evaluate.evaluate_system(log, COST_S, fit(learned)).scored}
        gain = told[evaluate.BLEND].log_likelihood - told[evaluate.RUNNING].log_likelihood
        claim = f"system {log.system}, learned from others: likelihood over running mean"
        report.at_least(claim, gain, 0, "")


def show_drift() -> None:
    """Simulated failures whose rate fell after the constant interval was chosen."""
    import numpy as np

    from deepseek_parallel.hazard.gaps import Constant, failure_predictor
    from deepseek_parallel.hazard.replay import forecasts, waste

    hours = np.concatenate([np.full(450, 6.0), np.linspace(6.0, 21.0, 50), np.full(300, 21.0)])
    saved: dict[str, list[float]] = {"blend": [], "hindsight": []}
    for seed in range(SEEDS):
        gaps_s = np.random.default_rng(seed).exponential(hours) * HOUR_S
        learned, later_s = failure_predictor(6 * HOUR_S), gaps_s[500:]
        for gap_s in gaps_s[:500]:
            learned.observe(float(gap_s))
        fixed = waste(later_s, forecasts(later_s, Constant(6 * HOUR_S)), COST_S)
        blend = waste(later_s, forecasts(later_s, learned), COST_S)
        saved["blend"].append(100 * (1 - blend / fixed))
        saved["hindsight"].append(100 * (1 - hindsight(later_s) / fixed))
    print(
        f"\nsimulated drift from 6 to 21 h between failures, {SEEDS} seeds: what is lost after it"
    )
    for name, found in saved.items():
        print(
            f"  {name:12}{min(found):6.1f} to {max(found):.1f} % less, mean {np.mean(found):.1f} %"
        )


def add_nodes(report: Report, logs: Sequence[Any]) -> None:
    """Whether a node fails tomorrow."""
    from deepseek_parallel.hazard.evaluate import evaluate_nodes
    from deepseek_parallel.hazard.risk import ConstantRisk, Logistic, OwnRate
    from deepseek_parallel.hazard.risk_lstm import LstmRisk

    big = [log for log in logs if log.num_nodes >= LEAST_NODES]
    judged = evaluate_nodes(big, [ConstantRisk(), OwnRate(), Logistic(), LstmRisk()])
    print(f"\na node of {len(big)} systems fails tomorrow; the last 40 % of the days")
    print(f"{'':24}{'AUC':>8}{'average precision':>20}{'precision at recall 10 %':>28}")
    for name, one in judged.items():
        print(f"{name:24}{one.auc:8.3f}{one.average_precision:20.4f}"
              f"{one.precision_at_recall_10:28.3f}")  # fmt: skip
    own = judged[OwnRate.name].auc
    for model in (Logistic, LstmRisk):
        report.at_least(f"AUC of {model.name} over own rate", judged[model.name].auc - own, 0, "")


def add_early(report: Report, logs: Sequence[Any]) -> None:
    """Whether to save sooner when the nodes of a training are at risk: why it is left out.

    Trainings on a quarter of the nodes, with intervals by the blend of the gaps of these nodes, and
    by one in which their risk for the day, by logistic regression, is one more expert.
    """
    import numpy as np

    from deepseek_parallel.hazard import evaluate, gaps, nodes
    from deepseek_parallel.hazard.replay import forecasts, waste
    from deepseek_parallel.hazard.risk import Logistic
    from deepseek_parallel.hazard.weibull import Forecast, Part

    class AtRisk(gaps.Expert):
        """Failures at random with the risk of the nodes on the day of each failure."""

        def __init__(self, means_s: Sequence[float]) -> None:
            self._means_s = iter(means_s)
            self._mean_s = next(self._means_s)

        def observe(self, gap_s: float) -> None:
            self._mean_s = next(self._means_s)

        @property
        def part(self) -> Part:
            return Part(1.0, self._mean_s)

    big = [log for log in logs if log.num_nodes >= LEAST_NODES and evaluate.has_history(log)]
    systems = [nodes.node_days(log) for log in big]
    until = [nodes.HISTORY + int(s.num_days * evaluate.LEARNED_SHARE) for s in systems]
    model = Logistic()
    model.fit(systems, until)
    saved = []
    for log, system, end in zip(big, systems, until, strict=True):
        rng, found = np.random.default_rng(0), []
        for _ in range(JOBS):
            own = rng.choice(log.num_nodes, log.num_nodes // 4, replace=False)
            times_s = np.unique(log.times_s[np.isin(log.nodes, own)]) - log.times_s[0]
            days = (times_s // nodes.DAY_S).astype(int) + 1  # the failure itself is known
            times_s, days = times_s[days >= nodes.HISTORY], days[days >= nodes.HISTORY]
            gaps_s, learned = np.diff(times_s), int(np.searchsorted(days, end))
            if learned < MIN_GAPS or len(gaps_s) - learned < MIN_GAPS:
                continue
            mean_s = float(gaps_s[:learned].mean())
            at_risk = [-np.log1p(-model.risk(system, day)[own]).sum() for day in days]
            experts = [gaps.Learned(mean_s), gaps.RunningMean(mean_s), gaps.Constant(mean_s)]
            more = AtRisk([nodes.DAY_S / max(rate, 1e-9) for rate in at_risk])
            lost = []
            for one in (gaps.failure_predictor(mean_s), gaps.Blend([*experts, more], mean_s)):
                later = Forecast(*(column[learned:] for column in forecasts(gaps_s, one)))
                lost.append(waste(gaps_s[learned:], later, COST_S))
            found.append(100 * (1 - lost[1] / lost[0]))
        if found:
            saved.append(float(np.mean(found)))
            print(f"{log.system:>12}   {len(found)} trainings: {saved[-1]:.1f} % less time lost")
    claim = f"saved by counting the risk of nodes, mean of {len(saved)} systems (left out: little)"
    report.at_most(claim, float(np.mean(saved)), 1, "%")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEEK_DATA"))
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data FOLDER is needed, or $DEEPSEEK_DATA")
    pin()
    from deepseek_parallel.hazard.log import read_logs

    used = versions(["deepseek-core", "deepseek-parallel", "numpy", "torch"])
    print_head("Predictors of failures, on the logs of Los Alamos", used)
    every = read_logs(Path(args.data) / LOG)
    logs = [log for log in every if len(log.gaps_s) >= LEAST_GAPS]
    report = Report(versions=used)
    add_gaps(report, logs)
    add_strange(report, logs)
    show_drift()
    add_nodes(report, logs)
    print("\ntrainings on a quarter of the nodes, that also count the risk of these nodes")
    add_early(report, logs)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
