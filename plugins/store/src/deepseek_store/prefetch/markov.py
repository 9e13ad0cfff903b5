"""Successors: which block followed which, with counts, walked a few steps deep.

After Joseph and Grunwald's Markov prefetcher (ISCA 1997), with bounded memory.
"""

from __future__ import annotations

from collections.abc import Sequence

DEPTH = 3
SLOTS = 4  # successors remembered per block
SHARE = 0.3  # of all successions, for a block to be announced
RIGHT = 0.1  # of the successors that stand on as many observations, at least
SURE = 3  # observations: more of them are not told apart
_SMOOTH = 1 / 64


class MarkovSource:
    """Predicts what followed the last times; remembers `max_blocks` blocks.

    A block's successors are pairs in one list, `[successor, count, ...]`, the most frequent first.
    The block that was seen first is forgotten first.
    """

    name = "markov"

    def __init__(self, *, max_blocks: int = 1 << 17, depth: int = DEPTH, share: float = SHARE):
        self._max_blocks, self._depth, self._share = max_blocks, depth, share
        self._next: dict[int, list[int]] = {}
        self._right = [0.5] * (SURE + 1)  # share of first successors that came, by observations
        self._last = -1

    def __len__(self) -> int:
        """Blocks remembered."""
        return len(self._next)

    def observe(self, block: int, now_s: float) -> Sequence[int]:
        """The likely next blocks, nearest first."""
        last = self._last
        if block == last:
            return ()
        self._last = block
        if last >= 0:
            self._learn(last, block)
        return self._walk(block)

    def _learn(self, last: int, block: int) -> None:
        slots = self._next.get(last)
        if slots is None:
            if len(self._next) >= self._max_blocks:
                del self._next[next(iter(self._next))]
            self._next[last] = [block, 1]
            return
        right, sure = self._right, min(slots[1], SURE)
        right[sure] += _SMOOTH * ((slots[0] == block) - right[sure])
        for at in range(0, len(slots), 2):
            if slots[at] == block:
                slots[at + 1] += 1
                if at and slots[at + 1] >= slots[at - 1]:  # the newer of equals goes first
                    slots[at - 2 : at + 2] = [*slots[at : at + 2], *slots[at - 2 : at]]
                return
        if len(slots) < 2 * SLOTS:
            slots += (block, 1)
        elif slots[-1] > 1:
            slots[-1] -= 1
        else:
            slots[-2] = block

    def _walk(self, block: int) -> list[int]:
        found: list[int] = []
        for _ in range(self._depth):
            slots = self._next.get(block)
            if slots is None or slots[1] < self._share * sum(slots[1::2]):
                break
            if self._right[min(slots[1], SURE)] < RIGHT:
                break
            block = slots[0]
            if block in found:
                break
            found.append(block)
        return found
