"""What every eviction policy answers: a request came, a shard arrived, who has to go.

Policies know tags and sizes only. They are pure: no clock, no thread, no random of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator

Tag = Hashable


class Evictor(ABC):
    """Decides which tags stay within `capacity_nbytes`.

    A request is a `hit` if the tag is resident, else an `admit` as soon as its bytes are here.
    An entry counts as one byte at least, so that empty ones can't pile up.
    """

    capacity_nbytes: int
    used_nbytes: int

    def __init__(self, capacity_nbytes: int) -> None:
        self.capacity_nbytes = capacity_nbytes
        self.used_nbytes = 0

    @property
    def name(self) -> str:
        """The policy that decides now, for people."""
        return type(self).__name__

    @abstractmethod
    def hit(self, tag: Tag) -> bool:
        """A request; False, and nothing happens, if the tag is not resident."""

    @abstractmethod
    def admit(self, tag: Tag, nbytes: int, prefetched: bool = False) -> list[Tag]:
        """Take a tag in and name those that go for it.

        `prefetched` tells that nobody has asked for it yet. An entry larger than the whole cache
        is not taken (ask with `in`) and drives nobody out. A resident tag gets its new size.
        """

    @abstractmethod
    def remove(self, tag: Tag) -> bool:
        """Forget a tag (its bytes are no longer valid); False if it was not resident."""

    @abstractmethod
    def nbytes_of(self, tag: Tag) -> int:
        """What a resident tag counts for; KeyError if it is not resident."""

    @abstractmethod
    def coldest_first(self) -> Iterator[tuple[Tag, int]]:
        """Resident tags with their sizes, roughly in the order in which they would go."""

    @abstractmethod
    def __contains__(self, tag: object) -> bool: ...

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _evict(self) -> Tag:
        """Choose one, forget it, and name it. There is at least one entry."""

    def resize(self, capacity_nbytes: int) -> list[Tag]:
        """Change the capacity and name those that go for it."""
        self.capacity_nbytes = capacity_nbytes
        return self._make_room(0)

    def restore(self, entries: Iterable[tuple[Tag, int]]) -> None:
        """Take over the entries of another policy, coldest first; they fit, and this is empty."""
        for tag, nbytes in entries:
            self.admit(tag, nbytes, True)

    def _make_room(self, nbytes: int) -> list[Tag]:
        evicted: list[Tag] = []
        while self.used_nbytes + nbytes > self.capacity_nbytes:
            evicted.append(self._evict())
        return evicted

    def _replaces(self, tag: Tag, nbytes: int) -> bool:
        """Whether a resident tag stays as it is; one of another size is forgotten."""
        if self.nbytes_of(tag) == nbytes:
            return True
        self.remove(tag)
        return False
