"""How much may be spent, and the best timetable so far.

The budget is a number of list passes (the same plan every time) or seconds by a given clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import attrs

from deepseek_core.schedule.dag.compiled import INF, Compiled
from deepseek_core.schedule.dag.listpass import Timetable, list_pass

Clock = Callable[[], float]
_LEAST_GAIN = 1e-12  # relative; below it two makespans are one


def better(a: float, b: float) -> bool:
    """Whether a makespan is below another by more than rounding."""
    return a < b * (1 - _LEAST_GAIN)


@attrs.define(kw_only=True, eq=False)
class Effort:
    """Runs list passes, counts them and keeps the best result.

    `candidates` maps the name of a rule to the best makespan that it found.
    """

    graph: Compiled
    mirror: Compiled
    rng: Random
    passes: float
    seconds: float
    clock: Clock
    target: float  # a proven bound: nothing is better
    began: float
    spent: float = 0.0
    best: Timetable | None = None
    rule: str = ""
    candidates: dict[str, float] = attrs.field(factory=dict)

    def more(self, passes: float = 1.0) -> bool:
        """Whether so many passes fit: looked at before they run, not after."""
        if self.best is not None and not better(self.target, self.best.makespan):
            return False
        if self.spent + passes > self.passes + 1e-9:
            return False
        if self.seconds == INF:
            return True
        used = self.clock() - self.began
        return used + passes * used / max(self.spent, 1.0) <= self.seconds

    @property
    def progress(self) -> float:
        """Share of the budget that is gone, from 0 to 1."""
        share = self.spent / self.passes
        if self.seconds < INF:
            share = max(share, (self.clock() - self.began) / max(self.seconds, 1e-9))
        return min(1.0, share)

    def run(
        self,
        rule: str,
        order: Sequence[int],
        *,
        fixed: Sequence[int] | None = None,
        bias: Sequence[Sequence[float]] | None = None,
        tail: Sequence[float] | None = None,
        limit: float = INF,
    ) -> Timetable:
        """A list pass over the graph; its result counts as a candidate of the rule."""
        found = list_pass(self.graph, order, fixed=fixed, bias=bias, tail=tail, limit=limit)
        self.spent += found.share
        if found.whole:
            self.candidates[rule] = min(found.makespan, self.candidates.get(rule, INF))
            if self.best is None or better(found.makespan, self.best.makespan):
                self.best, self.rule = found, rule
        return found

    def run_mirrored(
        self,
        order: Sequence[int],
        *,
        fixed: Sequence[int] | None = None,
        bias: Sequence[Sequence[float]] | None = None,
    ) -> Timetable:
        """A list pass over the reversed graph: good for an order, not a candidate itself."""
        found = list_pass(self.mirror, order, fixed=fixed, bias=bias)
        self.spent += found.share
        return found
