"""An independent check that a schedule can be executed as written.

It shares no code with the schedulers: it reads the graph's records by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import Id
from deepseek_core.schedule.dag.schedule import Schedule, TaskPlacement

_MOST_FAULTS = 20


def faults(graph: TaskGraph, schedule: Schedule, *, tolerance: float = 1e-9) -> list[str]:
    """What is wrong with the schedule, one sentence each; empty when it is valid.

    `tolerance` is relative to the makespan. Only the first faults are listed.
    """
    placed = {p.task: p for p in schedule.placements}
    missing = [task.id for task in graph.tasks if task.id not in placed]
    if missing or len(schedule.placements) != len(graph.tasks):
        return [f"{len(schedule.placements)} placements for {len(graph.tasks)} tasks {missing[:5]}"]
    slack = tolerance * max(schedule.makespan, 0.0)
    checks = (
        _durations(graph, placed, slack),
        _precedence(graph, placed, slack),
        _overlaps(graph, schedule.placements, slack),
        _memory(graph, placed),
        _colocation(graph, placed),
        _makespan(schedule, slack),
    )
    found = []
    for check in checks:
        for fault in check:
            found.append(fault)
            if len(found) == _MOST_FAULTS:
                return found
    return found


def _durations(graph: TaskGraph, placed: dict[Id, TaskPlacement], slack: float) -> Iterator[str]:
    kinds = {device.id: device.type for device in graph.devices}
    for task in graph.tasks:
        p = placed[task.id]
        if p.device not in kinds:
            yield f"task {p.task!r} is on device {p.device!r}, which the graph does not have"
            continue
        cost = task.cost.get(kinds[p.device])
        if cost is None:
            yield f"task {p.task!r} is on {p.device!r}, which can't run it"
        elif not math.isfinite(p.start) or p.start < -slack:
            yield f"task {p.task!r} starts at {p.start!r}"
        elif not abs(p.end - p.start - cost) <= slack:
            yield f"task {p.task!r} takes {p.end - p.start:g} on {p.device!r}, not {cost:g}"


def _precedence(graph: TaskGraph, placed: dict[Id, TaskPlacement], slack: float) -> Iterator[str]:
    memory = {device.id: device.mem for device in graph.devices}
    for source, target, nbytes in graph.edges:
        a, b = placed[source], placed[target]
        if a.device not in memory or b.device not in memory:
            continue
        arrives = a.end + graph.transfer(nbytes, memory[a.device], memory[b.device])
        if not b.start >= arrives - slack:
            what = f"its input of {source!r} is there at {arrives:g}"
            yield f"task {target!r} starts at {b.start:g}, and {what}"


def _overlaps(graph: TaskGraph, placements: Sequence[TaskPlacement], slack: float) -> Iterator[str]:
    lanes: dict[Id, list[TaskPlacement]] = {}
    for p in placements:
        if p.end - p.start > slack:  # a task without length is in nobody's way
            lanes.setdefault(p.device, []).append(p)
    for device, lane in lanes.items():
        lane.sort(key=lambda p: p.start)
        for a, b in pairwise(lane):
            if b.start < a.end - slack:
                yield f"tasks {a.task!r} and {b.task!r} overlap on {device!r}"


def _memory(graph: TaskGraph, placed: dict[Id, TaskPlacement]) -> Iterator[str]:
    by_id = {device.id: device for device in graph.devices}
    used: dict[tuple[str, Id], float] = {}
    for task in graph.tasks:
        one = by_id.get(placed[task.id].device)
        if one is not None:
            nbytes = task.mem_by_type.get(one.type, task.mem_bytes)
            used[graph.pool_of(one)] = used.get(graph.pool_of(one), 0.0) + nbytes
    for key, limit in graph.pools.items():
        if limit is not None and used.get(key, 0.0) > limit * (1 + 1e-9):
            yield f"{key[0]} {key[1]!r} holds {used[key]:g} bytes and has {limit:g}"


def _colocation(graph: TaskGraph, placed: dict[Id, TaskPlacement]) -> Iterator[str]:
    homes: dict[str, Id] = {}
    for task in graph.tasks:
        if task.colocate is not None:
            device = placed[task.id].device
            home = homes.setdefault(task.colocate, device)
            if home != device:
                yield f"the group {task.colocate!r} is on {home!r} and on {device!r}"


def _makespan(schedule: Schedule, slack: float) -> Iterator[str]:
    last = max(p.end for p in schedule.placements)
    if not abs(last - schedule.makespan) <= slack:
        yield f"the makespan is given as {schedule.makespan:g}, and the last task ends at {last:g}"
