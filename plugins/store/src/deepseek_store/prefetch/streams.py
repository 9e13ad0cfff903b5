"""Streams: runs of blocks at a steady stride, each with a pointer that runs ahead.

Several streams may interleave. A pointer stays as far ahead as its stream moves during a few
fetches, so that a block is there when it is asked for (AMP, Gill and Bathen, FAST 2007).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from deepseek_store.prefetch.runs import Edges, Lengths

FEW = 8  # last requests, among which a stride other than one is looked for
RECENT = 256  # requests whose neighbor starts a stream
MAX_STREAMS = 128
MAX_STRIDE = 512
BEHIND = 8  # blocks behind the pointer that still count as the stream's own: reordered requests
FEWEST = 6  # blocks ahead at least, once the run is long enough
ACTIVE = 64  # requests within which a stream must move to have its share of the cache
IDLE = 4 * ACTIVE  # requests after which a run at the next block is another one
LEAD = 3.0  # fetches that a pointer runs ahead
MAX_WINDOW = 512  # blocks ahead at most
RAMP = 3  # times the run so far: the longest window while nothing is known of other runs
NEVER_S = 1e-9
_SMOOTH = 0.25


class _Stream:
    """One run: where it is, how far it was announced, how fast it goes."""

    __slots__ = (
        "ahead", "announced", "edge", "gap_s", "moved", "position", "run", "seen_s", "stride"
    )  # fmt: skip

    def __init__(self, position: int, stride: int, gap_s: float, now_s: float) -> None:
        self.position = self.ahead = position
        self.stride, self.gap_s, self.seen_s = stride, gap_s, now_s
        self.run = 1  # steps
        self.moved = 0  # number of its last request
        self.edge: int | None = None  # the block before which it is expected to end
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
        # block -> when it was requested, oldest first
        self._recent: OrderedDict[int, float] = OrderedDict()
        # the last requests, to find strides other than one
        self._few: deque[int] = deque(maxlen=FEW)
        self._streams: OrderedDict[_Stream, None] = OrderedDict()  # oldest first
        self._owner: dict[int, _Stream] = {}
        self._active: OrderedDict[_Stream, None] = OrderedDict()  # moved long ago first
        self._edges, self._lengths = Edges(), Lengths()
        self._number = 0  # requests so far
        self._look_at = 0  # number of the request at which a stream may have ended
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
        announced = self._announce(stream)
        if stream.ahead == stream.position:
            self._own(stream, (stream.position + stream.stride,))
        return announced

    def _advance(self, stream: _Stream, block: int, now_s: float) -> bool:
        """Move a stream to a block of its own; False: the block lies behind."""
        stride = stream.stride
        steps = (block - stream.position) // stride
        stream.run += 1
        if steps <= 0:
            return False
        if stream not in self._active:
            self._resume(stream, block, steps)
        edge = stream.edge
        if edge is not None and (block - edge) * stride >= 0:
            self._edges.met(_border(edge, stride), stopped=False)
            stream.edge = None
        gap_s = (now_s - stream.seen_s) / steps
        stream.gap_s += _SMOOTH * ((gap_s if gap_s > 0.0 else 0.0) - stream.gap_s)
        stream.position, stream.seen_s = block, now_s
        self._streams.move_to_end(stream)
        announced, owner = stream.announced, self._owner
        last = block - BEHIND * stride
        while announced and (announced[0] - last) * stride < 0:
            old = announced.popleft()
            if owner.get(old) is stream:
                del owner[old]
        return True

    def _resume(self, stream: _Stream, block: int, steps: int) -> None:
        """A stream that was idle goes on, or another run begins where it had announced blocks."""
        if steps == 1 and self._number - stream.moved <= IDLE:
            stream.edge = block
        else:
            stream.edge, stream.run = None, 1
            self._edges.learn(_border(block, stream.stride))

    def _announce(self, stream: _Stream) -> Sequence[int]:
        stride = stream.stride
        start = position = stream.position
        end = position + self._window(stream) * stride
        if (stream.ahead - position) * stride > 0:
            start = stream.ahead
        if (end - start) * stride <= 0:
            return ()
        blocks = range(start + stride, end + stride, stride)
        if end < 0:
            blocks = range(start + stride, -1, stride)
        blocks = self._before_edge(stream, blocks)
        if not blocks:
            return ()
        stream.ahead = end if end < 0 else blocks[-1]
        self._own(stream, blocks)
        return blocks

    def _own(self, stream: _Stream, blocks: Sequence[int]) -> None:
        """A request for one of these moves the stream, announced or not."""
        stream.announced.extend(blocks)
        for block in blocks:
            self._owner[block] = stream

    def _before_edge(self, stream: _Stream, blocks: range) -> range:
        """Cut the blocks at the next edge, if edges are trusted."""
        edges, back = self._edges, min(stream.stride, 0)
        known = edges.known
        for block in blocks:
            if block - back in known:
                if stream.edge is None:
                    stream.edge = block
                return blocks[: blocks.index(block)] if edges.trusted else blocks
        return blocks

    def _window(self, stream: _Stream) -> int:
        """Blocks ahead: `LEAD` fetches' worth, as far as the run will go, a share of the cache."""
        share = self._capacity // (2 * len(self._active))
        gap_s = stream.gap_s
        wanted = int(LEAD * self.fetch_s / (gap_s if gap_s > NEVER_S else NEVER_S)) + 1
        ramp, left = RAMP * stream.run, self._lengths.left(stream.run)
        most = min(share or 1, ramp, MAX_WINDOW, ramp if left is None else left)
        return min(most, max(wanted, FEWEST))

    def _touch(self, stream: _Stream) -> None:
        active, number = self._active, self._number
        stream.moved = number
        active[stream] = None
        active.move_to_end(stream)
        if number >= self._look_at:
            while (oldest := next(iter(active))).moved < number - ACTIVE:
                del active[oldest]
                self._ended(oldest)
            self._look_at = oldest.moved + ACTIVE + 1

    def _ended(self, stream: _Stream) -> None:
        """A run has not moved for long: what it tells of others."""
        edge = stream.position + stream.stride
        border = _border(edge, stream.stride)
        if stream.edge == edge:
            self._edges.met(border, stopped=True)
        self._edges.learn(border)
        self._lengths.learn(stream.run)

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
        self._edges.learn(_border(block - stride, stride))
        while len(self._streams) >= MAX_STREAMS:
            self._forget(self._streams.popitem(last=False)[0])
        self._streams[stream] = None
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
        if stream in self._active:
            del self._active[stream]
            self._ended(stream)
        for block in stream.announced:
            if self._owner.get(block) is stream:
                del self._owner[block]


def _border(block: int, stride: int) -> int:
    """The edge that a stream crosses when it comes to a block: a number for both directions."""
    return block if stride > 0 else block - stride
