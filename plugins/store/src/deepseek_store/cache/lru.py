"""Least recently used: the oldest request goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from deepseek_store.cache.evictor import Evictor, Tag


class Lru(Evictor):
    """One queue; a request moves its tag to the young end."""

    def __init__(self, capacity_nbytes: int) -> None:
        super().__init__(capacity_nbytes)
        self._order: OrderedDict[Tag, int] = OrderedDict()  # oldest first -> nbytes

    def hit(self, tag: Tag) -> bool:
        """Make it the youngest."""
        if tag not in self._order:
            return False
        self._order.move_to_end(tag)
        return True

    def admit(self, tag: Tag, nbytes: int, prefetched: bool = False) -> list[Tag]:
        """Let the oldest go until it fits."""
        nbytes = nbytes or 1
        if tag in self._order and self._replaces(tag, nbytes):
            self._order.move_to_end(tag)
            return []
        if nbytes > self.capacity_nbytes:
            return []
        used_nbytes = self.used_nbytes + nbytes
        evicted = self._make_room(nbytes) if used_nbytes > self.capacity_nbytes else []
        self._order[tag] = nbytes
        self.used_nbytes += nbytes
        return evicted

    def remove(self, tag: Tag) -> bool:
        """Forget a tag."""
        nbytes = self._order.pop(tag, 0)
        self.used_nbytes -= nbytes
        return nbytes > 0

    def nbytes_of(self, tag: Tag) -> int:
        """What it counts for."""
        return self._order[tag]

    def coldest_first(self) -> Iterator[tuple[Tag, int]]:
        """Oldest request first."""
        return iter(self._order.items())

    def restore(self, entries: Iterable[tuple[Tag, int]]) -> None:
        """Their order is the order of use."""
        self._order = OrderedDict(entries)
        self.used_nbytes = sum(self._order.values())

    def __contains__(self, tag: object) -> bool:
        return tag in self._order

    def __len__(self) -> int:
        return len(self._order)

    def _evict(self) -> Tag:
        tag, nbytes = self._order.popitem(last=False)
        self.used_nbytes -= nbytes
        return tag
