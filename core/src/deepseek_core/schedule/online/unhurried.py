"""Realtime work without a deadline: as if due a while after it came, callers in fair turns.

What comes ahead of older work by its caller's share is as urgent as that work.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort

from deepseek_core.schedule.online.duequeue import Key
from deepseek_core.schedule.online.fair import FairShare
from deepseek_core.schedule.online.state import Job


class Unhurried:
    """The jobs that wait, by their tags, each with the time that stands for its deadline."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._share = FairShare()
        self._waiting: list[tuple[float, int, float]] = []  # tag, seq, due: dues ascend as well

    def enter(self, job: Job, seconds: float) -> Key:
        """Give a job that came now its place; it takes so many seconds of a device."""
        tag = self._share.charge(job.caller, seconds)
        due_s = job.arrived_s + self._patience_s
        place = bisect_left(self._waiting, (tag, job.seq, -math.inf))
        if place < len(self._waiting):
            due_s = min(due_s, self._waiting[place][2])
        insort(self._waiting, (tag, job.seq, due_s))
        return due_s, tag

    def began(self, job: Job) -> None:
        """Note that a job begins."""
        self._share.began(job.key[1])
        self.leave(job)

    def leave(self, job: Job) -> None:
        """Forget a job that waits no longer; any other is left alone."""
        place = bisect_left(self._waiting, (job.key[1], job.seq, -math.inf))
        if place < len(self._waiting) and self._waiting[place][1] == job.seq:
            del self._waiting[place]
