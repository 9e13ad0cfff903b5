"""The gate and the whole: never worse than nothing, as good as the best sources, bounded."""

import random

import attrs
import pytest
import traces  # noqa: F401 - finds the modules of benchmarks

from _simulated_store import Conditions, closed_loop, open_loop
from deepseek_store.prefetch import channels
from deepseek_store.prefetch import duel as duel_module
from deepseek_store.prefetch import prefetcher as prefetcher_module
from deepseek_store.prefetch.duel import Duel
from deepseek_store.prefetch.prefetcher import NAMES, Prefetcher

STORE = Conditions(capacity_blocks=100)


class Liar:
    """A source that is always wrong: each request announces blocks that nobody will ask for."""

    def __init__(self):
        self.number = 1 << 40

    def observe(self, block, now_s):
        self.number += 4
        return range(self.number, self.number + 4)


def prefetcher(**more):
    return Prefetcher(capacity_blocks=100, fetch_s=1.11e-3, **more)


def with_liar(sources, **more):
    """The liar takes the place of the LSTM, which has no weights here."""
    made = prefetcher(sources=[*sources, "lstm"], **more)
    made._observers[-1] = Liar().observe
    return made


def mixed(length, seed=0):
    """Streams, a hot set, a cycle and noise, one phase after the other."""
    rng = random.Random(seed)
    cycle = [rng.randrange(10**6) for _ in range(300)]
    blocks = []
    while len(blocks) < length:
        start = rng.randrange(10**6)
        blocks += [*range(start, start + 80), *cycle]
        blocks += [rng.randrange(150) for _ in range(100)]
        blocks += [rng.randrange(10**7) for _ in range(100)]
    return blocks[:length]


def test_random_requests_are_left_alone():
    rng = random.Random(1)
    trace = [rng.randrange(1000) for _ in range(8000)]
    none, ours = closed_loop(trace, None, STORE), closed_loop(trace, prefetcher(), STORE)
    assert ours.issued <= 0.02 * ours.requests
    assert ours.mean_wait_s <= 1.01 * none.mean_wait_s


def test_a_source_that_is_always_wrong_hurts_only_without_the_gate():
    trace = mixed(12_000)
    none = closed_loop(trace, None, STORE).mean_wait_s
    good = closed_loop(trace, prefetcher(sources=NAMES[:2]), STORE).mean_wait_s
    gated = closed_loop(trace, with_liar(NAMES[:2]), STORE)
    always = closed_loop(trace, with_liar(NAMES[:2], gated=False), STORE)
    alone = closed_loop(trace, with_liar([]), STORE)
    assert good < 0.7 * none
    assert gated.mean_wait_s <= 1.03 * good
    assert alone.mean_wait_s <= 1.01 * none
    assert alone.issued == 0
    assert always.mean_wait_s > 1.1 * good


@pytest.mark.parametrize("seed", range(3))
def test_the_duel_is_as_good_as_the_best_subset(seed):
    trace = mixed(12_000, seed)
    subsets = [(), NAMES[:1], NAMES[1:2], NAMES[:2]]
    best = min(
        closed_loop(trace, prefetcher(sources=s, gated=False), STORE).mean_wait_s for s in subsets
    )
    assert closed_loop(trace, prefetcher(), STORE).mean_wait_s <= 1.03 * best


def test_when_the_pattern_goes_the_source_stops():
    rng = random.Random(2)
    ours = prefetcher()
    closed_loop(list(range(3000)), ours, STORE)
    assert "streams" in ours.stats().acting
    late = attrs.evolve(STORE, skip=0.75)  # after some 8,000 the moving average has forgotten
    outcome = closed_loop([rng.randrange(1000) for _ in range(12_000)], ours, late)
    assert ours.stats().acting == ()
    assert outcome.issued <= 0.02 * outcome.requests


def test_equal_requests_give_equal_answers():
    trace = mixed(3000)
    answers = []
    for _ in range(2):
        ours = prefetcher()
        answers.append([list(ours.on_request(b, False, n * 1e-4)) for n, b in enumerate(trace)])
    assert answers[0] == answers[1]


def test_the_duel_prefers_what_hits_and_counts_what_is_issued():
    duel = Duel(sources=2, capacity_blocks=50)
    for n in range(4000):
        duel.judge(n, [[n + 1], [10**6 + n]], 1.0, 0.5)
    assert duel.acting == 0b01
    assert duel.scores[0b01] > 0.9
    assert duel.scores[0b11] == pytest.approx(duel.scores[0b01] - duel_module.ISSUE_COST, abs=0.01)
    assert duel.scores[0b00] == 0.0


def test_what_comes_too_late_is_worth_only_what_it_saves():
    duel = Duel(sources=1, capacity_blocks=50)
    for n in range(6000):
        duel.readers = 1e9  # requests do not wait for each other
        duel.judge(n, [[n + 1]], 1.0, 4.0)
    expected = 0.25 - duel_module.ISSUE_COST
    assert duel.scores[1] == pytest.approx(expected, abs=0.01)


def test_a_small_advantage_does_not_switch():
    duel = Duel(sources=1, capacity_blocks=50)
    for n in range(6000):  # one of 500 requests is announced rightly
        duel.judge(n, [[n + 1] if n % 500 == 0 else []], 1.0, 0.5)
    assert duel.acting == 0


def test_a_fetch_of_no_time_and_a_clock_that_jumps_back_do_no_harm():
    duel, ours = Duel(sources=1, capacity_blocks=50), prefetcher()
    for n in range(3000):
        duel.judge(n // 2, [[n // 2 + 1]], 0.0, 0.0)
        ours.on_request(n // 2, False, 1e6 - n)
        ours.on_fetched(n // 2, 0.0, 1e6 - n)
    for scores in (duel.scores, ours._duel.scores):
        assert all(-0.1 <= score <= 1.0 for score in scores.values())


def test_a_large_cache_is_judged_on_a_sample_with_the_same_verdict():
    capacity = duel_module.MAX_TAGS * 8
    duel = Duel(sources=2, capacity_blocks=capacity)
    for n in range(40_000):
        duel.judge(n, [[n + 1], [10**9 + n]], 1.0, 0.5)
    assert duel.acting == 0b01
    assert duel.scores[0b01] > 0.8
    assert max(len(shadow.ready_s) for shadow in duel._shadows) <= duel_module.MAX_TAGS


def test_fetches_for_nothing_cost_what_they_take_from_the_channels():
    few, many = (Duel(sources=2, capacity_blocks=500) for _ in range(2))
    few.channels, many.channels = 2.0, 64.0
    for n in range(6000):  # the second is right where the first is silent, and wrong four times
        sure, guess = ([n + 1], []) if n % 2 else ([], [n + 1])
        wrong = range(10**9 + 4 * n, 10**9 + 4 * n + 4)
        for duel in (few, many):
            duel.judge(n, [sure, [*guess, *wrong]], 1.0, 1.0)
    assert few.acting == 0b01
    assert many.acting == 0b11
    assert few.scores[0b11] < few.scores[0b01] < many.scores[0b11]


def test_a_source_that_never_announced_anything_has_no_shadows():
    duel = Duel(sources=3, capacity_blocks=50)
    for n in range(100):
        duel.judge(n, [[n + 1], [], []], 1.0, 0.5)
    assert set(duel.scores) == {0b000, 0b001}
    duel.judge(100, [[], [], [7]], 1.0, 0.5)
    assert set(duel.scores) == {0b000, 0b001, 0b100, 0b101}


def test_no_more_is_under_way_than_the_channels_bear_and_the_rest_is_held():
    ours = prefetcher(sources=["lstm"], gated=False)
    ours._observers = [lambda block, now_s: range(block * 1000, block * 1000 + 90)]
    fetched = [list(ours.on_request(n, False, n * 1e-6)) for n in range(1, 4)]
    most = int(channels.QUEUE * channels.FIRST)
    assert sum(map(len, fetched)) <= most
    ours.on_request(4, True, 1.0)  # much later all of them are in, or lost
    assert len(ours._held) <= prefetcher_module.MOST_HELD
    assert len(ours._channels) <= most


def test_a_known_order_hits_always_and_acts_alone():
    rng = random.Random(3)
    order = [b for _ in range(3) for b in rng.sample(range(1000), 1000)]
    store = attrs.evolve(STORE, channels=32, skip=0.1)  # the first fetches come late
    ours = prefetcher()
    ours.set_order(order)
    assert ours.stats().acting == ("order",)
    assert open_loop(order, ours, store, 16).hit_rate >= 0.995
    assert ours.stats().acting != ("order",)  # it has ended
    assert ours.stats().order.followed == 3000


def test_an_order_that_nobody_follows_gives_way_to_the_duel():
    ours = prefetcher()
    first = ours.set_order(range(10**6, 10**6 + 500), ahead=20)
    assert list(first) == list(range(10**6, 10**6 + 20))
    trace = list(range(4000))
    followed = closed_loop(trace, ours, STORE)
    assert ours.stats().order.lost
    assert "streams" in ours.stats().acting
    assert followed.mean_wait_s <= 1.03 * closed_loop(trace, prefetcher(), STORE).mean_wait_s
    ours.clear_order()
    assert ours.stats().order is None


def test_an_order_looks_no_further_than_the_cache():
    assert len(prefetcher().set_order(range(1000), ahead=5000)) == 100
    assert len(prefetcher().set_order(range(1000))) == 64


def test_blocks_at_hand_are_not_fetched_again_and_use_is_counted():
    cached = {11}
    ours = prefetcher(contains=cached.__contains__, sources=["streams"], gated=False)
    ours.on_request(9, False, 0.0)
    found = list(ours.on_request(10, False, 1e-3))
    assert found
    assert not cached & set(found)
    ours.on_request(11, True, 2e-3)
    used_before = ours.stats().used
    ours.on_request(found[0], True, 3e-3)
    stats = ours.stats()
    assert (used_before, stats.used, stats.hits, stats.requests) == (0, 1, 2, 4)


def test_blocks_that_nobody_asked_for_are_forgotten_when_the_cache_has_lost_them():
    ours = with_liar([], gated=False)
    for n in range(100):
        ours.on_request(n * n, False, n * 1e-3)
    assert ours.stats().used == 0
    assert len(ours._outstanding) == STORE.capacity_blocks


def test_fetch_time_and_lead_are_learned():
    ours = prefetcher()
    for n in range(300):
        ours.on_request(n * 17, False, n * 1e-3)
        if n >= 7:
            ours.on_fetched((n - 7) * 17, 5e-3, n * 1e-3)
    assert ours.stats().fetch_s == pytest.approx(5e-3, rel=0.01)
    assert ours.lead == 7
    assert prefetcher().lead == 1


def test_a_closed_loop_has_a_lead_of_one():
    ours = prefetcher()
    closed_loop(mixed(2000), ours, STORE)
    assert ours.lead == 1


def test_stats_say_who_acts_and_why():
    ours = prefetcher(sources=["streams", "markov"])
    closed_loop(list(range(4000)), ours, STORE)
    stats = ours.stats()
    assert stats.acting
    assert "without prefetch" in stats.why


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match="oracle"):
        prefetcher(sources=["oracle"])


def test_memory_stays_bounded():
    rng = random.Random(5)
    ours = prefetcher(gated=False)
    for n in range(20_000):
        ours.on_request(rng.randrange(10**9) if n % 3 else n, False, n * 1e-3)
    assert len(ours._outstanding) <= 100
    assert len(ours._waited) <= 64


def test_the_teacher_gets_the_latest_requests_and_the_lead():
    class Teacher:
        def __init__(self):
            self.asked = []

        def poll(self, history, requests, lead):
            self.asked.append((len(history), requests, lead))
            return None

    teacher = Teacher()
    ours = prefetcher(teacher=teacher, history=300)
    for n in range(1024):
        ours.on_request(n, False, n * 1e-3)
    assert teacher.asked == [(256, 256, 1), (300, 512, 1), (300, 768, 1), (300, 1024, 1)]
