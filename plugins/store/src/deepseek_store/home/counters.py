"""What the processes of a store count, kept in its index, so that one can tell of all of them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import attrs

from deepseek_store.home.state import State
from deepseek_store.index.rows import Batch

_PREFIX: Final = "counts:"
_MOST_TICKS: Final = 20
_FOLDED: Final = f"{_PREFIX}others"
MOST: Final = 64
_KEPT: Final = 32
_OLD_S: Final = 7 * 86400.0


@attrs.frozen(kw_only=True)
class Counters:
    """Totals since the store was made, of one process or of several.

    `cache_evicted` had to go for others; of `prefetched`, `prefetched_unused` went before anybody
    read them. `fetched`: shards read from warm and cold tiers; `degraded`: those of them that took
    other fragments than their own; `faults`: segments of which a read met wrong bytes, or none.
    """

    cache_hits: int = 0
    cache_misses: int = 0
    cache_admitted: int = 0
    cache_evicted: int = 0
    prefetched: int = 0
    prefetched_used: int = 0
    prefetched_unused: int = 0
    fetched: int = 0
    degraded: int = 0
    faults: int = 0
    moves: int = 0

    def __add__(self, other: Counters) -> Counters:
        pairs = zip(attrs.astuple(self), attrs.astuple(other), strict=True)
        names = attrs.fields_dict(Counters)
        return Counters(**{name: a + b for name, (a, b) in zip(names, pairs, strict=True)})

    def __sub__(self, other: Counters) -> Counters:
        return self + Counters(**{name: -value for name, value in attrs.asdict(other).items()})

    @property
    def cache_hit_rate(self) -> float | None:
        """Share of the requests of the cache that were hits; None before the first."""
        requests = self.cache_hits + self.cache_misses
        return self.cache_hits / requests if requests else None


@attrs.frozen(kw_only=True)
class LedgerEntry:
    """What one process has told: its counts, when, who fetches ahead and why, its last rounds."""

    counts: Counters = attrs.field(factory=Counters)
    at_s: float = 0.0
    acting: tuple[str, ...] = ()
    why: str = ""
    ticks: tuple[Mapping[str, Any], ...] = ()

    def to_text(self) -> str:
        """Text, as the index stores it."""
        return json.dumps(attrs.asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> Self:
        """What the index keeps; nothing where it can't be read, for it is only statistics."""
        try:
            found = json.loads(text or "{}")
            known = attrs.fields_dict(Counters)
            given = found.get("counts", {}).items()
            return cls(
                counts=Counters(**{name: int(value) for name, value in given if name in known}),
                at_s=float(found.get("at_s", 0.0)),
                acting=tuple(found.get("acting", ())),
                why=str(found.get("why", "")),
                ticks=tuple(found.get("ticks", ())),
            )
        except (ValueError, TypeError, AttributeError):
            return cls()


class Ledger:
    """The counts of one process, on top of those that its writer's number had before.

    `mine` tells what this process has counted since it opened the store.
    """

    def __init__(self, state: State, *, writer: int, mine: Callable[[], LedgerEntry]) -> None:
        self._state, self._mine = state, mine
        # of this writer's entry in the index
        self._name = f"{_PREFIX}{socket.gethostname()}:{writer}"
        # what earlier processes of this writer number counted
        self._before = LedgerEntry.from_text(state.index.meta().get(self._name))
        self._ticks = self._before.ticks  # the newest samples, for the page's lines
        self._saved = self._before.counts, self._ticks  # what the index has

    def note(self, at_s: float, told: Mapping[str, Any]) -> None:
        """A round of care; kept if anything in it is worth telling."""
        if any(told.values()):
            self._ticks = (*self._ticks, {"at_s": at_s, **told})[-_MOST_TICKS:]

    def mine(self) -> LedgerEntry:
        """What this process would tell now."""
        now = self._mine()
        return attrs.evolve(
            now,
            counts=self._before.counts + now.counts,
            acting=now.acting if now.why else self._before.acting,
            why=now.why or self._before.why,
            ticks=self._ticks,
        )

    def leave_out_since(self, counts: Counters) -> None:
        """What was counted beyond `counts` is none of a user's: a measurement's, say."""
        left_out = self.mine().counts - counts
        self._before = attrs.evolve(self._before, counts=self._before.counts - left_out)

    def all(self) -> list[LedgerEntry]:
        """Entries of every process that ever reported, newest first."""
        others = [entry for name, entry in self._entries().items() if name != self._name]
        return sorted([self.mine(), *others], key=lambda entry: -entry.at_s)

    def save(self) -> None:
        """Write it into the index, if there is something new.

        Raises:
            IndexUnavailable: the database does not answer.
        """
        entry = self.mine()
        told = entry.counts, entry.ticks
        if told != self._saved:
            self._state.commit(Batch(meta={self._name: entry.to_text()}))
            self._saved = told
            self._fold(entry.at_s)

    def _fold(self, now_s: float) -> None:
        """Count those who have not told anything for long as one, if there are many of them.

        Each container has a host's name of its own, and would leave a row for ever.
        """
        if self._count() <= MOST:
            return
        with self._state.index.exclusive(_FOLDED):
            entries = self._entries()
            folded = entries.pop(_FOLDED, LedgerEntry())
            by_age = sorted(entries, key=lambda name: entries[name].at_s)
            old = [name for name in by_age[:-_KEPT] if entries[name].at_s < now_s - _OLD_S]
            counts = sum((entries[name].counts for name in old), folded.counts)
            at_s = max([folded.at_s, *(entries[name].at_s for name in old)])
            one = LedgerEntry(counts=counts, at_s=at_s)
            if old:
                gone: dict[str, str | None] = dict.fromkeys(old)
                self._state.commit(Batch(meta={**gone, _FOLDED: one.to_text()}))

    def _count(self) -> int:
        return sum(name.startswith(_PREFIX) for name in self._state.index.meta())

    def _entries(self) -> dict[str, LedgerEntry]:
        told = self._state.index.meta().items()
        return {name: LedgerEntry.from_text(t) for name, t in told if name.startswith(_PREFIX)}
