"""The solver of every plan: list rules, improvement rounds, proof of small graphs, a walk, a bound.

Never worse than HEFT. How much it does is counted in seconds of a reference core (`effort`), so
that the result depends only on the graph, the budget and the seed; a clock may end it earlier. The
time for reading the graph and for its bound is part of a budget by the clock; one list pass always
runs.
"""

from __future__ import annotations

from random import Random

from deepseek_core.contracts.errors import ConfigError, GraphError
from deepseek_core.schedule.dag.bound import lower_bound
from deepseek_core.schedule.dag.compiled import INF, Compiled, compile_graph
from deepseek_core.schedule.dag.decoder import Decoder
from deepseek_core.schedule.dag.effort import Clock, Effort, Prices, default_s
from deepseek_core.schedule.dag.exact import MOST_TASKS, Exact
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.naming import as_schedule
from deepseek_core.schedule.dag.portfolio import Portfolio
from deepseek_core.schedule.dag.schedule import Schedule
from deepseek_core.schedule.dag.walk import Walk

_EXACT_SHARE = 0.6  # of what is left; if that proves nothing, the walk gets the rest


def solve(
    graph: TaskGraph,
    *,
    effort_s: float | None = None,
    passes: float | None = None,
    seconds: float | None = None,
    clock: Clock | None = None,
    rng: Random | None = None,
) -> Schedule:
    """The best schedule within a budget.

    `effort_s` counts seconds of the reference core, `passes` what so many list passes cost there,
    `seconds` those of `clock`. Of several the first that is used up ends it; with none it is
    `effort.default_s`.

    Raises:
        ConfigError: a budget below zero, or seconds without a clock.
        GraphError: memory and colocation leave no assignment that could be found.
    """
    _check_budget(effort_s, passes, seconds, clock)
    clock = clock or (lambda: 0.0)
    began = clock()
    compiled = compile_graph(graph)
    bound, prices = lower_bound(compiled), Prices.of(compiled)
    if effort_s is passes is seconds is None:
        effort_s = default_s(prices)
    effort = Effort(
        graph=compiled,
        mirror=compiled.reversed(),
        rng=rng or Random(0),  # noqa: S311 - a search, not a secret
        prices=prices,
        budget_s=min(
            INF if effort_s is None else effort_s,
            INF if passes is None else passes * prices.pass_s,
        ),
        seconds=INF if seconds is None else seconds,
        clock=clock,
        target=bound,
        began=began,
    )
    _search(effort)
    if effort.best is None:
        raise _no_room(graph)
    return _schedule(compiled, effort, bound)


def _search(effort: Effort) -> None:
    portfolio = Portfolio(effort)
    portfolio.start()
    if effort.best is None and effort.graph.size > MOST_TASKS:
        return
    if effort.best is not None:
        portfolio.widen()
    if not effort.fits(effort.prices.tables_s + effort.prices.pass_s):
        return
    effort.spent_s += effort.prices.tables_s
    decoder = Decoder(effort.graph)
    if effort.graph.size <= MOST_TASKS:
        left_s = min(effort.budget_s - effort.spent_s, 1.0)
        Exact(effort, decoder, effort.spent_s + _EXACT_SHARE * left_s).run()
    if effort.best is not None and effort.more():
        Walk(effort, decoder).run()


def _schedule(compiled: Compiled, effort: Effort, bound: float) -> Schedule:
    assert effort.best is not None
    rejected = {rule: value for rule, value in effort.candidates.items() if rule != effort.rule}
    return as_schedule(
        compiled,
        effort.best,
        effort.rule,
        effort.best.makespan if effort.proven else bound,
        passes=effort.spent_s / effort.prices.pass_s,
        rejected=rejected,
    )


def _check_budget(
    effort_s: float | None, passes: float | None, seconds: float | None, clock: Clock | None
) -> None:
    budgets = (("seconds of effort", effort_s), ("passes", passes), ("seconds", seconds))
    for what, value in budgets:
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
