"""What a schedule is worth when tasks take longer or shorter than their costs say.

Two executors in simulated time. `played_back` keeps the plan's devices and the order on each.
`redecided` keeps only the plan's priorities: when a task becomes ready it goes where it is now
expected to end first. The plan is for prediction and admission; execution is better off with
what has happened since.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Sequence
from random import Random

from deepseek_core.schedule.dag.compiled import INF, Compiled, compile_graph
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.schedule import Schedule

_LATE = 0.25  # of the time that an overdue task has run, as the guess of what is left
_LEAST_GAIN = 0.1  # of a task's cost: the plan knew what comes later, the moment does not


def noise(graph: TaskGraph, sigma: float, rng: Random) -> list[float]:
    """Lognormal factors of mean 1, one for each task: actual time over cost."""
    return [rng.lognormvariate(-sigma * sigma / 2, sigma) for _ in graph.tasks]


def played_back(graph: TaskGraph, schedule: Schedule, factors: Sequence[float]) -> float:
    """Makespan when devices and orders stay as planned; times in the graph's unit."""
    compiled = compile_graph(graph)
    device, order = _plan(graph, schedule)
    free = [0.0] * len(graph.devices)
    end = [0.0] * compiled.size
    for task in order:
        d = device[task]
        start = max(free[d], _arrival(compiled, device, end, task, d))
        end[task] = free[d] = start + compiled.cost[task][compiled.class_of[d]] * factors[task]
    return max(end)


def redecided(graph: TaskGraph, schedule: Schedule, factors: Sequence[float]) -> float:
    """Makespan when each task's device is decided again as it becomes ready.

    Where memory is limited or tasks must stay together the planned devices are kept.
    """
    return _Executor(compile_graph(graph), schedule, factors).run()


def _plan(graph: TaskGraph, schedule: Schedule) -> tuple[list[int], list[int]]:
    """Planned device of each task, and the tasks by planned start."""
    number = {d.id: position for position, d in enumerate(graph.devices)}
    placed = {p.task: p for p in schedule.placements}
    rows = [placed[task.id] for task in graph.tasks]
    order = sorted(graph.topological, key=lambda t: (rows[t].start, rows[t].end))
    return [number[row.device] for row in rows], order


def _arrival(
    graph: Compiled, device: Sequence[int], end: Sequence[float], task: int, d: int
) -> float:
    """When the task's inputs are all on a device."""
    b = graph.node_of[d]
    latest = 0.0
    for p, nbytes in graph.before[task]:
        a = graph.node_of[device[p]]
        latest = max(latest, end[p] + (graph.latency[a][b] + nbytes * graph.inverse[a][b]))
    return latest


class _Executor:
    """Events in order of time; the state is what waits, what runs and what has ended."""

    def __init__(self, graph: Compiled, schedule: Schedule, factors: Sequence[float]) -> None:
        self.graph = graph
        self.factors = factors
        # `planned`: by task, its device in the schedule
        self.planned, order = _plan(graph.graph, schedule)
        self.device = list(self.planned)  # by task: where it really runs
        self.priority = [0] * graph.size  # by task: its place in the schedule's order
        for position, task in enumerate(order):
            self.priority[task] = position
        self.pool: list[tuple[int, int]] = []  # (priority, task), sorted: ready, not started
        self.arrivals: list[dict[int, float]] = [{} for _ in range(graph.size)]
        self.began = [0.0] * len(graph.class_of)  # by device: when its present task began
        self.busy_until = [0.0] * len(graph.class_of)  # as expected
        self.running = [False] * len(graph.class_of)
        self.end = [INF] * graph.size  # by task; INF: it has not ended
        # by task: predecessors that have not ended
        self.waits = [len(arcs) for arcs in graph.before]
        self.events: list[tuple[float, int, int]] = []  # (time, task that ended or -1, device)

    def run(self) -> float:
        """Simulate until nothing is left."""
        now = 0.0
        for task in self.graph.order:
            if self.waits[task] == 0:
                self._ready(task)
        self._decide(now)
        while self.events:
            now = self.events[0][0]
            while self.events and self.events[0][0] == now:
                _, task, d = heapq.heappop(self.events)
                if task >= 0:
                    self._ended(task, d, now)
            self._decide(now)
        return max(self.end)

    def _ended(self, task: int, d: int, now: float) -> None:
        self.running[d] = False
        self.end[task] = now
        for follower, _ in self.graph.after[task]:
            self.waits[follower] -= 1
            if self.waits[follower] == 0:
                self._ready(follower)

    def _ready(self, task: int) -> None:
        """Inputs for the planned device were sent as they came up."""
        insort(self.pool, (self.priority[task], task))
        d = self.planned[task]
        self.arrivals[task][d] = _arrival(self.graph, self.device, self.end, task, d)

    def _decide(self, now: float) -> None:
        """A list pass over what is ready: start what can start, note where the rest would go."""
        free = [self._free(d, now) for d in range(len(self.running))]
        idle = len(free) - sum(self.running)
        started = []
        for entry in self.pool:
            if idle == 0:
                break
            task = entry[1]
            d = self._best(task, free, now)
            start = max(free[d], self._arrives(task, d, now))
            if start <= now and not self.running[d]:
                self._start(task, d, now)
                started.append(entry)
                idle -= 1
            elif d not in self.arrivals[task] or start > now:
                self._send(task, d, now)
            free[d] = start + self.graph.cost[task][self.graph.class_of[d]]
        for entry in started:
            self.pool.remove(entry)

    def _free(self, d: int, now: float) -> float:
        """When a device is expected to be free; who is late is expected to be later still."""
        if not self.running[d]:
            return now
        late = now >= self.busy_until[d]
        return now + _LATE * (now - self.began[d]) if late else self.busy_until[d]

    def _best(self, task: int, free: Sequence[float], now: float) -> int:
        """The planned device, unless another is expected to end clearly sooner."""
        planned = self.planned[task]
        if self.graph.limited:
            return planned
        costs, ends = self.graph.cost[task], {}
        for d, c in enumerate(self.graph.class_of):
            if costs[c] < INF:
                ends[d] = max(free[d], self._arrives(task, d, now)) + costs[c]
        best = min(ends, key=lambda d: (ends[d], d))
        worth = _LEAST_GAIN * costs[self.graph.class_of[planned]]
        return best if ends[best] < ends[planned] - worth else planned

    def _arrives(self, task: int, d: int, now: float) -> float:
        """When its inputs are on a device, if they are sent now where they are not under way."""
        known = self.arrivals[task].get(d)
        if known is not None:
            return known
        graph, b, latest = self.graph, self.graph.node_of[d], 0.0
        for p, nbytes in graph.before[task]:
            a = graph.node_of[self.device[p]]
            if a != b:
                latest = max(latest, now + graph.latency[a][b] + nbytes * graph.inverse[a][b])
        return latest

    def _send(self, task: int, d: int, now: float) -> None:
        """Inputs set out for the device; come back when they are there."""
        arrives = self.arrivals[task].setdefault(d, self._arrives(task, d, now))
        if arrives > now:
            heapq.heappush(self.events, (arrives, -1, d))

    def _start(self, task: int, d: int, now: float) -> None:
        self.device[task] = d
        self.running[d] = True
        cost = self.graph.cost[task][self.graph.class_of[d]]
        self.began[d], self.busy_until[d] = now, now + cost
        heapq.heappush(self.events, (now + cost * self.factors[task], task, d))
