"""What tiering is told of tiers and objects, and what it answers."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from deepseek_store.planning.fields import TierName
from deepseek_store.planning.heat import Heat

Rule = Literal["pinned", "border", "cost", "stays", "residence", "no-room", "only-tier"]


@attrs.frozen(kw_only=True)
class TierTerms:
    """What a tier costs: speed, stored bytes per logical byte, and space.

    `used_nbytes` and `capacity_nbytes` are stored bytes; None: as much as one likes.
    `data_fragments` is k of its code.
    """

    name: TierName
    latency_s: float
    bytes_per_s: float
    stored_per_logical: float = 1.0
    capacity_nbytes: int | None = None
    used_nbytes: int = 0
    data_fragments: int = 1

    def read_s(self, nbytes: float) -> float:
        """Seconds that a read of so many bytes takes."""
        return self.latency_s + nbytes / self.bytes_per_s


@attrs.frozen(kw_only=True)
class ObjectState:
    """What is known of an object.

    `since_s`: it lies in its tier since then. `read_nbytes`: bytes of a usual access, None: all.
    `parts`: segments that hold some of its bytes, and how many.
    """

    key: str
    nbytes: int
    heat: Heat
    tier: TierName
    since_s: float = 0.0
    pinned: TierName | None = None
    read_nbytes: int | None = None
    parts: tuple[tuple[int, int], ...] = ()


@attrs.frozen(kw_only=True)
class TierCost:
    """A tier with its cost a day, in the policy's currency."""

    tier: TierName
    storage_per_day: float
    access_per_day: float
    move_per_day: float
    refused: str | None = None

    @property
    def per_day(self) -> float:
        """The sum."""
        return self.storage_per_day + self.access_per_day + self.move_per_day


@attrs.frozen(kw_only=True)
class NextMove:
    """Where an object will go if nobody reads it, and when."""

    tier: TierName
    at_s: float
    why: str


@attrs.frozen(kw_only=True)
class TierVerdict:
    """The tier that an object belongs to, and how that was found."""

    key: str
    current: TierName
    tier: TierName
    rule: Rule
    why: str
    accesses_per_day: float
    learned: bool
    candidates: tuple[TierCost, ...]
    next_move: NextMove | None = None

    @property
    def saving_per_day(self) -> float:
        """What the move saves; 0 where the object stays."""
        return self.cost_of(self.current) - self.cost_of(self.tier)

    def cost_of(self, tier: TierName) -> float:
        """What a tier costs a day; 0 for one that was no candidate."""
        return next((one.per_day for one in self.candidates if one.tier == tier), 0.0)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return attrs.asdict(self)

    def sentences(self) -> tuple[str, ...]:
        """The same for people."""
        source = "learned from this store" if self.learned else "from its decaying rate"
        move = f"belongs in {self.tier}" if self.tier != self.current else f"stays in {self.tier}"
        lines = [
            f"{self.key} {move}: {self.why}.",
            f"{self.accesses_per_day:.3g} accesses a day are expected, {source}.",
            *(_cost_sentence(candidate) for candidate in self.candidates),
        ]
        if self.next_move is not None:
            lines.append(
                f"If nobody reads it, it moves to {self.next_move.tier}: {self.next_move.why}."
            )
        return tuple(lines)


def _cost_sentence(candidate: TierCost) -> str:
    parts = f"storage {candidate.storage_per_day:.3g}, waiting {candidate.access_per_day:.3g}"
    move = f", moving {candidate.move_per_day:.3g}" if candidate.move_per_day else ""
    refused = f"; not possible: {candidate.refused}" if candidate.refused else ""
    return f"In {candidate.tier} it costs {candidate.per_day:.3g} a day ({parts}{move}){refused}."
