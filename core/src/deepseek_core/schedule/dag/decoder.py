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

_LEAST_EVERY: Final = 8  # tasks from one mark to the next
_MOST_MARKS: Final = 32
_MOST_TERMS: Final = 1_000_000  # (edge, device, device) triples that exact tails may look at


class _Mark(NamedTuple):
    """Where a schedule stands in the middle: devices' ends and last tasks, the last task of all."""

    free: list[float]
    latest: list[int]
    makespan: float
    last: int


class Decoded(NamedTuple):
    """The makespan, when each task ends, and for which task each one waited last (-1: none).

    `last` is the task that ends last. From a mark on a changed order can be decoded again.
    """

    makespan: float
    last: int
    end: list[float]
    why: list[int]
    marks: list[_Mark]


_Way = tuple[float, float, list[tuple[int, list[float]]]]
"""The cost of a task on a device, that and its tail, and for each input the transfer by origin."""


class Decoder:
    """A graph by task and device.

    `delay[d][a]` and `rate[d][a]` are the latency and the time of a byte from device `a` to `d`.
    `tail[task][d]` must follow the end of a task on `d` at least.
    """

    def __init__(self, graph: Compiled) -> None:
        self.graph = graph
        # tasks between two marks, from which a changed order is decoded again
        self._every = max(_LEAST_EVERY, graph.size // _MOST_MARKS)
        self.devices = range(len(graph.class_of))
        known: dict[tuple[float, ...], tuple[list[float], list[int]]] = {}
        for row in graph.cost:
            if row not in known:
                costs = [row[c] for c in graph.class_of]
                known[row] = costs, [d for d in self.devices if costs[d] < INF]
        self.cost = [known[row][0] for row in graph.cost]  # [task][device]; INF where it can't run
        self.able = [known[row][1] for row in graph.cost]  # by task: devices that run it
        nodes = graph.node_of
        self.delay = [[graph.latency[nodes[a]][b] for a in self.devices] for b in nodes]
        self.rate = [[graph.inverse[nodes[a]][b] for a in self.devices] for b in nodes]
        self.before = [tuple(arcs) for arcs in graph.before]  # by task: (predecessor, bytes)
        self.tail = self._tails()
        # [task][device], made when first needed
        self._ways: list[list[_Way | None]] = [[None] * len(self.devices) for _ in graph.cost]

    def _way(self, task: int, d: int) -> _Way:
        """What a task on a device takes; kept, since a search comes back to it."""
        cost, wait, per_byte = self.cost[task][d], self.delay[d], self.rate[d]
        moved = [
            (p, [late + nbytes * byte for late, byte in zip(wait, per_byte, strict=True)])
            for p, nbytes in self.before[task]
        ]
        found = self._ways[task][d] = cost, cost + self.tail[task][d], moved
        return found

    def decode(
        self,
        order: Sequence[int],
        device: Sequence[int],
        limit: float = INF,
        base: Decoded | None = None,
        first: int = 0,
    ) -> Decoded | None:
        """The schedule; None once a task's end and the tail that must follow pass `limit`.

        Before the position `first` order and devices are those that gave `base`.
        """
        ways, every = self._ways, self._every
        if base is None:
            free, latest = [0.0] * len(self.devices), [-1] * len(self.devices)
            makespan, last, begin = 0.0, order[0], 0
            end, why, marks = [0.0] * len(ways), [-1] * len(ways), list[_Mark]()
        else:
            begin = first // every
            kept, latest_then, makespan, last = base.marks[begin]
            free, latest = list(kept), list(latest_then)
            end, why, marks = list(base.end), list(base.why), base.marks[:begin]
        for block in range(begin * every, len(order), every):
            marks.append(_Mark(list(free), list(latest), makespan, last))
            for task in order[block : block + every]:
                d = device[task]
                cost, left, moved = ways[task][d] or self._way(task, d)
                at, reason = free[d], latest[d]
                for p, moved_from in moved:
                    t = end[p] + moved_from[device[p]]
                    if t > at:
                        at, reason = t, p
                if at + left > limit:
                    return None
                at += cost
                end[task] = free[d] = at
                latest[d], why[task] = task, reason
                if at > makespan:
                    makespan, last = at, task
        return Decoded(makespan, last, end, why, marks)

    def timetable(self, order: Sequence[int], device: Sequence[int]) -> Timetable:
        """The same with starts, as list passes give it."""
        found = self.decode(order, device)
        assert found is not None
        start, free = [0.0] * len(device), [0.0] * len(self.devices)
        for task in order:
            d = device[task]
            start[task] = max(free[d], self.arrival(task, d, device, found.end))
            free[d] = found.end[task]
        return Timetable(device=list(device), start=start, end=found.end, makespan=found.makespan)

    def arrival(self, task: int, d: int, device: Sequence[int], end: Sequence[float]) -> float:
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
