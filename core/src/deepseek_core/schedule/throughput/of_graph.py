"""From a task graph to the problem of its stream: each batch goes through the whole graph."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask, Id
from deepseek_core.schedule.throughput.problem import (
    Link,
    StreamDevice,
    StreamEdge,
    StreamProblem,
    StreamStage,
)

HOST = "cpu"
"""The type of devices whose memory is the host's."""


def stream_of_graph(graph: TaskGraph, *, batch: int = 1) -> StreamProblem:
    """Tasks as stages, in the graph's unit of time; limits are those of the graph.

    Names are the `texts` of ids. A transfer keeps its devices busy: an accelerator all the time
    that it sends to the host or receives from there, the host not at all. Between two accelerators
    each is busy for half.
    """
    hosts = {device.mem for device in graph.devices if device.type == HOST}
    tasks, devices = texts(t.id for t in graph.tasks), texts(d.id for d in graph.devices)
    return StreamProblem(
        stages=tuple(_stage(graph, task, tasks[task.id], devices) for task in graph.tasks),
        devices=tuple(_device(device, devices[device.id]) for device in graph.devices),
        edges=tuple(
            StreamEdge(source=tasks[source], target=tasks[target], nbytes=nbytes)
            for source, target, nbytes in graph.edges
        ),
        links=_links(graph, hosts),
        batch=batch,
    )


def texts(ids: Iterable[Id]) -> dict[Id, str]:
    """Each id as text; one and "1" stay two."""
    found = list(ids)
    times = Counter(map(str, found))
    return {one: str(one) if times[str(one)] == 1 else repr(one) for one in found}


def _stage(graph: TaskGraph, task: DagTask, name: str, devices: dict[Id, str]) -> StreamStage:
    costs = ((devices[device.id], task.cost.get(device.type)) for device in graph.devices)
    return StreamStage(
        name=name,
        seconds={device: cost for device, cost in costs if cost is not None},
        mem_bytes=max(task.needs(kind) for kind, cost in task.cost.items() if cost is not None),
        stateless=not task.stateful,
        together=task.colocate,
    )


def _device(device: DagDevice, name: str) -> StreamDevice:
    room = math.inf if device.mem_bytes is None else device.mem_bytes
    return StreamDevice(id=name, mem_bytes=room, mem_node=str(device.mem))


def _links(graph: TaskGraph, hosts: set[int]) -> dict[tuple[str, str], Link]:
    links = {}
    for a, row in enumerate(graph.bandwidth):
        for b, bandwidth in enumerate(row):
            if a != b and bandwidth is not None:
                at_sender, at_receiver = _ends(a in hosts, b in hosts)
                links[str(a), str(b)] = Link(
                    latency_s=graph.latency[a][b] or 0.0,
                    bytes_per_s=bandwidth,
                    at_sender=at_sender,
                    at_receiver=at_receiver,
                )
    return links


def _ends(from_host: bool, to_host: bool) -> tuple[float, float]:
    """Shares of a transfer's time in which sender and receiver are busy."""
    if from_host:
        return 0.0, 0.0 if to_host else 1.0
    return (1.0, 0.0) if to_host else (0.5, 0.5)
