"""Offline work that waits: by operator, oldest first, handed out where it is done best."""

from __future__ import annotations

import math
from collections import deque

from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.state import Cost, Job, Unit

# A device this many times slower than the best one leaves an item that is longer than a chunk.
_MISFIT = 4.0


class OfflineWork:
    """Jobs with items that are in no run."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._waiting: dict[str, deque[Job]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def operators(self) -> tuple[str, ...]:
        """Operators of which work waits."""
        return tuple(self._waiting)

    def of(self, operator: str) -> tuple[Job, ...]:
        """The jobs of an operator that wait, oldest first."""
        return tuple(self._waiting.get(operator, ()))

    def add(self, job: Job) -> None:
        """Queue a new job behind the others of its operator."""
        self._waiting.setdefault(job.operator, deque()).append(job)

    def give_back(self, job: Job) -> None:
        """Queue a job again of which a run failed: it is the oldest."""
        queue = self._waiting.setdefault(job.operator, deque())
        if job not in queue:
            queue.appendleft(job)

    def discard(self, job: Job) -> None:
        """Forget a job that ended."""
        queue = self._waiting.get(job.operator)
        if queue is not None and job in queue:
            queue.remove(job)
            self._forget_if_empty(job.operator)

    def pick(self, unit: Unit, now_s: float) -> tuple[Job, int] | None:
        """The job to go on with on this device, and how many items of it."""
        best, most = None, -math.inf
        for operator, queue in self._waiting.items():
            aptness = unit.aptness.get(operator)
            if aptness is None:
                continue
            items = self.chunk_items(queue[0], unit.costs[operator])
            if items == 0 or self._misfit(aptness, unit.costs[operator], items):
                continue
            score = aptness + (now_s - queue[0].arrived_s) / self._rules.aging_s
            if score > most:
                best, most = (queue[0], items), score
        return best

    def taken(self, job: Job) -> None:
        """Note that items were taken off a job."""
        if not job.ranges:
            self._waiting[job.operator].popleft()
            self._forget_if_empty(job.operator)

    def chunk_items(self, job: Job, cost: Cost) -> int:
        """Items of a run of about `chunk_s`; 0 where the device can't take the job."""
        if not job.divisible:
            return job.items if job.items <= cost.most_items else 0
        if self._rules.chunk_s == math.inf:
            return min(job.items, cost.most_items)
        room_s = self._rules.chunk_s / cost.factor - cost.fixed_s
        fit = int(room_s / cost.item_s) if cost.item_s > 0 else job.items
        return max(1, min(fit, cost.most_items, job.items))

    def _misfit(self, aptness: float, cost: Cost, items: int) -> bool:
        """Whether the smallest run here takes far longer than a chunk, and elsewhere not."""
        if aptness * _MISFIT >= 1.0:
            return False
        return cost.mean_s(items) > _MISFIT * self._rules.chunk_s

    def _forget_if_empty(self, operator: str) -> None:
        if not self._waiting[operator]:
            del self._waiting[operator]
