"""List schedulers by name, each as published; the solver is `solver.solve`.

HEFT and CPOP: Topcuoglu, Hariri, Wu 2002. PEFT: Arabnejad, Barbosa 2014. Lookahead: Bittencourt
et al. 2010. DMDA: the policy of StarPU, online and without insertion.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from deepseek_core.contracts.errors import ConfigError, GraphError
from deepseek_core.schedule.dag import orders, ranks
from deepseek_core.schedule.dag.bound import lower_bound
from deepseek_core.schedule.dag.compiled import INF, Compiled, compile_graph
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.listpass import Timetable, list_pass
from deepseek_core.schedule.dag.naming import as_schedule
from deepseek_core.schedule.dag.schedule import Schedule
from deepseek_core.schedule.dag.timeline import Timeline

Rule = Callable[[Compiled], Timetable]


def heft(graph: Compiled) -> Timetable:
    """Mean upward rank, insertion, earliest finish."""
    return list_pass(graph, orders.ordered(graph, ranks.upward(graph)))


def peft(graph: Compiled) -> Timetable:
    """Like HEFT, but looks ahead through a table of optimistic costs."""
    table = ranks.cost_table(graph)
    order = orders.by_priority(graph, ranks.mean_rows(graph, table))
    return list_pass(graph, order, bias=table)


def cpop(graph: Compiled) -> Timetable:
    """The critical path on the one device that does it soonest, the rest by earliest finish."""
    up, down = ranks.upward(graph), ranks.downward(graph)
    rank = [u + d for u, d in zip(up, down, strict=True)]
    path = _critical_path(graph, rank)
    sums = [sum(graph.cost[t][c] for t in path) for c in range(len(graph.classes))]
    fixed = [-1] * graph.size
    if min(sums) < INF:
        device = graph.classes[sums.index(min(sums))].devices[0]
        for task in path:
            fixed[task] = device
    return list_pass(graph, orders.by_priority(graph, rank), fixed=fixed)


def _critical_path(graph: Compiled, rank: list[float]) -> list[int]:
    beginnings = [t for t in graph.order if not graph.before[t]]
    path = [max(beginnings, key=lambda t: rank[t])]
    while graph.after[path[-1]]:
        path.append(max((f for f, _ in graph.after[path[-1]]), key=lambda t: rank[t]))
    return path


def lookahead(graph: Compiled) -> Timetable:
    """HEFT that tries each device and looks at the latest end of the task's successors.

    About 30 times the work of HEFT.
    """
    state = _Placing(graph)
    for task in orders.ordered(graph, ranks.upward(graph)):
        state.place(task, min(state.options(task), key=lambda d: (state.outlook(task, d), d)))
    return state.timetable()


def dmda(graph: Compiled) -> Timetable:
    """Tasks as they become ready, each to the queue where it ends first with its transfers."""
    state = _Placing(graph, insert=False)
    waits = [len(arcs) for arcs in graph.before]
    ready = [(0.0, t) for t in range(graph.size) if waits[t] == 0]
    heapq.heapify(ready)
    while ready:
        _, task = heapq.heappop(ready)
        state.place(task, min(state.options(task), key=lambda d: (state.window(task, d)[1], d)))
        for follower, _ in graph.after[task]:
            waits[follower] -= 1
            if waits[follower] == 0:
                at = max(state.end[p] for p, _ in graph.before[follower])
                heapq.heappush(ready, (at, follower))
    return state.timetable()


class _Placing:
    """A schedule in the making that can say what a placement would mean."""

    def __init__(self, graph: Compiled, *, insert: bool = True) -> None:
        self.graph = graph
        self.insert = insert
        self.lanes = [Timeline() for _ in graph.class_of]  # by device: its free intervals
        self.last = [0.0] * len(graph.class_of)  # by device: when its last task ends
        self.device = [-1] * graph.size  # by task; -1: not placed
        self.start, self.end = [0.0] * graph.size, [0.0] * graph.size
        self.room = list(graph.capacity)  # by pool: bytes of memory that are left

    def options(self, task: int) -> list[int]:
        """Devices that can take the task; a group stays together."""
        graph, own = self.graph, self.graph.bundle[task]
        need = graph.needs[task]
        if own >= 0:
            need = graph.together[own]
            home = [self.device[t] for t in graph.bundles[own] if self.device[t] >= 0]
            if home:
                return home[:1]
        able = [d for d, c in enumerate(graph.class_of) if graph.cost[task][c] < INF]
        found = [d for d in able if need[graph.class_of[d]] <= self.room[graph.pool_of[d]]]
        if not found:
            raise _no_room(graph.graph, task)
        return found

    def window(self, task: int, device: int) -> tuple[float, float]:
        """Start and end there."""
        graph = self.graph
        w = graph.cost[task][graph.class_of[device]]
        ready = max((self._arrival(p, n, device) for p, n in graph.before[task]), default=0.0)
        if self.insert:
            start = self.lanes[device].earliest(ready, w)
        else:
            start = max(ready, self.last[device])
        return start, start + w

    def outlook(self, task: int, device: int) -> float:
        """Latest of the best ends of its successors, with what is placed so far, or its own."""
        graph = self.graph
        _, end = self.window(task, device)
        self.device[task], self.end[task] = device, end
        worst = end
        for follower, _ in graph.after[task]:
            best = INF
            for d, c in enumerate(graph.class_of):
                w = graph.cost[follower][c]
                if w < INF:
                    arcs = [(p, n) for p, n in graph.before[follower] if self.device[p] >= 0]
                    ready = max(self._arrival(p, n, d) for p, n in arcs)
                    busy = end if d == device else 0.0
                    best = min(best, self.lanes[d].earliest(max(ready, busy), w) + w)
            worst = max(worst, best)
        self.device[task] = -1
        return worst

    def place(self, task: int, device: int) -> None:
        """Put it there."""
        graph, own = self.graph, self.graph.bundle[task]
        if own < 0:
            self.room[graph.pool_of[device]] -= graph.needs[task][graph.class_of[device]]
        elif all(self.device[t] < 0 for t in graph.bundles[own]):
            self.room[graph.pool_of[device]] -= graph.together[own][graph.class_of[device]]
        start, end = self.window(task, device)
        self.device[task], self.start[task], self.end[task] = device, start, end
        self.last[device] = max(self.last[device], end)
        if self.insert:
            self.lanes[device].take(start, end - start)

    def timetable(self) -> Timetable:
        """What was placed."""
        return Timetable(device=self.device, start=self.start, end=self.end, makespan=max(self.end))

    def _arrival(self, p: int, nbytes: float, device: int) -> float:
        graph = self.graph
        a, b = graph.node_of[self.device[p]], graph.node_of[device]
        return self.end[p] + (graph.latency[a][b] + nbytes * graph.inverse[a][b])


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {"heft": heft, "peft": peft, "cpop": cpop, "lookahead": lookahead, "dmda": dmda}
)


def schedule_by(rule: str, graph: TaskGraph) -> Schedule:
    """The schedule of one published rule.

    Raises:
        ConfigError: there is no such rule.
        GraphError: the rule ran out of memory on the devices; the solver may still find a way.
    """
    if rule not in RULES:
        raise ConfigError(f"there is no rule {rule!r}", remedy=f"use one of {', '.join(RULES)}")
    compiled = compile_graph(graph)
    found = RULES[rule](compiled)
    if not found.whole:
        raise _no_room(graph, found.device.index(-1))
    return as_schedule(compiled, found, rule.upper(), lower_bound(compiled))


def _no_room(graph: TaskGraph, task: int) -> GraphError:
    return GraphError(
        f"graph {graph.name!r}: the rule left no device with memory for task "
        f"{graph.tasks[task].id!r}",
        remedy="use the solver (--algorithm best), or add memory",
    )
