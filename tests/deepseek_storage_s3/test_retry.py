"""When requests are sent again, as arithmetic."""

import math

from hypothesis import given
from hypothesis import strategies as st

from deepseek_storage_s3.retry import MOST_DELAY_S, RetryBudget, RetryPolicy

CHANCES = st.floats(0, 1)


@given(st.integers(1, 60), CHANCES)
def test_delays_grow_and_stay_within_half_and_all_of_the_limit(failed, chance):
    policy = RetryPolicy(retries=100, give_up_s=1e9)
    longest_s = min(MOST_DELAY_S, 0.1 * 2 ** (failed - 1))
    assert longest_s / 2 <= policy.delay_s(failed, chance) <= longest_s
    assert policy.delay_s(failed, 0.0) <= policy.delay_s(failed + 1, 0.0)


@given(st.integers(0, 8), st.integers(1, 12), st.floats(0, 100), st.floats(0, 5))
def test_there_is_a_next_try_within_both_limits_only(retries, failed, elapsed_s, delay_s):
    policy = RetryPolicy(retries=retries, give_up_s=30)
    is_refused = policy.refusal(failed, elapsed_s, delay_s) is not None
    assert is_refused == (failed > retries or elapsed_s + delay_s >= 30)


@given(st.lists(st.floats(-5, 5), max_size=200))
def test_no_more_is_taken_than_there_was_and_came_in(steps_s):
    budget, now_s, latest_s, gained = RetryBudget(most=5, tokens_per_s=2, now_s=0), 0.0, 0.0, 0.0
    taken = 0
    for step_s in steps_s:
        before_s, now_s = now_s, now_s + step_s
        gained += max(0.0, now_s - before_s) * 2
        latest_s = max(latest_s, now_s)
        taken += budget.take(now_s)
    assert taken <= math.floor(5 + gained + 1e-6)


def test_a_bucket_fills_up_again():
    budget = RetryBudget(most=2, tokens_per_s=1, now_s=0)
    assert [budget.take(0), budget.take(0), budget.take(0)] == [True, True, False]
    assert [budget.take(1.0), budget.take(1.0)] == [True, False]
    assert [budget.take(100), budget.take(100), budget.take(100)] == [True, True, False]
