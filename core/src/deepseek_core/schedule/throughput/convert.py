"""From the problem of a plan to the problem of its stream."""

from __future__ import annotations

import math
from collections.abc import Iterator

from deepseek_core.contracts.device import Concurrency
from deepseek_core.contracts.place import Link
from deepseek_core.schedule.problem import Problem, StageOptions
from deepseek_core.schedule.throughput.problem import Link as StreamLink
from deepseek_core.schedule.throughput.problem import (
    StreamDevice,
    StreamEdge,
    StreamProblem,
    StreamStage,
)


def stream_of(problem: Problem, *, batch: int = 1) -> StreamProblem:
    """Stages with their median costs, host to host; what links take comes on top.

    A device is busy with what it receives.

    Raises:
        NoDevice: a stage that no candidate can run.
    """
    stages = tuple(_stage(options) for options in problem.stages)
    ids = sorted({device for stage in stages for device in stage.seconds})
    return StreamProblem(
        stages=stages,
        devices=tuple(_device(problem, i) for i in ids),
        edges=tuple(_edges(problem)),
        links={pair: _link(link) for pair, link in problem.links.items()},
        host_cores=problem.host_cores,
        batch=batch,
    )


def _stage(options: StageOptions) -> StreamStage:
    estimates = {c.device_id: c.estimate for c in options.allowed() if c.estimate is not None}
    return StreamStage(
        name=options.name,
        seconds={device: estimate.seconds for device, estimate in estimates.items()},
        mem_bytes=max(estimate.mem_bytes for estimate in estimates.values()),
    )


def _edges(problem: Problem) -> Iterator[StreamEdge]:
    for stage in problem.stages if problem.links else ():
        for name in stage.predecessors:
            yield StreamEdge(source=name, target=stage.name, nbytes=stage.read_bytes.get(name, 0))


def _link(link: Link) -> StreamLink:
    bytes_per_s = 1 / link.s_per_byte if link.s_per_byte else math.inf
    return StreamLink(latency_s=link.latency_s, bytes_per_s=bytes_per_s, at_sender=0.0)


def _device(problem: Problem, device_id: str) -> StreamDevice:
    takes = problem.concurrency.get(device_id, Concurrency())
    more = {"mem_node": device_id} if problem.links else {}
    return StreamDevice(
        **more,
        id=device_id,
        slots=takes.slots,
        host_threads=takes.host_threads,
        mem_bytes=problem.memory.get(device_id, math.inf),
    )
