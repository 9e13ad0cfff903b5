"""Several plans of one graph, measured side by side."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

import attrs

from deepseek_core.contracts.stage import Array
from deepseek_core.runtime.calibration import Progress
from deepseek_core.runtime.plan import Plan
from deepseek_core.schedule.problem import Problem

_MOST_PLACEMENTS: Final = 16


@attrs.frozen(kw_only=True)
class Row:
    """Items per second of one plan: the median of the rounds, and each round."""

    label: str
    placement: Mapping[str, str]
    predicted_s: float
    items_per_s: float
    rounds: tuple[float, ...]


@attrs.frozen(kw_only=True)
class Comparison:
    """The chosen plan (first row) beside every other placement, in measured items per second.

    `refusals` says of each device that can't run the whole graph alone why not.
    """

    rows: tuple[Row, ...]
    refusals: Mapping[str, str]

    @property
    def chosen(self) -> Row:
        """The row of the plan that the scheduler chose."""
        return self.rows[0]

    def alone(self) -> dict[str, Row]:
        """Device id -> the row of everything on that one device."""
        return {device: row for row in self.rows for device in _only(set(row.placement.values()))}


def _only(devices: set[str]) -> set[str]:
    return devices if len(devices) == 1 else set()


def placements(problem: Problem) -> list[dict[str, str]]:
    """Every assignment of stages to devices that can run them, at most 16."""
    able = [[c.device_id for c in stage.allowed()] for stage in problem.stages]
    names = [stage.name for stage in problem.stages]
    every = itertools.islice(itertools.product(*able), _MOST_PLACEMENTS)
    return [dict(zip(names, devices, strict=True)) for devices in every]


def single_device_refusals(problem: Problem) -> dict[str, str]:
    """Device id -> why it can't run the whole graph alone."""
    return {
        c.device_id: f"{stage.name}: {c.refusal}"
        for stage in reversed(problem.stages)
        for c in stage.candidates
        if c.estimate is None
    }


def compare(
    plans: Mapping[str, Plan],
    batches: Sequence[Mapping[str, Array]],
    *,
    rounds: int,
    progress: Progress,
) -> tuple[Row, ...]:
    """Stream all batches through each plan, plans in turn, `rounds` times.

    Raises:
        StageFailed: a stage failed while it was measured.
    """
    for plan in plans.values():
        plan.warmup()
        for _ in plan.stream(batches[:1]):
            pass
    rates: dict[str, list[float]] = {label: [] for label in plans}
    for turn in range(rounds):
        for index, (label, plan) in enumerate(plans.items()):
            progress(turn * len(plans) + index, rounds * len(plans), f"measuring {label}")
            rates[label].append(_items_per_s(plan, batches))
    progress(rounds * len(plans), rounds * len(plans), "done")
    return tuple(
        Row(
            label=label,
            placement=dict(plan.devices),
            predicted_s=plan.placement.value_s,
            items_per_s=median(rates[label]),
            rounds=tuple(rates[label]),
        )
        for label, plan in plans.items()
    )


def _items_per_s(plan: Plan, batches: Sequence[Mapping[str, Array]]) -> float:
    start_s = time.perf_counter()
    items = sum(result.batch for result in plan.stream(batches))
    return items / (time.perf_counter() - start_s)
