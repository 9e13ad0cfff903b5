"""What an assignment of stages to devices is worth: seconds of a batch, or between batches.

Offline decisions use the median cost, realtime ones the 90 % quantile.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

import attrs

from deepseek_core.contracts.device import Concurrency
from deepseek_core.schedule.problem import Candidate, Objective, Problem

Assignment = tuple[Candidate, ...]
"""One candidate for each stage of a problem."""

_Z_REALTIME: Final = 1.2816  # one-sided 90 % quantile
_ONE_AT_A_TIME: Final = Concurrency()


def value_s(problem: Problem, assignment: Assignment) -> float:
    """Seconds of the objective under an assignment (one candidate for each stage)."""
    if problem.objective is Objective.PERIOD:
        return period_s(problem, assignment)
    return makespan_s(problem, assignment)


def period_s(problem: Problem, assignment: Assignment) -> float:
    """Seconds per batch of a steady stream: the largest load of a device or of the host."""
    return routes_period_s(problem, [(assignment, 1.0)])


def routes_period_s(problem: Problem, routes: Sequence[tuple[Assignment, float]]) -> float:
    """The same for batches that take several routes in shares."""
    load: dict[str, float] = {}
    host = 0.0
    for assignment, share in routes:
        for candidate in assignment:
            takes = problem.concurrency.get(candidate.device_id, _ONE_AT_A_TIME)
            seconds = share * cost_s(candidate, problem.objective)
            load[candidate.device_id] = load.get(candidate.device_id, 0.0) + seconds / takes.slots
            host += seconds * takes.host_threads
    return max(*load.values(), host / problem.host_cores)


def given_order(problem: Problem) -> tuple[str, ...]:
    """The stages as they stand in the graph."""
    return tuple(stage.name for stage in problem.stages)


def by_urgency(problem: Problem, assignment: Assignment) -> tuple[str, ...]:
    """The stages by the longest path from their start to the end; ties as in the graph."""
    _, followers = _waits(problem)
    tail = [0.0] * len(assignment)
    for index in reversed(range(len(assignment))):
        after = max((tail[follower] for follower in followers[index]), default=0.0)
        tail[index] = after + cost_s(assignment[index], problem.objective)
    ranked = sorted(range(len(tail)), key=lambda index: (-tail[index], index))
    return tuple(problem.stages[index].name for index in ranked)


def makespan_s(
    problem: Problem, assignment: Assignment, order: Sequence[str] | None = None
) -> float:
    """Seconds from the first start to the last finish of one batch, as a run would have it.

    A slot that gets free takes, of the stages that wait for nobody, the first in this order.
    """
    problem, assignment = _in_order(problem, assignment, order or given_order(problem))
    waits, followers = _waits(problem)
    ready: dict[str, list[int]] = {candidate.device_id: [] for candidate in assignment}
    free = {d: problem.concurrency.get(d, _ONE_AT_A_TIME).slots for d in ready}
    for index, count in enumerate(waits):
        if count == 0:
            heapq.heappush(ready[assignment[index].device_id], index)
    now_s, running = 0.0, list[tuple[float, int]]()
    while True:
        for device_id, queue in ready.items():
            while queue and free[device_id]:
                index = heapq.heappop(queue)
                free[device_id] -= 1
                end_s = now_s + cost_s(assignment[index], problem.objective)
                heapq.heappush(running, (end_s, index))
        if not running:
            return now_s
        now_s = running[0][0]
        while running and running[0][0] <= now_s:
            _, index = heapq.heappop(running)
            free[assignment[index].device_id] += 1
            for follower in followers[index]:
                waits[follower] -= 1
                if waits[follower] == 0:
                    heapq.heappush(ready[assignment[follower].device_id], follower)


def _in_order(
    problem: Problem, assignment: Assignment, order: Sequence[str]
) -> tuple[Problem, Assignment]:
    if tuple(order) == given_order(problem):
        return problem, assignment
    by_name = {s.name: (s, c) for s, c in zip(problem.stages, assignment, strict=True)}
    stages, chosen = zip(*(by_name[name] for name in order), strict=True)
    return attrs.evolve(problem, stages=stages), chosen


def _waits(problem: Problem) -> tuple[list[int], list[list[int]]]:
    """By position: for how many stages each waits, and those that wait for it."""
    position = {stage.name: index for index, stage in enumerate(problem.stages)}
    followers: list[list[int]] = [[] for _ in problem.stages]
    for index, stage in enumerate(problem.stages):
        for name in stage.predecessors:
            followers[position[name]].append(index)
    return [len(stage.predecessors) for stage in problem.stages], followers


def bound_of(problem: Problem, assignment: Assignment) -> float:
    """Seconds of the objective that no order of the stages can beat under an assignment.

    Of a makespan: the longest path, and the work of each device over its slots.
    """
    if problem.objective is Objective.PERIOD:
        return period_s(problem, assignment)
    finish: dict[str, float] = {}
    work: dict[str, float] = {}
    for stage, candidate in zip(problem.stages, assignment, strict=True):
        seconds = cost_s(candidate, problem.objective)
        ready_s = max((finish[name] for name in stage.predecessors), default=0.0)
        finish[stage.name] = ready_s + seconds
        work[candidate.device_id] = work.get(candidate.device_id, 0.0) + seconds
    slots = {d: problem.concurrency.get(d, _ONE_AT_A_TIME).slots for d in work}
    return max(*finish.values(), *(seconds / slots[d] for d, seconds in work.items()))


def fits(problem: Problem, assignment: Assignment) -> bool:
    """Whether no device is to hold more than its memory."""
    held: dict[str, int] = {}
    for candidate in assignment if problem.memory else ():
        if candidate.estimate is not None:
            need = candidate.estimate.mem_bytes
            held[candidate.device_id] = held.get(candidate.device_id, 0) + need
    return all(need <= problem.memory.get(device, need) for device, need in held.items())


def is_least(seconds: float, bound_s: float) -> bool:
    """Whether nothing can be better than this, as far as numbers go."""
    return seconds <= bound_s * (1 + 1e-9)


def cost_s(candidate: Candidate, objective: Objective) -> float:
    """Seconds that a decision counts with: the median, or the 90 % quantile for realtime."""
    assert candidate.estimate is not None
    z = _Z_REALTIME if objective is Objective.MAKESPAN else 0.0
    return candidate.estimate.quantile(z)
