"""A task graph and the devices it may run on: what a schedule is made from.

Times (costs, latencies, starts, ends) share one unit, the graph's `unit`; bandwidths are bytes
per that unit. A device's cost for a task depends on its type; moving an edge's bytes between
memory nodes `a` and `b` takes `latency[a][b] + nbytes / bandwidth[a][b]`, and nothing where the
bandwidth is None: the two share one memory. A device runs one task at a time, transfers do not
contend. `mem_bytes` of a task stay on its device for the whole schedule, as weights do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import attrs

from deepseek_core.schedule.dag import graph_checks as checks
from deepseek_core.schedule.dag.nodes import DagDevice, DagEdge, DagTask, Id

Link = Sequence[Sequence[float | None]]


# Typed converters: a bare `tuple` would leave the element type unknown to type checkers.
def _devices(values: Iterable[DagDevice]) -> tuple[DagDevice, ...]:
    return tuple(values)


def _tasks(values: Iterable[DagTask]) -> tuple[DagTask, ...]:
    return tuple(values)


def _edges(values: Iterable[tuple[Id, Id, float]]) -> tuple[DagEdge, ...]:
    return tuple(DagEdge(*value) for value in values)


def _matrix(rows: Link) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(row) for row in rows)


@attrs.frozen(kw_only=True, eq=False)
class TaskGraph:
    """Devices, links between memory nodes, tasks and edges; checked when it is made.

    Raises:
        GraphError: no tasks, a cycle (printed), an edge to nowhere, an identifier used twice,
            memory that can't fit (and by how much), a colocated group that no device can run.
        InputError: a cost, size or link figure that is not a finite number >= 0.
        NoDevice: a task that no device can run, and why each refused.
    """

    name: str = "graph"
    unit: str = "s"
    devices: tuple[DagDevice, ...] = attrs.field(converter=_devices)
    bandwidth: tuple[tuple[float | None, ...], ...] = attrs.field(
        converter=_matrix, default=((None,),)
    )
    latency: tuple[tuple[float | None, ...], ...] = attrs.field(
        converter=_matrix, default=((0.0,),)
    )
    tasks: tuple[DagTask, ...] = attrs.field(converter=_tasks)
    edges: tuple[DagEdge, ...] = attrs.field(converter=_edges, default=())

    def __attrs_post_init__(self) -> None:
        checks.check(self)

    @cached_property
    def index(self) -> Mapping[Id, int]:
        """Task id -> its position in `tasks`."""
        return {task.id: position for position, task in enumerate(self.tasks)}

    @cached_property
    def topological(self) -> tuple[int, ...]:
        """Positions of tasks, each after all that it waits for; ties in given order."""
        return checks.topological_order(self)

    @cached_property
    def groups(self) -> Mapping[str, tuple[int, ...]]:
        """Colocation key -> positions of its tasks, for keys that two or more share."""
        found: dict[str, list[int]] = {}
        for position, task in enumerate(self.tasks):
            if task.colocate is not None:
                found.setdefault(task.colocate, []).append(position)
        return {key: tuple(members) for key, members in found.items() if len(members) > 1}

    @staticmethod
    def pool_of(device: DagDevice) -> tuple[str, Id]:
        """What names the memory of a device: its pool, or the device itself."""
        return ("pool", device.pool) if device.pool is not None else ("device", device.id)

    @cached_property
    def pools(self) -> Mapping[tuple[str, Id], float | None]:
        """Name of a memory -> its bytes, or None: unlimited."""
        return {self.pool_of(device): device.mem_bytes for device in self.devices}

    def without_limits(self) -> TaskGraph:
        """The same graph with unlimited memory and no colocation: a relaxation."""
        return attrs.evolve(
            self,
            devices=[attrs.evolve(d, mem_bytes=None) for d in self.devices],
            tasks=[attrs.evolve(t, colocate=None) for t in self.tasks],
        )

    def transfer(self, nbytes: float, source: int, target: int) -> float:
        """Time that `nbytes` take between two memory nodes."""
        bandwidth = self.bandwidth[source][target]
        if bandwidth is None:
            return 0.0
        return (self.latency[source][target] or 0.0) + nbytes / bandwidth
