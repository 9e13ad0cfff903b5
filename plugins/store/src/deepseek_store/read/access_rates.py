"""How warm each object is: counted while it is read, kept in the index now and then."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_store.index.rows import HeatRow
from deepseek_store.planning.temperature import Heat, touch


class AccessRates:
    """Accesses per object, as decaying rates.

    `note` is on the path of every read: it counts in one dict, without a lock, so that two threads
    may lose a count to each other, and the rates are worked out when somebody asks.
    """

    def __init__(self, half_life_s: float) -> None:
        self._half_life_s = half_life_s
        self._known: dict[str, Heat] = {}
        self._counted: dict[str, int] = {}
        self._changed: set[str] = set()

    def load(self, rows: Iterable[HeatRow]) -> None:
        """Begin with what the index remembers."""
        for row in rows:
            self._known[row.key] = Heat(rate_per_s=row.rate_per_s, at_s=row.at_s)

    def note(self, key: str) -> None:
        """An object was read, or written."""
        counted = self._counted
        counted[key] = counted.get(key, 0) + 1

    def settle(self, now_s: float) -> None:
        """Turn what was counted into rates."""
        counted, self._counted = self._counted, {}
        for key, accesses in counted.items():
            before = self._known.get(key)
            self._known[key] = touch(before, now_s, self._half_life_s, accesses=float(accesses))
            self._changed.add(key)

    def of(self, key: str, created_s: float) -> Heat:
        """The heat of an object; one that nobody read has been cooling since it was made."""
        return self._known.get(key) or touch(None, created_s, self._half_life_s)

    def knows(self, key: str) -> bool:
        """Whether the object was ever read or written since its heat is kept."""
        return key in self._known

    def picture(self) -> dict[str, Heat]:
        """All heats as they are now."""
        return dict(self._known)

    def take_changed(self) -> list[HeatRow]:
        """Rows for the index, of what has changed since the last call."""
        changed, self._changed = self._changed, set()
        return [
            HeatRow(key=key, rate_per_s=heat.rate_per_s, at_s=heat.at_s)
            for key in changed
            if (heat := self._known.get(key)) is not None
        ]

    def forget(self, key: str) -> None:
        """The object is gone."""
        self._known.pop(key, None)
        self._counted.pop(key, None)
        self._changed.discard(key)
