"""Priorities of tasks: how long the rest of the graph takes from each of them."""

# ruff: noqa: PLR1730 - in loops this hot a call of max() costs as much as the rest

from __future__ import annotations

from collections.abc import Callable, Sequence

from deepseek_core.schedule.dag.compiled import INF, Compiled

Average = Callable[[Sequence[float]], float]


def mean(costs: Sequence[float]) -> float:
    """Arithmetic mean of the finite costs."""
    finite = [c for c in costs if c < INF]
    return sum(finite) / len(finite)


def least(costs: Sequence[float]) -> float:
    """The smallest cost."""
    return min(costs)


def largest(costs: Sequence[float]) -> float:
    """The largest finite cost."""
    return max(c for c in costs if c < INF)


def harmonic(costs: Sequence[float]) -> float:
    """Harmonic mean of the finite costs: fast devices count more."""
    finite = [c for c in costs if c < INF]
    return 0.0 if min(finite) == 0 else len(finite) / sum(1 / c for c in finite)


def by_device(graph: Compiled, costs: Sequence[float]) -> list[float]:
    """The cost of each class repeated for each of its devices."""
    return [c for c, one in zip(costs, graph.classes, strict=True) for _ in one.devices]


def mean_link(graph: Compiled) -> tuple[float, float]:
    """Mean latency and mean time of a byte over ordered pairs of different devices."""
    nodes = [graph.classes[c].mem for c in graph.class_of]
    count = len(nodes) * (len(nodes) - 1)
    if count == 0:
        return 0.0, 0.0
    pairs = [(a, b) for a in nodes for b in nodes]  # a device and itself: no transfer
    return (
        sum(graph.latency[a][b] for a, b in pairs) / count,
        sum(graph.inverse[a][b] for a, b in pairs) / count,
    )


def upward(graph: Compiled, average: Average = mean, *, transfers: float = 1.0) -> list[float]:
    """Upward rank of each task: the longest averaged path to an end (HEFT).

    `transfers` scales the mean transfer times; 0 leaves them out.
    """
    latency, per_byte = (transfers * x for x in mean_link(graph))
    known: dict[tuple[float, ...], float] = {}
    rank = [0.0] * graph.size
    for task in reversed(graph.order):
        most = 0.0
        for follower, nbytes in graph.after[task]:
            value = rank[follower] + latency + nbytes * per_byte
            if value > most:
                most = value
        costs = graph.cost[task]
        own = known.get(costs)
        if own is None:
            own = known[costs] = average(by_device(graph, costs))
        rank[task] = own + most
    return rank


def downward(graph: Compiled, average: Average = mean) -> list[float]:
    """Downward rank: the longest averaged path from a beginning, the task excluded (CPOP)."""
    latency, per_byte = mean_link(graph)
    costs = [average(by_device(graph, row)) for row in graph.cost]
    rank = [0.0] * graph.size
    for task in graph.order:
        for p, nbytes in graph.before[task]:
            rank[task] = max(rank[task], rank[p] + costs[p] + latency + nbytes * per_byte)
    return rank


def mean_rows(graph: Compiled, table: Sequence[Sequence[float]]) -> list[float]:
    """Mean of each row of a [task][class] table over devices: PEFT's priority."""
    count = len(graph.class_of)
    return [sum(by_device(graph, row)) / count for row in table]


def cost_table(graph: Compiled) -> list[list[float]]:
    """PEFT's optimistic cost: [task][class] -> least time from its end to the end of all.

    By class, not by device: the devices of a class share it (Arabnejad, Barbosa 2014).
    """
    latency, per_byte = mean_link(graph)
    table: list[list[float]] = [[] for _ in range(graph.size)]
    count = len(graph.classes)
    mems = [one.mem for one in graph.classes]
    for task in reversed(graph.order):
        row = [0.0] * count
        for follower, nbytes in graph.after[task]:
            total = [o + w for o, w in zip(table[follower], graph.cost[follower], strict=True)]
            away = min(total) + latency + nbytes * per_byte
            near: dict[int, float] = {}
            for mem, value in zip(mems, total, strict=True):
                near[mem] = min(near.get(mem, away), value)
            row = [max(r, near[mem]) for r, mem in zip(row, mems, strict=True)]
        table[task] = row
    return table


def disadvantage(graph: Compiled, share: float) -> list[list[float]]:
    """[task][class] -> `share` of what the task costs there beyond its best class.

    As a bias it keeps tasks from devices that others use better.
    """
    known: dict[tuple[float, ...], list[float]] = {}
    for costs in graph.cost:
        if costs not in known:
            best = min(costs)
            known[costs] = [0.0 if w == INF else share * (w - best) for w in costs]
    return [known[costs] for costs in graph.cost]
