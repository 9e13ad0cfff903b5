"""What a store should move now: an ordered plan under a budget, each step with its reason.

Steps, in the order in which they are worth most:
promote  objects that readers wait for go up, through the log;
adopt    sealed segments of the log become data fragments of a warm stripe as they are;
drop     the log's copy of a segment goes, for a stripe holds it and no hot object needs it;
pack     cold objects are written together into full fragments of wide stripes, by key;
compact  what is still alive in a segment or stripe is rewritten, for most of it is dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from deepseek_store.planning.amounts import counted, size_text
from deepseek_store.planning.policy import Policy, TierName
from deepseek_store.planning.reaccess import Reaccess
from deepseek_store.planning.steps import Move, SegmentState, Steps
from deepseek_store.planning.tiering import ObjectState, TierTerms
from deepseek_store.planning.wanted_tiers import wishes

__all__ = ["Move", "MovePlan", "ObjectState", "SegmentState", "plan", "transition_nbytes"]


@attrs.frozen(kw_only=True)
class MovePlan:
    """A plan. `deferred` are steps that the budget has no space left for.

    `waiting_nbytes`: payload that waits for a stripe to fill, per tier.
    """

    moves: tuple[Move, ...]
    deferred: tuple[Move, ...]
    waiting_nbytes: dict[TierName, int]
    budget_nbytes: int | None
    objects: int
    staying: int

    def __len__(self) -> int:
        return len(self.moves)

    @property
    def written_nbytes(self) -> int:
        """Bytes that the plan writes."""
        return sum(move.written_nbytes for move in self.moves)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**attrs.asdict(self), "written_nbytes": self.written_nbytes}

    def sentences(self) -> tuple[str, ...]:
        """The same for people; a dry run prints it."""
        budget = (
            "" if self.budget_nbytes is None else f" of a budget of {size_text(self.budget_nbytes)}"
        )
        lines = [str(move) for move in self.moves]
        lines.append(
            f"{counted(len(self.moves), 'move')}, {size_text(self.written_nbytes)} to write"
            f"{budget}; {self.staying:,} of {counted(self.objects, 'object')} stay in their tier"
        )
        if self.deferred:
            nbytes = sum(move.written_nbytes for move in self.deferred)
            lines.append(
                f"put off to the next budget: {counted(len(self.deferred), 'move')}, "
                f"{size_text(nbytes)}"
            )
        waiting = [(name, nbytes) for name, nbytes in self.waiting_nbytes.items() if nbytes]
        lines += [f"{size_text(nbytes)} wait for a full {name} stripe" for name, nbytes in waiting]
        return tuple(lines)


def plan(
    objects: Sequence[ObjectState],
    segments: Sequence[SegmentState],
    terms: Sequence[TierTerms],
    policy: Policy,
    now_s: float,
    *,
    learned: Reaccess | None = None,
    budget_nbytes: int | None = None,
    cold_waiting_since_s: float | None = None,
    flush: bool = False,
) -> MovePlan:
    """The steps that should be done now, the most worth first, within the budget.

    `objects` and `segments` are all there are, `budget_nbytes` bounds what is written (None: no
    bound). `cold_waiting_since_s`: since when earlier plans had cold bytes that wait for a stripe.
    `flush`: write stripes that are not full, too.
    """
    found = wishes(objects, terms, policy, now_s, learned)
    steps = Steps(found, segments, terms, policy, now_s)
    aged_s = 0.0 if cold_waiting_since_s is None else now_s - cold_waiting_since_s
    packs, cold_waiting = steps.pack(flush or aged_s > policy.stripe_wait_s)
    adopts, warm_waiting = steps.adopt(flush)
    ordered = (*steps.promote(), *adopts, *steps.drop(), *packs, *steps.compact())
    moves, deferred = _within_budget(ordered, budget_nbytes)
    return MovePlan(
        moves=moves,
        deferred=deferred,
        waiting_nbytes={"warm": warm_waiting, "cold": cold_waiting},
        budget_nbytes=budget_nbytes,
        objects=len(objects),
        staying=sum(not wish.moves for wish in found),
    )


def transition_nbytes(policy: Policy, terms: Sequence[TierTerms], seconds: float) -> int:
    """Bytes that moves may write in a time: the policy's share of the slowest tier."""
    slowest = min((one.bytes_per_s for one in terms), default=0.0)
    return int(policy.transition_share * slowest * max(seconds, 0.0))


def _within_budget(
    ordered: Sequence[Move], budget_nbytes: int | None
) -> tuple[tuple[Move, ...], tuple[Move, ...]]:
    if budget_nbytes is None:
        return tuple(ordered), ()
    left, taken, deferred = budget_nbytes, list[Move](), list[Move]()
    for move in ordered:
        fits = move.written_nbytes <= left
        (taken if fits else deferred).append(move)
        left -= move.written_nbytes if fits else 0
    return tuple(taken), tuple(deferred)
