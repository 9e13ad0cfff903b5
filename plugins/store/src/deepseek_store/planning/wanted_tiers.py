"""Which tier every object should be in, so that no tier holds more than it may."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

import attrs

from deepseek_store.planning.policy import TIERS, Policy, TierName
from deepseek_store.planning.reaccess import Reaccess
from deepseek_store.planning.tiering import ObjectState, TierTerms, TierVerdict, room_nbytes, weigh
from deepseek_store.planning.tiering_many import Columns, choose_many


@attrs.frozen(kw_only=True)
class Wish:
    """An object, the tier it should be in, and why; `verdict` where that was worked out."""

    state: ObjectState
    tier: TierName
    why: str = ""
    verdict: TierVerdict | None = None

    @property
    def moves(self) -> bool:
        """Whether it is elsewhere."""
        return self.tier != self.state.tier

    @property
    def saving_per_day(self) -> float:
        """What the move saves; less than 0 where it only makes space."""
        if self.verdict is None:
            return 0.0
        return self.verdict.cost_of(self.state.tier) - self.verdict.cost_of(self.tier)


def wishes(
    objects: Sequence[ObjectState],
    terms: Sequence[TierTerms],
    policy: Policy,
    now_s: float,
    learned: Reaccess | None = None,
) -> tuple[Wish, ...]:
    """One for each object, in their order.

    Where a tier would be over its space, first what saves least per byte does not come, then what
    suffers least goes one tier down, even before its time there is over. Pinned objects count, but
    are never sent away.
    """

    def weighed(state: ObjectState) -> Wish:
        verdict = weigh(state, terms, policy, now_s, learned)
        return Wish(state=state, tier=verdict.tier, why=verdict.why, verdict=verdict)

    numbers = choose_many(Columns.of(objects), terms, policy, now_s, learned).tolist()
    found = [
        Wish(state=state, tier=state.tier) if TIERS[number] == state.tier else weighed(state)
        for state, number in zip(objects, numbers, strict=True)
    ]
    by_tier = sorted(terms, key=lambda one: TIERS.index(one.name))
    for tier, cooler in itertools.pairwise(by_tier):
        found = _within_room(found, tier, cooler, policy, weighed)
    return tuple(found)


def _within_room(
    found: list[Wish],
    tier: TierTerms,
    cooler: TierTerms,
    policy: Policy,
    weighed: Callable[[ObjectState], Wish],
) -> list[Wish]:
    room = room_nbytes(tier, policy)
    if math.isinf(room):
        return found
    here = tier.name
    coming = [i for i, wish in enumerate(found) if wish.moves and wish.tier == here]
    staying = [i for i, wish in enumerate(found) if not wish.moves and wish.tier == here]
    leaving = (wish for wish in found if wish.moves and wish.state.tier == here)
    balance = sum(found[i].state.nbytes for i in coming) - sum(w.state.nbytes for w in leaving)
    over = balance * tier.stored_per_logical - room
    if over <= 0:
        return found
    for i in (i for i in (*coming, *staying) if found[i].verdict is None):
        found[i] = attrs.evolve(weighed(found[i].state), tier=here)
    for i in _least_loss(found, coming, here):
        if over <= 0:
            break
        source = found[i].state.tier
        down = source if _is_faster(here, source) else cooler.name
        found[i] = _sent(found[i], down, f"{here} has no space left for it; {found[i].why}")
        over -= found[i].state.nbytes * tier.stored_per_logical
    for i in _least_loss(found, staying, here, cooler.name):
        if over <= 0:
            break
        found[i] = _sent(found[i], cooler.name, f"{here} is over its space")
        over -= found[i].state.nbytes * tier.stored_per_logical
    return found


def _least_loss(
    found: Sequence[Wish],
    indexes: Iterable[int],
    here: TierName,
    cooler: TierName | None = None,
) -> list[int]:
    """The unpinned ones by what a byte of them loses: those least that lose least."""

    def loss(i: int) -> tuple[float, str]:
        wish = found[i]
        elsewhere = wish.state.tier if cooler is None else cooler
        assert wish.verdict is not None
        lost = wish.verdict.cost_of(elsewhere) - wish.verdict.cost_of(here)
        return lost / max(wish.state.nbytes, 1), wish.state.key

    return sorted((i for i in indexes if found[i].state.pinned is None), key=loss)


def _sent(wish: Wish, tier: TierName, why: str) -> Wish:
    return attrs.evolve(wish, tier=tier, why=why)


def _is_faster(one: TierName, other: TierName) -> bool:
    return TIERS.index(one) < TIERS.index(other)
