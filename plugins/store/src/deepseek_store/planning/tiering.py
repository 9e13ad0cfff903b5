"""Which tier an object belongs to: the cost of each a day, what was chosen, and why.

A tier costs the space it takes and the time its readers wait (the five-minute rule: Gray and
Putzolu, SIGMOD'87). Costs are straight lines over the rate of accesses, so a hotter object never
gets a slower tier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from deepseek_store.planning.heat import Heat, rate_at
from deepseek_store.planning.policy import DAY_S, TIERS, Policy, TierName
from deepseek_store.planning.reaccess import Reaccess
from deepseek_store.planning.verdict import (
    NextMove,
    ObjectState,
    Rule,
    TierCost,
    TierTerms,
    TierVerdict,
)

__all__ = [
    "NextMove",
    "ObjectState",
    "TierCost",
    "TierTerms",
    "TierVerdict",
    "expected_per_s",
    "is_of_use",
    "judge",
    "room_nbytes",
    "weigh",
]

_GIB: Final = float(1 << 30)
_MONTH_DAYS: Final = 30.0
_BACKGROUND: Final = 0.1  # nobody waits for a move: a second of it is a tenth of a reader's
_STAYS_DOWN: Final = 10.0  # heat is gone after a half-life or so, but what is cold stays cold
_AHEAD: Final = 64  # steps of a quarter of a half-life in which the learned rate is followed


def expected_per_s(
    heat: Heat, policy: Policy, now_s: float, learned: Reaccess | None = None
) -> float:
    """Accesses per second to expect, learned where that is of use."""
    if learned is not None and is_of_use(learned, policy):
        return learned.rate_at(heat, now_s)
    return rate_at(heat, now_s, policy.half_life_s)


def is_of_use(learned: Reaccess | None, policy: Policy) -> bool:
    """Whether something was learned, the policy wants it, and it is of rates of that half-life."""
    return learned is not None and policy.learn and learned.half_life_s == policy.half_life_s


def judge(
    state: ObjectState,
    terms: Sequence[TierTerms],
    policy: Policy,
    now_s: float,
    learned: Reaccess | None = None,
) -> TierVerdict:
    """The tier of an object, with all reasons and what comes next if nobody reads it."""
    verdict = weigh(state, terms, policy, now_s, learned)
    if verdict.rule == "pinned" or verdict.tier != state.tier:
        return verdict
    return attrs.evolve(verdict, next_move=_next_move(state, terms, policy, now_s, learned))


def weigh(
    state: ObjectState,
    terms: Sequence[TierTerms],
    policy: Policy,
    now_s: float,
    learned: Reaccess | None = None,
) -> TierVerdict:
    """The tier of an object now; `judge` without a look ahead, for those that ask for many."""
    rate = expected_per_s(state.heat, policy, now_s, learned)
    candidates = _candidates(state, terms, policy, rate)
    tier, rule, why = _choose(state, candidates, policy, now_s, rate)
    return TierVerdict(
        key=state.key,
        current=state.tier,
        tier=tier,
        rule=rule,
        why=why,
        accesses_per_day=rate * DAY_S,
        learned=is_of_use(learned, policy),
        candidates=candidates,
    )


def _candidates(
    state: ObjectState, terms: Sequence[TierTerms], policy: Policy, rate_per_s: float
) -> tuple[TierCost, ...]:
    here = next((one for one in terms if one.name == state.tier), None)
    return tuple(_candidate(state, one, here, policy, rate_per_s) for one in terms)


def _candidate(
    state: ObjectState,
    terms: TierTerms,
    here: TierTerms | None,
    policy: Policy,
    rate_per_s: float,
) -> TierCost:
    stored = state.nbytes * terms.stored_per_logical
    read_nbytes = state.nbytes if state.read_nbytes is None else state.read_nbytes
    move_s, refused = 0.0, None
    if here is not None and terms is not here:
        # Objects move many at a time, so that their latency does not count.
        move_s = state.nbytes / here.bytes_per_s + stored / terms.bytes_per_s
        refused = _refusal(stored, terms, policy)
    waits_s = rate_per_s * DAY_S * terms.read_s(read_nbytes)
    return TierCost(
        tier=terms.name,
        storage_per_day=stored * room_price(terms, policy),
        access_per_day=waits_s * wait_price(policy),
        move_per_day=move_s * move_price(state.tier, terms.name, policy),
        refused=refused,
    )


def room_price(terms: TierTerms, policy: Policy) -> float:
    """What a stored byte costs a day."""
    return policy.price_per_gib_month[terms.name] / _MONTH_DAYS / _GIB


def wait_price(policy: Policy) -> float:
    """What a second of a reader costs."""
    return policy.wait_price_per_hour / 3600.0


def move_price(source: TierName, target: TierName, policy: Policy) -> float:
    """What a second of a move costs a day of the time in which it has to pay."""
    payback_s = policy.half_life_s * (_STAYS_DOWN if is_down(source, target) else 1.0)
    return wait_price(policy) * _BACKGROUND * DAY_S / payback_s


def is_down(source: TierName, target: TierName) -> bool:
    """Whether the target is the cooler one."""
    return TIERS.index(target) > TIERS.index(source)


def on_its_way(target: TierName, policy: Policy) -> bool:
    """No residence is asked above the landing tier: there an object is only on its way."""
    return not is_down(policy.landing, target)


def room_nbytes(terms: TierTerms, policy: Policy) -> float:
    """Stored bytes that still fit: by the policy's quota and the tier's capacity."""
    quota = policy.quota_nbytes[terms.name]
    limits = [limit for limit in (quota, terms.capacity_nbytes) if limit is not None]
    return min(limits) - terms.used_nbytes if limits else math.inf


def _refusal(stored_nbytes: float, terms: TierTerms, policy: Policy) -> str | None:
    room = room_nbytes(terms, policy)
    return f"no space, {max(room, 0):.0f} bytes are left" if stored_nbytes > room else None


def _choose(
    state: ObjectState,
    candidates: Sequence[TierCost],
    policy: Policy,
    now_s: float,
    rate_per_s: float,
) -> tuple[TierName, Rule, str]:
    offered = {candidate.tier: candidate for candidate in candidates}
    if state.pinned is not None:
        return _by_pin(state.pinned, state.tier, offered)
    if not offered or tuple(offered) == (state.tier,):
        return state.tier, "only-tier", "there is no other tier"
    if policy.hot_per_day is not None and policy.warm_per_day is not None:
        wanted, rule, why = _by_borders(state, offered, policy, rate_per_s * DAY_S)
    else:
        wanted, rule, why = _by_cost(state, offered, policy)
    return _allowed(state, offered, policy, now_s, (wanted, rule, why))


def _by_pin(
    pinned: TierName, current: TierName, offered: Mapping[TierName, TierCost]
) -> tuple[TierName, Rule, str]:
    if pinned not in offered:
        return current, "pinned", f"it is pinned to {pinned}, which this store does not have"
    return pinned, "pinned", f"it is pinned to {pinned}"


def _by_borders(
    state: ObjectState, offered: Mapping[TierName, TierCost], policy: Policy, per_day: float
) -> tuple[TierName, Rule, str]:
    """Borders are higher on the way up and lower on the way down, so that nothing oscillates."""
    here = TIERS.index(state.tier)
    borders = (policy.hot_per_day or 0.0, policy.warm_per_day or 0.0)
    place = len(borders)
    for i in (1, 0):
        factor = 1.0 - policy.hysteresis if here <= i else 1.0 + policy.hysteresis
        if per_day >= borders[i] * factor:
            place = i
    wanted = next((one for one in reversed(TIERS[: place + 1]) if one in offered), state.tier)
    why = f"{per_day:.3g} accesses a day against borders of {borders[0]:g} (hot), {borders[1]:g}"
    return wanted, "border" if wanted != state.tier else "stays", why + " (warm)"


def _by_cost(
    state: ObjectState, offered: Mapping[TierName, TierCost], policy: Policy
) -> tuple[TierName, Rule, str]:
    possible = [one for one in offered.values() if one.refused is None] or list(offered.values())
    best = min(possible, key=lambda one: (one.per_day, TIERS.index(one.tier)))
    here = offered.get(state.tier)
    if here is None:
        return best.tier, "cost", f"its tier {state.tier} is no more, {best.tier} is cheapest"
    if best.tier == state.tier:
        return best.tier, "stays", "it is the cheapest"
    saved = 1.0 - best.per_day / here.per_day if here.per_day > 0.0 else 0.0
    if saved <= policy.hysteresis:
        why = f"{best.tier} would save {saved:.0%}, which is not over {policy.hysteresis:.0%}"
        return state.tier, "stays", why
    return best.tier, "cost", f"{best.tier} saves {saved:.0%} of the cost in {state.tier}"


def _allowed(
    state: ObjectState,
    offered: Mapping[TierName, TierCost],
    policy: Policy,
    now_s: float,
    wish: tuple[TierName, Rule, str],
) -> tuple[TierName, Rule, str]:
    wanted, _, why = wish
    if wanted == state.tier:
        return wish
    if offered[wanted].refused is not None:
        return state.tier, "no-room", f"{wanted}: {offered[wanted].refused}; {why}"
    stayed_s = max(now_s - state.since_s, 0.0)
    bound = is_down(state.tier, wanted) and not on_its_way(wanted, policy)
    if bound and stayed_s < policy.min_residence_s:
        why = f"it came {stayed_s:.0f} s ago and stays {policy.min_residence_s:.0f} s at least"
        return state.tier, "residence", why
    return wish


def _next_move(
    state: ObjectState,
    terms: Sequence[TierTerms],
    policy: Policy,
    now_s: float,
    learned: Reaccess | None,
) -> NextMove | None:
    """Follow the rate while nobody reads, until another tier is chosen; then narrow down."""

    def stays(at_s: float) -> bool:
        return weigh(state, terms, policy, at_s, learned).tier == state.tier

    times_s = (now_s + step * policy.half_life_s / 4 for step in range(1, _AHEAD + 1))
    late_s = next((at_s for at_s in times_s if not stays(at_s)), None)
    if late_s is None:
        return None
    early_s = late_s - policy.half_life_s / 4
    while late_s - early_s > max(1.0, 1e-4 * (late_s - now_s)):
        middle_s = (early_s + late_s) / 2
        early_s, late_s = (middle_s, late_s) if stays(middle_s) else (early_s, middle_s)
    then = weigh(state, terms, policy, late_s, learned)
    return NextMove(tier=then.tier, at_s=late_s, why=then.why)
