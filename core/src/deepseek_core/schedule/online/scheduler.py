"""The online scheduler: a state machine, told events, that answers decisions.

Realtime work goes by earliest deadline to the device that finishes it first; it is admitted by
a quantile of the forecast. Offline work fills gaps in chunks. Equal events, equal decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.dispatch import Dispatcher
from deepseek_core.schedule.online.duequeue import Key
from deepseek_core.schedule.online.forecast import choose
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.state import Job, Run, Unit

_SOON_S = 0.001


class OnlineScheduler:
    """Give it every event in order of time; do what it answers.

    An accepted task ends exactly once: in a `Finish`, a `Fail` or, before it started, a `Drop`;
    or in silence, as it is withdrawn.
    `outage_s` may be lowered when no device will come back any more.
    """

    def __init__(self, devices: Iterable[r.OnlineDevice], rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.outage_s = self.rules.outage_s
        self._anyhow = attrs.evolve(self.rules, admission_z=None)
        self._desk = Dispatcher(self.rules)
        self._unserved: dict[str, float] = {}  # operator of offline work -> since when
        self._most_items: dict[str, int] = {}
        self._next_seq = 0
        self._handlers: dict[type[r.OnlineEvent], Callable[[Any], None]] = {
            r.TaskArrived: self._arrived,
            r.TaskWithdrawn: self._withdrawn,
            r.TaskStarted: self._started,
            r.TaskFinished: self._finished,
            r.TaskFailed: self._failed,
            r.DeviceLost: self._lost,
            r.DeviceJoined: self._joined,
            r.Tick: self._ticked,
        }
        for device in devices:
            self._add(device)

    @property
    def now_s(self) -> float:
        """Time of the latest event."""
        return self._desk.now_s

    @property
    def live(self) -> int:
        """Tasks that were accepted and have not ended."""
        return len(self._desk.jobs)

    @property
    def wake_s(self) -> float:
        """When a `Tick` is due if no other event comes before; infinity: never."""
        stranded = self._desk.stranded
        hopeless_s = stranded.next_deadline_s if self.rules.drop_hopeless else math.inf
        limits = (run.limit_s for run in self._desk.runs.values())
        outage = (since_s + self.outage_s for since_s in self._unserved.values())
        patience_s = stranded.longest_since_s + self.outage_s
        return min((self._desk.fleet.next_return_s, hopeless_s, patience_s, *limits, *outage))

    def runs(self, run_id: int) -> bool:
        """Whether a run's result would have an effect: it was not given up."""
        return run_id in self._desk.runs

    def handle(self, event: r.OnlineEvent) -> list[r.Decision]:
        """Take in one event; what is to be done now, in order.

        Raises:
            InputError: time went backwards, an unknown operator or device, a repeated task id.
        """
        if not event.time_s >= self._desk.now_s:
            raise InputError(
                f"time went backwards: {event.time_s:g} s after {self._desk.now_s:g} s",
                remedy="give events in order of time",
            )
        handler = self._handlers.get(type(event))
        if handler is None:
            raise InputError(f"{type(event).__name__} is no event of the online scheduler")
        self._desk.now_s = event.time_s
        if self._desk.fleet.next_return_s <= self._desk.now_s:
            self._readmit()
        handler(event)
        decided, self._desk.out = self._desk.out, []
        return decided

    # -- arrivals ---------------------------------------------------------------------------

    def _arrived(self, event: r.TaskArrived) -> None:
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
            self._desk.out.append(
                r.Reject(task_id=event.task_id, reason=reason, retry_after_s=None)
            )
            return
        full = None if event.committed else self._full(event.caller)
        if full is not None:
            self._desk.out.append(
                r.Reject(task_id=event.task_id, reason=full, retry_after_s=self._next_end_s())
            )
            return
        self._next_seq += 1
        job = Job(event, self._next_seq)
        if self._is_offline(event):
            self._desk.accept(job)
            self._desk.offline.add(job)
            self._desk.fill_idle()
            self._settle_offline()
        else:
            self._admit(job, committed=event.committed)

    def _full(self, caller: str) -> str | None:
        """Why there is no room for more work of a caller; None where there is."""
        mine, most = self._desk.held[caller], self.rules.caller_limit
        if mine >= most:
            whose = f"caller {caller!r}" if caller else "one caller"
            return f"{mine:,} tasks of {whose} wait or run (Rules.caller_limit)"
        if self.live >= self.rules.queue_limit:
            return f"{self.live:,} tasks wait or run (Rules.queue_limit)"
        return None

    def _next_end_s(self) -> float:
        """Seconds until a run is expected to end, and to leave room."""
        ends = (run.end_s for run in self._desk.runs.values())
        left_s = min(ends, default=math.inf) - self._desk.now_s
        return min(max(left_s, _SOON_S), self.rules.patience_s)

    def _withdrawn(self, event: r.TaskWithdrawn) -> None:
        job = self._desk.jobs.get(event.task_id)
        if job is not None:
            self._desk.forget(job)

    def _is_offline(self, event: r.TaskArrived) -> bool:
        return self.rules.offline_apart and event.latency is LatencyClass.OFFLINE

    def _admit(self, job: Job, *, committed: bool) -> None:
        self._desk.set_due(job)
        serving, stretch = self._desk.fleet.serving, self._stretch()
        choice = choose(serving, job, self._desk.now_s, rules=self.rules, stretch=stretch)
        if choice.unit is not None:
            self._desk.accept(job)
            self._enqueue(choice.unit, choice.key, job)
        elif committed or self.rules.admission_z is None or job.deadline_s == math.inf:
            self._desk.accept(job)
            self._place(job)
        else:
            self._refuse(job, choice.late_s, able=choice.able)

    def _stretch(self) -> float:
        floor = self.rules.offline_floor
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
        self._desk.out.append(r.Reject(task_id=job.id, reason=reason, retry_after_s=retry_s))

    def _place(self, job: Job) -> None:
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

    # -- runs -------------------------------------------------------------------------------

    def _started(self, event: r.TaskStarted) -> None:
        run = self._desk.runs.get(event.run_id)
        if run is not None:
            run.end_s = self._desk.now_s + run.mean_s
            cost = run.unit.costs[run.operator]
            alone = not any(
                run.operator in unit.costs
                for unit in self._desk.fleet.serving
                if unit is not run.unit
            )
            limit_s = cost.limit_s(run.items, self.rules, patient=alone)
            run.limit_s = self._desk.now_s + limit_s

    def _finished(self, event: r.TaskFinished) -> None:
        run = self._desk.runs.pop(event.run_id, None)
        if run is None:
            return  # of an attempt that was given up: no effect
        unit = run.unit
        if event.seconds is not None:
            cost = unit.costs[run.operator]
            cost.ended(event.seconds)
            if self.rules.learning:
                cost.learn(run.items, event.seconds, self.rules.learning)
        self._desk.fleet.release(run)
        self._desk.fleet.recovered(unit)
        for job, part in zip(run.jobs, run.parts, strict=True):
            self._part_done(unit, job, part)
        if self._desk.offline and run.jobs[0].realtime:
            unit.credit_s += run.mean_s * self.rules.offline_floor
        self._desk.fill(unit)

    def _part_done(self, unit: Unit, job: Job, part: r.Part) -> None:
        job.running -= 1
        job.done += part.items
        if job.ended:
            return
        if job.done == job.items:
            self._desk.end(job, r.Finish(task_id=job.id))
        elif not job.realtime:
            unit.paused = job

    # -- trouble ----------------------------------------------------------------------------

    def _failed(self, event: r.TaskFailed) -> None:
        run = self._desk.runs.pop(event.run_id, None)
        if run is None:
            return
        unit = run.unit
        self._desk.fleet.release(run)
        if event.device_fault and unit.in_service:
            until_s = self._desk.fleet.quarantine(unit, self._desk.now_s)
            self._leave(unit, until_s, event.reason)
        self._retry(run, event.reason, retryable=event.retryable)
        if unit.in_service:
            self._desk.fill(unit)
        self._desk.fill_idle()

    def _leave(self, unit: Unit, until_s: float, reason: str) -> None:
        unit.free = 0
        self._desk.out.append(r.Quarantine(device_id=unit.id, until_s=until_s, reason=reason))
        for job in unit.drain():
            self._place(job)

    def _retry(self, run: Run, reason: str, *, retryable: bool) -> None:
        """Queue what a run had once more; where one of several is at fault, each alone."""
        blamed = not retryable and len(run.jobs) == 1
        for job, part in zip(run.jobs, run.parts, strict=True):
            job.running -= 1
            if job.ended:
                continue
            job.ranges.append((part.first, part.items))
            job.alone = job.alone or not retryable
            job.attempt += 1
            if blamed or job.attempt > self.rules.most_attempts:
                self._desk.end(job, r.Fail(task_id=job.id, reason=reason))
            elif job.realtime or not self.rules.offline_apart:
                self._place(job)
            else:
                self._desk.offline.give_back(job)

    def _lost(self, event: r.DeviceLost) -> None:
        unit = self._desk.fleet.units.get(event.device_id)
        if unit is None:
            raise InputError(f"there is no device {event.device_id!r} to lose")
        if unit.until_s == math.inf:
            return  # as known
        self._take_out(unit, event.reason)

    def _take_out(self, unit: Unit, reason: str) -> None:
        """Give a device no more work until it joins again; what it had goes elsewhere."""
        runs, jobs = self._desk.fleet.lose(unit)
        notice = r.Quarantine(device_id=unit.id, until_s=math.inf, reason=reason)
        self._desk.out.append(notice)
        self._resettle(runs, jobs, reason)
        self._settle_offline()

    def _resettle(self, runs: list[Run], jobs: list[Job], reason: str) -> None:
        for run in runs:
            del self._desk.runs[run.id]
            self._retry(run, reason, retryable=True)
        for job in jobs:
            self._place(job)
        self._desk.fill_idle()

    def _add(self, device: r.OnlineDevice) -> tuple[list[Run], list[Job]]:
        _, runs, jobs = self._desk.fleet.join(device)
        for name, cost in device.costs.items():
            self._most_items[name] = max(self._most_items.get(name, 1), cost.most_items)
        return runs, jobs

    def _joined(self, event: r.DeviceJoined) -> None:
        before = self._desk.fleet.units.get(event.device.id)
        runs, jobs = self._add(event.device)
        unit = self._desk.fleet.units[event.device.id]
        if before is not None and before.hangs:
            for name, seconds in event.late.items():
                unit.costs[name].ended(seconds)
            until_s = self._desk.fleet.quarantine(unit, self._desk.now_s)
            self._leave(unit, until_s, "it did not answer for too long")
        self._place_stranded()
        self._resettle(runs, jobs, "the device joined anew")
        self._desk.fill(unit)

    def _readmit(self) -> None:
        for unit in self._desk.fleet.returning(self._desk.now_s):
            self._desk.out.append(r.Readmit(device_id=unit.id))
        self._place_stranded()
        for unit in self._desk.fleet.serving:
            if unit.free > 0:
                self._desk.fill(unit)

    def _place_stranded(self) -> None:
        self._end_stranded()
        for job in self._desk.stranded.take():
            self._place(job)

    def _end_stranded(self) -> None:
        """End what no device was there for, until its deadline or for too long."""
        if self.rules.drop_hopeless:
            for job in self._desk.stranded.late(self._desk.now_s):
                self._desk.end(job, r.Drop(task_id=job.id, reason="no device was there in time"))
        for job in self._desk.stranded.given_up(self._desk.now_s, self.outage_s):
            self._desk.end(job, r.Fail(task_id=job.id, reason=self._outage()))

    def _ticked(self, _event: r.Tick) -> None:
        self._end_hangs()
        self._end_stranded()
        self._settle_offline()

    def _end_hangs(self) -> None:
        """Give up runs that take far too long, and the devices that they are on."""
        for unit in {
            run.unit.id: run.unit
            for run in self._desk.runs.values()
            if run.limit_s <= self._desk.now_s
        }.values():
            unit.hangs = True
            self._take_out(unit, "a run hangs")

    def _settle_offline(self) -> None:
        """End offline work that nobody was there to do for too long."""
        served = {name for unit in self._desk.fleet.serving for name in unit.costs}
        lacking = [name for name in self._desk.offline.operators if name not in served]
        self._unserved = {n: self._unserved.get(n, self._desk.now_s) for n in lacking}
        for name, since_s in list(self._unserved.items()):
            if since_s + self.outage_s <= self._desk.now_s:
                del self._unserved[name]
                for job in self._desk.offline.of(name):
                    self._desk.end(job, r.Fail(task_id=job.id, reason=self._outage()))

    def _outage(self) -> str:
        return f"no device that runs it was in service for {self.outage_s:g} s"
