"""S3-FIFO: a small queue sifts, a main queue keeps, a ghost queue remembers.

Yang, Zhang, Qiu, Yue, Vigfusson, "FIFO Queues are All You Need for Cache Eviction", SOSP 2023.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain

from deepseek_store.cache.evictor import Evictor, Tag

SMALL_SHARE = 0.1  # of the capacity; this and the next three are the paper's own
GHOST_SHARE = 0.9  # of the capacity, in bytes of what left the small queue
PROMOTE_REQUESTS = 2  # requests after the first that earn a place in the main queue
MAX_REQUESTS = 3  # a counter of two bits


class S3Fifo(Evictor):
    """Three FIFO queues and a two-bit counter per tag; a hit moves nothing."""

    def __init__(self, capacity_nbytes: int) -> None:
        super().__init__(capacity_nbytes)
        self._requests: dict[Tag, int] = {}  # of every resident tag since it came or was spared
        self._small: OrderedDict[Tag, int] = OrderedDict()
        self._main: OrderedDict[Tag, int] = OrderedDict()  # tag -> bytes, oldest first
        # tags that left the small queue, without their bytes -> how many those were
        self._ghosts: OrderedDict[Tag, int] = OrderedDict()
        self._small_nbytes = 0
        self._ghost_nbytes = 0

    def hit(self, tag: Tag) -> bool:
        """Count it."""
        count = self._requests.get(tag)
        if count is None:
            return False
        if count < MAX_REQUESTS:
            self._requests[tag] = count + 1
        return True

    def admit(self, tag: Tag, nbytes: int, prefetched: bool = False) -> list[Tag]:
        """Into the small queue, or straight into the main one if a ghost remembers it."""
        nbytes = nbytes or 1
        if tag in self._requests and self._replaces(tag, nbytes):
            self.hit(tag)
            return []
        if nbytes > self.capacity_nbytes:
            return []
        used_nbytes = self.used_nbytes + nbytes
        evicted = self._make_room(nbytes) if used_nbytes > self.capacity_nbytes else []
        if tag in self._ghosts:
            self._ghost_nbytes -= self._ghosts.pop(tag)
            self._main[tag] = nbytes
        else:
            self._small[tag] = nbytes
            self._small_nbytes += nbytes
        self._requests[tag] = 0
        self.used_nbytes += nbytes
        return evicted

    def remove(self, tag: Tag) -> bool:
        """Forget a tag, its ghost too."""
        self._ghost_nbytes -= self._ghosts.pop(tag, 0)
        if self._requests.pop(tag, None) is None:
            return False
        nbytes = self._small.pop(tag, 0)
        self._small_nbytes -= nbytes
        self.used_nbytes -= nbytes or self._main.pop(tag)
        return True

    def nbytes_of(self, tag: Tag) -> int:
        """What it counts for."""
        return self._small.get(tag) or self._main[tag]

    def coldest_first(self) -> Iterator[tuple[Tag, int]]:
        """The small queue, then the main one, each oldest first."""
        return chain(self._small.items(), self._main.items())

    def restore(self, entries: Iterable[tuple[Tag, int]]) -> None:
        """All to be sifted: into the small queue, which then shrinks to its share."""
        self._small = OrderedDict(entries)
        self._requests = dict.fromkeys(self._small, 0)
        self.used_nbytes = self._small_nbytes = sum(self._small.values())

    def __contains__(self, tag: object) -> bool:
        return tag in self._requests

    def __len__(self) -> int:
        return len(self._requests)

    def _evict(self) -> Tag:
        small_nbytes = SMALL_SHARE * self.capacity_nbytes
        while self._small and (self._small_nbytes > small_nbytes or not self._main):
            tag, nbytes = self._small.popitem(last=False)
            self._small_nbytes -= nbytes
            if self._requests[tag] < PROMOTE_REQUESTS:
                self._bury(tag, nbytes)
                return tag
            self._requests[tag] = 0
            self._main[tag] = nbytes
        return self._evict_main()

    def _evict_main(self) -> Tag:
        """The oldest without a request; the others get another round for each request."""
        requests = self._requests
        while True:
            tag, nbytes = self._main.popitem(last=False)
            count = requests[tag]
            if not count:
                del requests[tag]
                self.used_nbytes -= nbytes
                return tag
            requests[tag] = count - 1
            self._main[tag] = nbytes

    def _bury(self, tag: Tag, nbytes: int) -> None:
        del self._requests[tag]
        self.used_nbytes -= nbytes
        self._ghosts[tag] = nbytes
        self._ghost_nbytes += nbytes
        while self._ghost_nbytes > GHOST_SHARE * self.capacity_nbytes:
            self._ghost_nbytes -= self._ghosts.popitem(last=False)[1]
