"""How much may be spent, and the best timetable so far.

Effort is counted in seconds of a reference core, by a model of what each step costs, so that equal
input gives equal output on every machine. A clock that is passed in may end the search earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log10
from random import Random
from typing import Final

import attrs

from deepseek_core.schedule.dag.compiled import INF, Compiled
from deepseek_core.schedule.dag.listpass import Timetable, list_pass

Clock = Callable[[], float]
LEAST_GAIN: Final = 1e-12  # relative; below it two makespans are one

LEAST_S: Final = 0.25
LEAST_PASSES: Final = 24
_MOST_PASSES_S: Final = 15.0


def better(a: float, b: float) -> bool:
    """Whether a makespan is below another by more than rounding."""
    return a < b * (1 - LEAST_GAIN)


@attrs.frozen(kw_only=True)
class Prices:
    """What a list pass, the decoder's tables, a step of the walk, an option of the proof cost.

    In seconds of the reference core: one of a 2020s x86 server under CPython 3.11. Fitted to CPU
    times there, for graphs of 8 to 100,000 tasks on 2 to 24 devices; most are met within 30 %, and
    what is far off is less. `benchmarks/placement.py` says how far the machine at hand is off.
    """

    pass_s: float
    tables_s: float
    step_s: float
    option_s: float

    @classmethod
    def of(cls, graph: Compiled) -> Prices:
        """By the counts of tasks, edges, devices and memory nodes."""
        tasks, edges, devices = graph.size, sum(map(len, graph.before)), len(graph.class_of)
        links = graph.nodes if graph.nodes > 1 else 0
        uncached = 1 + 0.5 * max(0.0, log10(tasks / 1000))  # large graphs leave the caches
        return cls(
            pass_s=2e-5 + uncached * (1.4e-6 * tasks + (1.6e-7 + 2.6e-7 * links) * edges),
            tables_s=1.2e-6 * tasks * devices,
            step_s=4.5e-6 + 7e-8 * tasks + 4e-8 * edges + 1.6e-7 * devices,
            option_s=1.4e-6,
        )


def default_s(prices: Prices) -> float:
    """Seconds that a search takes unless told: a quarter, or 24 list passes if they take longer.

    At most 15 s, and always one list pass.
    """
    return max(LEAST_S, min(_MOST_PASSES_S, LEAST_PASSES * prices.pass_s))


@attrs.define(kw_only=True, eq=False)
class Effort:
    """Runs list passes, counts what is spent and keeps the best result.

    `budget_s` is in seconds of the reference core, `seconds` in those of the clock. `candidates`
    maps the name of a rule to the best makespan that it found; `proven` says that none is better.
    """

    graph: Compiled
    mirror: Compiled
    rng: Random
    prices: Prices
    budget_s: float
    seconds: float
    clock: Clock
    target: float  # a proven bound: nothing is better
    began: float
    spent_s: float = 0.0
    best: Timetable | None = None
    rule: str = ""
    proven: bool = False
    candidates: dict[str, float] = attrs.field(factory=dict)

    def more(self, passes: float = 1.0) -> bool:
        """Whether so many list passes fit: looked at before they run, not after."""
        return self.fits(passes * self.prices.pass_s)

    def fits(self, need_s: float) -> bool:
        """Whether something better can exist, and so many seconds fit."""
        if self.proven or (self.best is not None and not better(self.target, self.best.makespan)):
            return False
        if self.spent_s + need_s > self.budget_s * (1 + 1e-9):
            return False
        if self.seconds == INF:
            return True
        used = self.clock() - self.began
        return used + need_s * used / max(self.spent_s, self.prices.pass_s) <= self.seconds

    @property
    def progress(self) -> float:
        """Share of the budget that is gone, from 0 to 1."""
        share = self.spent_s / self.budget_s if self.budget_s > 0 else 1.0
        if self.seconds < INF:
            share = max(share, (self.clock() - self.began) / max(self.seconds, 1e-9))
        return min(1.0, share)

    def found(self, rule: str, timetable: Timetable) -> None:
        """Count a whole timetable as a candidate of a rule."""
        makespan = timetable.makespan
        self.candidates[rule] = min(makespan, self.candidates.get(rule, INF))
        if self.best is None or better(makespan, self.best.makespan):
            self.best, self.rule = timetable, rule

    def run(
        self,
        rule: str,
        order: Sequence[int],
        *,
        fixed: Sequence[int] | None = None,
        bias: Sequence[Sequence[float]] | None = None,
    ) -> Timetable:
        """A list pass over the graph; its result counts as a candidate of the rule."""
        found = list_pass(self.graph, order, fixed=fixed, bias=bias)
        self.spent_s += found.share * self.prices.pass_s
        if found.whole:
            self.found(rule, found)
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
        self.spent_s += found.share * self.prices.pass_s
        return found
