"""The stages of a problem as a task graph, for the solver of `ds-sdk schedule`.

A device with several slots is as many devices of one type. What crosses a border is in the
estimates, so edges carry no bytes.
"""

from __future__ import annotations

import attrs

from deepseek_core.contracts.device import Concurrency
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask
from deepseek_core.schedule.dag.solver import solve
from deepseek_core.schedule.problem import Problem
from deepseek_core.schedule.value import cost_s

_ONE_AT_A_TIME = Concurrency()


@attrs.frozen(kw_only=True)
class Solved:
    """Stage -> device, the order in which stages begin, and a makespan that nothing can beat."""

    devices: dict[str, str]
    order: tuple[str, ...]
    lower_bound_s: float


def solved(problem: Problem) -> Solved:
    """The best schedule that the solver finds with its default effort: equal input, equal output.

    Raises:
        NoDevice: a stage that no candidate can run.
        GraphError: no schedule was found that fits the memory of the devices.
    """
    schedule = solve(task_graph(problem))
    home = {f"{d}#{n}": d for d in _device_ids(problem) for n in range(_slots(problem, d))}
    position = {stage.name: index for index, stage in enumerate(problem.stages)}
    begun = sorted(schedule.placements, key=lambda p: (p.start, position[p.task]))
    return Solved(
        devices={placed.task: home[placed.device] for placed in schedule.placements},
        order=tuple(placed.task for placed in begun),
        lower_bound_s=schedule.lower_bound,
    )


def task_graph(problem: Problem) -> TaskGraph:
    """Each stage as a task, each slot as a device."""
    return TaskGraph(
        devices=[
            DagDevice(
                id=f"{device_id}#{number}", type=device_id, mem_bytes=_room(problem, device_id)
            )
            for device_id in _device_ids(problem)
            for number in range(_slots(problem, device_id))
        ],
        tasks=[
            DagTask(
                id=stage.name,
                cost={c.device_id: cost_s(c, problem.objective) for c in stage.allowed()},
                mem_bytes=max(c.estimate.mem_bytes for c in stage.allowed() if c.estimate),
            )
            for stage in problem.stages
        ],
        edges=[
            (before, stage.name, 0.0) for stage in problem.stages for before in stage.predecessors
        ],
    )


def _room(problem: Problem, device_id: str) -> float | None:
    """The share of each slot: what is too careful here is tried in other ways as well."""
    whole = problem.memory.get(device_id)
    return None if whole is None else whole / _slots(problem, device_id)


def _device_ids(problem: Problem) -> tuple[str, ...]:
    found = (candidate.device_id for stage in problem.stages for candidate in stage.allowed())
    return tuple(dict.fromkeys(found))


def _slots(problem: Problem, device_id: str) -> int:
    return problem.concurrency.get(device_id, _ONE_AT_A_TIME).slots
