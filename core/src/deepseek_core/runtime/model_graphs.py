"""A model's stages with their calibrated costs as a task graph."""

from __future__ import annotations

from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask
from deepseek_core.schedule.problem import Candidate, Problem


def graph_of_problem(problem: Problem, *, name: str = "model") -> TaskGraph:
    """Stages as tasks, slots of devices as devices; costs in seconds.

    The costs are those that the history knows, or the devices' own priors. Transfers are within
    them: a stage's estimate includes what moves between host and device.

    Raises:
        NoDevice: a stage that no device can run.
    """
    offered = sorted({c.device_id for s in problem.stages for c in s.candidates if c.estimate})
    devices = [
        DagDevice(id=device_id if slots == 1 else f"{device_id}#{slot}", type=device_id)
        for device_id in offered
        for slots in [_slots(problem, device_id)]
        for slot in range(slots)
    ]
    tasks = []
    for stage in problem.stages:
        allowed = [(c, e) for c in stage.allowed() if (e := c.estimate) is not None]
        cost: dict[str, float | None] = dict.fromkeys(offered)
        cost |= {c.device_id: e.seconds for c, e in allowed}
        deviation = {c.device_id: _deviation(c) for c, _ in allowed}
        tasks.append(DagTask(id=stage.name, name=stage.name, cost=cost, deviation=deviation))
    edges = [(p, stage.name, 0.0) for stage in problem.stages for p in stage.predecessors]
    return TaskGraph(name=name, unit="s", devices=devices, tasks=tasks, edges=edges)


def _slots(problem: Problem, device_id: str) -> int:
    taken = problem.concurrency.get(device_id)
    return 1 if taken is None else taken.slots


def _deviation(candidate: Candidate) -> float:
    """Half the width of the interval between the quantiles at one sigma."""
    assert candidate.estimate is not None
    return (candidate.estimate.quantile(1.0) - candidate.estimate.quantile(-1.0)) / 2
