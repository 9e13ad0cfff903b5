"""The simulator, held against a slow and obvious twin, and its queue of fetches."""

import random

import pytest
import traces  # noqa: F401 - finds the modules of benchmarks
from hypothesis import given
from hypothesis import strategies as st

from _fetch_queue import FetchQueue
from _simulated_store import (
    Conditions,
    LruTags,
    closed_loop,
    footprint_share,
    open_loop,
)


class Announced:
    """Announces a fixed list of blocks with each request."""

    def __init__(self, plan):
        self.plan, self.number, self.fetched = plan, -1, []

    def on_request(self, block, hit, now_s):
        self.number += 1
        return self.plan[self.number % len(self.plan)]

    def on_fetched(self, block, seconds, now_s):
        self.fetched.append(block)


def twin(trace, plan, *, capacity, fetch, hit, channels, closed, gap=0):
    """Walk through time one tick after the other; lists everywhere."""
    cache, running, demands, ahead = [], [], [], []  # running: [block, ticks left]
    hits = waited = now = 0
    for number, block in enumerate(trace):
        if not closed:
            while now < number * gap:
                now = tick(cache, running, demands, ahead, capacity, fetch, channels, now)
        start = now
        if block in cache:
            hits += 1
            cache.remove(block)
            cache.append(block)
        elif all(block != other for other, _ in running) and block not in demands:
            if block in ahead:
                ahead.remove(block)
            demands.append(block)
        begin(running, demands, ahead, fetch, channels)
        for other in plan[number % len(plan)]:
            known = [b for b, _ in running] + demands + ahead + cache
            if other not in known:
                ahead.append(other)
        begin(running, demands, ahead, fetch, channels)
        if closed:
            while any(block == b for b, _ in running) or block in demands:
                now = tick(cache, running, demands, ahead, capacity, fetch, channels, now)
            while now < start + hit:
                now = tick(cache, running, demands, ahead, capacity, fetch, channels, now)
            waited += now - start
    return hits, waited


def begin(running, demands, ahead, fetch, channels):
    while len(running) < channels and (demands or ahead):
        running.append([(demands or ahead).pop(0), fetch])


def tick(cache, running, demands, ahead, capacity, fetch, channels, now):
    """One nanosecond."""
    for entry in running:
        entry[1] -= 1
    while any(left <= 0 for _, left in running):
        block, _ = running.pop(next(i for i, (_, left) in enumerate(running) if left <= 0))
        cache.append(block)
        if len(cache) > capacity:
            cache.pop(0)
        begin(running, demands, ahead, fetch, channels)
    return now + 1


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("closed", [True, False])
def test_both_loops_count_and_wait_as_the_twin_that_walks_through_time(seed, closed):
    rng = random.Random(seed)
    trace = [rng.randrange(12) for _ in range(150)]
    plan = [[rng.randrange(14) for _ in range(rng.randrange(4))] for _ in range(17)]
    fetch, hit, channels, gap = 40, 3, rng.randrange(1, 4), 10
    store = Conditions(
        capacity_blocks=5,
        fetch_s=fetch * 1e-9,
        hit_s=hit * 1e-9,
        channels=channels,
        skip=0.0,
    )
    expected = twin(
        trace, plan, capacity=5, fetch=fetch, hit=hit, channels=channels, closed=closed, gap=gap
    )
    if closed:
        found = closed_loop(trace, Announced(plan), store)
        assert round(found.waited_s * 1e9) == expected[1]
    else:
        found = open_loop(trace, Announced(plan), store, fetch // gap)
    assert found.hits == expected[0]


def test_a_hit_costs_little_and_a_miss_one_fetch():
    store = Conditions(capacity_blocks=2, fetch_s=1e-3, hit_s=1e-5, skip=0.0)
    found = closed_loop([1, 1, 2, 3, 1], None, store)
    assert (found.hits, found.misses) == (1, 4)
    assert found.waited_s == pytest.approx(4e-3 + 1e-5)


def test_a_requester_joins_a_fetch_that_is_under_way():
    store = Conditions(capacity_blocks=9, fetch_s=1e-3, hit_s=4e-4, skip=0.0)
    # 1 is there; its request announces 2, which takes 1 ms more while the next comes after 0.4.
    found = closed_loop([1, 1, 2], Announced([[], [2], []]), store)
    assert (found.hits, found.joined, found.misses) == (1, 1, 1)
    assert found.waited_s == pytest.approx(1e-3 + 4e-4 + 6e-4)


def test_skipped_requests_are_run_but_not_counted():
    store = Conditions(capacity_blocks=3, skip=0.5)
    found = closed_loop([1, 2, 3, 1, 2, 3], None, store)
    assert (found.requests, found.hits, found.misses) == (3, 3, 0)


def test_arrivals_do_not_wait_so_repeats_within_a_fetch_miss():
    store = Conditions(capacity_blocks=3, skip=0.0)
    assert open_loop([7] * 6, None, store, arrivals_per_fetch=4).hits == 2


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 6), st.integers(0, 1 << 30)
)
def test_without_prefetch_the_hits_are_those_of_plain_lru(trace, capacity, seed):
    tags, hits = [], 0
    for block in trace:
        hits += block in tags
        tags = [tag for tag in tags if tag != block] + [block]
        tags = tags[-capacity:]
    store = Conditions(capacity_blocks=capacity, skip=0.0, channels=1 + seed % 3)
    assert closed_loop(trace, None, store).hits == hits


def test_capacity_is_a_share_of_the_distinct_blocks():
    assert footprint_share([5, 5, 6, 7] * 10, 0.5) == 1
    assert footprint_share(range(100)) == 10


def test_lru_tags_evict_the_least_recently_used():
    cache = LruTags(2)
    assert list(cache.admit(1)) == []
    assert list(cache.admit(2)) == []
    cache.hit(1)
    assert list(cache.admit(3)) == [2]
    assert 1 in cache


def test_demand_overtakes_waiting_prefetches_and_takes_its_own_over():
    queue = FetchQueue(channels=1)
    assert queue.prefetch([1, 2, 3, 2]) == 3
    assert queue.start() == 1
    queue.demand(3)
    assert queue.start() is None
    queue.finished(1)
    assert [queue.start(), queue.start()] == [3, None]
    queue.finished(3)
    assert queue.start() == 2
    assert len(queue) == 1


def test_a_demand_for_what_is_under_way_joins():
    queue = FetchQueue(channels=2)
    queue.demand(1)
    assert queue.start() == 1
    queue.demand(1)
    assert queue.start() is None
    assert 1 in queue
    assert queue.under_way == 1


def test_the_oldest_waiting_prefetches_are_dropped_and_all_can_be_cancelled():
    queue = FetchQueue(channels=1, max_waiting=2)
    queue.prefetch([1, 2, 3])
    assert queue.dropped == 1
    assert queue.start() == 2
    assert queue.cancel() == 1
    assert 3 not in queue


def test_reserved_channels_are_for_demands_alone():
    queue = FetchQueue(channels=2, reserve=1)
    queue.prefetch([1, 2])
    assert [queue.start(), queue.start()] == [1, None]
    queue.demand(9)
    assert queue.start() == 9


def test_a_queue_without_channels_is_refused():
    with pytest.raises(ValueError, match="0 channels"):
        FetchQueue(channels=0)
    with pytest.raises(ValueError, match="reserved"):
        FetchQueue(channels=2, reserve=2)
