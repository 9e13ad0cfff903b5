"""Small graphs to proof: every schedule without needless waits, less what can't be better.

Depth-first branch and bound. Tasks are placed in order of their starts, each behind what its device
has: one of the schedules of least makespan, that of the least sum of starts, comes about so. A
state is dropped if its bound is no better than the best schedule, or if another state with the same
tasks placed was never later in anything that the rest can notice, nor in the sum of its starts.
"""

# ruff: noqa: PLR1730 - in loops this hot a call of max() costs as much as the rest

from __future__ import annotations

from typing import Final, NamedTuple

from deepseek_core.schedule.dag.compiled import INF, Compiled
from deepseek_core.schedule.dag.decoder import Decoder
from deepseek_core.schedule.dag.effort import LEAST_GAIN, Effort
from deepseek_core.schedule.dag.listpass import Timetable

MOST_TASKS: Final = 16
_RULE: Final = "exact search"
_MOST_STATES: Final = 100_000  # that are remembered
_MOST_ALIKE: Final = 12  # of one set of tasks on one set of devices
_LOOK: Final = 64  # states between two looks at the budget


class _State(NamedTuple):
    """The tasks that are placed, their last start and sum of starts; the least work of the rest."""

    placed: int
    last: float
    starts: float
    work: float


class _Option(NamedTuple):
    bound: float
    start: float
    task: int
    device: int


class _OutOfEffort(Exception):
    """The budget is gone before the proof."""


def _twins(graph: Compiled) -> list[int]:
    """For each task the one before it that nobody could tell from it, or -1."""
    latest: dict[object, int] = {}
    twins = []
    for task in range(graph.size):
        looks = (
            graph.cost[task],
            graph.needs[task],
            graph.bundle[task],
            tuple(sorted(graph.before[task])),
            tuple(sorted(graph.after[task])),
        )
        twins.append(latest.get(looks, -1))
        latest[looks] = task
    return twins


class Exact:
    """Improves `effort.best` up to its proof, or as far as `until_s` of the effort goes."""

    def __init__(self, effort: Effort, decoder: Decoder, until_s: float) -> None:
        graph = effort.graph
        self._effort, self._decoder, self._graph, self._until_s = effort, decoder, graph, until_s
        self._all = (1 << graph.size) - 1  # the bits of all tasks, as `_State.placed` has them
        self._device = [-1] * graph.size  # by task; -1: not placed
        # by task; of those that are placed
        self._start, self._end = [0.0] * graph.size, [0.0] * graph.size
        # by task: predecessors that are not placed
        self._waits = [len(arcs) for arcs in graph.before]
        self._unread = [len(arcs) for arcs in graph.after]  # by followers that are not placed
        self._free = [0.0] * len(decoder.devices)  # by device: when its last task ends
        self._room = list(graph.capacity)  # by pool: bytes of memory that are left
        self._least_cost = [min(row) for row in graph.cost]  # by task: on its fastest device
        self._twin = _twins(graph)
        # (tasks placed, where) -> what the rest can notice of each such state, none later in all
        self._seen: dict[tuple[int, ...], list[tuple[float, ...]]] = {}
        # states visited; kept in `_seen`; options since effort was charged
        self._states = self._remembered = self._options = 0
        # a state whose bound reaches it is dropped
        self._limit = INF if effort.best is None else self._below(effort.best.makespan)

    @staticmethod
    def _below(makespan: float) -> float:
        return makespan * (1 - LEAST_GAIN)

    def run(self) -> None:
        """Search; sets `effort.proven` at its end."""
        try:
            self._branch(_State(0, 0.0, 0.0, sum(self._least_cost)))
        except _OutOfEffort:
            return
        finally:
            self._count()
        self._effort.proven = self._effort.best is not None

    def _branch(self, state: _State) -> None:
        """Place one more task in every way that may lead to something better."""
        if state.placed == self._all:
            self._keep()
            return
        self._spend()
        options = self._open(state)
        if not options or self._is_dominated(state):
            return
        for option in sorted(options):
            if option.bound >= self._limit:
                return
            busy = self._free[option.device]
            self._place(option, +1)
            self._branch(
                _State(
                    state.placed | 1 << option.task,
                    option.start,
                    state.starts + option.start,
                    state.work - self._least_cost[option.task],
                )
            )
            self._place(option, -1)
            self._free[option.device] = busy

    def _open(self, state: _State) -> list[_Option]:
        """What may come next; nothing if what is left can't end well any more."""
        if self._work_bound(state) >= self._limit:
            return []
        found: list[_Option] = []
        for task, waits in enumerate(self._waits):
            if waits or self._device[task] >= 0 or not self._is_next(task):
                continue
            best = INF
            for option in self._ways(task, state.last):
                if option.bound < best:
                    best = option.bound
                if option.start >= state.last and option.bound < self._limit:
                    found.append(option)
            if best >= self._limit:
                return []
        return found

    def _is_next(self, task: int) -> bool:
        """Whether it is the turn of this one of several tasks that are alike."""
        twin = self._twin[task]
        return twin < 0 or self._device[twin] >= 0

    def _ways(self, task: int, last: float) -> list[_Option]:
        """Devices for a task. Of devices that are alike, only the one that is free first."""
        cost, tail, free = self._decoder.cost[task], self._decoder.tail[task], self._free
        class_of, pool_of = self._graph.class_of, self._graph.pool_of
        limited = self._graph.limited
        found: dict[tuple[int, int], _Option] = {}
        for d in self._decoder.able[task]:
            start = self._decoder.arrival(task, d, self._device, self._end)
            if free[d] > start:
                start = free[d]
            alike = class_of[d], pool_of[d] if limited else 0
            if alike not in found or start < found[alike].start:
                bound = (start if start > last else last) + cost[d] + tail[d]
                found[alike] = _Option(bound, start, task, d)
        self._options += len(self._decoder.able[task])
        options = list(found.values())
        return [one for one in options if self._has_room(task, one.device)] if limited else options

    def _has_room(self, task: int, d: int) -> bool:
        graph, own = self._graph, self._graph.bundle[task]
        if own >= 0 and any(self._device[t] not in (-1, d) for t in graph.bundles[own]):
            return False
        return graph.needs[task][graph.class_of[d]] <= self._room[graph.pool_of[d]]

    def _work_bound(self, state: _State) -> float:
        """All work that is left, spread over all devices; nothing starts before the last start."""
        last, ready = state.last, 0.0
        for free in self._free:
            ready += free if free > last else last
        return (ready + state.work) / len(self._free) * (1 - LEAST_GAIN)

    def _is_dominated(self, state: _State) -> bool:
        """Whether a state that was looked at is as good in all that what is left depends on."""
        last = state.last
        read = [task for task, count in enumerate(self._unread) if count and self._is_placed(task)]
        where = self._device if self._graph.limited else [self._device[task] for task in read]
        times = (
            last,
            state.starts,
            *(free if free > last else last for free in self._free),
            *(self._end[task] for task in read),
        )
        alike = self._seen.setdefault((state.placed, *where), [])
        for other in alike:
            if all(a <= b for a, b in zip(other, times, strict=True)):
                return True
        if len(alike) < _MOST_ALIKE and self._remembered < _MOST_STATES:
            alike.append(times)
            self._remembered += 1
        return False

    def _is_placed(self, task: int) -> bool:
        return self._device[task] >= 0

    def _place(self, option: _Option, sign: int) -> None:
        """Put a task on a device, or (sign -1) take it away again."""
        _, start, task, d = option
        graph = self._graph
        self._device[task] = d if sign > 0 else -1
        self._start[task] = start
        self._end[task] = self._free[d] = start + self._decoder.cost[task][d]
        self._room[graph.pool_of[d]] -= sign * graph.needs[task][graph.class_of[d]]
        for follower, _ in graph.after[task]:
            self._waits[follower] -= sign
        for p, _ in graph.before[task]:
            self._unread[p] -= sign

    def _keep(self) -> None:
        makespan = max(self._end)
        timetable = Timetable(
            device=list(self._device),
            start=list(self._start),
            end=list(self._end),
            makespan=makespan,
        )
        self._effort.found(_RULE, timetable)
        self._limit = min(self._limit, self._below(makespan))

    def _spend(self) -> None:
        self._states += 1
        effort = self._effort
        if effort.spent_s + self._options * effort.prices.option_s >= self._until_s:
            raise _OutOfEffort
        if self._states % _LOOK == 0:
            self._count()
            if not effort.fits(0.0):
                raise _OutOfEffort

    def _count(self) -> None:
        self._effort.spent_s += self._options * self._effort.prices.option_s
        self._options = 0
