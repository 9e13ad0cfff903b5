"""The gate: one shadow store per subset of the sources; the best subset acts.

Set dueling (Qureshi et al., ISCA 2007) turned to prefetch: accuracy gates fail both ways, a
source that is right for 31 % may win much and one of 23 % may lose much (benchmarks/prefetch.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import inf

from deepseek_store.prefetch.channels import FIRST, QUEUE

HORIZON = 1500  # requests of the moving average
ISSUE_COST = 0.03  # of a fetch that was issued ahead, in hits
CHANNEL_COST = 0.12  # the same for a fetch that has the only channel; others share it
MARGIN = 0.005  # by which another subset must be better, in hits per request
HARM = 0.001  # by which the acting subset may be worse than no prefetch at all
MAX_TAGS = 2048  # of one shadow; a larger cache is judged on a sample of the blocks
_SPREAD = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class Shadow:
    """A store in a few numbers, as it would be if one subset of the sources acted.

    Tag-only LRU, channels of their own and a clock of their own: a subset that wastes fetches
    keeps its own demands waiting, one that hits makes the requests come sooner. `score`: moving
    average of hits per request, less `ISSUE_COST` for each block that was announced. A request
    whose block comes late is worth the share of the wait that it is spared, which is below zero
    when it has to wait for a channel.
    """

    __slots__ = ("asked_s", "busy_until_s", "clock_s", "mask", "ready_s", "score")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        # By block, least recently used first: a dict finds its front ever more slowly.
        self.ready_s: OrderedDict[int, float] = OrderedDict()
        self.asked_s = self.clock_s = 0.0  # of the last request; after it was waited for
        self.busy_until_s = 0.0  # all fetches done, were the channels one that is faster
        self.score = 0.0

    def joined_by(self, source: int) -> Shadow:
        """The same with one more source."""
        found = Shadow(self.mask | 1 << source)
        found.ready_s = self.ready_s.copy()
        found.asked_s, found.clock_s = self.asked_s, self.clock_s
        found.busy_until_s, found.score = self.busy_until_s, self.score
        return found


class Duel:
    """Judges all subsets of `sources` sources side by side; subsets are bit masks.

    Each shadow is fed all requests and its own subset's predictions; those of a source appear
    with its first prediction. A cache of more than `MAX_TAGS` blocks is judged on the blocks whose
    hash falls in a sample, in a store smaller by the same factor (SHARDS, Waldspurger et al., FAST
    2015). `readers` ask at the same time, each waits for its block.
    """

    def __init__(self, *, sources: int, capacity_blocks: int) -> None:
        sample = min(1.0, MAX_TAGS / max(1, capacity_blocks))
        self._threshold = int(sample * (1 << 32))  # hashes of 32 bits below it are in the sample
        # what a request of the sample weighs in running averages
        self._decay = 1.0 / max(1.0, HORIZON * sample)
        self._capacity = max(1, int(capacity_blocks * sample))  # blocks of a shadow's cache
        self._sample = sample
        self._channels = self._trusted = FIRST  # channels: now, and when the scores began
        self._shadows = [Shadow(0)]
        # by source: the shadows whose subset has it
        self._with: list[list[Shadow]] = [[] for _ in range(sources)]
        self._thought_s = 0.0  # since the last request that was in the sample
        self.readers = 1.0
        self.acting = 0  # the subset that acts; 0: none

    @property
    def scores(self) -> dict[int, float]:
        """By subset, of those that differ from each other so far."""
        return {shadow.mask: shadow.score for shadow in self._shadows}

    @property
    def channels(self) -> float:
        """Fetches that are served at a time."""
        return self._channels

    @channels.setter
    def channels(self, count: float) -> None:
        """When only half of them are left, what was gained with more says nothing any more."""
        self._channels = count
        self._trusted = max(self._trusted, count)
        if count <= 0.5 * self._trusted:
            self._trusted = count
            self._start_over()

    def _start_over(self) -> None:
        for shadow in self._shadows:
            shadow.score = min(shadow.score, self._shadows[0].score)
            shadow.busy_until_s = 0.0
        self.acting = 0

    def judge(
        self, block: int, predicted: Sequence[Sequence[int]], think_s: float, fetch_s: float
    ) -> int:
        """Feed one request and each source's predictions; the subset that acts from now on.

        `think_s` passed since the last request, waiting for it left out. A fetch takes `fetch_s`
        and as long as no channel is free.
        """
        fetch_s = max(fetch_s, 1e-9)
        self._thought_s += think_s
        if self._sample < 1.0:
            predicted = [[b for b in blocks if self._in_sample(b)] for blocks in predicted]
            asked = self._in_sample(block)
        else:
            asked = True
        step_s = fetch_s / max(1.0, self._channels * self._sample)
        if asked:
            self._request(block, fetch_s, step_s)
        for source, blocks in enumerate(predicted):
            if blocks:
                self._issue(source, blocks, fetch_s, step_s)
        return self.acting

    def _in_sample(self, block: int) -> bool:
        return ((block * _SPREAD & _MASK) >> 32) < self._threshold

    def _request(self, block: int, fetch_s: float, step_s: float) -> None:
        """Feed a request to all shadows and choose; `step_s` is a fetch's share of all channels."""
        decay, think_s, share = self._decay, self._thought_s, 1.0 / self.readers
        own_score = best_score = -inf
        best = acting = self.acting
        self._thought_s = 0.0
        for shadow in self._shadows:
            tags = shadow.ready_s
            shadow.asked_s = now_s = shadow.clock_s + think_s
            ready_s = tags.get(block)
            if ready_s is not None and ready_s <= now_s:
                tags.move_to_end(block)
                shadow.clock_s = now_s
                shadow.score = score = shadow.score + decay * (1.0 - shadow.score)
            else:
                wait_s = self._wait_s(shadow, ready_s, fetch_s, step_s)
                tags[block] = now_s + wait_s
                tags.move_to_end(block)
                shadow.clock_s = now_s + wait_s * share
                gain = 1.0 - wait_s / fetch_s - shadow.score
                shadow.score = score = shadow.score + decay * gain
            if score > best_score:
                best_score, best = score, shadow.mask
            if shadow.mask == acting:
                own_score = score
        if best_score > own_score + MARGIN or own_score < self._shadows[0].score - HARM:
            self.acting = best

    def _wait_s(
        self, shadow: Shadow, ready_s: float | None, fetch_s: float, step_s: float
    ) -> float:
        """How long a request waits whose block is not there; one that is on its way is joined."""
        now_s = shadow.asked_s
        busy_s = shadow.busy_until_s - now_s
        # Demand overtakes what waits; when no channel is free, it waits for the next.
        wait_s = fetch_s
        if busy_s > fetch_s:
            wait_s += step_s
        elif busy_s > fetch_s - step_s:
            wait_s += busy_s - fetch_s + step_s
        if ready_s is not None:
            return ready_s - now_s if ready_s < now_s + wait_s else wait_s
        if len(shadow.ready_s) >= self._capacity:
            shadow.ready_s.popitem(last=False)
        shadow.busy_until_s = now_s + step_s + (busy_s if busy_s > 0.0 else 0.0)
        return wait_s

    def _issue(self, source: int, blocks: Sequence[int], fetch_s: float, step_s: float) -> None:
        capacity = self._capacity
        cost = max(ISSUE_COST, CHANNEL_COST / self._channels) * self._decay
        for shadow in self._with[source] or self._join(source):
            tags, now_s = shadow.ready_s, shadow.asked_s
            for block in blocks:
                if block in tags:
                    continue
                busy_s = shadow.busy_until_s
                if busy_s - now_s > QUEUE * fetch_s:
                    break
                if len(tags) >= capacity:
                    tags.popitem(last=False)
                shadow.score -= cost
                shadow.busy_until_s = busy_s = (busy_s if busy_s > now_s else now_s) + step_s
                soonest_s = now_s + fetch_s
                tags[block] = busy_s if busy_s > soonest_s else soonest_s

    def _join(self, source: int) -> list[Shadow]:
        """A source announces something for the first time."""
        new = [shadow.joined_by(source) for shadow in self._shadows]
        self._shadows += new
        for number, shadows in enumerate(self._with):
            shadows += [shadow for shadow in new if shadow.mask >> number & 1]
        return self._with[source]
