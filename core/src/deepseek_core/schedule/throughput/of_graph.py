"""From a task graph to the problem of its stream: each batch goes through the whole graph."""

from __future__ import annotations

import math

from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask
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

    A transfer keeps its devices busy: an accelerator all the time that it sends to the host or
    receives from there, the host not at all. Between two accelerators each is busy for half.
    """
    hosts = {device.mem for device in graph.devices if device.type == HOST}
    return StreamProblem(
        stages=tuple(_stage(graph, task) for task in graph.tasks),
        devices=tuple(_device(device) for device in graph.devices),
        edges=tuple(
            StreamEdge(source=source, target=target, nbytes=nbytes)
            for source, target, nbytes in graph.edges
        ),
        links=_links(graph, hosts),
        batch=batch,
    )


def _stage(graph: TaskGraph, task: DagTask) -> StreamStage:
    costs = ((device.id, task.cost.get(device.type)) for device in graph.devices)
    return StreamStage(
        name=task.id,
        seconds={device_id: cost for device_id, cost in costs if cost is not None},
        mem_bytes=task.mem_bytes,
        stateless=not task.stateful,
        together=task.colocate,
    )


def _device(device: DagDevice) -> StreamDevice:
    room = math.inf if device.mem_bytes is None else device.mem_bytes
    return StreamDevice(id=device.id, mem_bytes=room, mem_node=str(device.mem))


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
