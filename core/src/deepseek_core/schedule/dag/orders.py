"""Orders in which a list pass may take the tasks."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from deepseek_core.schedule.dag.compiled import Compiled
from deepseek_core.schedule.dag.listpass import Timetable


def ordered(graph: Compiled, rank: Sequence[float]) -> list[int]:
    """Tasks by decreasing rank, ties in topological order.

    The rank must not grow along an edge; then the result is a topological order.
    """
    return sorted(graph.order, key=lambda task: -rank[task])  # a stable sort keeps ties


def by_priority(graph: Compiled, rank: Sequence[float]) -> list[int]:
    """A topological order that always takes the ready task of largest rank."""
    position = {task: i for i, task in enumerate(graph.order)}
    waits = [len(arcs) for arcs in graph.before]
    ready = [(-rank[t], position[t], t) for t in graph.order if waits[t] == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        _, _, task = heapq.heappop(ready)
        order.append(task)
        for follower, _ in graph.after[task]:
            waits[follower] -= 1
            if waits[follower] == 0:
                heapq.heappush(ready, (-rank[follower], position[follower], follower))
    return order


def depth_first(graph: Compiled) -> list[int]:
    """A topological order that follows one branch as far as it goes."""
    waits = [len(arcs) for arcs in graph.before]
    stack = [t for t in reversed(graph.order) if waits[t] == 0]
    order = []
    while stack:
        task = stack.pop()
        order.append(task)
        for follower, _ in graph.after[task]:
            waits[follower] -= 1
            if waits[follower] == 0:
                stack.append(follower)
    return order


def mirrored(graph: Compiled, timetable: Timetable) -> list[int]:
    """Tasks of `graph` by decreasing end in a timetable of the reversed graph, or vice versa.

    Ties go in topological order: a task without length ends where it starts.
    """
    end = timetable.end
    return sorted(graph.order, key=lambda task: -end[task])


def by_start(graph: Compiled, timetable: Timetable) -> list[int]:
    """Tasks by start; those of one instant in topological order."""
    start, end = timetable.start, timetable.end
    return sorted(graph.order, key=lambda task: (start[task], end[task]))
