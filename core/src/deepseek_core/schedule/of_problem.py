"""The stages of a problem as a task graph, for the one solver of graphs; its schedule as a run.

A device with several slots is as many devices of one type, on one memory node and with one
capacity. What a stage reads of another device goes over the problem's links.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

import attrs

from deepseek_core.contracts.device import Concurrency
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask
from deepseek_core.schedule.dag.schedule import Schedule, TaskPlacement
from deepseek_core.schedule.dag.solver import solve
from deepseek_core.schedule.problem import Candidate, Problem, StageOptions
from deepseek_core.schedule.value import Assignment, cost_s, is_least, makespan_s

_ONE_AT_A_TIME = Concurrency()
_SOON = 1e-9  # relative to the makespan: before that nobody waits

Holds = tuple[tuple[str, str], ...]
Cost = Callable[[Candidate], float]


@attrs.frozen(kw_only=True)
class Solved:
    """A device for each stage, how to run them, what that takes, and what nothing can beat."""

    assignment: Assignment
    order: tuple[str, ...]
    holds: Holds
    seconds: float
    lower_bound_s: float


def solved(problem: Problem) -> Solved:
    """The best run that the solver finds with its default effort: equal input, equal output.

    Raises:
        NoDevice: a stage that no candidate can run.
        GraphError: no schedule was found that fits the memory of the devices.
    """
    graph = task_graph(problem)
    schedule = solve(graph)
    home = {device.id: device.type for device in graph.devices}
    assignment = tuple(
        next(c for c in stage.allowed() if c.device_id == home[placed.device])
        for stage, placed in zip(problem.stages, schedule.placements, strict=True)
    )
    order = _begun(problem, schedule)
    seconds, holds = _run(problem, assignment, order, schedule)
    return Solved(
        assignment=assignment,
        order=order,
        holds=holds,
        seconds=seconds,
        lower_bound_s=schedule.lower_bound,
    )


def _begun(problem: Problem, schedule: Schedule) -> tuple[str, ...]:
    """Stages as they begin; those of one moment as in the graph, what takes no time first."""
    rows = zip(problem.stages, schedule.placements, strict=True)
    begun = sorted(rows, key=lambda row: (row[1].start, row[1].end))
    return tuple(stage.name for stage, _ in begun)


def _run(
    problem: Problem, assignment: Assignment, order: Sequence[str], schedule: Schedule
) -> tuple[float, Holds]:
    """How long a run takes that keeps to a schedule, with as few holds as that needs.

    Mostly it is enough that each device takes what is ready in this order. Where the schedule
    lets a device wait for something more urgent, what it could do meanwhile is held back. Fewer
    holds are better: a run whose stages take longer than planned goes on where it can.
    """
    lanes = _lanes(problem, order, schedule)
    seconds, holds = math.inf, Holds()
    for trial in ((), _over_waits(problem, assignment, lanes, schedule), _all_of(lanes)):
        taken_s = makespan_s(problem, assignment, order, trial)
        if taken_s < seconds:
            seconds, holds = taken_s, trial
        if is_least(seconds, schedule.makespan):
            break
    return seconds, holds


def _lanes(
    problem: Problem, order: Sequence[str], schedule: Schedule
) -> list[list[tuple[int, TaskPlacement]]]:
    """What each slot does, one after the other: positions of stages, with their times."""
    at = {stage.name: index for index, stage in enumerate(problem.stages)}
    lanes: dict[object, list[tuple[int, TaskPlacement]]] = {}
    for name in order:
        placed = schedule.placements[at[name]]
        lanes.setdefault(placed.device, []).append((at[name], placed))
    return list(lanes.values())


def _all_of(lanes: Sequence[Sequence[tuple[int, TaskPlacement]]]) -> Holds:
    return tuple((str(a.task), str(b.task)) for lane in lanes for (_, a), (_, b) in pairwise(lane))


def _over_waits(
    problem: Problem,
    assignment: Assignment,
    lanes: Sequence[Sequence[tuple[int, TaskPlacement]]],
    schedule: Schedule,
) -> Holds:
    """A hold behind each stage that its slot waits for, on what would be ready earlier."""
    late = _SOON * schedule.makespan
    ready = _ready_s(problem, assignment, schedule)
    holds: list[tuple[str, str]] = []
    for lane in lanes:
        free_s, held = 0.0, False
        for (_, first), (index, then) in pairwise(lane):
            waits = first.start > free_s + late or held
            held = waits and ready[index] < first.start - late
            if held:
                holds.append((str(first.task), str(then.task)))
            free_s = first.end
    return tuple(holds)


def _ready_s(problem: Problem, assignment: Assignment, schedule: Schedule) -> list[float]:
    """When the inputs of each stage are on its device."""
    at = {stage.name: index for index, stage in enumerate(problem.stages)}

    def there_s(stage: StageOptions, index: int, name: str) -> float:
        source = at[name]
        moved_s = problem.transfer_s(
            stage.read_bytes.get(name, 0), assignment[source].device_id, assignment[index].device_id
        )
        return schedule.placements[source].end + moved_s

    return [
        max((there_s(stage, index, name) for name in stage.predecessors), default=0.0)
        for index, stage in enumerate(problem.stages)
    ]


def task_graph(
    problem: Problem,
    cost: Cost | None = None,
    *,
    name: str = "stages",
    deviation: Cost | None = None,
) -> TaskGraph:
    """Each stage as a task, each slot as a device; times in seconds, as decisions count them.

    Raises:
        NoDevice: a stage that no candidate can run.
    """
    ids = _device_ids(problem)
    counted = cost or partial(cost_s, objective=problem.objective)
    return TaskGraph(
        name=name,
        devices=[device for mem, one in enumerate(ids) for device in _slots(problem, one, mem)],
        bandwidth=[[_bandwidth(problem, a, b) for b in ids] for a in ids],
        latency=[[problem.transfer_s(0, a, b) for b in ids] for a in ids],
        tasks=[_task(problem, stage, counted, deviation) for stage in problem.stages],
        edges=[
            (before, stage.name, float(stage.read_bytes.get(before, 0)))
            for stage in problem.stages
            for before in stage.predecessors
        ],
    )


def _task(problem: Problem, stage: StageOptions, cost: Cost, deviation: Cost | None) -> DagTask:
    allowed = stage.allowed()
    limited = [c for c in allowed if c.device_id in problem.memory and c.estimate is not None]
    return DagTask(
        id=stage.name,
        name=stage.name,
        cost={c.device_id: cost(c) for c in allowed},
        deviation={} if deviation is None else {c.device_id: deviation(c) for c in allowed},
        mem_by_type={c.device_id: c.estimate.mem_bytes for c in limited if c.estimate},
    )


def _slots(problem: Problem, device_id: str, mem: int) -> list[DagDevice]:
    slots = problem.concurrency.get(device_id, _ONE_AT_A_TIME).slots
    return [
        DagDevice(
            id=device_id if slots == 1 else f"{device_id}#{number}",
            type=device_id,
            mem=mem,
            mem_bytes=problem.memory.get(device_id),
            pool=device_id,
        )
        for number in range(slots)
    ]


def _bandwidth(problem: Problem, source: str, target: str) -> float | None:
    link = problem.links.get((source, target)) if source != target else None
    if link is None:
        return None
    return 1 / link.s_per_byte if link.s_per_byte else math.inf


def _device_ids(problem: Problem) -> tuple[str, ...]:
    found: Mapping[str, None] = {
        candidate.device_id: None for stage in problem.stages for candidate in stage.allowed()
    }
    return tuple(found)
