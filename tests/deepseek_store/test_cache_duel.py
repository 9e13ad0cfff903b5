"""The best policy acts, found by shadows of a hash sample."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from cache_kit import hits_of

from deepseek_store.cache.duel import CANDIDATES, DuelingPolicy, Shadows, rank
from deepseek_store.cache.lirs import Lirs
from deepseek_store.cache.lru import Lru
from deepseek_store.cache.s3fifo import S3Fifo

CAPACITY = 400


def loop(length: int) -> list[int]:
    """A cyclic scan half as large again as the cache: LIRS's case."""
    return [tag % 600 for tag in range(length)]


def skewed(length: int) -> list[int]:
    """Popular tags beside many that are read once: S3-FIFO's case."""
    rng = random.Random(1)
    popular = rng.choices(range(1500), [1 / (i + 1) for i in range(1500)], k=length)
    once = iter(range(10**6, 10**7))
    return [10_000 + tag if rng.random() < 0.6 else next(once) for tag in popular]


def drifting(length: int) -> list[int]:
    """A working set that moves on for good: LRU's case."""
    rng = random.Random(2)
    return [50_000 + at // 8 + rng.randrange(330) for at in range(length)]


PHASES: dict[str, Callable[[int], list[int]]] = {
    "loop": loop,
    "skewed": skewed,
    "drifting": drifting,
}


@pytest.mark.parametrize("phase", PHASES)
def test_on_one_kind_of_traffic_it_comes_near_the_best_candidate(phase: str) -> None:
    trace = PHASES[phase](30_000)
    each = [hits_of(make(CAPACITY), trace) for make in CANDIDATES]
    duel = hits_of(DuelingPolicy(CAPACITY), trace)
    assert duel >= max(each) - 0.03 * len(trace)
    assert duel >= min(each) or max(each) - min(each) < 0.01 * len(trace)


def test_over_switching_phases_it_beats_every_single_candidate() -> None:
    trace = [tag for _ in range(2) for phase in PHASES.values() for tag in phase(15_000)]
    each = [hits_of(make(CAPACITY), trace) for make in CANDIDATES]
    policy = DuelingPolicy(CAPACITY)
    assert hits_of(policy, trace) > max(each)
    assert policy.switches >= 3


def test_a_lead_of_a_moment_is_waited_out_and_a_lasting_one_is_not() -> None:
    moment, lasting = (Shadows(400, CANDIDATES) for _ in range(2))

    def verdict(shadows: Shadows, hits: list[int]) -> int:
        shadows._epoch_hits, shadows._requests = list(hits), shadows.EPOCH_REQUESTS
        for cache in shadows._caches:
            cache.resize(400)
            for tag in range(100):
                if tag not in cache:
                    cache.admit(tag, 1)
        return shadows.verdict(0, 400)

    before = [verdict(moment, [40, 30, 39]) for _ in range(40)]
    assert before + [verdict(moment, [40, 30, 42]) for _ in range(15)] == [0] * 55
    assert 2 in [verdict(lasting, [40, 30, 42]) for _ in range(40)]


def test_on_shuffled_epochs_it_is_not_worse_than_lru() -> None:
    rng = random.Random(3)
    trace = [tag for _ in range(20) for tag in rng.sample(range(1600), 1600)]
    assert hits_of(DuelingPolicy(CAPACITY), trace) >= hits_of(Lru(CAPACITY), trace)


def test_on_traffic_without_any_pattern_it_seldom_switches_and_loses_nothing() -> None:
    rng = random.Random(4)
    trace = [rng.randrange(2000) for _ in range(60_000)]
    policy = DuelingPolicy(CAPACITY)
    assert hits_of(policy, trace) >= hits_of(Lru(CAPACITY), trace) - 0.003 * len(trace)
    assert policy.switches <= 10


def test_a_switch_keeps_every_entry() -> None:
    policy = DuelingPolicy(CAPACITY)
    seen: set[int] = set()
    for tag in loop(20_000):
        before, known = policy.switches, {t for t, _ in policy.coldest_first()}
        if not policy.hit(tag):
            seen.update({tag} | known)
            for gone in policy.admit(tag, 1):
                known.discard(gone)
        if policy.switches > before:
            assert {t for t, _ in policy.coldest_first()} == known | {tag}
            break
    assert policy.switches == 1
    assert isinstance(policy.acting, Lirs)
    assert policy.used_nbytes == len(policy) <= CAPACITY


def test_equal_requests_give_equal_decisions() -> None:
    trace = loop(4000) + skewed(4000) + drifting(4000)
    first, second = DuelingPolicy(CAPACITY), DuelingPolicy(CAPACITY)
    for tag in trace:
        known = first.hit(tag)
        assert second.hit(tag) == known
        if not known:
            assert first.admit(tag, 1) == second.admit(tag, 1)


def test_the_sample_is_thinned_out_as_the_cache_grows() -> None:
    small, large = DuelingPolicy(20), DuelingPolicy(20_000)
    for policy in (small, large):
        hits_of(policy, range(40_000))
    assert small._shadows.sample == 1
    assert large._shadows.sample >= 32


def test_neighboring_tags_are_sampled_like_any_other() -> None:
    for tags in (range(64_000), [(7, 65_536 * i) for i in range(64_000)]):
        sampled = sum(rank(tag) < 4096 for tag in tags)
        assert abs(sampled - 4000) < 250


def hit_rates(shadows: Shadows) -> tuple[float, ...]:
    """Of each candidate, over the requests since the last verdict."""
    return tuple(hits / shadows._requests for hits in shadows._epoch_hits)


def test_the_shadows_see_the_hit_rates_of_whole_caches() -> None:
    capacity = 8000
    shadows, whole = Shadows(capacity, CANDIDATES), [make(capacity) for make in CANDIDATES]
    rng = random.Random(5)
    trace = [int(20_000 * rng.random() ** 1.5) for _ in range(120_000)]
    rates = []
    for tag in trace:
        if rank(tag) < shadows.below and shadows.request(tag, 1):
            rates.append(hit_rates(shadows))
            shadows.verdict(0, capacity)
    assert shadows.sample >= 8
    late = list(zip(*rates[len(rates) // 2 :], strict=True))
    for policy, seen in zip(whole, late, strict=True):
        hits_of(policy, trace[:60_000])
        assert abs(hits_of(policy, trace[60_000:]) / 60_000 - sum(seen) / len(seen)) < 0.04


def test_prefetched_tags_score_for_nobody() -> None:
    shadows = Shadows(100, CANDIDATES)
    for tag in range(90):
        shadows.prefetch(tag, 1)
    verdicts = [shadows.request(tag, 1) for tag in range(64)]
    assert verdicts == [False] * 63 + [True]
    assert hit_rates(shadows) == (1.0, 1.0, 1.0)


def test_a_removed_tag_is_a_miss_in_the_shadows_too() -> None:
    shadows = Shadows(20, CANDIDATES)
    for _ in range(64):
        shadows.remove(1)
        shadows.request(1, 1)
    assert hit_rates(shadows) == (0.0, 0.0, 0.0)


def test_entries_too_large_for_a_shadow_change_nothing() -> None:
    policy = DuelingPolicy(1000)
    for tag in [t % 3 for t in range(3000)] + loop(3000):
        if not policy.hit(tag):
            policy.admit(tag, 400)
    assert policy.used_nbytes <= 1000
    assert len(policy) == 2


def test_the_candidates_can_be_chosen() -> None:
    policy = DuelingPolicy(CAPACITY, (Lru, S3Fifo))
    hits_of(policy, skewed(30_000))
    assert isinstance(policy.acting, S3Fifo)
    assert policy.name == "DuelingPolicy: S3Fifo"
