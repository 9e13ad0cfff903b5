"""Offline work that waits: callers in fair turns, each where it is done best, oldest first."""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from typing import Final

from deepseek_core.schedule.online.fair import FairShare
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.state import Cost, Job, Kind, Unit

# A device this many times slower than the best one leaves an item that is longer than a chunk.
_MISFIT: Final = 4.0

Turn = tuple[float, int, str]
"""The tag of a caller, when it got it, and who it is."""
Choice = tuple[Job, int]


class OfflineWork:
    """Jobs with items that are in no run, by caller and kind."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._waiting: dict[str, dict[Kind, deque[Job]]] = {}
        self._jobs: Counter[Kind] = Counter()  # that wait
        self._share = FairShare()
        self._turns: list[Turn] = []  # a heap; of those that were replaced some are left
        self._turn: dict[str, Turn] = {}  # of each caller with work
        self._next_turn = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of which work waits."""
        return tuple(self._jobs)

    def of(self, kind: Kind) -> list[Job]:
        """The jobs of a kind that wait, oldest first for each caller."""
        return [job for mine in self._waiting.values() for job in mine.get(kind, ())]

    def add(self, job: Job) -> None:
        """Queue a new job behind the others of its caller and kind."""
        self._queue_of(job).append(job)

    def give_back(self, job: Job) -> None:
        """Queue a job again of which a run failed: it is the oldest."""
        if not job.queued:
            self._queue_of(job).appendleft(job)

    def discard(self, job: Job) -> None:
        """Forget a job that ended."""
        if job.queued:
            self._waiting[job.caller][job.kind].remove(job)
            self._left(job)

    def pick(self, unit: Unit, now_s: float) -> Choice | None:
        """The job to go on with on this device, and how many items of it."""
        passed: list[Turn] = []
        found: Choice | None = None
        while self._turns and found is None:
            turn = heapq.heappop(self._turns)
            if self._turn.get(turn[2]) is turn:
                passed.append(turn)
                found = self._best_of(turn[2], unit, now_s)
        for turn in passed:
            heapq.heappush(self._turns, turn)
        return found

    def taken(self, job: Job, seconds: float) -> None:
        """Note that items were taken off a job, for a run of so many seconds."""
        self._share.began(self._turn[job.caller][0])
        self._share.charge(job.caller, seconds)
        if not job.ranges:
            self._waiting[job.caller][job.kind].popleft()
            self._left(job)
        if job.caller in self._waiting:
            self._take_turn(job.caller)

    def chunk_items(self, job: Job, cost: Cost) -> int:
        """Items of a run of about `chunk_s`; 0 where the device can't take the job."""
        if not job.divisible:
            return job.items if job.items <= cost.most_items else 0
        if self._rules.chunk_s == math.inf:
            return min(job.items, cost.most_items)
        room_s = self._rules.chunk_s / cost.factor - cost.fixed_s
        fit = int(room_s / cost.item_s) if cost.item_s > 0 else job.items
        return max(1, min(fit, cost.most_items, job.items))

    def _best_of(self, caller: str, unit: Unit, now_s: float) -> Choice | None:
        """What the device does best of a caller's work; what waited long counts for more."""
        best, most = None, -math.inf
        for kind, queue in self._waiting[caller].items():
            cost = unit.cost(kind)
            if cost is None:
                continue
            items, aptness = self.chunk_items(queue[0], cost), unit.aptness[kind.operator]
            fits = kind.refused or not self._misfit(aptness, cost, items)  # the best may refuse it
            if items == 0 or not fits:
                continue
            score = aptness + (now_s - queue[0].arrived_s) / self._rules.aging_s
            if score > most:
                best, most = (queue[0], items), score
        return best

    def _misfit(self, aptness: float, cost: Cost, items: int) -> bool:
        """Whether the smallest run here takes far longer than a chunk, and elsewhere not."""
        if aptness * _MISFIT >= 1.0:
            return False
        return cost.mean_s(items) > _MISFIT * self._rules.chunk_s

    def _queue_of(self, job: Job) -> deque[Job]:
        job.queued = True
        self._jobs[job.kind] += 1
        if job.caller not in self._waiting:
            self._waiting[job.caller] = {}
            self._take_turn(job.caller)
        return self._waiting[job.caller].setdefault(job.kind, deque())

    def _left(self, job: Job) -> None:
        """Note that a job waits no longer."""
        job.queued = False
        mine = self._waiting[job.caller]
        self._jobs[job.kind] -= 1
        if not self._jobs[job.kind]:
            del self._jobs[job.kind]
        if not mine[job.kind]:
            del mine[job.kind]
        if not mine:
            del self._waiting[job.caller], self._turn[job.caller]

    def _take_turn(self, caller: str) -> None:
        self._next_turn += 1
        turn = (self._share.tag(caller), self._next_turn, caller)
        self._turn[caller] = turn
        heapq.heappush(self._turns, turn)
