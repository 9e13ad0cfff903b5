"""The heat of each object: counted while it is read, kept in the index now and then."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from deepseek_store.index.rows import HeatRow
from deepseek_store.planning.heat import Heat, touch

# So many single questions cost as much as reading the heat of some thousand objects.
_MOST_QUESTIONS: Final = 500


RateAt = tuple[float, float]
"""Accesses per second, and when they were so many: a `Heat` without the cost of a record."""


def heat_of(found: RateAt) -> Heat:
    """The record of it."""
    return Heat(rate_per_s=found[0], at_s=found[1])


class Memory(Protocol):
    """Where heat is kept from one opening of a store to the next."""

    def heat(self) -> Mapping[str, RateAt]:
        """Rates of all objects that were ever read."""

    def heat_of(self, keys: Iterable[str]) -> Mapping[str, RateAt]:
        """Rates of some objects."""


class AccessRates:
    """Accesses per object, as decaying rates.

    `note` is on the path of every read: it counts in one dict, without a lock, so that two threads
    may lose a count to each other, and the rates are worked out when somebody asks. What the memory
    has is read when it is wanted: all of it, or what is known of the few that were counted.
    """

    def __init__(self, half_life_s: float, memory: Memory | None = None) -> None:
        self._half_life_s = half_life_s
        self._known: dict[str, RateAt] = {}  # key -> rate, and the time of it
        self._counted: dict[str, int] = {}  # accesses that are not in the rates yet
        self._changed: set[str] = set()  # keys whose rate the index does not have yet
        self._memory = memory
        self._loading = threading.Lock()

    def note(self, key: str) -> None:
        """An object was read, or written."""
        counted = self._counted
        counted[key] = counted.get(key, 0) + 1

    def settle(self, now_s: float) -> None:
        """Turn what was counted into rates."""
        counted, self._counted = self._counted, {}
        self._recall(counted)
        for key, accesses in counted.items():
            found = self._known.get(key)
            before = None if found is None else heat_of(found)
            heat = touch(before, now_s, self._half_life_s, accesses=float(accesses))
            self._known[key] = heat.rate_per_s, heat.at_s
            self._changed.add(key)

    def of(self, key: str, created_s: float) -> Heat:
        """The heat of an object; one that nobody read has been cooling since it was made."""
        found = self._all().get(key)
        return touch(None, created_s, self._half_life_s) if found is None else heat_of(found)

    def knows(self, key: str) -> bool:
        """Whether the object was ever read or written since its heat is kept."""
        return key in self._all()

    def picture(self) -> dict[str, RateAt]:
        """All heats as they are now."""
        return dict(self._all())

    def take_changed(self) -> list[HeatRow]:
        """Rows for the index, of what has changed since the last call."""
        changed, self._changed = self._changed, set()
        return [
            HeatRow(key=key, rate_per_s=found[0], at_s=found[1])
            for key in changed
            if (found := self._known.get(key)) is not None
        ]

    def forget(self, key: str) -> None:
        """The object is gone."""
        self._known.pop(key, None)
        self._counted.pop(key, None)
        self._changed.discard(key)

    def _all(self) -> dict[str, RateAt]:
        if self._memory is not None:
            with self._loading:
                if self._memory is not None:
                    self._take(self._memory.heat())
                    self._memory = None
        return self._known

    def _recall(self, counted: Iterable[str]) -> None:
        """Have at hand what is remembered of these."""
        memory = self._memory
        if memory is None:
            return
        unknown = [key for key in counted if key not in self._known]
        if len(unknown) > _MOST_QUESTIONS:
            self._all()
        else:
            self._take(memory.heat_of(unknown))

    def _take(self, remembered: Mapping[str, RateAt]) -> None:
        self._known = {**remembered, **self._known}  # what is known already is newer
