"""Measures model files on a device through the scheduler, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from deepseek_core import Session, compression

_ROUNDS: Final = 20
_RUNS: Final = 15  # of each file in a round
_MOST_S: Final = 20.0  # for all files together

Inputs = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Latency:
    """What runs of one file took on a device: quantiles in seconds, and how many were seen.

    `evidence` says what the figures mean: hardware, cpu-runtime, emulator or model.
    """

    device: str
    evidence: str
    quantiles_s: Mapping[float, float]
    runs: int


def measure_latency(
    files: Mapping[str, Path],
    budget: compression.LatencyBudget,
    inputs: Inputs,
    progress: Callable[[int, int, str], None],
) -> dict[str, Latency]:
    """Run each file on the budget's device, in turn, so that a slow spell hits all alike.

    `inputs` are one batch. A run is one call of a plan of the scheduler, host to host.

    Raises:
        NoDevice: the device is not there, or can't run a file; says why.
        ConfigError: no device of that name.
    """
    with ExitStack() as stack:
        session = stack.enter_context(Session(threads=budget.threads, devices=[budget.device]))
        plans = {}
        for name, path in files.items():
            graph = session.load(path)
            plan = session.plan(graph, latency="realtime", batch=budget.batch)
            plans[name] = stack.enter_context(plan)
            plan.warmup()
            plan.run(inputs)
        seconds = _in_turn({name: plan.run for name, plan in plans.items()}, inputs, progress)
        used = {name: next(iter(plan.devices.values())) for name, plan in plans.items()}
        evidence = {info.id: info.evidence for info in session.devices}
    return {
        name: Latency(
            device=used[name],
            evidence=str(evidence.get(used[name], "")),
            quantiles_s=_quantiles(seconds[name]),
            runs=len(seconds[name]),
        )
        for name in files
    }


def _in_turn(
    calls: Mapping[str, Callable[[Inputs], Any]],
    inputs: Inputs,
    progress: Callable[[int, int, str], None],
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in calls}
    until_s = time.monotonic() + _MOST_S
    for round_ in range(_ROUNDS):
        for name, call in calls.items():
            progress(round_, _ROUNDS, f"measuring {name}")
            for _ in range(_RUNS):
                start_s = time.perf_counter()
                call(inputs)
                found[name].append(time.perf_counter() - start_s)
                if time.monotonic() > until_s:
                    break
    return found


def _quantiles(seconds: Sequence[float]) -> dict[float, float]:
    return {share: float(np.quantile(seconds, share)) for share in (0.5, 0.95, 0.99)}
