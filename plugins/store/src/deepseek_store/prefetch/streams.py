"""Streams: runs of blocks at a steady stride, each with a pointer that runs ahead.

Several streams may interleave. A pointer stays as far ahead as its stream moves during a few
fetches, so that a block is there when it is asked for (AMP, Gill and Bathen, FAST 2007).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

FEW = 8  # last requests, among which a stride other than one is looked for
RECENT = 256  # requests whose neighbor starts a stream
MAX_STREAMS = 128
MAX_STRIDE = 512
BEHIND = 8  # blocks behind the pointer that still count as the stream's own: reordered requests
FEWEST = 6  # blocks ahead at least, once the run is long enough
ACTIVE = 64  # requests within which a stream must move to have its share of the cache
LEAD = 3.0  # fetches that a pointer runs ahead
MAX_WINDOW = 512  # blocks ahead at most
RAMP = 2  # times the run so far: the longest window
NEVER_S = 1e-9
_SMOOTH = 0.25


class _Stream:
    """One run: where it is, how far it was announced, how fast it goes."""

    __slots__ = ("ahead", "announced", "gap_s", "position", "run", "seen_s", "stride")

    def __init__(self, position: int, stride: int, gap_s: float, now_s: float) -> None:
        self.position = self.ahead = position
        self.stride, self.gap_s, self.seen_s = stride, gap_s, now_s
        self.run = 1
        self.announced: deque[int] = deque()


class StreamSource:
    """Predicts the next blocks of all streams under way; bounded by constants.

    A unit stride counts after two requests, another one after three at equal distance.
    `capacity_blocks` is that of the cache: all windows together take at most half of it.
    """

    name = "streams"

    def __init__(self, *, capacity_blocks: int, fetch_s: float) -> None:
        self.fetch_s = fetch_s
        self._capacity = max(1, capacity_blocks)
        self._recent: OrderedDict[int, float] = OrderedDict()
        self._few: deque[int] = deque(maxlen=FEW)
        self._streams: OrderedDict[int, _Stream] = OrderedDict()  # by id(), oldest first
        self._owner: dict[int, _Stream] = {}
        self._active: OrderedDict[int, int] = OrderedDict()  # id() -> number of its last request
        self._number = 0
        self._last = -1

    def __len__(self) -> int:
        """Streams under way."""
        return len(self._streams)

    def observe(self, block: int, now_s: float) -> Sequence[int]:
        """Blocks to announce after this request, in the order of their expected use."""
        if block == self._last:
            return ()
        self._last = block
        self._number += 1
        stream = self._owner.get(block)
        if stream is None:
            stream = self._detect(block, now_s)
            if stream is None:
                return ()
        elif not self._advance(stream, block, now_s):
            return ()
        self._touch(stream)
        return self._announce(stream)

    def _advance(self, stream: _Stream, block: int, now_s: float) -> bool:
        """Move a stream to a block of its own; False: the block lies behind."""
        steps = (block - stream.position) // stream.stride
        stream.run += 1
        if steps <= 0:
            return False
        gap_s = (now_s - stream.seen_s) / steps
        stream.gap_s += _SMOOTH * (max(gap_s, 0.0) - stream.gap_s)
        stream.position, stream.seen_s = block, now_s
        self._streams.move_to_end(id(stream))
        announced, owner = stream.announced, self._owner
        last = block - BEHIND * stream.stride
        while announced and (announced[0] - last) * stream.stride < 0:
            old = announced.popleft()
            if owner.get(old) is stream:
                del owner[old]
        return True

    def _announce(self, stream: _Stream) -> Sequence[int]:
        stride = stream.stride
        end = stream.position + self._window(stream) * stride
        start = (
            max(stream.ahead, stream.position) if stride > 0 else min(stream.ahead, stream.position)
        )
        if (end - start) * stride <= 0:
            return ()
        blocks = range(start + stride, end + stride, stride)
        if end < 0:
            blocks = range(start + stride, -1, stride)
        stream.ahead = end
        stream.announced.extend(blocks)
        for block in blocks:
            self._owner[block] = stream
        return blocks

    def _window(self, stream: _Stream) -> int:
        """Blocks ahead: `LEAD` fetches' worth, within the run so far and a share of the cache."""
        share = self._capacity // (2 * len(self._active))
        wanted = int(LEAD * self.fetch_s / max(stream.gap_s, NEVER_S)) + 1
        return max(1, min(max(wanted, FEWEST), RAMP * stream.run, share, MAX_WINDOW))

    def _touch(self, stream: _Stream) -> None:
        active, number = self._active, self._number
        active.pop(id(stream), None)
        active[id(stream)] = number
        while active[next(iter(active))] < number - ACTIVE:
            active.popitem(last=False)

    def _detect(self, block: int, now_s: float) -> _Stream | None:
        """The stream that this request starts, if any; the request is remembered."""
        recent = self._recent
        stride = self._stride_to(block)
        before_s = recent.get(block - stride, now_s)
        self._few.append(block)
        recent.pop(block, None)
        recent[block] = now_s
        if len(recent) > RECENT:
            recent.popitem(last=False)
        if not stride:
            return None
        stream = _Stream(block, stride, max(now_s - before_s, 0.0), now_s)
        while len(self._streams) >= MAX_STREAMS:
            self._forget(self._streams.popitem(last=False)[1])
        self._streams[id(stream)] = stream
        return stream

    def _stride_to(self, block: int) -> int:
        recent = self._recent
        if block - 1 in recent:
            return 1
        if block + 1 in recent:
            return -1
        for other in self._few:
            stride = block - other
            if -MAX_STRIDE <= stride <= MAX_STRIDE and stride and other - stride in self._few:
                return stride
        return 0

    def _forget(self, stream: _Stream) -> None:
        self._active.pop(id(stream), None)
        for block in stream.announced:
            if self._owner.get(block) is stream:
                del self._owner[block]
