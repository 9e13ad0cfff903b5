"""From an order of tasks and a device for each to a schedule, and nothing chosen on the way.

Each task goes behind what its device already has. It is many times faster than a list pass, and
every schedule without needless waits has an order that gives it.
"""

# ruff: noqa: PLR1730 - in loops this hot a call of max() costs as much as the rest

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from deepseek_core.schedule.dag.compiled import INF, Compiled
from deepseek_core.schedule.dag.listpass import Timetable

_MOST_TERMS: Final = 1_000_000  # (edge, device, device) triples that exact tails may look at


class Decoded(NamedTuple):
    """The makespan, when each task ends, and for which task each one waited last (-1: none)."""

    makespan: float
    end: list[float]
    why: list[int]


class Decoder:
    """A graph by task and device.

    `delay[d][a]` and `rate[d][a]` are the latency and the time of a byte from device `a` to `d`.
    `tail[task][d]` must follow the end of a task on `d` at least.
    """

    def __init__(self, graph: Compiled) -> None:
        self.graph = graph
        self.devices = range(len(graph.class_of))
        known: dict[tuple[float, ...], tuple[list[float], list[int]]] = {}
        for row in graph.cost:
            if row not in known:
                costs = [row[c] for c in graph.class_of]
                known[row] = costs, [d for d in self.devices if costs[d] < INF]
        self.cost = [known[row][0] for row in graph.cost]
        self.able = [known[row][1] for row in graph.cost]
        nodes = graph.node_of
        self.delay = [[graph.latency[nodes[a]][b] for a in self.devices] for b in nodes]
        self.rate = [[graph.inverse[nodes[a]][b] for a in self.devices] for b in nodes]
        self.before = [tuple(arcs) for arcs in graph.before]
        self.tail = self._tails()

    def decode(self, order: Sequence[int], device: Sequence[int], limit: float) -> Decoded | None:
        """The schedule; None once a task's end and the tail that must follow pass `limit`."""
        before, cost, tail, delay, rate = self.before, self.cost, self.tail, self.delay, self.rate
        free = [0.0] * len(self.devices)
        latest = [-1] * len(self.devices)
        end, why = [0.0] * len(cost), [-1] * len(cost)
        makespan = 0.0
        for task in order:
            d = device[task]
            at, reason = free[d], latest[d]
            wait, per_byte = delay[d], rate[d]
            for p, nbytes in before[task]:
                a = device[p]
                t = end[p] + (wait[a] + nbytes * per_byte[a])
                if t > at:
                    at, reason = t, p
            at += cost[task][d]
            if at + tail[task][d] > limit:
                return None
            end[task] = free[d] = at
            latest[d], why[task] = task, reason
            if at > makespan:
                makespan = at
        return Decoded(makespan, end, why)

    def timetable(self, order: Sequence[int], device: Sequence[int]) -> Timetable:
        """The same with starts, as list passes give it."""
        found = self.decode(order, device, INF)
        assert found is not None
        start, free = [0.0] * len(device), [0.0] * len(self.devices)
        for task in order:
            d = device[task]
            start[task] = max(free[d], self.arrival(task, d, device, found.end))
            free[d] = found.end[task]
        return Timetable(
            device=list(device), start=start, end=found.end, makespan=found.makespan
        )

    def arrival(
        self, task: int, d: int, device: Sequence[int], end: Sequence[float]
    ) -> float:
        """When all inputs of a task are on a device."""
        latest = 0.0
        wait, per_byte = self.delay[d], self.rate[d]
        for p, nbytes in self.before[task]:
            a = device[p]
            t = end[p] + (wait[a] + nbytes * per_byte[a])
            if t > latest:
                latest = t
        return latest

    def _tails(self) -> list[list[float]]:
        """By device where that is affordable, else the path of least costs for all devices."""
        graph, count = self.graph, len(self.devices)
        exact = sum(map(len, graph.after)) * count**2 <= _MOST_TERMS and graph.nodes > 1
        tail: list[list[float]] = [[] for _ in graph.order]
        for task in reversed(graph.order):
            row = [0.0] * count
            for follower, nbytes in graph.after[task]:
                ends = [w + t for w, t in zip(self.cost[follower], tail[follower], strict=True)]
                if not exact:
                    least = min(ends)
                    row = [least if least > x else x for x in row]
                    continue
                there = [(self.delay[b], self.rate[b], ends[b]) for b in self.able[follower]]
                for a in self.devices:
                    t = min([end + (wait[a] + nbytes * byte[a]) for wait, byte, end in there])
                    if t > row[a]:
                        row[a] = t
            tail[task] = row
        return tail
