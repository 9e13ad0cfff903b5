"""Which tier an object belongs to: costs, borders, hysteresis, residence, pins, and the reasons."""

import json
import math

import numpy as np
import pytest
from cooling import break_even_per_s, cools_at_s
from hypothesis import given
from hypothesis import strategies as st

from deepseek_store.planning.heat import Heat, touch
from deepseek_store.planning.policy import TIERS, Policy
from deepseek_store.planning.reaccess import Reaccess
from deepseek_store.planning.tiering import (
    ObjectState,
    TierTerms,
    judge,
    weigh,
)
from deepseek_store.planning.tiering_many import Columns, choose_many

DAY_S = 86_400.0
MIB = 1 << 20
HOT = TierTerms(name="hot", latency_s=1e-4, bytes_per_s=1e9)
WARM = TierTerms(name="warm", latency_s=8e-3, bytes_per_s=1.5e8, stored_per_logical=1.15)
COLD = TierTerms(name="cold", latency_s=3e-2, bytes_per_s=8e7, stored_per_logical=1.07)
TERMS = (HOT, WARM, COLD)
POLICY = Policy()

rates = st.floats(0.0, 1e-2)
policies = st.builds(
    Policy,
    hysteresis=st.floats(0.0, 0.5),
    half_life_s=st.floats(3600.0, 30 * DAY_S),
    wait_price_per_hour=st.floats(0.0, 20.0),
    min_residence_s=st.floats(0.0, DAY_S),
    landing=st.sampled_from(TIERS),
)
bordered = st.builds(
    lambda low, more, hysteresis: Policy(
        warm_per_day=low, hot_per_day=low + more, hysteresis=hysteresis
    ),
    st.floats(0.0, 5.0),
    st.floats(0.0, 50.0),
    st.floats(0.0, 0.5),
)
states = st.builds(
    ObjectState,
    key=st.just("k"),
    nbytes=st.integers(0, 1 << 33),
    heat=st.builds(Heat, rate_per_s=rates, at_s=st.floats(-1e6, 1e6)),
    tier=st.sampled_from(TIERS),
    since_s=st.floats(-1e6, 1e6),
    pinned=st.sampled_from((None, None, None, *TIERS)),
    read_nbytes=st.sampled_from((None, 0, 65_536)),
)
offers = st.sets(st.sampled_from(TERMS)).map(lambda some: tuple(t for t in TERMS if t in some))
SEEN = np.random.default_rng(1).exponential(20.0, (2, 16, 16))
learnt = st.sampled_from(
    (None, Reaccess(half_life_s=POLICY.half_life_s, came=SEEN[0], told=SEEN[1]))
)


def with_rate(state: ObjectState, rate_per_s: float, now_s: float) -> ObjectState:
    return ObjectState(
        key=state.key,
        nbytes=state.nbytes,
        heat=Heat(rate_per_s=rate_per_s, at_s=now_s),
        tier=state.tier,
        since_s=state.since_s,
    )


def at_rate(per_day: float, tier: str, *, nbytes: int = MIB, since_s: float = -1e9) -> ObjectState:
    heat = Heat(rate_per_s=per_day / DAY_S, at_s=0.0)
    return ObjectState(key="k", nbytes=nbytes, heat=heat, tier=tier, since_s=since_s)


@given(states, st.one_of(policies, bordered), st.floats(-1e6, 1e6), rates, rates)
def test_a_hotter_object_never_gets_a_colder_tier(state, policy, now_s, one, other):
    colder, hotter = (with_rate(state, rate, now_s) for rate in sorted((one, other)))
    found = [TIERS.index(weigh(each, TERMS, policy, now_s).tier) for each in (colder, hotter)]
    assert found[1] <= found[0]


@given(states, st.one_of(policies, bordered), offers, st.floats(-1e6, 1e6), learnt)
def test_equal_input_gives_equal_output(state, policy, terms, now_s, learned):
    assert judge(state, terms, policy, now_s, learned) == judge(
        state, terms, policy, now_s, learned
    )


@given(
    st.lists(states, min_size=1, max_size=8),
    st.one_of(policies, bordered),
    offers,
    st.floats(-1e6, 1e6),
    learnt,
    st.sampled_from((None, 0, 1 << 20)),
)
def test_the_choice_in_columns_is_the_choice_one_by_one(
    objects, policy, terms, now_s, learned, capacity_nbytes
):
    terms = tuple(
        TierTerms(
            name=one.name,
            latency_s=one.latency_s,
            bytes_per_s=one.bytes_per_s,
            stored_per_logical=one.stored_per_logical,
            capacity_nbytes=capacity_nbytes if one is HOT else None,
        )
        for one in terms
    )
    slow = [TIERS.index(weigh(one, terms, policy, now_s, learned).tier) for one in objects]
    fast = choose_many(Columns.of(objects), terms, policy, now_s, learned)
    assert fast.tolist() == slow


@given(states, st.one_of(policies, bordered), offers, st.floats(-1e6, 1e6))
def test_only_an_offered_tier_is_chosen_and_a_pin_is_kept(state, policy, terms, now_s):
    verdict = weigh(state, terms, policy, now_s)
    names = {one.name for one in terms}
    assert verdict.tier in names | {state.tier}
    if state.pinned in names:
        assert (verdict.tier, verdict.rule) == (state.pinned, "pinned")


def test_the_cheapest_of_plain_sums_is_chosen():
    for per_day in (0.0, 0.01, 0.1, 1.0, 10.0):
        verdict = weigh(at_rate(per_day, "warm"), TERMS, Policy(hysteresis=0.0), 0.0)
        sums = {}
        for terms in TERMS:
            room = MIB * terms.stored_per_logical / 2**30
            room *= POLICY.price_per_gib_month[terms.name] / 30
            wait_s = terms.latency_s + MIB / terms.bytes_per_s
            sums[terms.name] = room + per_day * wait_s / 3600.0
        found = {one.tier: one.per_day - one.move_per_day for one in verdict.candidates}
        assert found == pytest.approx(sums)
        assert verdict.tier == min(verdict.candidates, key=lambda one: one.per_day).tier


def test_small_objects_are_hot_at_lower_rates_than_large_ones():
    borders = [
        break_even_per_s(at_rate(0.0, "hot", nbytes=nbytes), WARM, HOT, POLICY)
        for nbytes in (64 << 10, MIB, 16 * MIB)
    ]
    assert borders == sorted(set(borders))


def test_an_object_at_the_threshold_does_not_go_back_and_forth():
    """Periodic reads around the break-even rate, 1,000 steps of which each follows the verdict."""
    state = at_rate(0.0, "hot")
    border = break_even_per_s(state, WARM, HOT, POLICY)
    tier, since_s, heat, moves = "hot", 0.0, None, 0
    for step in range(1000):
        now_s = step / (3 * border)  # a third of the steps brings an access
        if step % 3 == 0:
            heat = touch(heat, now_s, POLICY.half_life_s)
        at = ObjectState(key="k", nbytes=MIB, heat=heat, tier=tier, since_s=since_s)
        found = weigh(at, (HOT, WARM), POLICY, now_s).tier
        if found != tier:
            tier, since_s, moves = found, now_s, moves + 1
    assert moves <= 1


def test_without_hysteresis_the_same_object_would_go_back_and_forth():
    """The test above can fail: neither margin nor residence, and it does oscillate."""
    policy = Policy(hysteresis=0.0, min_residence_s=0.0, warm_per_day=0.0, hot_per_day=1.0)
    tier, heat, moves = "hot", None, 0
    for step in range(1000):
        now_s = step * DAY_S / 3
        if step % 3 == 0:
            heat = touch(heat, now_s, policy.half_life_s)
        found = weigh(
            ObjectState(key="k", nbytes=MIB, heat=heat, tier=tier), (HOT, WARM), policy, now_s
        ).tier
        moves += found != tier
        tier = found
    assert moves > 100


def test_nothing_moves_down_before_its_residence_is_over():
    fresh = at_rate(0.0, "hot", since_s=-60.0)
    assert weigh(fresh, TERMS, POLICY, 0.0).rule == "residence"
    assert weigh(fresh, TERMS, POLICY, POLICY.min_residence_s).tier == "cold"


def test_what_should_land_colder_does_not_wait_above_its_landing_tier():
    fresh = at_rate(0.0, "hot", since_s=-60.0)
    assert weigh(fresh, TERMS, Policy(landing="cold"), 0.0).tier == "cold"
    assert weigh(fresh, (HOT, WARM), Policy(landing="warm"), 0.0).tier == "warm"


def test_a_full_tier_is_refused_and_the_reason_told():
    full = TierTerms(
        name="hot", latency_s=1e-4, bytes_per_s=1e9, capacity_nbytes=100, used_nbytes=90
    )
    verdict = weigh(at_rate(100.0, "warm"), (full, WARM, COLD), POLICY, 0.0)
    assert verdict.tier == "warm"
    assert "no space, 10 bytes" in " ".join(verdict.sentences())


@given(st.floats(0.01, 50.0), st.sampled_from((HOT, WARM)))
def test_the_closed_form_of_cooling_is_when_the_verdict_changes(per_day, here):
    state = at_rate(per_day, here.name)
    cooler = WARM if here is HOT else COLD
    at_s = cools_at_s(state, cooler, here, POLICY)
    verdict = judge(state, (here, cooler), POLICY, 0.0)
    if verdict.tier != state.tier:
        assert at_s <= 1.0
    else:
        assert verdict.next_move is not None
        assert verdict.next_move.at_s == pytest.approx(at_s, rel=1e-3, abs=2.0)


def test_break_even_is_where_the_costs_cross():
    state = at_rate(0.0, "hot")
    border = break_even_per_s(state, WARM, HOT, POLICY)
    tiers = [
        weigh(at_rate(border * DAY_S * factor, "hot"), (HOT, WARM), POLICY, 0.0).tier
        for factor in (0.999, 1.001)
    ]
    assert tiers == ["warm", "hot"]


def test_a_verdict_reads_as_sentences_and_as_json():
    verdict = judge(at_rate(2.0, "hot"), TERMS, POLICY, 0.0)
    text = "\n".join(verdict.sentences())
    assert text.startswith("k stays in hot: it is the cheapest.")
    assert "If nobody reads it, it moves to warm" in text
    assert json.loads(json.dumps(verdict.to_json()))["candidates"][2]["tier"] == "cold"


def test_a_store_of_one_tier_keeps_everything_there():
    verdict = judge(at_rate(0.0, "hot"), (HOT,), POLICY, 1e9)
    assert (verdict.tier, verdict.rule, verdict.next_move) == ("hot", "only-tier", None)


def test_a_free_wait_sends_everything_to_the_cheapest_room():
    policy = Policy(wait_price_per_hour=0.0)
    assert weigh(at_rate(1e6, "hot"), TERMS, policy, 0.0).tier == "cold"
    assert math.isinf(break_even_per_s(at_rate(0.0, "hot"), COLD, HOT, policy))


def test_what_was_learned_with_another_half_life_is_not_used():
    table = np.full((16, 16), 100.0)
    state = at_rate(1.0, "hot")
    for half_life_s, used in ((POLICY.half_life_s, True), (1.0, False)):
        learned = Reaccess(half_life_s=half_life_s, came=table, told=0.01 * table)
        verdict = weigh(state, TERMS, POLICY, 10.0, learned)
        assert (verdict.learned, verdict.accesses_per_day > 2.0) == (used, used)
        assert not weigh(state, TERMS, Policy(learn=False), 10.0, learned).learned
