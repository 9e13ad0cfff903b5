"""Gives free devices something to do: realtime work by urgency, else a chunk of offline work.

Holds what was accepted and what runs; the scheduler tells it what changed.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.fair import FairShare
from deepseek_core.schedule.online.fleet import Fleet
from deepseek_core.schedule.online.forecast import batch_with, best_to_steal
from deepseek_core.schedule.online.offline import OfflineWork
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.state import Job, Run, Unit
from deepseek_core.schedule.online.stranded import Stranded

_Z_QUICK: Final = -1.2816  # a quick run: one in ten is quicker


class Dispatcher:
    """Jobs by task id, runs by number, and the decisions of the event at hand."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.now_s = -math.inf  # the time of the event at hand
        self.fleet = Fleet(rules)
        self.offline = OfflineWork(rules)
        self.stranded = Stranded()
        self.jobs: dict[str | int, Job] = {}  # all that have not ended
        self.held: Counter[str] = Counter()  # jobs by caller
        self.runs: dict[int, Run] = {}
        self.out: list[r.Decision] = []  # the decisions of the event at hand, in their order
        self._share = FairShare()  # of realtime work
        self._next_run = 0

    def accept(self, job: Job) -> None:
        """Take a job in: it ends exactly once."""
        self.jobs[job.id] = job
        self.held[job.caller] += 1
        if job.realtime and self.rules.order == "deadline":
            self._share.charge(job.caller, self.fleet.least_s(job.operator, job.items))

    def set_due(self, job: Job) -> None:
        """Say what a job's place goes by: its deadline, or what stands for it, or its arrival."""
        if self.rules.order == "deadline":
            patient_s = job.arrived_s + self.rules.patience_s
            job.due_s = job.deadline_s if job.deadline_s < math.inf else patient_s
            job.tag = self._share.tag(job.caller)

    def end(self, job: Job, decision: r.Decision) -> None:
        """Forget a task and answer how it ended."""
        self.forget(job)
        self.out.append(decision)

    def forget(self, job: Job) -> None:
        """Let a task end; what runs of it has no effect any more."""
        job.ended = True
        del self.jobs[job.id]
        self.held[job.caller] -= 1
        if not self.held[job.caller]:
            del self.held[job.caller]
        if job.unit is not None:
            job.unit.take(job)
        self.stranded.discard(job)
        self.offline.discard(job)

    def fill_idle(self) -> None:
        """Give idle devices offline work."""
        if not self.offline:
            return
        idle = [unit for unit in self.fleet.serving if unit.free > 0]
        for unit in idle:
            self.fill(unit)

    def fill(self, unit: Unit) -> None:
        """Give every free slot something to do."""
        while unit.free > 0 and unit.in_service:
            if self._owes_offline(unit) and self._start_offline(unit):
                continue
            if unit.queue or self._steal(unit):
                self._start_realtime(unit)
            elif not (self.offline and self._start_offline(unit)):
                return

    def _owes_offline(self, unit: Unit) -> bool:
        return unit.credit_s >= self.rules.chunk_s and bool(self.offline)

    def _steal(self, unit: Unit) -> bool:
        if not self.rules.steal:
            return False
        victim = best_to_steal(unit, self.fleet.serving, self.now_s)
        if victim is None:
            return False
        job = victim.queue.last
        victim.take(job)
        unit.push(job, job.key)
        return True

    def _start_realtime(self, unit: Unit) -> None:
        (job,) = unit.queue.first(1)
        if self._hopeless(unit, job):
            self.end(job, r.Drop(task_id=job.id, reason="its deadline is out of reach"))
            return
        unit.take(job)
        jobs = [job]
        if self.rules.batch_z is not None and not job.alone and unit.queue:
            jobs += batch_with(unit, job, self.now_s, self.rules)
        for other in jobs[1:]:
            unit.take(other)
        if unit.paused is not None:
            self._preempt(unit, unit.paused)
        for each in jobs:
            self._share.began(each.tag)
        self._start(unit, jobs, tuple(j.take_all() for j in jobs))

    def _hopeless(self, unit: Unit, job: Job) -> bool:
        if not self.rules.drop_hopeless or job.deadline_s == math.inf:
            return False
        quick_s = unit.costs[job.operator].quantile_s(job.items, _Z_QUICK)
        return self.now_s + quick_s > job.deadline_s

    def _preempt(self, unit: Unit, job: Job) -> None:
        unit.paused = None
        if job.ranges and not job.running and not job.ended:
            self.out.append(r.Preempt(task_id=job.id, device_id=unit.id))

    def _start_offline(self, unit: Unit) -> bool:
        found = self.offline.pick(unit, self.now_s)
        if found is None:
            return False
        job, items = found
        part = job.take(items)
        run = self._start(unit, [job], (part,))
        self.offline.taken(job, run.mean_s)
        unit.credit_s = max(0.0, unit.credit_s - run.mean_s)
        unit.paused = None
        return True

    def _start(self, unit: Unit, jobs: list[Job], parts: tuple[r.Part, ...]) -> Run:
        self._next_run += 1
        run = Run(self._next_run, unit, jobs[0].operator, jobs, parts)
        run.end_s = self.now_s + run.mean_s
        self.runs[run.id] = unit.running[run.id] = run
        unit.free -= 1
        kind = LatencyClass.REALTIME if jobs[0].realtime else LatencyClass.OFFLINE
        self.out.append(
            r.Start(
                run_id=run.id, device_id=unit.id, operator=run.operator, parts=parts, latency=kind
            )
        )
        return run
