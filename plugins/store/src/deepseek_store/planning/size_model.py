"""The cost model of shard sizes: the best for all, and spans that are better off with another.

The best single size is found by replay. For the spans: an LRU cache keeps a shard for about the
same time after each use, its characteristic time (Che, Tung and Wang, JSAC 2002). With that time
known, the misses of a span and the cache it takes follow from the gaps between its own accesses,
whatever others do. A rent for cache, the misses that more of it would save, links the spans: each
takes the size with the least misses + rent, then time and rent follow again, a few times over.
Habits that do not last would be bought dearly, so a mixture is taken only if it pays on accesses
that it was not made from.

Time is counted in accesses. Tables are [size, span]; a touch is one access to one shard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_store.planning.replay import Accesses, replay_s, touched
from deepseek_store.planning.sizing import (
    REGION_SPANS,
    SIZES,
    SPAN_NBYTES,
    Sizes,
    Speed,
    unmeasured,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

GAIN: Final = 0.15
"""A span has a size of its own if that saves more than this share of its cost."""

_ROUNDS: Final = 5
_FEWEST_ACCESSES: Final = 200  # below it a tier's speed says more than what was read
_BELIEFS: Final = (1.0, 4.0, 16.0)  # accesses of the average span mixed into each
_TRIAL: Final = 0.6  # a mixture is made from the first part and tried on the rest
_PROOF: Final = 0.03  # and has to save this share there


def choose_sizes(accesses: Accesses, speed: Speed, cache_nbytes: int) -> Sizes:
    """The sizes that would have cost least for what was read, as far as that lasts.

    `cache_nbytes`: bytes of cache for these shards.
    """
    if len(accesses) < _FEWEST_ACCESSES:
        return unmeasured(speed)
    plain = _best_single(accesses, speed, cache_nbytes)
    split = int(len(accesses) * _TRIAL)
    early = accesses.first(split)

    def tried_s(sizes: Sizes) -> float:
        return replay_s(accesses, sizes, speed, cache_nbytes, since=split)

    bar_s = tried_s(plain)
    trials = {
        belief: tried_s(_mixture(early, speed, cache_nbytes, plain, belief)) for belief in _BELIEFS
    }
    belief = min(trials, key=lambda one: trials[one])
    if trials[belief] >= (1.0 - _PROOF) * bar_s:  # as when nothing missed: both are 0
        return plain
    mixed = _mixture(accesses, speed, cache_nbytes, plain, belief)
    saved = 1.0 - trials[belief] / bar_s
    why = f"{plain.why}; {len(mixed.overrides)} spans differ, which saved {saved:.0%} when tried"
    return attrs.evolve(mixed, why=why)


def _best_single(accesses: Accesses, speed: Speed, cache_nbytes: int) -> Sizes:
    cost = {
        nbytes: replay_s(accesses, Sizes(base_nbytes=nbytes, why=""), speed, cache_nbytes)
        / len(accesses)
        for nbytes in SIZES
    }
    best = min(cost, key=lambda one: cost[one])
    why = f"the least total wait for the last {len(accesses)} reads"
    return Sizes(base_nbytes=best, predicted_s=cost, why=why)


def _mixture(
    accesses: Accesses, speed: Speed, cache_nbytes: int, plain: Sizes, belief: float
) -> Sizes:
    """The sizes that each span would have, by what it was read like and the average."""
    model = _Model(accesses, speed, cache_nbytes)
    base = SIZES.index(plain.base_nbytes)
    choice, region_choice = model.mixture(base, belief)
    regions = _differing(model.regions, region_choice, base)
    here = [regions.get(one // REGION_SPANS, plain.base_nbytes) for one in model.spans.tolist()]
    spans = {
        span: SIZES[size]
        for span, size, usual in zip(model.spans.tolist(), choice.tolist(), here, strict=True)
        if SIZES[size] != usual
    }
    return attrs.evolve(plain, regions=regions, overrides=spans)


def _differing(numbers: Ints, choice: Ints, base: int) -> dict[int, int]:
    rows = zip(numbers.tolist(), choice.tolist(), strict=True)
    return {number: SIZES[size] for number, size in rows if size != base}


@attrs.frozen(kw_only=True, eq=False)
class _Touches:
    """All touches with one size; `gap` is the time since the shard's last touch."""

    span: Ints
    gap: Floats
    kept: Floats
    """Time until its next touch, or the end."""


class _Model:
    """Misses and space of each span with each size, for any characteristic time."""

    def __init__(self, accesses: Accesses, speed: Speed, cache_nbytes: int) -> None:
        self.spans = np.unique(accesses.pieces()[0])  # numbers of the spans that were read, sorted
        # `regions`: regions of the spans, sorted; for each span the place of its region there
        self.regions, self._region = np.unique(self.spans // REGION_SPANS, return_inverse=True)
        # by size, in the order of `SIZES`
        self._touches = [self._touch(accesses, nbytes) for nbytes in SIZES]
        # by size: seconds of one fetch
        self._miss_s = [speed.latency_s + nbytes / speed.bytes_per_s for nbytes in SIZES]
        # bytes of cache times accesses: what may be kept, for how long
        self._room = float(cache_nbytes) * len(accesses)
        self._longest = float(len(accesses))  # time is counted in accesses: none is kept for longer
        # by span: how often it was read
        self._reads = np.bincount(self._touches[0].span, minlength=len(self.spans))

    def _touch(self, accesses: Accesses, nbytes: int) -> _Touches:
        shard, _, time = touched(accesses, Sizes(base_nbytes=nbytes, why=""))
        order = np.argsort(shard, kind="stable")
        shard, time = shard[order], time[order]
        same = np.append(shard[1:] == shard[:-1], False)
        step = np.append(np.diff(time), 0).astype(np.float64)
        kept = np.where(same, step, len(accesses) - time)
        gap = np.where(np.roll(same, 1), np.roll(step, 1), np.inf)
        span = np.searchsorted(self.spans, shard // SPAN_NBYTES)
        return _Touches(span=span, gap=gap, kept=kept)

    def mixture(self, base: int, belief: float) -> tuple[Ints, Ints]:
        """The number of the size of each span, and of each region for spans never read."""
        choice = np.full(len(self.spans), base)
        region_choice = np.full(len(self.regions), base)
        best, least = (choice, region_choice), np.inf
        for _ in range(_ROUNDS):
            time = self._characteristic(choice)
            cost = self._missed(time) + self._rent(choice, time) * self._taken(time)
            choice, region_choice = self._cheapest(cost, base, belief)
            total = float(_picked(self._missed(self._characteristic(choice)), choice).sum())
            if total < least:
                best, least = (choice, region_choice), total
        return best

    def _cheapest(self, cost: Floats, base: int, belief: float) -> tuple[Ints, Ints]:
        """Spans are believed to be like their region, regions like all, as far as unknown."""
        average = cost.sum(axis=1, keepdims=True) / self._reads.sum()
        region_cost = _grouped(cost, self._region, len(self.regions)) + belief * average
        region_reads = np.bincount(self._region, self._reads, len(self.regions)) + belief
        alike = (region_cost / region_reads)[:, self._region]
        return _better(cost + belief * alike, base), _better(region_cost, base)

    def _missed(self, time: float) -> Floats:
        """Seconds of misses."""
        return self._table(lambda i, touches: (touches.gap > time) * self._miss_s[i])

    def _taken(self, time: float) -> Floats:
        """Cache taken, bytes x time."""
        return self._table(lambda i, touches: np.minimum(touches.kept, time) * float(SIZES[i]))

    def _rent(self, choice: Ints, time: float) -> float:
        """Seconds of misses that one more byte x time of cache would save."""
        shorter, longer = 0.7 * time, 1.4 * time
        missed = [_picked(self._missed(t), choice).sum() for t in (shorter, longer)]
        taken = [_picked(self._taken(t), choice).sum() for t in (shorter, longer)]
        return max(float(missed[0] - missed[1]) / max(float(taken[1] - taken[0]), 1.0), 0.0)

    def _characteristic(self, choice: Ints) -> float:
        """The time for which the cache just suffices, by bisection."""
        kept, nbytes = [], []
        for i, touches in enumerate(self._touches):
            mine = touches.kept[choice[touches.span] == i]
            kept.append(mine)
            nbytes.append(np.full(len(mine), float(SIZES[i])))
        all_kept, all_nbytes = np.concatenate(kept), np.concatenate(nbytes)
        low, high = 1.0, self._longest
        for _ in range(20):
            middle = float(np.sqrt(low * high))
            fits = float((np.minimum(all_kept, middle) * all_nbytes).sum()) <= self._room
            low, high = (middle, high) if fits else (low, middle)
        return low

    def _table(self, value: Callable[[int, _Touches], Floats]) -> Floats:
        rows = [
            np.bincount(touches.span, value(i, touches), minlength=len(self.spans))
            for i, touches in enumerate(self._touches)
        ]
        return np.stack(rows)


def _better(cost: Floats, base: int) -> Ints:
    """The cheapest size of each column, or the base where that gains too little."""
    gains = cost.min(axis=0) < (1.0 - GAIN) * cost[base]
    return np.where(gains, cost.argmin(axis=0), base)


def _grouped(table: Floats, group: Ints, groups: int) -> Floats:
    """Columns summed by their group."""
    return np.stack([np.bincount(group, row, groups) for row in table])


def _picked(table: Floats, choice: Ints) -> Floats:
    return table[choice, np.arange(len(choice))]
