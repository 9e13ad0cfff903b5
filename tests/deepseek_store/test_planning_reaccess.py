"""Learned heat: finds what objects do, believes the rate where it saw little, and pays."""

import json
from random import Random

import numpy as np
import pytest
import traces
from hypothesis import given
from hypothesis import strategies as st

from deepseek_store.planning.heat import LN2, Heat, rate_at, touch
from deepseek_store.planning.policy import Policy
from deepseek_store.planning.reaccess import Reaccess, columns
from deepseek_store.planning.tiering import TierTerms, room_price, wait_price
from deepseek_store.planning.tiering_many import Columns, choose_many
from deepseek_store.read.learning import Learner

DAY_S = 86_400.0
HALF_LIFE_S = DAY_S
MIB = 1 << 20

heats = st.builds(Heat, rate_per_s=st.floats(0.0, 10.0), at_s=st.floats(-1e7, 1e7))


def read_once_or_often(days: int, rng: Random) -> tuple[list[list[float]], list[bool]]:
    """Times of the reads of 300 objects: two thirds are read once, the others twice a day."""
    often = [i % 3 == 0 for i in range(300)]
    times = []
    for is_often in often:
        born_s = rng.random() * days * DAY_S
        later = [born_s + 0.5 * DAY_S * n for n in range(1, 2 * days)] if is_often else []
        times.append([born_s, *(t for t in later if t < days * DAY_S)])
    return times, often


def picture(times: list[list[float]], now_s: float) -> list[Heat]:
    found = []
    for reads in times:
        heat = None
        for at_s in reads:
            heat = touch(heat, at_s, HALF_LIFE_S) if at_s <= now_s else heat
        found.append(heat or Heat(rate_per_s=0.0, at_s=now_s))
    return found


def taught(times: list[list[float]], days: int) -> Reaccess:
    learned = Reaccess(half_life_s=HALF_LIFE_S)
    for day in range(1, days):
        then_s, now_s = day * DAY_S, (day + 1) * DAY_S
        born = [i for i, reads in enumerate(times) if reads[0] <= then_s]
        before, after = picture(times, then_s), picture(times, now_s)
        learned = learned.learn([before[i] for i in born], [after[i] for i in born], then_s, now_s)
    return learned


def test_objects_that_were_read_once_are_known_not_to_come_back():
    times, often = read_once_or_often(12, Random(1))
    learned = taught(times, 12)
    once = touch(None, 0.0, HALF_LIFE_S)
    for hours in (20, 30, 40):
        now_s = hours * 3600.0
        assert learned.rate_at(once, now_s) < 0.3 * rate_at(once, now_s, HALF_LIFE_S)
    busy = next(
        h for h, is_often in zip(picture(times, 12 * DAY_S), often, strict=True) if is_often
    )
    per_day = learned.rate_at(busy, busy.at_s + 3600.0) * DAY_S
    assert per_day == pytest.approx(2.0, rel=0.35)


def test_without_a_lesson_the_rate_itself_is_expected():
    unlearned = Reaccess(half_life_s=HALF_LIFE_S)
    for rate, hours in ((1e-5, 0), (1e-5, 30), (1e-3, 5), (1e-9, 100)):
        heat = Heat(rate_per_s=rate, at_s=0.0)
        now_s = hours * 3600.0
        assert unlearned.rate_at(heat, now_s) == pytest.approx(rate_at(heat, now_s, HALF_LIFE_S))


@given(st.integers(0, 5), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1e7))
def test_at_any_age_a_hotter_object_is_expected_to_be_read_no_less(seed, one, other, age_s):
    rng = np.random.default_rng(seed)
    learned = Reaccess(
        half_life_s=HALF_LIFE_S,
        came=rng.exponential(50, (16, 16)),
        told=rng.exponential(50, (16, 16)),
    )
    low, high = sorted((one, other))
    assert learned.rate_at(Heat(rate_per_s=low, at_s=0.0), age_s) <= learned.rate_at(
        Heat(rate_per_s=high, at_s=0.0), age_s
    ) * (1 + 1e-9)


@given(st.lists(heats, min_size=1, max_size=10), st.floats(-1e8, 1e8), st.integers(0, 3))
def test_expectations_in_columns_are_those_one_by_one(some, now_s, seed):
    rng = np.random.default_rng(seed)
    learned = Reaccess(
        half_life_s=HALF_LIFE_S,
        came=rng.exponential(9, (16, 16)),
        told=rng.exponential(9, (16, 16)),
    )
    slow = [learned.rate_at(heat, now_s) for heat in some]
    assert learned.rates_at(*columns(some), now_s) == pytest.approx(slow)


@pytest.mark.parametrize("now_s", [0.0, -5.0, float("nan"), float("inf")])
def test_a_clock_that_stands_still_or_jumps_back_teaches_nothing(now_s):
    learned = Reaccess(half_life_s=HALF_LIFE_S)
    heat = [touch(None, 0.0, HALF_LIFE_S)]
    assert learned.learn(heat, heat, 0.0, now_s) is learned


@given(st.lists(heats, min_size=1, max_size=10), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_no_lesson_makes_an_expectation_negative_or_absurd(some, then_s, now_s):
    learned = Reaccess(half_life_s=HALF_LIFE_S).learn(some, some[::-1], then_s, now_s)
    for heat in some:
        assert 0.0 <= learned.rate_at(heat, now_s) < float("inf")


def test_tables_of_another_size_are_learned_again():
    told = json.dumps({"half_life_s": HALF_LIFE_S, "came": [[3.0]], "told": [[1.0]]})
    learner = Learner(Policy(half_life_s=HALF_LIFE_S), told)
    assert not learner.reaccess.came.any()
    assert learner.reaccess.rate_at(Heat(rate_per_s=1e-4, at_s=0.0), 0.0) == pytest.approx(1e-4)


def test_json_brings_back_what_was_learned():
    times, _ = read_once_or_often(5, Random(2))
    learned = taught(times, 5)
    again = Reaccess.from_json(json.loads(json.dumps(learned.to_json())))
    heat = touch(None, 0.0, HALF_LIFE_S)
    assert again.rate_at(heat, 4e4) == learned.rate_at(heat, 4e4)


STEPS, STEP_S = 60, 0.5 * DAY_S
TERMS = (
    TierTerms(name="hot", latency_s=1e-4, bytes_per_s=1e9),
    TierTerms(name="warm", latency_s=8e-3, bytes_per_s=150e6, stored_per_logical=1.15),
    TierTerms(name="cold", latency_s=30e-3, bytes_per_s=80e6, stored_per_logical=1.07),
)


def cost_of(counts: np.ndarray, rule: str) -> float:
    """Space and waiting of 30 days of a trace; objects of 1 MiB are born hot."""
    policy, size = Policy(), counts.shape[1]
    tier, born = np.zeros(size, np.int8), np.zeros(size, np.bool_)
    rate, at_s, learned, cost = (
        np.zeros(size),
        np.zeros(size),
        Reaccess(half_life_s=policy.half_life_s),
        0.0,
    )
    pictures = []
    for step, count in enumerate(counts):
        now_s, read = (step + 1) * STEP_S, count > 0
        for number, terms in enumerate(TERMS):
            here = tier == number
            stored = (here & (born | read)).sum() * MIB * terms.stored_per_logical
            cost += stored * room_price(terms, policy) * STEP_S / DAY_S
            cost += count[here].sum() * terms.read_s(MIB) * wait_price(policy)
        kept = np.exp2(-(now_s - at_s) / policy.half_life_s)
        rate = np.where(read, rate * kept + count * LN2 / policy.half_life_s, rate)
        at_s, born = np.where(read, now_s, at_s), born | read
        if len(pictures) == 6:
            old_rate, old_at_s, old_born, then_s = pictures.pop(0)
            learned = learned.learn_columns(
                (old_rate[old_born], old_at_s[old_born]),
                (rate[old_born], at_s[old_born]),
                then_s,
                now_s,
            )
        pictures.append((rate, at_s, born, now_s))
        if rule == "age":
            days = (now_s - at_s) / DAY_S
            wanted = (days > 1).astype(np.int8) + (days > 10)
        else:
            nbytes, none = np.full(size, float(MIB)), np.full(size, -1, np.int8)
            state = Columns(
                nbytes=nbytes,
                read_nbytes=nbytes,
                rate_per_s=rate,
                at_s=at_s,
                since_s=np.full(size, -1e9),
                tier=tier,
                pinned=none,
            )
            wanted = choose_many(
                state, TERMS, policy, now_s, learned if rule == "learned" else None
            )
        tier = np.where(born, wanted, tier).astype(np.int8)
    return cost


@pytest.mark.parametrize(("name", "longest"), [("web07", 76_118), ("orm-busy", 400_000)])
def test_learned_heat_costs_less_than_ages_and_the_plain_rate_on_real_traces(name, longest):
    ids = traces.ids(name, longest)
    counts = np.zeros((STEPS, ids.max() + 1))
    np.add.at(counts, (np.arange(len(ids)) * STEPS // len(ids), ids), 1.0)
    learned, plain, age = (cost_of(counts, rule) for rule in ("learned", "plain", "age"))
    assert learned < plain
    assert learned < age
