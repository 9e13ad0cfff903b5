"""Devices for tasks under memory limits, before any time is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepseek_core.schedule.dag.compiled import INF, Compiled

_MOST_TRIES: Final = 50_000


def fill(graph: Compiled, order: Sequence[int]) -> list[int] | None:
    """Walk the order and stay on a device until it is full: few cuts, few transfers.

    Devices of the classes that do all the work soonest come first. None if something is left.
    """
    total = [sum(min(row[c], 1e300) for row in graph.cost) for c in range(len(graph.classes))]
    queue = sorted(range(len(graph.class_of)), key=lambda d: (total[graph.class_of[d]], d))
    room = list(graph.capacity)
    device = [-1] * graph.size
    current = 0
    for task in order:
        if device[task] >= 0:
            continue
        unit, needs = _unit(graph, task)
        costs = _costs(graph, task)
        fits = [
            k
            for k, d in enumerate(queue)
            if needs[graph.class_of[d]] <= room[graph.pool_of[d]] and costs[graph.class_of[d]] < INF
        ]
        if not fits:
            return None
        least = min(costs[graph.class_of[queue[k]]] for k in fits)
        fits = [k for k in fits if costs[graph.class_of[queue[k]]] == least]
        chosen = next((k for k in fits if k >= current), fits[0])
        nbytes = needs[graph.class_of[queue[chosen]]]
        if nbytes:
            current = chosen
        room[graph.pool_of[queue[chosen]]] -= nbytes
        for member in unit:
            device[member] = queue[chosen]
    return device


def pack(graph: Compiled) -> list[int] | None:
    """Any assignment that fits, largest first, with bounded backtracking; None if it finds none."""
    units = _units(graph)
    units.sort(key=lambda u: -max(u[1]))
    room = list(graph.capacity)
    chosen: list[int] = []  # position in the options of each unit placed so far
    options = [_options(graph, unit[0]) for unit, _ in units]
    tries, at = 0, 0
    placed: list[int] = []
    while len(placed) < len(units):
        tries += 1
        needs = units[len(placed)][1]
        row = options[len(placed)]
        while at < len(row) and needs[graph.class_of[row[at]]] > room[graph.pool_of[row[at]]]:
            at += 1
        if at < len(row):
            room[graph.pool_of[row[at]]] -= needs[graph.class_of[row[at]]]
            placed.append(row[at])
            chosen.append(at)
            at = 0
        elif not placed or tries > _MOST_TRIES:
            return None
        else:
            at = chosen.pop() + 1
            left = placed.pop()
            room[graph.pool_of[left]] += units[len(placed)][1][graph.class_of[left]]
    device = [-1] * graph.size
    for (unit, _), d in zip(units, placed, strict=True):
        for member in unit:
            device[member] = d
    return device


def _unit(graph: Compiled, task: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The task, or its whole colocation group, and their bytes by class."""
    own = graph.bundle[task]
    if own < 0:
        return (task,), graph.needs[task]
    return graph.bundles[own], graph.together[own]


def _units(graph: Compiled) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
    alone = [_unit(graph, t) for t in range(graph.size) if graph.bundle[t] < 0]
    return [*alone, *zip(graph.bundles, graph.together, strict=True)]


def _costs(graph: Compiled, task: int) -> tuple[float, ...]:
    own = graph.bundle[task]
    return graph.cost[task] if own < 0 else graph.whole[own]


def _options(graph: Compiled, task: int) -> list[int]:
    """Devices that can run it, the cheapest first."""
    costs = _costs(graph, task)
    able = [d for d, c in enumerate(graph.class_of) if costs[c] < INF]
    return sorted(able, key=lambda d: (costs[graph.class_of[d]], d))
