"""A known order, and requests that deviate from it."""

from __future__ import annotations

import random

from cache_kit import hits_of
from hypothesis import given
from hypothesis import strategies as st

from deepseek_store.cache.belady import Belady
from deepseek_store.cache.lru import Lru


def epochs(count: int, blocks: int, seed: int) -> list[int]:
    """Every block once per epoch, shuffled, as a seeded sampler reads them."""
    rng = random.Random(seed)
    return [block for _ in range(count) for block in rng.sample(range(blocks), blocks)]


def test_shuffled_epochs_hit_far_more_often_than_with_lru() -> None:
    order = epochs(8, 500, 1)
    known, blind = hits_of(Belady(100, order), order), hits_of(Lru(100), order)
    assert known > 2 * blind


def test_readers_that_overtake_each_other_cost_little() -> None:
    order = epochs(8, 500, 2)
    rng = random.Random(3)
    read = [
        tag for _, tag in sorted(enumerate(order), key=lambda item: item[0] + rng.uniform(0, 32))
    ]
    assert read != order
    assert hits_of(Belady(100, order), read) >= 0.97 * hits_of(Belady(100, order), order)


def test_places_that_nobody_reads_do_not_pin_their_tags() -> None:
    order = epochs(12, 500, 4)
    skipped = set(range(0, 500, 5))
    read = [tag for tag in order if tag not in skipped]
    policy = Belady(100, order)
    for tag in skipped:
        policy.admit(tag, 1, True)
    hits_of(policy, read)
    assert policy.place > 0.9 * len(order)
    assert len(skipped & {tag for tag, _ in policy.coldest_first()}) < 50


def test_a_reader_that_starts_in_the_middle_is_followed() -> None:
    order = epochs(10, 2000, 5)
    late = order[8000:]
    resumed, told = hits_of(Belady(400, order), late), hits_of(Belady(400, late), late)
    assert resumed >= 0.9 * told


def test_one_stray_request_does_not_move_the_place() -> None:
    order = list(range(5000))
    policy = Belady(10, order)
    hits_of(policy, order[:10])
    hits_of(policy, [4000])
    assert policy.place == 10


def test_after_the_end_of_the_order_it_is_lru() -> None:
    order = list(range(20))
    policy, rest = Belady(5, order), [x % 7 for x in range(0, 400, 3)]
    hits_of(policy, order)
    hits_of(policy, rest[:50])
    blind = Lru(5)
    hits_of(blind, rest[:50])
    assert hits_of(policy, rest[50:]) == hits_of(blind, rest[50:])


@given(trace=st.lists(st.integers(0, 15), max_size=150), capacity=st.integers(1, 8))
def test_without_an_order_it_is_lru(trace: list[int], capacity: int) -> None:
    assert hits_of(Belady(capacity, []), trace) == hits_of(Lru(capacity), trace)


def test_foreign_tags_find_a_place_among_known_ones() -> None:
    order = list(range(10)) * 5
    policy = Belady(5, order)
    hits_of(policy, order[:10])
    policy.admit("foreign", 1)
    assert policy.hit("foreign")


def test_a_prefetched_tag_keeps_its_place_in_the_order() -> None:
    policy = Belady(2, [1, 2, 3])
    policy.admit(1, 1, True)
    assert policy.place == 0
    assert policy.hit(1)
    assert policy.place == 1


def test_what_is_needed_last_is_not_taken_into_a_full_cache() -> None:
    policy = Belady(2, [1, 2, 3, 1, 2, 3])
    policy.admit(1, 1)
    policy.admit(2, 1)
    assert policy.admit(3, 1) == []
    assert 3 not in policy


def test_the_memory_of_next_places_stays_bounded() -> None:
    order = list(range(50)) * 200
    policy = Belady(50, order)
    hits_of(policy, order)
    assert max(len(v) for v in vars(policy).values() if isinstance(v, list)) == len(order)
    assert len(policy._farthest) <= 4 * 50 + 65
