"""LIRS-like: what comes back soon is kept, the rest passes through a small queue.

Jiang, Zhang, "LIRS: An Efficient Low Inter-reference Recency Set Replacement Policy to Improve
Buffer Cache Performance", SIGMETRICS 2002. Sizes are in bytes here, and memory of what left is
bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain

from deepseek_store.cache.evictor import Evictor, Tag

PASSING_SHARE = 0.01  # of the capacity for the tags on probation; the paper's own
GONE_SHARE = 2.0  # of the capacity, in bytes of what left and is still remembered


class Lirs(Evictor):
    """A stack of requests; tags that came back while they were in it are kept.

    `kept` (the paper's LIR) never go directly: pushed out of the stack's bottom, they pass through
    the queue `passing` (resident HIR), whose oldest entry is evicted. `gone` are non-resident tags
    still in the stack; a request for one of them keeps it.
    """

    def __init__(self, capacity_nbytes: int, passing_share: float = PASSING_SHARE) -> None:
        super().__init__(capacity_nbytes)
        self._passing_share = passing_share
        self._stack: OrderedDict[Tag, None] = OrderedDict()  # oldest request first
        self._kept: dict[Tag, int] = {}
        self._passing: OrderedDict[Tag, int] = OrderedDict()
        self._gone: OrderedDict[Tag, int] = OrderedDict()
        self._kept_nbytes = 0
        self._gone_nbytes = 0
        self._bound()

    def hit(self, tag: Tag) -> bool:
        """Move it up; one on probation that is still in the stack is kept from now on."""
        stack, kept = self._stack, self._kept
        if tag in kept:
            stack.move_to_end(tag)
            if next(iter(stack)) not in kept:
                self._prune()
        elif tag not in self._passing:
            return False
        elif tag in stack:
            stack.move_to_end(tag)
            self._keep(tag, self._passing.pop(tag))
        else:
            self._passing.move_to_end(tag)
            stack[tag] = None
        return True

    def admit(self, tag: Tag, nbytes: int, prefetched: bool = False) -> list[Tag]:
        """On probation, or kept at once if it is still in the stack or there is space."""
        nbytes = nbytes or 1
        if (tag in self._kept or tag in self._passing) and self._replaces(tag, nbytes):
            self.hit(tag)
            return []
        if nbytes > self.capacity_nbytes:
            return []
        used_nbytes = self.used_nbytes + nbytes
        evicted = self._make_room(nbytes) if used_nbytes > self.capacity_nbytes else []
        self.used_nbytes += nbytes
        if tag in self._gone:
            self._gone_nbytes -= self._gone.pop(tag)
            self._stack.move_to_end(tag)
            self._keep(tag, nbytes)
        else:
            self._stack[tag] = None
            if self._kept_nbytes + nbytes <= self._max_kept_nbytes and not self._passing:
                self._kept[tag] = nbytes
                self._kept_nbytes += nbytes
            else:
                self._passing[tag] = nbytes
        return evicted

    def remove(self, tag: Tag) -> bool:
        """Forget a tag and all memory of it."""
        self._stack.pop(tag, None)
        self._gone_nbytes -= self._gone.pop(tag, 0)
        kept_nbytes = self._kept.pop(tag, 0)
        nbytes = kept_nbytes or self._passing.pop(tag, 0)
        self._kept_nbytes -= kept_nbytes
        self.used_nbytes -= nbytes
        self._prune()
        return nbytes > 0

    def resize(self, capacity_nbytes: int) -> list[Tag]:
        """Change the capacity and name those that go for it."""
        self.capacity_nbytes = capacity_nbytes
        self._bound()
        self._demote()
        return self._make_room(0)

    def nbytes_of(self, tag: Tag) -> int:
        """What it counts for."""
        return self._kept.get(tag) or self._passing[tag]

    def coldest_first(self) -> Iterator[tuple[Tag, int]]:
        """Iterate over tags on probation, then the kept ones, oldest request first."""
        kept = self._kept
        return chain(
            self._passing.items(), ((tag, kept[tag]) for tag in self._stack if tag in kept)
        )

    def restore(self, entries: Iterable[tuple[Tag, int]]) -> None:
        """Keep all but the coldest, which are on probation."""
        self._kept = dict(entries)
        self._stack = OrderedDict.fromkeys(self._kept)
        self.used_nbytes = self._kept_nbytes = sum(self._kept.values())
        self._demote()

    def __contains__(self, tag: object) -> bool:
        return tag in self._kept or tag in self._passing

    def __len__(self) -> int:
        return len(self._kept) + len(self._passing)

    def _bound(self) -> None:
        self._max_kept_nbytes = int(self.capacity_nbytes * (1.0 - self._passing_share))
        self._max_gone_nbytes = int(self.capacity_nbytes * GONE_SHARE)

    def _evict(self) -> Tag:
        if not self._passing:
            self._demote_one()
        tag, nbytes = self._passing.popitem(last=False)
        self.used_nbytes -= nbytes
        if tag in self._stack:
            self._remember(tag, nbytes)
        return tag

    def _remember(self, tag: Tag, nbytes: int) -> None:
        self._gone[tag] = nbytes
        self._gone_nbytes += nbytes
        while self._gone_nbytes > self._max_gone_nbytes:
            oldest, nbytes = self._gone.popitem(last=False)
            self._gone_nbytes -= nbytes
            del self._stack[oldest]

    def _keep(self, tag: Tag, nbytes: int) -> None:
        self._kept[tag] = nbytes
        self._kept_nbytes += nbytes
        self._demote()

    def _demote(self) -> None:
        while self._kept_nbytes > self._max_kept_nbytes:
            self._demote_one()

    def _demote_one(self) -> None:
        """The lowest kept tag in the stack goes on probation."""
        self._prune()  # below the first tag ever kept lie others
        tag, _ = self._stack.popitem(last=False)
        nbytes = self._kept.pop(tag)
        self._kept_nbytes -= nbytes
        self._passing[tag] = nbytes
        self._prune()

    def _prune(self) -> None:
        """Drop from the stack's bottom what is not kept, so that a kept tag lies there."""
        stack, kept = self._stack, self._kept
        while stack and (tag := next(iter(stack))) not in kept:
            del stack[tag]
            self._gone_nbytes -= self._gone.pop(tag, 0)
