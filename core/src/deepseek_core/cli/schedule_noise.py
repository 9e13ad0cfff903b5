"""`ds-sdk schedule --noise`: what a schedule takes when tasks do not keep to their costs."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from deepseek_core.schedule.dag.execution import noise, played_back, redecided
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.schedule import Schedule

_DRAWS: Final = 100
_MOST_TASKS: Final = 200_000  # of all draws: some seconds


def under_noise(graph: TaskGraph, schedule: Schedule, sigma: float, seed: int) -> dict[str, Any]:
    """Makespans with lognormal factors on each task, as planned and decided again on the way."""
    rng = Random(seed)  # noqa: S311 - a simulation, not a secret
    draws = max(1, min(_DRAWS, _MOST_TASKS // len(graph.tasks)))
    planned, decided = [], []
    for _ in range(draws):
        factors = noise(graph, sigma, rng)
        planned.append(played_back(graph, schedule, factors))
        decided.append(redecided(graph, schedule, factors))
    return {
        "sigma": sigma,
        "draws": draws,
        "as_planned": _quantiles(planned),
        "decided_anew": _quantiles(decided),
    }


def noise_text(found: dict[str, Any], makespan: float) -> str:
    """Two lines for people."""
    rows = [("as planned", found["as_planned"]), ("decided again", found["decided_anew"])]
    return "\n".join(
        f"{name + ':':14} {told['median'] / makespan:.3f} times the makespan at the median, "
        f"{told['p90'] / makespan:.3f} at the 90th percentile "
        f"(simulated, {found['draws']} draws, scatter {found['sigma']:g})"
        for name, told in rows
    )


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": ordered[len(ordered) // 2],
        "p90": ordered[min(9 * len(ordered) // 10, len(ordered) - 1)],
    }
