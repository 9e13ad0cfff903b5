"""Tiers for many objects at once: the same choice as `tiering.weigh`, in columns.

Tests hold the two against each other. Tiers are numbers: their index in `TIERS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_store.planning import tiering
from deepseek_store.planning.fields import TIERS
from deepseek_store.planning.policy import DAY_S, Policy
from deepseek_store.planning.reaccess import Reaccess, ages_s
from deepseek_store.planning.verdict import ObjectState, TierTerms

Floats = NDArray[np.float64]
Numbers = NDArray[np.int8]

_NUMBER: Final = {name: number for number, name in enumerate(TIERS)}


@attrs.frozen(kw_only=True, eq=False)
class Columns:
    """What is known of many objects; `pinned` is -1 where an object is not."""

    nbytes: Floats
    read_nbytes: Floats
    rate_per_s: Floats
    at_s: Floats
    since_s: Floats
    tier: Numbers
    pinned: Numbers

    @classmethod
    def of(cls, objects: Sequence[ObjectState]) -> Columns:
        """The same objects as columns."""
        rows = [
            (
                one.nbytes,
                one.nbytes if one.read_nbytes is None else one.read_nbytes,
                one.heat.rate_per_s,
                one.heat.at_s,
                one.since_s,
                _NUMBER[one.tier],
                -1 if one.pinned is None else _NUMBER[one.pinned],
            )
            for one in objects
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 7).T
        return cls(
            nbytes=table[0],
            read_nbytes=table[1],
            rate_per_s=table[2],
            at_s=table[3],
            since_s=table[4],
            tier=table[5].astype(np.int8),
            pinned=table[6].astype(np.int8),
        )


def choose_many(
    columns: Columns,
    terms: Sequence[TierTerms],
    policy: Policy,
    now_s: float,
    learned: Reaccess | None = None,
) -> Numbers:
    """The number of the tier that each object belongs to."""
    offered = {_NUMBER[one.name]: one for one in terms}
    rate = expected_per_s(columns, policy, now_s, learned)
    if policy.hot_per_day is not None and policy.warm_per_day is not None:
        wanted = _by_borders(columns, offered, policy, rate * DAY_S)
    else:
        wanted = _by_cost(columns, offered, policy, rate)
    wanted = _allowed(columns, offered, policy, now_s, wanted)
    if not offered:
        wanted = columns.tier
    fits = np.isin(columns.pinned, list(offered))
    wanted = np.where(columns.pinned >= 0, columns.tier, wanted)
    return np.where(fits, columns.pinned, wanted).astype(np.int8)


def expected_per_s(
    columns: Columns, policy: Policy, now_s: float, learned: Reaccess | None = None
) -> Floats:
    """Accesses per second to expect, learned where that is of use."""
    if learned is not None and tiering.is_of_use(learned, policy):
        return learned.rates_at(columns.rate_per_s, columns.at_s, now_s)
    return columns.rate_per_s * np.exp2(-ages_s(columns.at_s, now_s) / policy.half_life_s)


def _by_cost(
    columns: Columns, offered: dict[int, TierTerms], policy: Policy, rate: Floats
) -> Numbers:
    cost = np.full((len(TIERS), len(rate)), np.inf)
    for number, terms in offered.items():
        cost[number] = _cost(columns, terms, offered, policy, rate)
    open_to = np.stack([_possible(columns, i, offered, policy) for i in range(len(TIERS))])
    possible = np.where(open_to | ~open_to.any(axis=0), cost, np.inf)
    best = possible.argmin(axis=0).astype(np.int8)
    each = np.arange(len(rate))
    here, there = cost[columns.tier, each], possible[best, each]
    with np.errstate(invalid="ignore", divide="ignore"):
        saved = np.where(here > 0.0, 1.0 - there / here, 0.0)
    stays = np.isfinite(here) & (saved <= policy.hysteresis)
    return np.where(stays, columns.tier, best)


def _cost(
    columns: Columns,
    terms: TierTerms,
    offered: dict[int, TierTerms],
    policy: Policy,
    rate: Floats,
) -> Floats:
    """Cost a day, as `tiering` counts it."""
    stored = columns.nbytes * terms.stored_per_logical
    read_s = terms.latency_s + columns.read_nbytes / terms.bytes_per_s
    cost = stored * tiering.room_price(terms, policy)
    cost += rate * DAY_S * read_s * tiering.wait_price(policy)
    for number, here in offered.items():
        if here is not terms:
            move_s = columns.nbytes / here.bytes_per_s + stored / terms.bytes_per_s
            price = tiering.move_price(TIERS[number], terms.name, policy)
            cost += np.where(columns.tier == number, move_s * price, 0.0)
    return cost


def _possible(
    columns: Columns, number: int, offered: dict[int, TierTerms], policy: Policy
) -> NDArray[np.bool_]:
    """Where an object may be: its tier, or one with space for it."""
    terms = offered.get(number)
    if terms is None:
        return np.zeros(len(columns.tier), dtype=np.bool_)
    fits = columns.nbytes * terms.stored_per_logical <= tiering.room_nbytes(terms, policy)
    is_new = ~np.isin(columns.tier, list(offered))
    return np.asarray(fits | (columns.tier == number) | is_new)


def _by_borders(
    columns: Columns, offered: dict[int, TierTerms], policy: Policy, per_day: Floats
) -> Numbers:
    wanted = np.full(len(per_day), len(TIERS) - 1, dtype=np.int8)
    for number, border in ((1, policy.warm_per_day or 0.0), (0, policy.hot_per_day or 0.0)):
        below, above = 1.0 - policy.hysteresis, 1.0 + policy.hysteresis
        factor = np.where(columns.tier <= number, below, above)
        wanted = np.where(per_day >= border * factor, number, wanted).astype(np.int8)
    found = columns.tier.copy()
    for number in sorted(offered):
        found = np.where(wanted >= number, number, found).astype(np.int8)
    return found


def _allowed(
    columns: Columns,
    offered: dict[int, TierTerms],
    policy: Policy,
    now_s: float,
    wanted: Numbers,
) -> Numbers:
    stays = np.zeros(len(wanted), dtype=np.bool_)
    for number in offered:
        going = (wanted == number) & (columns.tier != number)
        stays |= going & ~_possible(columns, number, offered, policy)
        if not tiering.on_its_way(TIERS[number], policy):
            fresh = np.maximum(now_s - columns.since_s, 0.0) < policy.min_residence_s
            stays |= going & (columns.tier < number) & fresh
    return np.where(stays, columns.tier, wanted).astype(np.int8)
