"""The anytime solver: list rules, improvement rounds, local search, a bound.

Never worse than HEFT. With a budget of passes the result depends only on graph and seed; with
one of time it depends on how fast the machine is. The time for reading the graph and for its
bound is part of the budget; one pass always runs.
"""

from __future__ import annotations

from random import Random
from typing import Final

from deepseek_core.contracts.errors import ConfigError, GraphError
from deepseek_core.schedule.dag.bound import lower_bound
from deepseek_core.schedule.dag.compiled import INF, compile_graph
from deepseek_core.schedule.dag.effort import Clock, Effort
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.naming import as_schedule
from deepseek_core.schedule.dag.portfolio import Portfolio
from deepseek_core.schedule.dag.schedule import Schedule
from deepseek_core.schedule.dag.search import LocalSearch

DEFAULT_PASSES: Final = 24.0


def solve(
    graph: TaskGraph,
    *,
    passes: float | None = None,
    seconds: float | None = None,
    clock: Clock | None = None,
    rng: Random | None = None,
) -> Schedule:
    """The best schedule within the budget: passes (24 unless given), seconds by `clock`, or both.

    Raises:
        ConfigError: a budget below zero, or seconds without a clock.
        GraphError: memory and colocation leave no assignment that could be found.
    """
    _check_budget(passes, seconds, clock)
    clock = clock or (lambda: 0.0)
    began = clock()
    compiled = compile_graph(graph)
    bound = lower_bound(compiled)
    effort = Effort(
        graph=compiled,
        mirror=compiled.reversed(),
        rng=rng or Random(0),  # noqa: S311 - a search, not a secret
        passes=_passes(passes, seconds),
        seconds=INF if seconds is None else seconds,
        clock=clock,
        target=bound,
        began=began,
    )
    portfolio = Portfolio(effort)
    portfolio.start()
    if effort.best is None:
        raise _no_room(graph)
    portfolio.widen()
    if effort.more():
        LocalSearch(effort).run()
    rejected = {rule: value for rule, value in effort.candidates.items() if rule != effort.rule}
    return as_schedule(
        compiled, effort.best, effort.rule, bound, passes=effort.spent, rejected=rejected
    )


def _passes(passes: float | None, seconds: float | None) -> float:
    if passes is not None:
        return passes
    return DEFAULT_PASSES if seconds is None else INF


def _check_budget(passes: float | None, seconds: float | None, clock: Clock | None) -> None:
    for what, value in (("passes", passes), ("seconds", seconds)):
        if value is not None and not value >= 0:
            raise ConfigError(f"a budget of {value} {what}", remedy="give a number >= 0")
    if seconds is not None and clock is None:
        raise ConfigError("a budget of seconds needs a clock", remedy="pass clock=time.monotonic")


def _no_room(graph: TaskGraph) -> GraphError:
    return GraphError(
        f"graph {graph.name!r}: no assignment was found that fits the memory of the devices, "
        "although the sums would fit",
        remedy="add memory, or split large tasks and groups",
    )
