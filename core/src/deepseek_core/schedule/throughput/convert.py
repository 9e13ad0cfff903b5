"""From the problem of a plan to the problem of its stream."""

from __future__ import annotations

import math

from deepseek_core.contracts.device import Concurrency
from deepseek_core.schedule.problem import Problem, StageOptions
from deepseek_core.schedule.throughput.problem import StreamDevice, StreamProblem, StreamStage


def stream_of(problem: Problem, *, batch: int = 1) -> StreamProblem:
    """Stages with their median costs, host to host, so transfers are in them already.

    Raises:
        NoDevice: a stage that no candidate can run.
    """
    stages = tuple(_stage(options) for options in problem.stages)
    ids = sorted({device for stage in stages for device in stage.seconds})
    return StreamProblem(
        stages=stages,
        devices=tuple(_device(problem, i) for i in ids),
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


def _device(problem: Problem, device_id: str) -> StreamDevice:
    takes = problem.concurrency.get(device_id, Concurrency())
    return StreamDevice(
        id=device_id,
        slots=takes.slots,
        host_threads=takes.host_threads,
        mem_bytes=problem.memory.get(device_id, math.inf),
    )
