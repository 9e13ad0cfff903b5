"""Heat: a rate that decays, whatever the clock does."""

import math

import pytest
from cooling import when_below
from hypothesis import given
from hypothesis import strategies as st

from deepseek_store.planning.heat import Heat, accesses, rate_at, touch

HALF_LIFE_S = 3600.0
times = st.floats(-1e12, 1e12)
wild_times = st.one_of(times, st.sampled_from((math.inf, -math.inf, math.nan, 0.0, 1e308, -1e308)))


@given(st.lists(wild_times, max_size=40), wild_times, st.floats(1.0, 1e9))
def test_heat_is_a_sane_number_whatever_the_clock_does(touches, now_s, half_life_s):
    heat = None
    for at_s in touches:
        heat = touch(heat, at_s, half_life_s)
    rate = rate_at(heat or Heat(rate_per_s=0.0, at_s=0.0), now_s, half_life_s)
    assert 0.0 <= accesses(rate, half_life_s) <= len(touches) * (1 + 1e-9)


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30), st.floats(0.0, 1e6))
def test_the_rate_is_the_sum_of_all_decayed_accesses(touches, later_s):
    ordered = sorted(touches)
    heat = None
    for at_s in ordered:
        heat = touch(heat, at_s, HALF_LIFE_S)
    now_s = ordered[-1] + later_s
    plain = sum(0.5 ** ((now_s - at_s) / HALF_LIFE_S) for at_s in ordered)
    assert accesses(rate_at(heat, now_s, HALF_LIFE_S), HALF_LIFE_S) == pytest.approx(plain)


@given(st.integers(1, 20), times)
def test_many_accesses_at_once_are_as_many_one_by_one(count, now_s):
    at_once = touch(None, now_s, HALF_LIFE_S, accesses=float(count))
    one_by_one = None
    for _ in range(count):
        one_by_one = touch(one_by_one, now_s, HALF_LIFE_S)
    assert at_once.rate_per_s == pytest.approx(one_by_one.rate_per_s)


@given(st.floats(1e-9, 1.0), st.floats(1e-9, 1.0), times)
def test_heat_falls_below_a_threshold_when_it_was_told_to(rate, threshold, at_s):
    heat = Heat(rate_per_s=rate, at_s=at_s)
    falls_s = when_below(heat, threshold, HALF_LIFE_S)
    if rate < threshold:
        assert falls_s == at_s
    else:
        assert rate_at(heat, falls_s, HALF_LIFE_S) == pytest.approx(threshold, rel=1e-3)


def test_a_clock_that_was_a_year_ahead_does_not_keep_an_object_hot_for_a_year():
    heat = touch(None, 365 * 86_400.0, HALF_LIFE_S)
    heat = touch(heat, 0.0, HALF_LIFE_S)  # the clock is right again
    assert accesses(heat.rate_per_s, HALF_LIFE_S) == pytest.approx(2.0)
    assert accesses(rate_at(heat, 10 * HALF_LIFE_S, HALF_LIFE_S), HALF_LIFE_S) < 0.01


def test_a_clock_behind_the_last_access_lets_no_time_pass():
    heat = touch(None, 1000.0, HALF_LIFE_S)
    assert rate_at(heat, -1e9, HALF_LIFE_S) == heat.rate_per_s
