"""A known order: what a sampler said it will read, followed with tolerance for deviations.

A loader that knows its seed knows its order (NoPFS, Dryden et al., SC 2021): then every block can
be there when it is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import attrs

LOST_AFTER = 64  # requests in a row that the order does not know: it is somebody else's order


@attrs.frozen(kw_only=True)
class OrderStats:
    """How well the requests keep to the order; `lost`: they do not, so nothing is announced."""

    followed: int
    strays: int
    lost: bool


class OrderSource:
    """Announces the next blocks of an order; reads the order lazily, a window at a time.

    `ahead` blocks beyond the furthest request are announced, and each once more at half that
    distance: one that was still cached from its last use may have been evicted since.

    A request within the window moves the pointer there: what it jumps over
    stays known until the window has passed it, so workers that ask a little out of turn are
    followed. After `LOST_AFTER` strays in a row the source is silent until a request lies in its
    window again.
    """

    name = "order"

    def __init__(self, order: Iterable[int], *, ahead: int) -> None:
        if ahead < 1:
            raise ValueError(f"{ahead} blocks ahead: one at least")
        self._order: Iterator[int] = iter(order)  # what of the order was not looked at yet
        self._ahead = ahead
        self._window: deque[int] = deque()  # announced and not yet requested or passed
        self._places: dict[int, deque[int]] = {}  # block -> its places in the order, in the window
        self._first = 0  # place of the window's first block
        self._furthest = -1
        self._again = 0  # the next place to announce a second time
        self._ended = False
        # _followed: requests as announced; others, and how many of those in a row
        self._followed = self._strays = self._strays_in_row = 0

    @property
    def lost(self) -> bool:
        """The requests do not follow this order."""
        return self._strays_in_row >= LOST_AFTER

    @property
    def ended(self) -> bool:
        """All of the order has been announced and the last of it requested."""
        return self._ended and self._furthest + 1 >= self._first + len(self._window)

    def start(self) -> Sequence[int]:
        """The first blocks, before any request."""
        return self._announce()

    def observe(self, block: int, now_s: float) -> Sequence[int]:
        """The blocks of the order that come into reach by this request, nearest first."""
        places = self._places.get(block)
        if places is None:
            self._strays += 1
            self._strays_in_row += 1
            return () if self.lost else self._announce()
        self._strays_in_row = 0
        self._followed += 1
        place = places.popleft()
        if not places:
            del self._places[block]
        self._furthest = max(self._furthest, place)
        self._drop_passed()
        return self._announce()

    def stats(self) -> OrderStats:
        """What happened so far."""
        return OrderStats(followed=self._followed, strays=self._strays, lost=self.lost)

    def _announce(self) -> list[int]:
        found = self._reminders()
        while not self._ended and self._first + len(self._window) <= self._furthest + self._ahead:
            block = next(self._order, None)
            if block is None:
                self._ended = True
                break
            self._places.setdefault(block, deque()).append(self._first + len(self._window))
            self._window.append(block)
            found.append(block)
        return found

    def _reminders(self) -> list[int]:
        found: list[int] = []
        end = min(self._furthest + self._ahead // 2 + 1, self._first + len(self._window))
        for place in range(max(self._again, self._furthest + 1), end):
            block = self._window[place - self._first]
            if block in self._places:
                found.append(block)
        self._again = max(self._again, end)
        return found

    def _drop_passed(self) -> None:
        """Forget what lies a whole window behind the furthest request."""
        while self._first < self._furthest - self._ahead:
            block = self._window.popleft()
            places = self._places.get(block)
            if places is not None and places[0] == self._first:
                places.popleft()
                if not places:
                    del self._places[block]
            self._first += 1
