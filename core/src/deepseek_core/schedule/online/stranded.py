"""Accepted work that no device in service can run: until one is back, or its time is over."""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict

from deepseek_core.schedule.online.state import Job


class Stranded:
    """Jobs by since when nobody could take them, and by their deadlines."""

    def __init__(self) -> None:
        self._since: OrderedDict[str | int, Job] = OrderedDict()
        self._deadlines: list[tuple[float, int, Job]] = []

    def add(self, job: Job, now_s: float) -> None:
        """Keep a job; one that was here before, and found no device since, keeps its time."""
        job.stranded_s = min(job.stranded_s, now_s)
        self._since[job.id] = job
        if job.deadline_s < math.inf:
            heapq.heappush(self._deadlines, (job.deadline_s, job.seq, job))

    def discard(self, job: Job) -> None:
        """Forget a job, if it is here."""
        self._since.pop(job.id, None)

    def take(self) -> list[Job]:
        """All jobs, to be placed again."""
        jobs = list(self._since.values())
        self._since.clear()
        self._deadlines.clear()
        return jobs

    @property
    def next_deadline_s(self) -> float:
        """The earliest deadline; infinity: none."""
        while self._deadlines and self._since.get(self._deadlines[0][2].id) is None:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else math.inf

    @property
    def longest_since_s(self) -> float:
        """Since when the first of them waits; infinity: none does."""
        return next(iter(self._since.values())).stranded_s if self._since else math.inf

    def late(self, now_s: float) -> list[Job]:
        """Take out those whose deadline has passed."""
        found = []
        while self.next_deadline_s <= now_s:
            job = heapq.heappop(self._deadlines)[2]
            self.discard(job)
            found.append(job)
        return found

    def given_up(self, now_s: float, outage_s: float) -> list[Job]:
        """Take out those that wait for so long."""
        found = []
        while self.longest_since_s + outage_s <= now_s:
            found.append(self._since.popitem(last=False)[1])
        return found
