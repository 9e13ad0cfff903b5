"""Lower bounds on the makespan: what no schedule can beat.

The largest of three: the critical path where each task takes its best class and each edge the
transfer that this implies; the area, all work spread over all devices; and the area of the tasks
that lie between a head and a tail. Memory and colocation only raise the optimum, so that the
bounds hold with them too.
"""

# ruff: noqa: PLR1730 - in loops this hot a call of max() costs as much as the rest

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepseek_core.schedule.dag.compiled import INF, Compiled

_MOST_PAIRS: Final = 6_000_000  # (edge, node, node) triples that the exact path may look at
_MOST_TERMS: Final = 100_000  # (round, task, type) triples that the area may look at
_SLACK: Final = 1 - 1e-12  # sums of many floats err by a little


def lower_bound(graph: Compiled) -> float:
    """The best lower bound here, in the graph's unit of time."""
    heads, path = _earliest(graph)
    tails, _ = _earliest(graph.reversed())
    shares = _area_shares(graph)
    return max(path, _between(heads, tails, shares) * _SLACK)


def _earliest(graph: Compiled) -> tuple[list[float], float]:
    """Earliest start of each task on its best class, and the longest path.

    Legend: p predecessor; a, b memory nodes, from a to b; m one where the task can run; w its time
    on a class, t when an input arrives.
    """
    pairs = sum(map(len, graph.before)) * graph.nodes**2
    if graph.nodes == 1 or pairs > _MOST_PAIRS:
        return _plain_earliest(graph)
    nodes = range(graph.nodes)
    mems = [one.mem for one in graph.classes]
    into = [
        [(a, graph.latency[a][b], graph.inverse[a][b]) for a in sorted(set(mems))] for b in nodes
    ]
    done: list[list[float]] = [[] for _ in range(graph.size)]  # [task][node] -> least end
    heads, longest = [0.0] * graph.size, 0.0
    for task in graph.order:
        arrival = [0.0] * graph.nodes
        for p, nbytes in graph.before[task]:
            ends = done[p]
            for b in nodes:
                t = min([ends[a] + (delay + nbytes * rate) for a, delay, rate in into[b]])
                if t > arrival[b]:
                    arrival[b] = t
        row = [INF] * graph.nodes
        for mem, w in zip(mems, graph.cost[task], strict=True):
            row[mem] = min(row[mem], arrival[mem] + w)
        done[task] = row
        able = [m for m, w in zip(mems, graph.cost[task], strict=True) if w < INF]
        heads[task] = min(arrival[m] for m in able)
        longest = max(longest, min(row))
    return heads, longest


def _plain_earliest(graph: Compiled) -> tuple[list[float], float]:
    least = [min(row) for row in graph.cost]
    heads, longest = [0.0] * graph.size, 0.0
    for task in graph.order:
        head = 0.0
        for p, _ in graph.before[task]:
            if heads[p] + least[p] > head:
                head = heads[p] + least[p]
        heads[task] = head
        longest = max(longest, head + least[task])
    return heads, longest


def _area_shares(graph: Compiled) -> list[float]:
    """What each task adds to the area bound under the best weights that were found.

    The dual of the area LP: for any weights of the types that sum to 1, the sum over tasks of
    the least `weight * cost / devices` is a bound. The best weights balance the loads.
    """
    rows, count, per_type = _by_type(graph)
    distinct: dict[tuple[float, ...], int] = {}
    for row in rows:
        distinct[row] = distinct.get(row, 0) + 1
    weights = _balance(distinct, count, per_type)
    scaled = {
        row: min(x * w / n for x, w, n in zip(weights, row, per_type, strict=True) if w < INF)
        for row in distinct
    }
    return [scaled[row] for row in rows]


def _by_type(graph: Compiled) -> tuple[list[tuple[float, ...]], int, list[int]]:
    """Costs by device type, how many types, and how many devices each has."""
    devices = graph.graph.devices
    first: dict[str, int] = {}
    per: dict[str, int] = {}
    for number, one in enumerate(graph.classes):
        kind = devices[one.devices[0]].type
        first.setdefault(kind, number)
        per[kind] = per.get(kind, 0) + len(one.devices)
    picked = list(first.values())
    known: dict[tuple[float, ...], tuple[float, ...]] = {}
    rows = []
    for costs in graph.cost:
        if costs not in known:
            known[costs] = tuple(costs[c] for c in picked)
        rows.append(known[costs])
    return rows, len(picked), list(per.values())


def _balance(
    distinct: dict[tuple[float, ...], int], count: int, per_type: Sequence[int]
) -> list[float]:
    """Weights of the types: pushed towards the loaded ones, the best of all rounds kept."""
    if count == 1:
        return [1.0]
    rounds = max(30, min(200, _MOST_TERMS // (len(distinct) * count)))
    weights = _even(distinct, per_type)
    best, best_value = weights, -1.0
    for number in range(rounds):
        value, load = _weighted(distinct, weights, per_type)
        if value > best_value:
            best, best_value = weights, value
        total = sum(x * y for x, y in zip(weights, load, strict=True)) or 1.0
        step = 0.5 / (1 + number / 8)
        pushed = [
            max(x, 1e-9) * (1 + step) ** min(4.0, y / total - 1)
            for x, y in zip(weights, load, strict=True)
        ]
        weights = [x / sum(pushed) for x in pushed]
    return best


def _even(distinct: dict[tuple[float, ...], int], per_type: Sequence[int]) -> list[float]:
    """Weights under which an average task costs the same on every type.

    They are the optimum where the types differ by one factor each.
    """
    weights = []
    for kind, n in enumerate(per_type):
        costs = [(row[kind], times) for row, times in distinct.items() if row[kind] < INF]
        total = sum(w * times for w, times in costs)
        weights.append(n * sum(times for _, times in costs) / total if total > 0 else float(n))
    return [x / sum(weights) for x in weights]


def _weighted(
    distinct: dict[tuple[float, ...], int], weights: Sequence[float], per_type: Sequence[int]
) -> tuple[float, list[float]]:
    """The bound under these weights, and each type's load where every task goes to its least."""
    value = 0.0
    load = [0.0] * len(per_type)
    factors = [x / n for x, n in zip(weights, per_type, strict=True)]
    for row, times in distinct.items():
        scaled = [f * w if w < INF else INF for f, w in zip(factors, row, strict=True)]
        least = min(scaled)
        kind = scaled.index(least)
        value += times * least
        load[kind] += times * row[kind] / per_type[kind]
    return value, load


def _between(heads: Sequence[float], tails: Sequence[float], shares: Sequence[float]) -> float:
    """Largest head + area + tail over sets of tasks: all whose head and tail are at least so."""
    by_head = sorted(set(heads))
    steps = {0.0, *by_head[:: max(1, len(by_head) // 8)]}
    order = sorted(range(len(heads)), key=lambda t: -tails[t])
    best = 0.0
    for head in steps:
        area = 0.0
        for task in order:
            if heads[task] >= head:
                area += shares[task]
                best = max(best, head + area + tails[task])
    return best
