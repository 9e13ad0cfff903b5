"""Shard sizes: rules, cutting, replay against a plain twin, and the cost model."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import TierProfile
from deepseek_store.planning.access_log import AccessLog
from deepseek_store.planning.policy import Policy
from deepseek_store.planning.replay import Accesses, replay_s, touched
from deepseek_store.planning.size_model import choose_sizes
from deepseek_store.planning.sizing import (
    REGION_SPANS,
    SIZES,
    SPAN_NBYTES,
    Sizes,
    nearest_size,
    ruled,
    unmeasured,
)

KIB, MIB = 1 << 10, 1 << 20
CLOUD = TierProfile(medium="object-store", latency_s=30e-3, bytes_per_s=80e6)
DISK = TierProfile(medium="hdd", latency_s=8e-3, bytes_per_s=160e6)
FAST = TierProfile(medium="ssd", latency_s=1e-4, bytes_per_s=1e9)

some_sizes = st.builds(
    Sizes,
    base_nbytes=st.sampled_from(SIZES),
    overrides=st.dictionaries(st.integers(0, 5), st.sampled_from(SIZES), max_size=4),
    regions=st.dictionaries(st.just(0), st.sampled_from(SIZES), max_size=1),
    why=st.just("made"),
)
ranges = st.tuples(st.integers(0, 20 * MIB), st.integers(1, 6 * MIB))


def accesses(rows) -> Accesses:
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return Accesses(offset=table[:, 0].copy(), nbytes=table[:, 1].copy())


def scans_and_hot_set(count: int, seed: int) -> Accesses:
    """A request to one of 512 hot places, then one of a scan of a large region, and so on."""
    rng = np.random.default_rng(seed)
    hot = rng.permutation(512)[rng.zipf(1.3, count) % 512] * 256 * KIB
    start = 512 * MIB + rng.integers(0, 4000, count // 64 + 1) * MIB
    scan = (start[:, None] + np.arange(64) * 256 * KIB).ravel()[:count]
    offset = np.stack([hot, scan], axis=1).ravel()
    nbytes = np.tile([16 * KIB, 256 * KIB], count)
    return Accesses(offset=offset, nbytes=nbytes)


@given(st.floats(1.0, 1e12))
def test_the_nearest_size_is_the_nearest_by_ratio(nbytes):
    best = min(SIZES, key=lambda size: (abs(np.log(size / nbytes)), size))
    found = nearest_size(nbytes)
    assert abs(np.log(found / nbytes)) == pytest.approx(abs(np.log(best / nbytes)))


def test_unmeasured_tiers_get_half_of_latency_times_bandwidth_within_bounds():
    found = [unmeasured(speed).base_nbytes // KIB for speed in (FAST, DISK, CLOUD)]
    assert found == [64, 512, 1024]


def test_the_policy_may_rule_the_size():
    sizes = [
        ruled(Policy(sizing=sizing), "warm", CLOUD).base_nbytes // KIB
        for sizing in ("fixed_rule", "cost_model", 128 * KIB)
    ]
    assert sizes == [256, 1024, 128]


@given(st.lists(ranges, min_size=1, max_size=12), some_sizes)
def test_touched_shards_are_those_that_hold_the_bytes(rows, sizes):
    plain = []
    for number, (offset, nbytes) in enumerate(rows):
        place = offset
        while place < offset + nbytes:
            size = sizes.of(place // SPAN_NBYTES)
            shard = place // size * size
            plain.append((shard, size, number))
            place = shard + size
    found = touched(accesses(rows), sizes)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == plain


@given(st.lists(ranges, min_size=1, max_size=30), some_sizes, st.integers(0, 16 * MIB))
def test_replay_costs_what_a_plain_lru_costs(rows, sizes, cache_nbytes):
    cache, waited_s = [], 0.0  # the least recently used first
    for offset, nbytes in rows:
        place = offset
        while place < offset + nbytes:
            size = sizes.of(place // SPAN_NBYTES)
            shard = (place // size * size, size)
            if shard in cache:
                cache.remove(shard)
            else:
                waited_s += DISK.latency_s + size / DISK.bytes_per_s
            cache.append(shard)
            while sum(size for _, size in cache) > cache_nbytes:
                cache.pop(0)
            place = shard[0] + size
    assert replay_s(accesses(rows), sizes, DISK, cache_nbytes) == pytest.approx(waited_s)


@pytest.mark.parametrize("speed", [DISK, CLOUD])
def test_on_mixed_traffic_the_cost_model_beats_every_fixed_size_of_the_future(speed):
    reads, cache_nbytes = scans_and_hot_set(9000, seed=1), 32 * MIB
    since = len(reads) // 2
    chosen = choose_sizes(reads.first(since), speed, cache_nbytes)
    best = min(
        replay_s(reads, Sizes(base_nbytes=size, why=""), speed, cache_nbytes, since=since)
        for size in SIZES
    )
    assert replay_s(reads, chosen, speed, cache_nbytes, since=since) < 0.9 * best


def test_random_reads_of_small_pieces_get_small_shards():
    rng = np.random.default_rng(3)
    offset = rng.integers(0, 1 << 20, 3000) * 64 * KIB
    reads = Accesses(offset=offset, nbytes=np.full(3000, 4 * KIB))
    assert choose_sizes(reads, FAST, 64 * MIB).base_nbytes == 64 * KIB


def test_habits_that_do_not_last_get_no_sizes_of_their_own():
    """Small reads here and scans there, but the places change all the time."""
    rng = np.random.default_rng(4)
    rows = []
    for _ in range(60):
        extents = rng.integers(0, 1 << 20, 20)
        small = [
            (int(e) * SPAN_NBYTES + int(rng.integers(60)) * 64 * KIB, 4 * KIB) for e in extents
        ]
        start = int(rng.integers(1 << 20)) * SPAN_NBYTES
        rows += [*small, *((start + i * 256 * KIB, 256 * KIB) for i in range(40))]
    assert choose_sizes(accesses(rows), DISK, 64 * MIB).overrides == {}


@settings(max_examples=10)
@given(st.integers(0, 3))
def test_equal_reads_give_equal_sizes(seed):
    reads = scans_and_hot_set(300, seed)
    assert choose_sizes(reads, DISK, 8 * MIB) == choose_sizes(reads, DISK, 8 * MIB)


def test_few_reads_say_less_than_the_speed_of_the_tier():
    assert choose_sizes(accesses([(0, 4096)] * 20), CLOUD, MIB) == unmeasured(CLOUD)


def test_an_object_takes_over_the_sizes_of_its_place_and_a_new_one_those_of_its_neighbors():
    log = AccessLog()
    for key, start in (("b", 0), ("a", 9 * MIB), ("b", 5 * MIB), ("a", 0)):
        log.add(key, start, 4096)
    reads, places = log.accesses()
    # "a" has extents 0 to 2, "b" 3 and 4.
    assert reads.offset.tolist() == [12 * MIB, 9 * MIB, 17 * MIB, 0]
    sizes = Sizes(
        base_nbytes=64 * KIB, regions={0: 256 * KIB}, overrides={1: MIB, 4: 4 * MIB}, why=""
    )
    assert [places.of("a", sizes).of(extent) // KIB for extent in range(4)] == [256, 1024, 256, 256]
    assert [places.of("b", sizes).of(extent) // KIB for extent in range(3)] == [256, 4096, 256]
    assert [places.of("bb", sizes).of(extent) // KIB for extent in range(3)] == [256, 256, 256]


def test_an_empty_log_has_no_places_but_sizes_nevertheless():
    reads, places = AccessLog().accesses()
    sizes = choose_sizes(reads, DISK, MIB)
    assert (len(reads), places.of("k", sizes).base_nbytes) == (0, 512 * KIB)


def test_a_full_log_forgets_its_oldest_half():
    log = AccessLog(most_reads=10)
    for number in range(11):
        log.add("k", number * MIB, 1)
    assert log.accesses()[0].offset.tolist() == [n * MIB for n in range(5, 11)]


def test_sizes_are_told_as_json():
    sizes = Sizes(base_nbytes=MIB, overrides={3: 64 * KIB}, predicted_s={MIB: 0.01}, why="so")
    assert json.loads(json.dumps(sizes.to_json()))["overrides"] == {"3": 65_536}
    assert REGION_SPANS * SPAN_NBYTES == 256 * MIB
