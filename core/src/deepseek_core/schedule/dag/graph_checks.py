"""What makes a task graph valid: checked once, when the graph is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Protocol

from deepseek_core.contracts.errors import GraphError, InputError, NoDevice
from deepseek_core.contracts.units import format_bytes
from deepseek_core.schedule.dag.nodes import DagDevice, DagEdge, DagTask, Id

_MOST_SHOWN = 12  # tasks of a cycle that an error prints
_LONGEST = 1e300  # sums of times stay finite below


class TaskGraph(Protocol):
    """What the checks read of a graph."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def devices(self) -> tuple[DagDevice, ...]: ...  # noqa: D102
    @property
    def bandwidth(self) -> tuple[tuple[float | None, ...], ...]: ...  # noqa: D102
    @property
    def latency(self) -> tuple[tuple[float | None, ...], ...]: ...  # noqa: D102
    @property
    def tasks(self) -> tuple[DagTask, ...]: ...  # noqa: D102
    @property
    def edges(self) -> tuple[DagEdge, ...]: ...  # noqa: D102
    @property
    def index(self) -> Mapping[Id, int]: ...  # noqa: D102
    @property
    def topological(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def groups(self) -> Mapping[str, tuple[int, ...]]: ...  # noqa: D102
    @property
    def pools(self) -> Mapping[tuple[str, Id], float | None]: ...  # noqa: D102
    def pool_of(self, device: DagDevice) -> tuple[str, Id]: ...  # noqa: D102


def check(graph: TaskGraph) -> None:
    """Raise for the first thing that is wrong; see `TaskGraph` for what."""
    _check_present(graph)
    _check_links(graph)
    _check_tasks(graph)
    _check_edges(graph)
    _check_span(graph)
    _ = graph.topological
    _check_groups(graph)
    _check_memory(graph)


def _check_present(graph: TaskGraph) -> None:
    if not graph.tasks:
        raise GraphError(f"graph {graph.name!r} has no tasks", remedy="add at least one task")
    if not graph.devices:
        raise GraphError(f"graph {graph.name!r} has no devices", remedy="add at least one device")
    for what, ids in (
        ("device", [d.id for d in graph.devices]),
        ("task", [t.id for t in graph.tasks]),
    ):
        seen: set[Id] = set()
        for one in ids:
            if one in seen:
                raise GraphError(
                    f"graph {graph.name!r}: two {what}s have the id {one!r}",
                    remedy="give each an id of its own",
                )
            seen.add(one)


def _check_links(graph: TaskGraph) -> None:
    nodes = len(graph.bandwidth)
    for what, matrix in (("bandwidth", graph.bandwidth), ("latency", graph.latency)):
        if len(matrix) != nodes or any(len(row) != nodes for row in matrix):
            raise InputError(
                f"graph {graph.name!r}: {what} must be a {nodes} x {nodes} matrix",
                remedy="give one row and one column for each memory node",
            )
    for a in range(nodes):
        for b in range(nodes):
            _check_link(graph, a, b)
    for device in graph.devices:
        if not 0 <= device.mem < nodes:
            raise InputError(
                f"device {device.id!r} is on memory node {device.mem}, and there are {nodes}"
            )
        if device.mem_bytes is not None:
            _check_number(device.mem_bytes, f"mem_bytes of device {device.id!r}")
        if graph.pools[graph.pool_of(device)] != device.mem_bytes:
            raise InputError(
                f"devices of the pool {device.pool!r} have different mem_bytes",
                remedy="give each of them the capacity that they share",
            )


def _check_link(graph: TaskGraph, a: int, b: int) -> None:
    where = f"from memory node {a} to {b}"
    bandwidth, latency = graph.bandwidth[a][b], graph.latency[a][b]
    if bandwidth is not None and bandwidth != math.inf:
        _check_number(bandwidth, f"bandwidth {where}")
        if bandwidth == 0 or a == b:
            raise InputError(
                f"the bandwidth {where} is {bandwidth:g}",
                remedy="write null within one memory; leave out devices that nothing reaches",
            )
    _check_number(latency or 0.0, f"latency {where}")


def _check_number(value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"the {what} must be a finite number of 0 or more, got {value!r}")
    if not math.isfinite(value) or value < 0:
        raise InputError(f"the {what} must be a finite number of 0 or more, got {value!r}")


def _check_tasks(graph: TaskGraph) -> None:
    types = {device.type for device in graph.devices}
    finite = math.isfinite
    for task in graph.tasks:
        able = False
        for kind, cost in task.cost.items():
            if cost is not None:
                if not (type(cost) is float and finite(cost) and cost >= 0):  # the common case
                    _check_number(cost, f"cost of task {task.id!r} on {kind!r}")
                able = able or kind in types
        for nbytes in (task.mem_bytes, *task.mem_by_type.values()):
            _check_number(nbytes, f"mem_bytes of task {task.id!r}")
        if not able:
            raise _nobody(graph, task)


def _nobody(graph: TaskGraph, task: DagTask) -> NoDevice:
    def why(kind: str) -> str:
        stated = kind in task.cost
        return f"type {kind!r} can't run it" if stated else f"it has no cost for type {kind!r}"

    refusals = {str(device.id): why(device.type) for device in graph.devices}
    shown = "; ".join(f"{d}: {r}" for d, r in list(refusals.items())[:_MOST_SHOWN])
    named = f" ({task.name})" if task.name else ""
    return NoDevice(
        f"no device can run task {task.id!r}{named}: {shown}",
        refusals=refusals,
        remedy="give the task a cost for the type of a device, or add a device of a type it has",
    )


def _check_edges(graph: TaskGraph) -> None:
    known = graph.index
    for edge in graph.edges:
        for end in (edge.source, edge.target):
            if end not in known:
                raise GraphError(
                    f"the edge from {edge.source!r} to {edge.target!r} leads to nowhere: "
                    f"there is no task {end!r}",
                    remedy="name tasks by their id",
                )
        _check_number(edge.nbytes, f"bytes of the edge from {edge.source!r} to {edge.target!r}")


def _check_span(graph: TaskGraph) -> None:
    """One task after the other, each at its slowest: what no schedule needs more than."""
    total = sum(max(c for c in task.cost.values() if c is not None) for task in graph.tasks)
    nodes = range(len(graph.bandwidth))
    slowest = [graph.bandwidth[a][b] for a in nodes for b in nodes]
    byte = max((1 / rate for rate in slowest if rate is not None), default=0.0)
    delay = max(graph.latency[a][b] or 0.0 for a in nodes for b in nodes)
    total += len(graph.edges) * delay + sum(edge.nbytes for edge in graph.edges) * byte
    if not total <= _LONGEST:
        raise InputError(
            f"graph {graph.name!r}: its costs and transfers are so large that their sum is not a "
            f"number below {_LONGEST:g}",
            remedy="write them in a larger unit of time",
        )


def topological_order(graph: TaskGraph) -> tuple[int, ...]:
    """Positions of tasks, each after all that it waits for (Kahn), without recursion.

    Raises:
        GraphError: there is none; prints a cycle.
    """
    index = graph.index
    waits = [0] * len(graph.tasks)
    after: list[list[int]] = [[] for _ in graph.tasks]
    for source, target, _ in graph.edges:
        after[index[source]].append(index[target])
        waits[index[target]] += 1
    order = [position for position, count in enumerate(waits) if count == 0]
    for position in order:  # grows while it is walked
        for follower in after[position]:
            waits[follower] -= 1
            if waits[follower] == 0:
                order.append(follower)
    if len(order) < len(waits):
        raise _cyclic(graph, {p for p, count in enumerate(waits) if count})
    return tuple(order)


def _cyclic(graph: TaskGraph, stuck: set[int]) -> GraphError:
    """Walk backwards among the tasks that never became ready until one repeats."""
    index = graph.index
    before = {
        index[e.target]: index[e.source]
        for e in graph.edges
        if index[e.target] in stuck and index[e.source] in stuck
    }
    seen: dict[int, int] = {}
    position = min(before)
    while position not in seen:
        seen[position] = len(seen)
        position = before[position]
    walked = list(seen)[seen[position] :]
    cycle = [str(graph.tasks[p].id) for p in [position, *reversed(walked)]]
    if len(cycle) > _MOST_SHOWN:
        cycle = [*cycle[: _MOST_SHOWN - 2], "...", cycle[-1]]
    return GraphError(
        f"graph {graph.name!r} has a cycle of {len(walked)} tasks: {' -> '.join(cycle)}",
        remedy="remove one of these edges",
    )


def _check_groups(graph: TaskGraph) -> None:
    types = {device.type for device in graph.devices}
    for key, members in graph.groups.items():
        shared = set(types)
        for position in members:
            cost = graph.tasks[position].cost
            shared = {kind for kind in shared if cost.get(kind) is not None}
        if not shared:
            ids = ", ".join(repr(graph.tasks[p].id) for p in members[:_MOST_SHOWN])
            raise GraphError(
                f"the tasks {ids} must run together (colocate {key!r}) "
                "and no type of device runs them all",
                remedy="split the group, or give its tasks costs for one common type",
            )


def _units_of_memory(graph: TaskGraph) -> Iterator[tuple[str, dict[str, float]]]:
    """What must lie on one device: a name for it, and its bytes on each type that runs it."""
    grouped = {p for members in graph.groups.values() for p in members}
    for position, task in enumerate(graph.tasks):
        if position not in grouped:
            yield f"task {task.id!r}", {kind: task.needs(kind) for kind in _able(task)}
    for key, members in graph.groups.items():
        tasks = [graph.tasks[p] for p in members]
        able = set.intersection(*map(_able, tasks))
        yield f"the group {key!r}", {kind: sum(t.needs(kind) for t in tasks) for kind in able}


def _able(task: DagTask) -> set[str]:
    return {kind for kind, cost in task.cost.items() if cost is not None}


def _check_memory(graph: TaskGraph) -> None:
    """Each unit fits a device, and all that must share devices fit them together."""
    if all(room is None for room in graph.pools.values()):
        return
    room: dict[str, float] = {}
    total: dict[str, float] = {}
    for key, kinds in _types_of_pools(graph).items():
        stated = graph.pools[key]
        limit = math.inf if stated is None else stated
        for kind in kinds:
            room[kind] = max(room.get(kind, 0.0), limit)
            total[kind] = total.get(kind, 0.0) + limit
    demand: dict[frozenset[str], float] = {}
    for what, needs in _units_of_memory(graph):
        able = frozenset(needs.keys() & room.keys())
        if all(needs[kind] > room[kind] for kind in able):
            kind = min(able, key=lambda kind: (needs[kind] - room[kind], kind))
            excess = needs[kind] - room[kind]
            raise _too_big(f"{what} needs {format_bytes(needs[kind])}", excess, room[kind])
        demand[able] = demand.get(able, 0.0) + min(needs[kind] for kind in able)
    for able in demand:
        nbytes = sum(amount for other, amount in demand.items() if other <= able)
        most = sum(total[kind] for kind in able)
        if nbytes > most:
            where = "/".join(sorted(able))
            raise _too_big(
                f"the tasks that only run on {where} need {format_bytes(nbytes)} in all",
                nbytes - most,
                most,
            )


def _types_of_pools(graph: TaskGraph) -> dict[tuple[str, Id], set[str]]:
    found: dict[tuple[str, Id], set[str]] = {}
    for device in graph.devices:
        found.setdefault(graph.pool_of(device), set()).add(device.type)
    return found


def _too_big(what: str, excess: float, room: float) -> GraphError:
    return GraphError(
        f"{what}, and {format_bytes(room)} is there: {format_bytes(excess)} too much",
        remedy="add memory or devices, or split the tasks",
    )
