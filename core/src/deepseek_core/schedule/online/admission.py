"""Admission: space in the queue, the deadline, and the device where a task waits."""

from __future__ import annotations

import math
from typing import Final

import attrs

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.dispatch import Dispatcher
from deepseek_core.schedule.online.duequeue import Key
from deepseek_core.schedule.online.forecast import choose
from deepseek_core.schedule.online.state import Job, Unit

_SOON_S: Final = 0.001


class Admission:
    """Takes tasks in for a dispatcher, or says why not and when to try again."""

    def __init__(self, desk: Dispatcher) -> None:
        self._desk = desk
        self._anyhow = attrs.evolve(desk.rules, admission_z=None)
        self._most_items: dict[str, int] = {}  # of a run, by operator
        self._next_seq = 0

    def knows(self, device: r.OnlineDevice) -> None:
        """Note what a device can do: it may be out now, and come back."""
        for name, cost in device.costs.items():
            self._most_items[name] = max(self._most_items.get(name, 1), cost.most_items)

    def arrived(self, event: r.TaskArrived) -> None:
        """Take a task in, or refuse it.

        Raises:
            InputError: an operator that nobody runs, a task id that is there already.
        """
        most = self._most_items.get(event.operator)
        if most is None:
            raise InputError(
                f"task {event.task_id!r}: unknown operator {event.operator!r}",
                remedy=f"known are {', '.join(sorted(self._most_items)) or 'none'}",
            )
        if event.task_id in self._desk.jobs:
            raise InputError(f"task {event.task_id!r} is there already")
        if event.items > most and not (event.divisible and self._is_offline(event)):
            reason = f"no device takes more than {most} items at once"
            self._reject(event.task_id, reason, None)
            return
        full = None if event.committed else self._full(event.caller)
        if full is not None:
            self._reject(event.task_id, full, self._next_end_s())
            return
        self._next_seq += 1
        job = Job(event, self._next_seq)
        if self._is_offline(event):
            self._desk.accept(job)
            self._desk.offline.add(job)
            self._desk.fill_idle()
        else:
            self._admit(job, committed=event.committed)

    def _full(self, caller: str) -> str | None:
        """Why there is no space for more work of a caller; None where there is."""
        mine, most = self._desk.held[caller], self._desk.rules.caller_limit
        if mine >= most:
            whose = f"caller {caller!r}" if caller else "one caller"
            return f"{mine:,} tasks of {whose} wait or run (Rules.caller_limit)"
        if len(self._desk.jobs) >= self._desk.rules.queue_limit:
            return f"{len(self._desk.jobs):,} tasks wait or run (Rules.queue_limit)"
        return None

    def _next_end_s(self) -> float:
        """Seconds until a run is expected to end, and to leave space."""
        ends = (run.end_s for run in self._desk.runs.values())
        left_s = min(ends, default=math.inf) - self._desk.now_s
        return min(max(left_s, _SOON_S), self._desk.rules.patience_s)

    def _is_offline(self, event: r.TaskArrived) -> bool:
        return self._desk.rules.offline_apart and event.latency is LatencyClass.OFFLINE

    def _admit(self, job: Job, *, committed: bool) -> None:
        self._desk.set_due(job)
        serving, stretch = self._desk.fleet.serving, self._stretch()
        choice = choose(serving, job, self._desk.now_s, rules=self._desk.rules, stretch=stretch)
        if choice.unit is not None:
            self._desk.accept(job)
            self._enqueue(choice.unit, choice.key, job)
        elif committed or self._desk.rules.admission_z is None or job.deadline_s == math.inf:
            self._desk.accept(job)
            self.place(job)
        else:
            self._refuse(job, choice.late_s, able=choice.able)

    def _stretch(self) -> float:
        floor = self._desk.rules.offline_floor
        return 1.0 / (1.0 - floor) if floor and self._desk.offline else 1.0

    def _refuse(self, job: Job, late_s: float, *, able: bool) -> None:
        if able:
            reason = "no device can meet the deadline behind the work of earlier deadlines"
            retry_s: float | None = max(late_s, _SOON_S)
        elif late_s < math.inf:
            reason, retry_s = "no device is fast enough for the deadline, even when idle", None
        else:
            reason = "every device that runs it is out of service"
            back_s = self._desk.fleet.next_return_s - self._desk.now_s
            retry_s = max(back_s, _SOON_S) if back_s < math.inf else None
        self._reject(job.id, reason, retry_s)

    def place(self, job: Job) -> None:
        """Queue a task that was promised, deadline or not; strand it while nobody can run it."""
        serving = self._desk.fleet.serving
        choice = choose(serving, job, self._desk.now_s, rules=self._anyhow)
        if choice.unit is None:
            self._desk.stranded.add(job, self._desk.now_s)
        else:
            job.stranded_s = math.inf
            self._enqueue(choice.unit, choice.key, job)

    def _enqueue(self, unit: Unit, key: Key, job: Job) -> None:
        unit.push(job, key)
        if unit.free > 0:
            self._desk.fill(unit)

    def _reject(self, task_id: str | int, reason: str, retry_after_s: float | None) -> None:
        decision = r.Reject(task_id=task_id, reason=reason, retry_after_s=retry_after_s)
        self._desk.out.append(decision)
