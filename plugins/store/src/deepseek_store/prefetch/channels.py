"""How many fetches are served at a time, told from what else comes in while one is served.

A fetch that waited for its turn found all channels busy; each of them then brings one fetch in
while this one is served: as many as come in, so many there are. If it had not to wait, there may be
more.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

FIRST = 8.0  # channels, before anything was seen
QUEUE = 16.0  # fetches for each channel that may be under way: those after them come too late
LOST = 16.0  # fetch times after which nothing comes any more
GROWTH = 1.25  # times what was served without a wait: so much might be, or one more
SEVERAL = 4.0  # served at a time without a wait: then more are likely, not just possible
_WAITED = 0.25  # of a fetch time: below it no wait, above it one
_SMOOTH = 0.1
_HOPE = 1 / 4096  # of the way to what might be, with each fetch that had not to wait
_MOST_ENDS = 256
_SAME = 0.01  # of a fetch time: what ends as another one starts made place for it


class Channels:
    """Watches fetches from the request to the arrival; `count` is the estimate."""

    def __init__(self) -> None:
        self.count = FIRST
        # By block: begun, announced. Its front is looked at and left again and again, which a dict
        # answers ever more slowly.
        self._flights: OrderedDict[int, tuple[float, bool]] = OrderedDict()
        self._ends: deque[float] = deque(maxlen=_MOST_ENDS)  # of the last fetches
        self._announced = 0  # of the flights
        self._last_s = self._fetch_s = 0.0
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
        if block in flights and (hit or flights[block][1]):
            self._announced -= flights.pop(block)[1]
        if not hit and block not in flights:
            flights[block] = (self._last_s, False)

    def announce(self, blocks: Iterable[int]) -> None:
        """These are fetched when no demand waits."""
        flights, flight = self._flights, (self._last_s, True)
        for block in blocks:
            if block not in flights:
                flights[block] = flight
                self._announced += 1

    def arrive(self, block: int, seconds: float, now_s: float) -> None:
        """A fetch came in that took so long once it was its turn."""
        self._ends.append(now_s)
        flight = self._flights.pop(block, None)
        if flight is not None:
            self._announced -= flight[1]
            self._judge(now_s - seconds - flight[0], seconds, now_s)

    def tick(self, now_s: float, fetch_s: float) -> None:
        """The next request is here; a fetch lasts about `fetch_s`."""
        self._last_s, self._fetch_s = now_s, fetch_s
        if self._oldest_s < now_s - LOST * fetch_s:
            self._forget(now_s - LOST * fetch_s)

    def _forget(self, lost_s: float) -> None:
        """Leave what began before `lost_s`."""
        flights = self._flights
        self._oldest_s = self._last_s
        while flights:
            begun_s, announced = flights[block := next(iter(flights))]
            if begun_s >= lost_s:
                self._oldest_s = begun_s
                break
            self._announced -= announced
            del flights[block]

    def _judge(self, waited_s: float, seconds: float, now_s: float) -> None:
        fetch_s = self._fetch_s
        seen = self._served(seconds, now_s)
        if waited_s > _WAITED * fetch_s or seen > self.count:
            self.count += _SMOOTH * (seen - self.count)
        else:
            might_be = max(GROWTH * seen, seen + 1.0)
            share = _SMOOTH if seen >= SEVERAL else _HOPE
            self.count += share * max(0.0, might_be - self.count)

    def _served(self, seconds: float, now_s: float) -> float:
        """Fetches that were served beside the one that just came in, and that one."""
        start_s, others = now_s - seconds * (1.0 - _SAME), -1
        for end_s in reversed(self._ends):
            if end_s <= start_s:
                break
            others += 1
        return 1.0 + others * min(1.0, self._fetch_s / seconds if seconds > 0.0 else 0.0)
