"""What is known of runs that ended: where, and after how many requests.

A pointer that runs ahead of a run fetches for nothing what lies behind its end. Whole files that
are read in another order each epoch end where they ended before; short range reads end somewhere,
but after about as many blocks as the others.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque

MAX_EDGES = 1 << 15  # remembered
LENGTHS = 64  # of the last runs
FEWEST = 8  # of them that were longer than a run is now: fewer say nothing
ODDS = 0.15  # that a run goes on as far as it is announced, at least
_SMOOTH = 1 / 16


class Edges:
    """Blocks before which runs ended, or with which they began.

    An edge that a run passes is forgotten. `trusted`: most runs that came to an edge ended there.
    """

    def __init__(self) -> None:
        self.known: dict[int, None] = {}
        self._stops = 0.4  # share of the runs that ended at the edge they came to

    def __len__(self) -> int:
        """Edges remembered."""
        return len(self.known)

    def __contains__(self, block: object) -> bool:
        return block in self.known

    @property
    def trusted(self) -> bool:
        """Whether runs are to be announced no further than to the next edge."""
        return self._stops > 0.5

    def learn(self, block: int) -> None:
        """A run ended before this block, or began with it."""
        edges = self.known
        if block not in edges:
            if len(edges) >= MAX_EDGES:
                del edges[next(iter(edges))]
            edges[block] = None

    def met(self, block: int, stopped: bool) -> None:
        """A run came to an edge and ended there, or passed it."""
        self._stops += _SMOOTH * (stopped - self._stops)
        if not stopped:
            self.known.pop(block, None)


class Lengths:
    """Requests of the last runs that ended; says how far another one is likely to go on."""

    def __init__(self) -> None:
        self._last: deque[int] = deque()
        self._sorted: list[int] = []

    def learn(self, length: int) -> None:
        """A run ended after so many requests."""
        if len(self._last) >= LENGTHS:
            old = self._last.popleft()
            del self._sorted[bisect_right(self._sorted, old) - 1]
        self._last.append(length)
        insort(self._sorted, length)

    def left(self, length: int) -> int | None:
        """How many requests a run of this length has left, at the least likely; None: unknown."""
        lengths = self._sorted
        shorter = bisect_right(lengths, length - 1)
        as_long = len(lengths) - shorter
        if as_long < FEWEST:
            return None
        return lengths[shorter + int(as_long * (1.0 - ODDS))] - length
