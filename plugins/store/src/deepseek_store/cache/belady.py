"""Belady's policy for a known order: what is needed last goes first.

Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal
1966. Requests may deviate from the order; see `Belady`.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import chain

from deepseek_store.cache.evictor import Evictor, Tag

_NEVER = -1


class Belady(Evictor):
    """Evicts the tag whose next place in `order` is farthest.

    Readers that overtake each other by up to `AHEAD` places are in order. A request that is in no
    near place of the order counts as a stray and moves nothing, but after `STRAYS` of them in a row
    the order is followed from there. Places that were passed over expire when they are `BEHIND`.
    Tags without a next place are evicted before all others, least recently used first: after the
    end of the order, and for foreign tags, this is LRU.
    """

    AHEAD = 256
    BEHIND = 256
    STRAYS = 16

    def __init__(self, capacity_nbytes: int, order: Sequence[Tag]) -> None:
        super().__init__(capacity_nbytes)
        self._order = tuple(order)
        self._following = [_NEVER] * len(self._order)  # place -> next place of the same tag
        self._due: dict[Tag, int] = {}  # tag -> next place that was not used yet
        for place in range(len(self._order) - 1, -1, -1):
            tag = self._order[place]
            self._following[place] = self._due.get(tag, _NEVER)
            self._due[tag] = place
        self._place = 0  # behind the last one used
        self._expired = 0  # places before it count no more
        self._strays = 0
        self._nbytes: dict[Tag, int] = {}
        self._needless: OrderedDict[Tag, None] = OrderedDict()  # resident, no next place
        self._farthest: list[int] = []  # heap of minus next places; stale ones are skipped

    @property
    def place(self) -> int:
        """How far the requests have come in the order."""
        return self._place

    def hit(self, tag: Tag) -> bool:
        """Use up the tag's place in the order."""
        if tag not in self._nbytes:
            return False
        self._use(tag)
        self._file(tag)
        return True

    def admit(self, tag: Tag, nbytes: int, prefetched: bool = False) -> list[Tag]:
        """Take it in, unless it is needed later than all others; foreign tags are taken.

        One that is not taken drives nobody out.
        """
        nbytes = nbytes or 1
        if tag in self._nbytes and self._replaces(tag, nbytes):
            if not prefetched:
                self.hit(tag)
            return []
        foreign = tag not in self._due
        if not prefetched:
            self._use(tag)
        if nbytes > self.capacity_nbytes or not (foreign or self._worth(tag, nbytes)):
            return []
        evicted = self._make_room(nbytes)
        self._nbytes[tag] = nbytes
        self.used_nbytes += nbytes
        self._file(tag)
        return evicted

    def remove(self, tag: Tag) -> bool:
        """Forget its bytes; its places in the order stay."""
        nbytes = self._nbytes.pop(tag, 0)
        self._needless.pop(tag, None)
        self.used_nbytes -= nbytes
        return nbytes > 0

    def nbytes_of(self, tag: Tag) -> int:
        """What it counts for."""
        return self._nbytes[tag]

    def coldest_first(self) -> Iterator[tuple[Tag, int]]:
        """Tags without a next place, then those with one, farthest first."""
        needed = [tag for tag in self._nbytes if tag not in self._needless]
        needed.sort(key=self._due.__getitem__, reverse=True)
        return ((tag, self._nbytes[tag]) for tag in chain(self._needless, needed))

    def __contains__(self, tag: object) -> bool:
        return tag in self._nbytes

    def __len__(self) -> int:
        return len(self._nbytes)

    def _use(self, tag: Tag) -> None:
        """A request: find its place, and move on in the order."""
        place = self._due.get(tag, _NEVER)
        if place == _NEVER:
            return
        if place > self._place + self.AHEAD:
            self._strays += 1
            if self._strays < self.STRAYS:
                return
        self._strays = 0
        self._due[tag] = self._following[place]
        if place >= self._place:
            self._place = place + 1
            self._expire(self._place - self.BEHIND)

    def _expire(self, until: int) -> None:
        """Places that nobody used: their tags are due at the next one."""
        for place in range(self._expired, until):
            tag = self._order[place]
            if self._due[tag] == place:
                self._due[tag] = self._coming(place)
                if tag in self._nbytes:
                    self._file(tag)
        self._expired = max(self._expired, until)

    def _coming(self, place: int) -> int:
        """The tag's first place that was not passed yet."""
        while _NEVER < place < self._place:
            place = self._following[place]
        return place

    def _file(self, tag: Tag) -> None:
        """Enter a resident tag under its next place."""
        place = self._due.get(tag, _NEVER)
        if place == _NEVER:
            self._needless[tag] = None
            self._needless.move_to_end(tag)
            return
        heapq.heappush(self._farthest, -place)
        if len(self._farthest) > 4 * len(self._nbytes) + 64:
            self._farthest = [-self._due[t] for t in self._nbytes if t not in self._needless]
            heapq.heapify(self._farthest)

    def _worth(self, tag: Tag, nbytes: int) -> bool:
        """Whether it fits, or another tag is needed later or never."""
        if self._needless or self.used_nbytes + nbytes <= self.capacity_nbytes:
            return True
        return _NEVER < self._due[tag] < self._farthest_place()

    def _farthest_place(self) -> int:
        """The last one that a resident tag waits for; there is one if none is needless."""
        heap, due = self._farthest, self._due
        while True:
            tag = self._order[-heap[0]]
            if tag in self._nbytes and due[tag] == -heap[0]:
                return -heap[0]
            heapq.heappop(heap)

    def _evict(self) -> Tag:
        if self._needless:
            tag, _ = self._needless.popitem(last=False)
        else:
            tag = self._order[self._farthest_place()]
        self.used_nbytes -= self._nbytes.pop(tag)
        return tag
