"""How many fetches are served at a time, told from how long they wait for their turn.

Little's law: what comes in while one fetch is under way, over the fetch times that this took, is
how many were served at a time, if the fetch had to wait; if it had not, there may be more channels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

FIRST = 8.0  # channels, before anything was seen
QUEUE = 16.0  # fetches for each channel that may be under way: those after them come too late
LOST = 16.0  # fetch times after which nothing comes any more
GROWTH = 1.25  # times what was served without a wait: so much might be
_WAITED = 0.25  # of a fetch time: below it no wait, above it one
_STALE = 4.0  # fetch times after which a fetch tells nothing: its block may have been at hand
_SMOOTH = 0.1


class Channels:
    """Watches fetches from the request to the arrival; `count` is the estimate.

    Arrivals have no time of their own: they lie between two requests.
    """

    def __init__(self) -> None:
        self.count = FIRST
        # By block: begun, served then, announced. Its front is looked at and left again and again,
        # which a dict answers ever more slowly.
        self._flights: OrderedDict[int, tuple[float, int, bool]] = OrderedDict()
        self._came: list[tuple[float, float, int]] = []  # begun, its seconds, served meanwhile
        self._served = 0
        self._announced = 0  # of the flights
        self._last_s = 0.0
        self._oldest_s = 0.0  # no flight began earlier

    def __len__(self) -> int:
        """Fetches under way."""
        return len(self._flights)

    @property
    def room(self) -> int:
        """How many more may be announced now."""
        return max(0, int(QUEUE * self.count) - len(self._flights))

    def ask(self, block: int, hit: bool) -> None:
        """A request: one for a block that is not here overtakes what was announced."""
        flights = self._flights
        if hit:
            if block in flights:
                self._announced -= flights.pop(block)[2]
        elif block not in flights:
            flights[block] = (self._last_s, self._served, False)

    def announce(self, blocks: Iterable[int]) -> None:
        """These are fetched when no demand waits."""
        flights, flight = self._flights, (self._last_s, self._served, True)
        for block in blocks:
            if block not in flights:
                flights[block] = flight
                self._announced += 1

    def arrive(self, block: int, seconds: float) -> None:
        """A fetch came in that took so long once it was its turn."""
        self._served += 1
        flight = self._flights.pop(block, None)
        if flight is not None:
            begun_s, served, announced = flight
            self._announced -= announced
            if announced or not self._announced:
                self._came.append((begun_s, seconds, self._served - served))

    def tick(self, now_s: float, fetch_s: float) -> None:
        """The next request is here: judge what came in since the last one."""
        if self._came:
            self._judge(now_s, fetch_s)
        self._last_s = now_s
        if self._oldest_s < now_s - LOST * fetch_s:
            self._forget(now_s - LOST * fetch_s)

    def _forget(self, lost_s: float) -> None:
        """Leave what began before `lost_s`."""
        flights = self._flights
        self._oldest_s = self._last_s
        while flights:
            begun_s, _, announced = flights[block := next(iter(flights))]
            if begun_s >= lost_s:
                self._oldest_s = begun_s
                break
            self._announced -= announced
            del flights[block]

    def _judge(self, now_s: float, fetch_s: float) -> None:
        for begun_s, seconds, served in self._came:
            least_s = _WAITED * fetch_s + seconds
            if now_s - begun_s <= least_s:
                self.count = max(self.count, GROWTH * served)
            elif least_s < self._last_s - begun_s < _STALE * fetch_s:
                seen = served * fetch_s / (self._last_s - begun_s)
                self.count += _SMOOTH * (max(1.0, seen) - self.count)
        self._came.clear()
