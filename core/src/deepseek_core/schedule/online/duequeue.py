"""The realtime queue of a device: jobs by urgency, and sums over any part of them.

Blocks of neighbors with their sums, so that a question costs what the number of blocks costs.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import Final, Generic, Protocol, TypeVar

Key = tuple[float, float]
"""When a job is due, and the tag of its caller: its place among those that are due together."""


class Queued(Protocol):
    """What waits: its place, who comes first among equals, and what it takes of the device."""

    key: Key
    seq: int
    due_s: float
    tag: float
    deadline_s: float
    mean_s: float
    var: float


J = TypeVar("J", bound=Queued)
Entry = tuple[Key, int, J]

_MOST: Final = 128  # jobs of a block; then it is halved
_FIRST: Final[Key] = (-math.inf, 0.0)


class _Block(Generic[J]):
    """Neighbors in the queue: the sums over them, and what they can spare."""

    __slots__ = ("_spare", "entries", "mean_s", "most_tag", "var")

    def __init__(self, entries: list[Entry[J]]) -> None:
        self.entries = entries
        self.mean_s, self.var = _sums(entries)
        self.most_tag = max((job.tag for _, _, job in entries), default=0.0)  # or more
        self._spare: list[float] | None = None

    @property
    def last(self) -> tuple[Key, int]:
        """Place of the least urgent job."""
        key, seq, _ = self.entries[-1]
        return key, seq

    def count(self, job: J, sign: int) -> None:
        """Note that a job came (1) or went (-1)."""
        self.mean_s += sign * job.mean_s
        self.var += sign * job.var
        self.most_tag = max(self.most_tag, job.tag)
        self._spare = None

    def spare(self, slots: int) -> list[float]:
        """Deadlines less the work of this block up to their ends, ascending; without endless."""
        if self._spare is None:
            ahead, found = 0.0, []
            for _, _, job in self.entries:
                ahead += job.mean_s / slots
                if job.deadline_s < math.inf:
                    found.append(job.deadline_s - ahead)
            self._spare = sorted(found)
        return self._spare


class DueQueue(Generic[J]):
    """Jobs in order of their keys, first come first among equals; `mean_s` and `var` of all."""

    def __init__(self) -> None:
        self._blocks: list[_Block[J]] = []
        self._lasts: list[tuple[Key, int]] = []  # of each block
        self._size = 0
        self.mean_s = self.var = 0.0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[J]:
        return (job for block in self._blocks for _, _, job in block.entries)

    @property
    def last_key(self) -> Key:
        """Urgency of what is queued last."""
        return self._lasts[-1][0] if self._lasts else _FIRST

    @property
    def last(self) -> J:
        """The least urgent job; the queue is not empty."""
        return self._blocks[-1].entries[-1][2]

    def first(self, most: int) -> list[J]:
        """The most urgent jobs, so many of them."""
        return list(islice(self, most))

    def add(self, job: J) -> None:
        """Queue a job by its key; its mean and variance stay as they are while it is here."""
        place = (job.key, job.seq)
        if not self._blocks:
            self._blocks, self._lasts = [_Block([])], [place]
        index = min(bisect_left(self._lasts, place), len(self._blocks) - 1)
        block = self._blocks[index]
        insort(block.entries, (job.key, job.seq, job))
        self._count(block, job, 1)
        self._lasts[index] = block.last
        if len(block.entries) > _MOST:
            self._halve(index)

    def remove(self, job: J) -> None:
        """Take out a job that is queued here."""
        index = bisect_left(self._lasts, (job.key, job.seq))
        block = self._blocks[index]
        del block.entries[bisect_left(block.entries, (job.key, job.seq, job))]
        self._count(block, job, -1)
        if block.entries:
            self._lasts[index] = block.last
        else:
            del self._blocks[index], self._lasts[index]

    def drain(self) -> list[J]:
        """Empty the queue."""
        jobs = list(self)
        self._blocks, self._lasts = [], []
        self._size, self.mean_s, self.var = 0, 0.0, 0.0
        return jobs

    def before(self, key: Key) -> tuple[float, float]:
        """Mean and variance of the seconds of work that is queued ahead of `key`."""
        if self.last_key <= key:
            return self.mean_s, self.var
        index = bisect_right(self._lasts, (key, math.inf))
        entries = self._blocks[index].entries
        mean, var = _sums(entries[: _place(entries, key)])
        for block in self._blocks[:index]:
            mean += block.mean_s
            var += block.var
        return mean, var

    def harmed(self, key: Key, end_s: float, mean: float, slots: int) -> bool:
        """Whether a job behind `key` misses its deadline only for `mean` seconds more.

        `end_s` is when work that is put there would end, with a margin for chance.
        """
        if self.last_key <= key:
            return False
        index = bisect_right(self._lasts, (key, math.inf))
        entries = self._blocks[index].entries
        for _, _, job in entries[_place(entries, key) :]:
            end_s += job.mean_s / slots
            late_s = end_s - job.deadline_s
            if late_s > 0 >= late_s - mean:
                return True
        for block in self._blocks[index + 1 :]:
            spare = block.spare(slots)
            harmed = bisect_left(spare, end_s - mean)
            if harmed < len(spare) and spare[harmed] < end_s:
                return True
            end_s += block.mean_s / slots
        return False

    def place_of(self, job: J) -> Key:
        """Where a job would go: ahead of the first that is due earlier, but has a larger tag.

        A job without a deadline goes ahead of its likes only.
        """
        hurried = job.deadline_s < math.inf
        for block in self._blocks:
            for (due_s, _), _, other in block.entries if block.most_tag > job.tag else ():
                if due_s >= job.due_s:
                    return job.due_s, job.tag
                if other.tag > job.tag and (hurried or other.deadline_s == math.inf):
                    return due_s, job.tag
        return job.due_s, job.tag

    def _count(self, block: _Block[J], job: J, sign: int) -> None:
        block.count(job, sign)
        self._size += sign
        self.mean_s += sign * job.mean_s
        self.var += sign * job.var
        if not self._size:  # rounding errors end here
            self.mean_s = self.var = 0.0

    def _halve(self, index: int) -> None:
        entries = self._blocks[index].entries
        halves = [_Block(entries[: _MOST // 2]), _Block(entries[_MOST // 2 :])]
        self._blocks[index : index + 1] = halves
        self._lasts[index : index + 1] = [half.last for half in halves]


def _place(entries: list[Entry[J]], key: Key) -> int:
    """How many of the entries go before what is added with `key`."""
    return bisect_right(entries, key, key=itemgetter(0))


def _sums(entries: list[Entry[J]]) -> tuple[float, float]:
    mean = var = 0.0
    for _, _, job in entries:
        mean += job.mean_s
        var += job.var
    return mean, var
