"""The gate: one shadow cache per subset of the sources; the best subset acts.

Set dueling (Qureshi et al., ISCA 2007) turned to prefetch: accuracy gates fail both ways, a
source that is right for 31 % may win much and one of 23 % may lose much (benchmarks/prefetch.py).
"""

from __future__ import annotations

from collections.abc import Sequence

HORIZON = 1500  # requests of the moving average
ISSUE_COST = 0.03  # of a fetch that was issued ahead, in hits
MARGIN = 0.005  # by which another subset must be better, in hits per request
HARM = 0.001  # by which the acting subset may be worse than no prefetch at all
MAX_TAGS = 4096  # of one shadow; a larger cache is judged on a sample of the blocks
_SPREAD = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class Duel:
    """Judges all subsets of `sources` sources side by side; subsets are bit masks.

    Each shadow is tag-only LRU, fed all requests and its own subset's predictions. Score: moving
    average of hits - `ISSUE_COST` x issued. A cache of more than `MAX_TAGS` blocks is judged on
    the blocks whose hash falls in a sample, in a cache smaller by the same factor (SHARDS,
    Waldspurger et al., FAST 2015).
    """

    def __init__(self, *, sources: int, capacity_blocks: int) -> None:
        sample = min(1.0, MAX_TAGS / max(1, capacity_blocks))
        self._threshold = int(sample * (1 << 32))
        self._decay = 1.0 / max(1.0, HORIZON * sample)
        self._capacity = max(1, int(capacity_blocks * sample))
        self._shadows: list[dict[int, float]] = [{} for _ in range(1 << sources)]  # ready at
        masks = range(1 << sources)
        self._with = [[m for m in masks if m >> number & 1] for number in range(sources)]
        self.scores = [0.0] * (1 << sources)
        self.acting = 0

    def judge(
        self, block: int, predicted: Sequence[Sequence[int]], now_s: float, fetch_s: float
    ) -> int:
        """Feed one request and each source's predictions; the subset that acts from now on.

        What a shadow fetches is there `fetch_s` later; a request before that is worth the share of
        the wait that it saves.
        """
        fetch_s = max(fetch_s, 1e-9)
        if self._threshold < 1 << 32:
            predicted = [[b for b in blocks if self._in_sample(b)] for blocks in predicted]
            if not self._in_sample(block):
                self._issue_all(predicted, now_s + fetch_s)
                return self.acting
        self._request(block, now_s, fetch_s)
        self._issue_all(predicted, now_s + fetch_s)
        return self._choose()

    def _in_sample(self, block: int) -> bool:
        return ((block * _SPREAD & _MASK) >> 32) < self._threshold

    def _request(self, block: int, now_s: float, fetch_s: float) -> None:
        scores, decay, capacity = self.scores, self._decay, self._capacity
        for mask, shadow in enumerate(self._shadows):
            ready_s = shadow.pop(block, None)
            if ready_s is None:
                scores[mask] -= decay * scores[mask]
                if len(shadow) >= capacity:
                    del shadow[next(iter(shadow))]
                shadow[block] = now_s + fetch_s
            else:
                shadow[block] = ready_s
                late_s = ready_s - now_s
                value = 1.0 if late_s <= 0.0 else max(0.0, 1.0 - late_s / fetch_s)
                scores[mask] += decay * (value - scores[mask])

    def _issue_all(self, predicted: Sequence[Sequence[int]], ready_s: float) -> None:
        capacity, cost = self._capacity, ISSUE_COST * self._decay
        for number, blocks in enumerate(predicted):
            for block in blocks:
                for mask in self._with[number]:
                    shadow = self._shadows[mask]
                    if block not in shadow:
                        self.scores[mask] -= cost
                        if len(shadow) >= capacity:
                            del shadow[next(iter(shadow))]
                        shadow[block] = ready_s

    def _choose(self) -> int:
        scores = self.scores
        best, own = max(scores), scores[self.acting]
        if best > own + MARGIN or own < scores[0] - HARM:
            self.acting = scores.index(best)
        return self.acting
