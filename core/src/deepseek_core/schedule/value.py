"""What an assignment of stages to devices is worth: seconds of a batch, or between batches.

Offline decisions use the median cost, realtime ones the 90 % quantile.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Final

from deepseek_core.contracts.device import Concurrency
from deepseek_core.schedule.problem import Candidate, Objective, Problem

Assignment = tuple[Candidate, ...]
"""One candidate for each stage of a problem."""

_Z_REALTIME: Final = 1.2816  # one-sided 90 % quantile
_ONE_AT_A_TIME: Final = Concurrency()
_ENDED: Final = 1
_ARRIVED: Final = 0


def value_s(problem: Problem, assignment: Assignment, order: Sequence[str] = ()) -> float:
    """Seconds of the objective under an assignment, stages in this order or the graph's."""
    if problem.objective is Objective.PERIOD:
        return period_s(problem, assignment)
    return makespan_s(problem, assignment, order)


def period_s(problem: Problem, assignment: Assignment) -> float:
    """Seconds per batch of a steady stream: the largest load of a device or of the host."""
    return routes_period_s(problem, [(assignment, 1.0)])


def routes_period_s(problem: Problem, routes: Sequence[tuple[Assignment, float]]) -> float:
    """The same for batches that take several routes in shares."""
    load: dict[str, float] = {}
    host = 0.0
    for assignment, share in routes:
        moved_s = _moved_s(problem, assignment)
        for candidate, arrives_s in zip(assignment, moved_s, strict=True):
            takes = problem.concurrency.get(candidate.device_id, _ONE_AT_A_TIME)
            seconds = share * cost_s(candidate, problem.objective)
            busy_s = (seconds + share * arrives_s) / takes.slots
            load[candidate.device_id] = load.get(candidate.device_id, 0.0) + busy_s
            host += seconds * takes.host_threads
    return max(*load.values(), host / problem.host_cores)


def _moved_s(problem: Problem, assignment: Assignment) -> Sequence[float]:
    """Seconds that what each stage reads takes over the links; its device receives it."""
    if not problem.links or len(assignment) < len(problem.stages):  # all stages as one
        return [0.0] * len(assignment)
    at = {s.name: c.device_id for s, c in zip(problem.stages, assignment, strict=True)}
    return [
        sum(
            problem.transfer_s(stage.read_bytes.get(name, 0), at[name], at[stage.name])
            for name in stage.predecessors
        )
        for stage in problem.stages
    ]


def given_order(problem: Problem) -> tuple[str, ...]:
    """The stages as they stand in the graph."""
    return tuple(stage.name for stage in problem.stages)


def makespan_s(
    problem: Problem,
    assignment: Assignment,
    order: Sequence[str] = (),
    holds: Sequence[tuple[str, str]] = (),
) -> float:
    """Seconds from the first start to the last finish of one batch, as a run would have it.

    A slot that gets free takes, of the stages whose inputs are there, the first in this order (of
    the graph, if empty), but none that a pair of `holds` keeps back.
    """
    return max(played(problem, assignment, order, holds)[1])


def played(
    problem: Problem,
    assignment: Assignment,
    order: Sequence[str] = (),
    holds: Sequence[tuple[str, str]] = (),
) -> tuple[list[float], list[float]]:
    """When each stage begins and ends in a run, by its position in the problem."""
    return _Run(problem, assignment, order or given_order(problem), holds).play()


class _Run:
    """One batch in simulated time: what waits, what is ready, what runs."""

    def __init__(
        self,
        problem: Problem,
        assignment: Assignment,
        order: Sequence[str],
        holds: Sequence[tuple[str, str]],
    ) -> None:
        place = {name: index for index, name in enumerate(order)}
        at = {stage.name: index for index, stage in enumerate(problem.stages)}
        # by stage: its place in the order; the lower goes first
        self._rank = [place[stage.name] for stage in problem.stages]
        self._by_rank = [at[name] for name in order]  # the stage of each rank
        self._home = [candidate.device_id for candidate in assignment]  # by stage: its device
        self._cost_s = [cost_s(candidate, problem.objective) for candidate in assignment]
        # by stage: (follower, seconds of the transfer there)
        self._followers: list[list[tuple[int, float]]] = [[] for _ in problem.stages]
        self._waits = [0] * len(problem.stages)  # by stage: predecessors that have not ended
        for index, stage in enumerate(problem.stages):
            for name in stage.predecessors:
                source, nbytes = at[name], stage.read_bytes.get(name, 0)
                moved_s = problem.transfer_s(nbytes, self._home[source], self._home[index])
                self._add(source, index, moved_s)
        for first, then in holds:
            self._add(at[first], at[then], 0.0)
        # by device: a heap of the ranks of stages that could start
        self._ready: dict[str, list[int]] = {device_id: [] for device_id in self._home}
        # by device: slots without a run
        self._free = {
            d: problem.concurrency.get(d, _ONE_AT_A_TIME).slots for d in dict.fromkeys(self._home)
        }
        # by stage: when its last input so far is there
        self._inputs_s = [0.0] * len(problem.stages)
        self._start_s = [0.0] * len(problem.stages)
        self._end_s = [0.0] * len(problem.stages)
        # (when, what happens, stage): a stage ends, or its inputs are there.
        self._events: list[tuple[float, int, int]] = []

    def _add(self, source: int, target: int, moved_s: float) -> None:
        self._followers[source].append((target, moved_s))
        self._waits[target] += 1

    def play(self) -> tuple[list[float], list[float]]:
        """Go from event to event until nothing is left."""
        for index, count in enumerate(self._waits):
            if count == 0:
                self._queue(index)
        now_s = 0.0
        self._begin(now_s, self._ready)
        while self._events:
            now_s, touched = self._events[0][0], dict[str, None]()
            while self._events and self._events[0][0] <= now_s:
                _, ended, index = heapq.heappop(self._events)
                touched[self._home[index]] = None
                if ended:
                    touched |= self._end(index, now_s)
                else:
                    self._queue(index)
            self._begin(now_s, touched)
        return self._start_s, self._end_s

    def _queue(self, index: int) -> None:
        heapq.heappush(self._ready[self._home[index]], self._rank[index])

    def _begin(self, now_s: float, devices: Iterable[str]) -> None:
        """Fill the free slots of devices."""
        for device_id in devices:
            queue = self._ready[device_id]
            while queue and self._free[device_id]:
                index = self._by_rank[heapq.heappop(queue)]
                self._free[device_id] -= 1
                self._start_s[index] = now_s
                self._end_s[index] = now_s + self._cost_s[index]
                heapq.heappush(self._events, (self._end_s[index], _ENDED, index))

    def _end(self, index: int, now_s: float) -> dict[str, None]:
        """Free the slot; the devices where a stage got ready by it."""
        self._free[self._home[index]] += 1
        touched = dict[str, None]()
        for follower, moved_s in self._followers[index]:
            self._waits[follower] -= 1
            there_s = self._inputs_s[follower] = max(self._inputs_s[follower], now_s + moved_s)
            if self._waits[follower] == 0 and there_s > now_s:
                heapq.heappush(self._events, (there_s, _ARRIVED, follower))
            elif self._waits[follower] == 0:
                self._queue(follower)
                touched[self._home[follower]] = None
        return touched


def bound_of(problem: Problem, assignment: Assignment) -> float:
    """Seconds that no order of the stages can beat under an assignment.

    The longest path with its transfers, and the work of each device over its slots.
    """
    end: dict[str, tuple[float, str]] = {}
    work: dict[str, float] = {}
    for stage, candidate in zip(problem.stages, assignment, strict=True):
        here, seconds = candidate.device_id, cost_s(candidate, problem.objective)
        ready_s = 0.0
        for name in stage.predecessors:
            end_s, there = end[name]
            moved_s = problem.transfer_s(stage.read_bytes.get(name, 0), there, here)
            ready_s = max(ready_s, end_s + moved_s)
        end[stage.name] = ready_s + seconds, here
        work[here] = work.get(here, 0.0) + seconds
    slots = {d: problem.concurrency.get(d, _ONE_AT_A_TIME).slots for d in work}
    longest_s = max(end_s for end_s, _ in end.values())
    return max(longest_s, *(seconds / slots[d] for d, seconds in work.items()))


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
