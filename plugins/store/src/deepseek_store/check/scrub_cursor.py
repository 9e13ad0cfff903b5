"""How far a scrub has come, kept in the index: one that was killed goes on there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import attrs

from deepseek_store.check.faults import CheckUnit
from deepseek_store.index.rows import Batch
from deepseek_store.parts import Parts

CURSOR: Final = "scrub"
"""The entry of the index's meta table that tells how far a pass has come."""


@attrs.frozen(kw_only=True)
class ScrubCursor:
    """How far a pass has come.

    `bad` are units that passes of earlier versions have left damaged: the findings have them now.
    """

    at: CheckUnit | None = None
    bad: tuple[CheckUnit, ...] = ()

    @classmethod
    def load(cls, parts: Parts) -> ScrubCursor:
        """Load it from the index; at the beginning if there is none, or it can't be read."""
        try:
            found = json.loads(parts.state.index.meta().get(CURSOR, "{}"))
            at = found.get("at")
            return cls(at=None if at is None else _unit(at), bad=tuple(map(_unit, found["bad"])))
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def save(self, parts: Parts) -> None:
        """Into the index."""
        text = json.dumps({"at": self.at, "bad": self.bad}) if self.at or self.bad else None
        parts.state.commit(Batch(meta={CURSOR: text}))

    def rest(self, units: Sequence[CheckUnit], found: Sequence[CheckUnit]) -> list[CheckUnit]:
        """What is still to be looked at: first what was bad, then what comes after the cursor."""
        at = self.at
        if at is None:
            return list(units)
        known = set(units)
        bad = dict.fromkeys(unit for unit in (*self.bad, *found) if unit in known)
        return [*bad, *(unit for unit in units if unit > at and unit not in bad)]

    def after(self, unit: CheckUnit) -> ScrubCursor:
        """The cursor once this unit was looked at."""
        seen = self.seen(unit)
        return seen if self.at is not None and unit < self.at else attrs.evolve(seen, at=unit)

    def seen(self, unit: CheckUnit) -> ScrubCursor:
        """The same place, without what an earlier version knew of this unit."""
        return attrs.evolve(self, bad=tuple(each for each in self.bad if each != unit))


def _unit(found: Sequence[Any]) -> CheckUnit:
    where, number = found
    return CheckUnit(where, int(number))
