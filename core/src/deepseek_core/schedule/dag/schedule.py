"""A schedule: which task runs where and when, how good that is, and what was rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from deepseek_core.schedule.dag.nodes import Id


@attrs.frozen(kw_only=True)
class TaskPlacement:
    """A task on a device from `start` to `end`, in the graph's unit of time."""

    task: Id
    device: Id
    start: float
    end: float


@attrs.frozen(kw_only=True)
class Schedule:
    """Placements in the graph's order of tasks, and the evidence for them.

    `lower_bound` is a makespan that no schedule can beat. `passes` counts list passes, parts of
    broken-off ones included. `rejected` maps the name of each other candidate to its makespan.
    """

    graph: str
    unit: str
    algorithm: str
    makespan: float
    lower_bound: float
    placements: tuple[TaskPlacement, ...]
    passes: float = 1.0
    rejected: Mapping[str, float] = attrs.field(factory=dict)

    @property
    def gap(self) -> float:
        """How far above the bound at most: 0.02 means within 2 % of the optimum."""
        if self.lower_bound <= 0:
            return 0.0 if self.makespan <= 0 else float("inf")
        return max(0.0, self.makespan / self.lower_bound - 1)

    def to_json(self) -> dict[str, Any]:
        """The file format: `makespan`, `placements`, and what else is known."""
        return {
            "graph": self.graph,
            "unit": self.unit,
            "algorithm": self.algorithm,
            "makespan": self.makespan,
            "lower_bound": self.lower_bound,
            "gap": self.gap if self.lower_bound > 0 else None,
            "passes": self.passes,
            "rejected": dict(self.rejected),
            "placements": [attrs.asdict(placement) for placement in self.placements],
        }
