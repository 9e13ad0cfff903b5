"""Replays arrivals through the online scheduler: a discrete-event simulation, pure under a seed.

A run takes its estimate times a lognormal factor. The factor of a task is drawn as it arrives,
so that every policy meets the same luck. Memory grows with the work in flight and by eight
bytes for each task that ends.
"""

from __future__ import annotations

import heapq
import math
import random
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.scheduler import OnlineScheduler

Handle = Callable[[r.OnlineEvent], list[r.Decision]]


@attrs.define(kw_only=True)
class ClassOutcome:
    """What became of the tasks of one latency class; `latency_s` of those that finished."""

    arrived: int = 0
    refused: int = 0
    dropped: int = 0
    failed: int = 0
    on_time: int = 0
    late: int = 0
    items: int = 0
    latency_s: array[float] = attrs.field(factory=lambda: array("d"), repr=False)

    @property
    def finished(self) -> int:
        """Tasks that were done."""
        return self.on_time + self.late

    @property
    def accepted(self) -> int:
        """Tasks that were not refused."""
        return self.arrived - self.refused

    @property
    def on_time_share(self) -> float:
        """On time among all that arrived; 1 where none did."""
        return self.on_time / self.arrived if self.arrived else 1.0

    @property
    def broken_share(self) -> float:
        """Late, dropped or failed among the accepted ones."""
        broken = self.late + self.dropped + self.failed
        return broken / self.accepted if self.accepted else 0.0

    def quantiles_s(self, shares: Sequence[float]) -> list[float]:
        """Latencies below which these shares of the finished tasks lie; NaN without any."""
        ordered = sorted(self.latency_s)
        if not ordered:
            return [math.nan] * len(shares)
        return [ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in shares]


@attrs.define(kw_only=True)
class Outcome:
    """A whole run: by latency class, in simulated seconds."""

    classes: dict[LatencyClass, ClassOutcome]
    seconds: float = 0.0
    events: int = 0
    runs: int = 0
    busy_s: dict[str, float] = attrs.field(factory=dict)
    unfinished: int = 0
    waiting: list[tuple[float, int]] = attrs.field(factory=list, repr=False)
    """About a thousand points of (time, tasks accepted and not ended)."""

    @property
    def items_per_s(self) -> float:
        """Items done per simulated second."""
        return sum(c.items for c in self.classes.values()) / self.seconds if self.seconds else 0.0


def simulate(
    devices: Iterable[r.OnlineDevice],
    events: Iterable[r.OnlineEvent],
    *,
    rules: Rules | None = None,
    sigma: float | None = None,
    seed: int = 0,
    slower: Mapping[str, float] | None = None,
    watch: Callable[[Handle], Handle] | None = None,
) -> Outcome:
    """Replay arrivals (and device events), then let what is accepted come to its end.

    `sigma` scatters log(actual / estimate); by default that of each cost. A device that is so many
    times `slower` than it says is found out by what its runs take. `watch` may wrap the
    scheduler's `handle`, to time or log it.

    Raises:
        InputError: time goes backwards, an operator or a device that is unknown.
    """
    known = tuple(devices)
    scheduler = OnlineScheduler(known, rules)
    handle = watch(scheduler.handle) if watch is not None else scheduler.handle
    replay = _Replay(scheduler, handle, known, _Luck(sigma, seed, slower or {}))
    for event in events:
        replay.until(event.time_s)
        replay.feed(event)
    replay.until(math.inf)
    return replay.outcome()


class _Task:
    """An accepted task as the outside world knows it."""

    __slots__ = ("arrived_s", "deadline_s", "factor", "items", "latency")

    def __init__(self, event: r.TaskArrived, factor: float) -> None:
        self.arrived_s, self.deadline_s = event.time_s, event.deadline_s
        self.items, self.latency, self.factor = event.items, event.latency, factor


class _Luck:
    """By how much runs differ from what they should take."""

    def __init__(self, sigma: float | None, seed: int, slower: Mapping[str, float]) -> None:
        self._sigma, self.slower = sigma, slower
        self._tasks, self._chunks = random.Random(seed), random.Random(seed + 1)  # noqa: S311

    def of_task(self, sigma: float) -> float:
        """The factor of a task, wherever it runs."""
        return self._factor(self._tasks, sigma)

    def of_chunk(self, sigma: float) -> float:
        """The factor of a run of offline work."""
        return self._factor(self._chunks, sigma)

    def _factor(self, rng: random.Random, sigma: float) -> float:
        sigma = sigma if self._sigma is None else self._sigma
        return math.exp(rng.gauss(0.0, sigma)) if sigma else 1.0


class _Replay:
    def __init__(
        self,
        scheduler: OnlineScheduler,
        handle: Handle,
        devices: tuple[r.OnlineDevice, ...],
        luck: _Luck,
    ) -> None:
        self._scheduler, self._handle = scheduler, handle
        # (device id, operator) -> true cost
        self._costs = {(d.id, name): c for d in devices for name, c in d.costs.items()}
        self._luck = luck
        self._ends: list[tuple[float, int, float]] = []  # when, run id, seconds
        self._where: dict[int, str] = {}  # run id -> device id
        self._tasks: dict[str | int, _Task] = {}  # those that have not ended
        self._classes = {latency: ClassOutcome() for latency in LatencyClass}
        self._outcome = Outcome(classes=self._classes)
        # events between two points of the backlog's line; doubled when there are many
        self._every = 1
        self._effects: dict[type[Any], Callable[[Any], None]] = {
            r.Start: self._start,
            r.Finish: self._finish,
            r.Reject: self._reject,
            r.Drop: self._drop,
            r.Fail: self._fail,
        }

    def until(self, time_s: float) -> None:
        """Let runs end and timers ring up to a time."""
        while True:
            end_s = self._ends[0][0] if self._ends else math.inf
            wake_s = self._scheduler.wake_s
            next_s = min(end_s, wake_s)
            if next_s > time_s or next_s == math.inf:
                return
            if end_s <= wake_s:
                end_s, run_id, seconds = heapq.heappop(self._ends)
                self._where.pop(run_id, None)
                self.feed(r.TaskFinished(time_s=end_s, run_id=run_id, seconds=seconds))
            else:
                self.feed(r.Tick(time_s=wake_s))

    def feed(self, event: r.OnlineEvent) -> None:
        """Tell the scheduler and do what it answers."""
        if type(event) is r.TaskArrived:
            self._arrive(event)
        elif type(event) is r.DeviceJoined:
            costs = event.device.costs.items()
            self._costs.update({(event.device.id, name): cost for name, cost in costs})
        self._outcome.events += 1
        self._note(event.time_s)
        for decision in self._handle(event):
            effect = self._effects.get(type(decision))
            if effect is not None:
                effect(decision)

    def outcome(self) -> Outcome:
        """What came of it; work that no device is left for stays unfinished."""
        self._outcome.unfinished = len(self._tasks)
        return self._outcome

    def _arrive(self, event: r.TaskArrived) -> None:
        costs = self._costs.items()
        most = max((c.sigma for (_, name), c in costs if name == event.operator), default=0.0)
        self._tasks[event.task_id] = _Task(event, self._luck.of_task(most))
        self._classes[event.latency].arrived += 1

    def _start(self, start: r.Start) -> None:
        cost = self._costs[start.device_id, start.operator]
        if start.latency is LatencyClass.REALTIME:
            factor = self._tasks[start.parts[0].task_id].factor
        else:
            factor = self._luck.of_chunk(cost.sigma)
        seconds = cost.seconds(start.items) * factor * self._luck.slower.get(start.device_id, 1.0)
        heapq.heappush(self._ends, (self._scheduler.now_s + seconds, start.run_id, seconds))
        self._outcome.runs += 1
        busy = self._outcome.busy_s
        busy[start.device_id] = busy.get(start.device_id, 0.0) + seconds

    def _finish(self, decision: r.Finish) -> None:
        task = self._tasks.pop(decision.task_id)
        now_s = self._scheduler.now_s
        row = self._classes[task.latency]
        if now_s <= task.deadline_s:
            row.on_time += 1
        else:
            row.late += 1
        row.items += task.items
        row.latency_s.append(now_s - task.arrived_s)
        self._outcome.seconds = max(self._outcome.seconds, now_s)

    def _reject(self, decision: r.Reject) -> None:
        self._classes[self._tasks.pop(decision.task_id).latency].refused += 1

    def _drop(self, decision: r.Drop) -> None:
        self._classes[self._tasks.pop(decision.task_id).latency].dropped += 1

    def _fail(self, decision: r.Fail) -> None:
        self._classes[self._tasks.pop(decision.task_id).latency].failed += 1

    def _note(self, time_s: float) -> None:
        """Keep about a thousand points of the backlog, ever coarser."""
        outcome = self._outcome
        if outcome.events % self._every:
            return
        outcome.waiting.append((time_s, len(self._tasks)))
        if len(outcome.waiting) >= 2048:
            del outcome.waiting[::2]
            self._every *= 2
