"""The online scheduler: a state machine, told events, that answers decisions.

Realtime work goes by earliest deadline to the device that finishes it first; it is admitted by
a quantile of the forecast. Offline work fills gaps in chunks. Equal events, equal decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from deepseek_core.contracts.errors import InputError
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.admission import Admission
from deepseek_core.schedule.online.dispatch import Dispatcher
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.state import Job, Kind, Run, Unit


class OnlineScheduler:
    """Give it every event in order of time; do what it answers.

    An accepted task ends exactly once: in a `Finish`, a `Fail` or, before it started, a `Drop`;
    or in silence, as it is withdrawn. Who asks is in each task: callers get equal shares.
    """

    def __init__(self, devices: Iterable[r.OnlineDevice], rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.outage_s = self.rules.outage_s  # how long work waits while no device can do it
        self._is_ending = False  # it is being closed: runs that hang get no patience
        self._desk = Dispatcher(self.rules)
        self._admission = Admission(self._desk)
        self._unserved: dict[Kind, float] = {}  # offline work that nobody does -> since when
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

    def end(self, outage_s: float) -> None:
        """No more patience: neither with devices that are out, nor with runs of unknown length."""
        self._is_ending = True
        self.outage_s = min(self.outage_s, outage_s)
        for run in self._desk.runs.values():
            self._set_limit(run)

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

    # -- tasks and runs -----------------------------------------------------------------------

    def _arrived(self, event: r.TaskArrived) -> None:
        self._admission.arrived(event)
        if self._desk.offline:
            self._settle_offline()

    def _withdrawn(self, event: r.TaskWithdrawn) -> None:
        job = self._desk.jobs.get(event.task_id)
        if job is not None:
            self._desk.forget(job)

    def _started(self, event: r.TaskStarted) -> None:
        run = self._desk.runs.get(event.run_id)
        if run is not None:
            run.began_s, run.end_s = self._desk.now_s, self._desk.now_s + run.mean_s
            self._set_limit(run)

    def _set_limit(self, run: Run) -> None:
        """Say when a run counts as one that hangs; be patient where nobody else could do it."""
        cost, others = run.unit.costs[run.operator], self._desk.fleet.serving
        alone = not any(run.operator in u.costs for u in others if u is not run.unit)
        patient = not self._is_ending and (alone or not cost.is_known)
        floor_s = self.rules.hang_guess_s if patient else self.rules.hang_floor_s
        run.limit_s = run.began_s + cost.limit_s(run.items, self.rules.hang_factor, floor_s)

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
        if event.refused and len(run.jobs) == 1:
            self._refused(run, event.reason)
        else:
            self._retry(run, event.reason, retryable=event.retryable and not event.refused)
        if unit.in_service:
            self._desk.fill(unit)
        self._desk.fill_idle()

    def _leave(self, unit: Unit, until_s: float, reason: str) -> None:
        unit.free = 0
        self._desk.out.append(r.Quarantine(device_id=unit.id, until_s=until_s, reason=reason))
        for job in unit.drain():
            self._admission.place(job)

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
            else:
                self._wait_again(job)

    def _refused(self, run: Run, reason: str) -> None:
        """Queue a task for the devices that have not refused it; without any it has failed."""
        (job,), (part,) = run.jobs, run.parts
        job.running -= 1
        if job.ended:
            return
        self._desk.offline.discard(job)  # what waits of it is of another kind from now on
        job.kind = Kind(job.operator, job.kind.refused | {run.unit.id})
        job.ranges.append((part.first, part.items))
        if not any(unit.cost(job.kind) for unit in self._desk.fleet.units.values()):
            self._desk.end(job, r.Fail(task_id=job.id, reason=reason))
        else:
            self._wait_again(job)

    def _wait_again(self, job: Job) -> None:
        if job.realtime or not self.rules.offline_apart:
            self._admission.place(job)
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
            self._admission.place(job)
        self._desk.fill_idle()

    def _add(self, device: r.OnlineDevice) -> tuple[list[Run], list[Job]]:
        _, runs, jobs = self._desk.fleet.join(device)
        self._admission.knows(device)
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
        self._resettle(runs, jobs, "the device joined again")
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
            self._admission.place(job)

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
        serving = self._desk.fleet.serving
        lacking = [k for k in self._desk.offline.kinds if not any(u.cost(k) for u in serving)]
        self._unserved = {k: self._unserved.get(k, self._desk.now_s) for k in lacking}
        for kind, since_s in list(self._unserved.items()):
            if since_s + self.outage_s <= self._desk.now_s:
                del self._unserved[kind]
                for job in self._desk.offline.of(kind):
                    self._desk.end(job, r.Fail(task_id=job.id, reason=self._outage()))

    def _outage(self) -> str:
        return f"no device that runs it was in service for {self.outage_s:g} s"
