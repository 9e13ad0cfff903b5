"""A task graph as plain lists, for the inner loops of the schedulers.

Tasks, devices, classes and memory nodes are positions. A class is a set of devices of one type
on one memory node: they have the same costs and transfers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs

from deepseek_core.schedule.dag.graph import TaskGraph

INF: Final = math.inf

Arcs = list[list[tuple[int, float]]]


@attrs.frozen(kw_only=True)
class DeviceClass:
    """Devices that are alike: one type, one memory node."""

    mem: int
    devices: tuple[int, ...]


@attrs.define(kw_only=True, eq=False)
class Compiled:
    """Lists by position; `cost[task][class]` is infinite where the class can't run the task.

    `before` and `after` hold (task, nbytes). `twins[class]` numbers the classes that differ
    only by name: while one is untouched, the next ones offer nothing new.
    `bundle[task]` is the number of its colocation group or -1, `bundles[number]` its tasks,
    `together[number][class]` their bytes, `whole[number][class]` the sum of their costs.
    `needs[task][class]` are bytes of a task; the devices of one number in `pool_of` share one
    capacity.
    """

    graph: TaskGraph
    classes: tuple[DeviceClass, ...]
    class_of: tuple[int, ...]
    node_of: tuple[int, ...]
    cost: list[tuple[float, ...]]
    before: Arcs
    after: Arcs
    order: tuple[int, ...]
    latency: tuple[tuple[float, ...], ...]
    inverse: tuple[tuple[float, ...], ...]
    twins: tuple[int, ...]
    bundle: list[int]
    bundles: tuple[tuple[int, ...], ...]
    together: list[tuple[float, ...]]
    whole: list[tuple[float, ...]]
    needs: list[tuple[float, ...]]
    pool_of: tuple[int, ...]
    capacity: tuple[float, ...]

    @property
    def size(self) -> int:
        """How many tasks."""
        return len(self.cost)

    @property
    def nodes(self) -> int:
        """How many memory nodes."""
        return len(self.latency)

    @property
    def limited(self) -> bool:
        """Whether memory or colocation restricts the choice of a device."""
        return bool(self.bundles) or min(self.capacity) < INF

    def reversed(self) -> Compiled:
        """The graph with every edge and link turned around."""
        return attrs.evolve(
            self,
            before=self.after,
            after=self.before,
            order=self.order[::-1],
            latency=tuple(zip(*self.latency, strict=True)),
            inverse=tuple(zip(*self.inverse, strict=True)),
        )


def compile_graph(graph: TaskGraph) -> Compiled:
    """Resolve names to positions once."""
    classes = _classes(graph)
    cost = _costs(graph, classes)
    class_of = [0] * len(graph.devices)
    for number, one in enumerate(classes):
        for device in one.devices:
            class_of[device] = number
    before, after = _arcs(graph)
    latency, inverse = _links(graph)
    bundles = tuple(graph.groups.values())
    bundle = [-1] * len(graph.tasks)
    for number, members in enumerate(bundles):
        for task in members:
            bundle[task] = number
    needs = _needs(graph, classes)
    pools = graph.pools
    return Compiled(
        graph=graph,
        classes=classes,
        class_of=tuple(class_of),
        node_of=tuple(device.mem for device in graph.devices),
        cost=cost,
        before=before,
        after=after,
        order=graph.topological,
        latency=latency,
        inverse=inverse,
        twins=_twins(graph, classes, latency, inverse),
        bundle=bundle,
        bundles=bundles,
        together=[_sums(needs, members) for members in bundles],
        whole=[_sums(cost, members) for members in bundles],
        needs=needs,
        pool_of=_pool_of(graph),
        capacity=tuple(INF if room is None else room for room in pools.values()),
    )


def _sums(rows: Sequence[tuple[float, ...]], members: Sequence[int]) -> tuple[float, ...]:
    return tuple(map(sum, zip(*(rows[t] for t in members), strict=True)))


def _needs(graph: TaskGraph, classes: Sequence[DeviceClass]) -> list[tuple[float, ...]]:
    types = [graph.devices[one.devices[0]].type for one in classes]
    known: dict[float, tuple[float, ...]] = {}
    rows = []
    for task in graph.tasks:
        if task.mem_by_type:
            rows.append(tuple(map(task.needs, types)))
        else:  # mostly nothing: one row for all
            rows.append(known.setdefault(task.mem_bytes, (task.mem_bytes,) * len(types)))
    return rows


def _pool_of(graph: TaskGraph) -> tuple[int, ...]:
    number = {key: position for position, key in enumerate(graph.pools)}
    return tuple(number[graph.pool_of(device)] for device in graph.devices)


def _classes(graph: TaskGraph) -> tuple[DeviceClass, ...]:
    found: dict[tuple[str, int], list[int]] = {}
    for position, device in enumerate(graph.devices):
        found.setdefault((device.type, device.mem), []).append(position)
    return tuple(DeviceClass(mem=mem, devices=tuple(d)) for (_, mem), d in found.items())


def _costs(graph: TaskGraph, classes: Sequence[DeviceClass]) -> list[tuple[float, ...]]:
    types = [graph.devices[one.devices[0]].type for one in classes]
    rows = []
    for task in graph.tasks:
        stated = [task.cost.get(kind) for kind in types]
        rows.append(tuple(INF if cost is None else float(cost) for cost in stated))
    for members in graph.groups.values():  # a class must run the whole group
        barred = {c for c in range(len(types)) for t in members if rows[t][c] == INF}
        for member in members:
            rows[member] = tuple(INF if c in barred else w for c, w in enumerate(rows[member]))
    return rows


def _arcs(graph: TaskGraph) -> tuple[Arcs, Arcs]:
    index = graph.index
    before: Arcs = [[] for _ in graph.tasks]
    after: Arcs = [[] for _ in graph.tasks]
    for source, target, nbytes in graph.edges:
        a, b = index[source], index[target]
        before[b].append((a, nbytes))
        after[a].append((b, nbytes))
    return before, after


def _links(
    graph: TaskGraph,
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    """Latency and the inverse of bandwidth, both zero within one memory."""
    nodes = range(len(graph.bandwidth))
    latency, inverse = [], []
    for a in nodes:
        bandwidths = graph.bandwidth[a]
        inverse.append(tuple(0.0 if w is None else 1.0 / w for w in bandwidths))
        latency.append(
            tuple(
                0.0 if bandwidths[b] is None else float(graph.latency[a][b] or 0.0) for b in nodes
            )
        )
    return tuple(latency), tuple(inverse)


def _twins(
    graph: TaskGraph,
    classes: Sequence[DeviceClass],
    latency: Sequence[Sequence[float]],
    inverse: Sequence[Sequence[float]],
) -> tuple[int, ...]:
    """Classes of one number can swap names without anyone noticing."""
    users = [one.mem for one in classes]
    numbers: list[int] = []
    for position, one in enumerate(classes):
        twin = position
        for other in range(position):
            alone = users.count(one.mem) == 1 and users.count(classes[other].mem) == 1
            if (
                alone
                and numbers[other] == other
                and _alike(graph, classes[other], one, latency, inverse)
            ):
                twin = other
                break
        numbers.append(twin)
    return tuple(numbers)


def _alike(
    graph: TaskGraph,
    a: DeviceClass,
    b: DeviceClass,
    latency: Sequence[Sequence[float]],
    inverse: Sequence[Sequence[float]],
) -> bool:
    def offers(one: DeviceClass) -> list[tuple[str, float | None, str | None]]:
        rows = [graph.devices[d] for d in one.devices]
        return [(row.type, row.mem_bytes, row.pool) for row in rows]

    if offers(a) != offers(b):
        return False
    x, y = a.mem, b.mem
    rest = [node for node in range(len(latency)) if node not in (x, y)]
    return all(
        m[x][y] == m[y][x] and all(m[x][k] == m[y][k] and m[k][x] == m[k][y] for k in rest)
        for m in (latency, inverse)
    )
