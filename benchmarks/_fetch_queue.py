"""Which fetch starts next: demand before prefetch, a fetch under way is joined.

Pure: events in, blocks to start out; the simulated store drives it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


class FetchQueue:
    """Fetches that wait or are under way, on a number of channels.

    A demand for a block that waits as a prefetch overtakes; for one under way it joins. Waiting
    prefetches are bounded by `max_waiting`: the oldest are dropped, they are the likeliest to come
    too late. `reserve` channels are kept free of prefetches, so that a demand finds one.
    """

    def __init__(self, *, channels: int, max_waiting: int = 256, reserve: int = 0) -> None:
        if channels < 1 or max_waiting < 1 or not 0 <= reserve < channels:
            raise ValueError(f"{channels} channels, {max_waiting} waiting, {reserve} reserved")
        self._channels, self._max_waiting = channels, max_waiting
        self._prefetch_channels = channels - reserve
        self._demands: OrderedDict[int, None] = OrderedDict()
        self._waiting: OrderedDict[int, None] = OrderedDict()
        self._under_way: set[int] = set()
        self.dropped = 0

    def __contains__(self, block: object) -> bool:
        """Whether a fetch of the block waits or is under way."""
        return block in self._under_way or block in self._waiting or block in self._demands

    def __len__(self) -> int:
        return len(self._under_way) + len(self._waiting) + len(self._demands)

    @property
    def under_way(self) -> int:
        """How many channels are busy."""
        return len(self._under_way)

    def demand(self, block: int) -> None:
        """Someone waits for the block: join its fetch, or overtake all prefetches."""
        if block in self._under_way or block in self._demands:
            return
        self._waiting.pop(block, None)
        self._demands[block] = None

    def prefetch(self, blocks: Iterable[int]) -> int:
        """Let blocks wait for a free channel, first come first served; how many are new."""
        added = 0
        for block in blocks:
            if block not in self:
                self._waiting[block] = None
                added += 1
        while len(self._waiting) > self._max_waiting:
            self._waiting.popitem(last=False)
            self.dropped += 1
        return added

    def start(self) -> int | None:
        """The block to fetch now, or None: nothing waits or no channel is free."""
        busy = len(self._under_way)
        if self._demands and busy < self._channels:
            block, _ = self._demands.popitem(last=False)
        elif self._waiting and busy < self._prefetch_channels:
            block, _ = self._waiting.popitem(last=False)
        else:
            return None
        self._under_way.add(block)
        return block

    def finished(self, block: int) -> None:
        """A fetch came to its end, well or badly: its channel is free."""
        self._under_way.discard(block)

    def cancel(self) -> int:
        """Forget all waiting prefetches (not demands, nor what is under way); how many."""
        count = len(self._waiting)
        self._waiting.clear()
        return count
