"""Shards in memory: right bytes, honest figures, any number of threads."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import DeepSeekError
from deepseek_store.cache.belady import Belady
from deepseek_store.cache.duel import DuelingPolicy
from deepseek_store.cache.evictor import Evictor
from deepseek_store.cache.lirs import Lirs
from deepseek_store.cache.lru import Lru
from deepseek_store.cache.s3fifo import S3Fifo
from deepseek_store.cache.shard_cache import ShardCache
from deepseek_store.errors import CacheTooSmall

every_policy = pytest.mark.parametrize("policy", [DuelingPolicy, S3Fifo, Lirs, Lru])


def content(tag: object, nbytes: int) -> bytes:
    """Bytes that tell which tag they belong to."""
    return random.Random(repr(tag)).randbytes(nbytes)


def small(capacity_nbytes: int, policy: Callable[[int], Evictor] = Lru) -> ShardCache:
    return ShardCache(capacity_nbytes, policy, shard_nbytes=1)


def test_a_cache_smaller_than_one_shard_is_refused_with_a_remedy() -> None:
    with pytest.raises(CacheTooSmall, match="one shard") as caught:
        ShardCache(1 << 20, shard_nbytes=(1 << 20) + 1)
    assert isinstance(caught.value, DeepSeekError)
    assert caught.value.remedy
    cache = ShardCache(1 << 20)
    with pytest.raises(CacheTooSmall):
        cache.resize(1000)
    assert cache.stats().capacity_nbytes == 1 << 20


def test_a_cache_of_one_shard_keeps_one() -> None:
    cache = ShardCache(65_536)
    assert cache.put((1, 0), bytes(65_536))
    assert cache.get((1, 0)) == bytes(65_536)


def test_what_was_put_is_got_and_what_was_not_is_none() -> None:
    cache = small(100)
    assert cache.get((1, 0)) is None
    assert cache.put((1, 0), b"abc")
    assert cache.get((1, 0)) == b"abc"
    assert (1, 0) in cache
    assert (1, 1) not in cache


def test_a_view_stays_valid_after_its_entry_was_evicted_or_removed() -> None:
    cache = small(10)
    cache.put(1, b"0123456789")
    view = cache.get(1)
    cache.put(2, b"abcdefghij")
    assert cache.get(1) is None
    assert view == b"0123456789"


def test_a_view_can_be_released_without_harm_to_the_next_one() -> None:
    cache = small(10)
    cache.put(1, b"abc")
    for _ in range(2):
        view = cache.get(1)
        assert view is not None
        with view:
            assert view.readonly
            assert view == b"abc"


def test_bytes_that_can_change_are_copied_and_others_are_not() -> None:
    cache = small(100)
    source, whole = bytearray(b"abcdef"), b"unchanging"
    cache.put(1, source)
    cache.put(2, memoryview(source)[:3])
    cache.put(3, whole)
    cache.put(4, memoryview(whole))
    cache.put(5, memoryview(whole)[2:4])
    source[:] = b"xxxxxx"
    assert cache.get(1) == b"abcdef"
    assert cache.get(2) == b"abc"
    views = [cache.get(tag) for tag in (3, 4, 5)]
    assert [view is not None and view.obj is whole for view in views] == [True, True, False]
    assert views[2] == b"ch"


@every_policy
def test_an_oversize_object_is_passed_by_without_an_error(
    policy: Callable[[int], Evictor],
) -> None:
    cache = small(10, policy)
    cache.put(1, b"abc")
    assert not cache.put(2, bytes(11))
    assert cache.get(2) is None
    assert cache.get(1) == b"abc"
    assert cache.stats().refused == 1


@every_policy
def test_a_tag_that_grew_too_large_is_gone(policy: Callable[[int], Evictor]) -> None:
    cache = small(10, policy)
    cache.put(1, b"abc")
    assert not cache.put(1, bytes(11))
    assert cache.get(1) is None
    assert cache.stats().used_nbytes == 0


@every_policy
def test_zero_bytes_are_kept_like_any_others(policy: Callable[[int], Evictor]) -> None:
    cache = small(10, policy)
    assert cache.put(1, b"")
    assert cache.get(1) == b""
    for tag in range(100):
        cache.put(tag, b"")
    assert len(cache) == 10


def test_the_figures_add_up() -> None:
    cache = small(3)
    for tag in (1, 2, 3, 1, 4, 1, 2):
        if cache.get(tag) is None:
            cache.put(tag, b"x")
    cache.remove(4)
    stats = cache.stats()
    assert (stats.hits, stats.misses) == (2, 5)
    assert (stats.admitted, stats.evictions, stats.removed) == (5, 2, 1)
    assert stats.entries == stats.used_nbytes == len(cache) == 2
    assert stats.policy == "Lru"


def test_prefetched_bytes_are_counted_as_used_or_unused_once() -> None:
    cache = small(3)
    for tag in (1, 2, 3):
        assert cache.put(tag, b"x", prefetched=True)
    cache.put(1, b"x", prefetched=True)
    cache.get(1)
    cache.get(1)
    cache.put(4, b"x")
    cache.remove(3)
    stats = cache.stats()
    assert stats.prefetched == 3
    assert stats.prefetched_used == 1
    assert stats.prefetched_unused == 2
    assert stats.misses == 0


def test_a_prefetch_that_a_reader_overtook_counts_as_used() -> None:
    cache = small(3)
    assert cache.get(1) is None
    cache.put(1, b"x", prefetched=True)
    cache.put(1, b"x")
    assert cache.stats().prefetched_used == 1


def test_a_cleared_cache_is_empty() -> None:
    cache = small(1000)
    for offset in range(12):
        cache.put((1, offset), b"x")
    assert cache.clear() == 12
    assert (len(cache), cache.stats().used_nbytes, cache.get((1, 3))) == (0, 0, None)


@every_policy
def test_a_smaller_capacity_takes_hold_at_once(policy: Callable[[int], Evictor]) -> None:
    cache = small(100, policy)
    for tag in range(100):
        cache.put(tag, content(tag, 1))
    cache.resize(30)
    stats = cache.stats()
    assert stats.used_nbytes == stats.entries == 30
    assert stats.evictions == 70
    cache.resize(60)
    assert cache.put("more", bytes(30))
    assert cache.stats().evictions == 70


def test_a_known_order_takes_over_with_all_entries() -> None:
    order = [tag for seed in range(6) for tag in random.Random(seed).sample(range(100), 100)]
    cache = small(30, DuelingPolicy)
    for tag in range(30):
        cache.put(tag, content(tag, 1))
    cache.use_policy(partial(Belady, order=order))
    assert len(cache) == 30
    blind = small(30)
    for each in (cache, blind):
        for tag in order:
            view = each.get(tag)
            if view is None:
                each.put(tag, content(tag, 1))
            else:
                assert view == content(tag, 1)
    assert cache.stats().hits > 1.5 * blind.stats().hits
    cache.use_policy(Lru)
    assert len(cache) == 30


_steps = st.lists(
    st.tuples(st.sampled_from(["get", "put", "prefetch", "remove"]), st.integers(0, 20)),
    max_size=150,
)


@every_policy
@given(steps=_steps, capacity_nbytes=st.integers(1, 80))
def test_the_bytes_are_always_those_of_the_tag(
    policy: Callable[[int], Evictor], steps: list[tuple[str, int]], capacity_nbytes: int
) -> None:
    cache = small(capacity_nbytes, policy)
    gone: set[int] = set(range(21))
    for what, tag in steps:
        expected = content(tag, tag)
        if what == "get":
            view = cache.get(tag)
            assert view is None or (view == expected and tag not in gone)
        elif what == "remove":
            cache.remove(tag)
            gone.add(tag)
        elif cache.put(tag, expected, prefetched=what == "prefetch"):
            gone.discard(tag)
        stats = cache.stats()
        assert stats.used_nbytes <= capacity_nbytes
        assert stats.entries == stats.admitted - stats.evictions - stats.removed
        assert sum(len(content(t, t)) for t in range(21) if t in cache) <= stats.used_nbytes


@every_policy
def test_threads_get_no_wrong_byte_and_the_figures_add_up(
    policy: Callable[[int], Evictor],
) -> None:
    cache = small(4000, policy)
    expected = {(s, o): content((s, o), 50 + o % 60) for s in range(8) for o in range(30)}
    tags, faults, requests = list(expected), list[object](), 3000
    begin = threading.Barrier(5)

    def read(seed: int) -> None:
        rng = random.Random(seed)
        begin.wait()
        for _ in range(requests):
            tag = tags[int(len(tags) * rng.random() ** 2)]
            view = cache.get(tag)
            if view is None:
                cache.put(tag, expected[tag], prefetched=rng.random() < 0.2)
            elif view != expected[tag]:
                faults.append(tag)

    def disturb() -> None:
        begin.wait()
        for step in range(60):
            for offset in range(30):
                cache.remove((step % 8, offset))
            cache.resize(2000 + 1000 * (step % 3))
            cache.use_policy(Lirs if step % 2 else policy)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    threads.append(threading.Thread(target=disturb))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = cache.stats()
    assert not faults
    assert stats.hits + stats.misses == 4 * requests
    assert stats.hits > 0
    assert stats.entries == stats.admitted - stats.evictions - stats.removed
    assert stats.used_nbytes == sum(len(expected[tag]) for tag in tags if tag in cache)
    assert stats.used_nbytes <= stats.capacity_nbytes
    assert stats.prefetched_used + stats.prefetched_unused <= stats.prefetched
