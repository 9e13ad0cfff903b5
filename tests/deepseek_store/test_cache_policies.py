"""Promises that every eviction policy keeps, and slow twins of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import pytest
from cache_kit import hits_of
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_store.cache.belady import Belady
from deepseek_store.cache.duel import DuelingPolicy
from deepseek_store.cache.evictor import Evictor
from deepseek_store.cache.lirs import Lirs
from deepseek_store.cache.lru import Lru
from deepseek_store.cache.s3fifo import S3Fifo

ORDER = [x * x % 23 for x in range(60)]
POLICIES: dict[str, Callable[[int], Evictor]] = {
    "lru": Lru,
    "s3fifo": S3Fifo,
    "lirs": Lirs,
    "duel": DuelingPolicy,
    "belady": partial(Belady, order=ORDER),
}
every_policy = pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)

_tags = st.integers(0, 30)
_operations = st.lists(
    st.one_of(
        st.tuples(st.just("request"), _tags, st.integers(0, 9)),
        st.tuples(st.just("prefetch"), _tags, st.integers(0, 9)),
        st.tuples(st.just("remove"), _tags, st.just(0)),
        st.tuples(st.just("resize"), st.integers(1, 60), st.just(0)),
        st.tuples(st.just("hand over"), st.sampled_from(sorted(POLICIES)), st.just(0)),
    ),
    max_size=200,
)


class Books:
    """What must be resident, kept by what the policy says it evicted."""

    def __init__(self, policy: Evictor) -> None:
        self.policy = policy
        self.resident: dict[object, int] = {}

    def request(self, tag: int, nbytes: int, prefetched: bool) -> None:
        known = tag in self.resident
        if not prefetched:
            assert self.policy.hit(tag) == known
            if known:
                return
        before = dict(self.resident)
        evicted = self.policy.admit(tag, nbytes, prefetched)
        self._leave(evicted)
        assert tag not in evicted
        if tag in self.policy:
            self.resident[tag] = max(1, nbytes)
        elif not known:
            assert self.resident == before, "what is not taken drives nobody out"
        else:
            del self.resident[tag]

    def remove(self, tag: int) -> None:
        assert self.policy.remove(tag) == (self.resident.pop(tag, None) is not None)

    def resize(self, capacity_nbytes: int) -> None:
        self._leave(self.policy.resize(capacity_nbytes))
        assert self.policy.capacity_nbytes == capacity_nbytes

    def hand_over(self, make: Callable[[int], Evictor]) -> None:
        successor = make(self.policy.capacity_nbytes)
        successor.restore(self.policy.coldest_first())
        self.policy = successor

    def check(self) -> None:
        policy = self.policy
        assert policy.used_nbytes == sum(self.resident.values()) <= policy.capacity_nbytes
        assert len(policy) == len(self.resident)
        listed = list(policy.coldest_first())
        assert len(listed) == len(self.resident)
        assert dict(listed) == self.resident
        assert all(policy.nbytes_of(tag) == n for tag, n in self.resident.items())

    def _leave(self, evicted: list[object]) -> None:
        assert len(set(evicted)) == len(evicted)
        for tag in evicted:
            del self.resident[tag]


@every_policy
@given(operations=_operations, capacity_nbytes=st.integers(1, 60))
@settings(max_examples=150)
def test_a_policy_never_exceeds_its_capacity_and_names_exactly_what_goes(
    make: Callable[[int], Evictor], operations: list[tuple[str, int, int]], capacity_nbytes: int
) -> None:
    books = Books(make(capacity_nbytes))
    for what, argument, nbytes in operations:
        if what == "remove":
            books.remove(argument)
        elif what == "resize":
            books.resize(argument)
        elif what == "hand over":
            books.hand_over(POLICIES[str(argument)])
        else:
            books.request(argument, nbytes, what == "prefetch")
        books.check()


@every_policy
def test_an_entry_larger_than_the_cache_is_not_taken(make: Callable[[int], Evictor]) -> None:
    policy = make(10)
    policy.admit(1, 4)
    assert policy.admit(2, 11) == []
    assert 2 not in policy
    assert 1 in policy


@every_policy
def test_an_entry_of_the_whole_capacity_is_taken(make: Callable[[int], Evictor]) -> None:
    policy = make(10)
    assert policy.admit(1, 10) == []
    assert policy.hit(1)


@every_policy
def test_empty_entries_do_not_pile_up(make: Callable[[int], Evictor]) -> None:
    policy = make(8)
    for tag in range(100, 200):
        policy.admit(tag, 0)
    assert len(policy) == 8


@every_policy
def test_a_removed_tag_is_a_miss(make: Callable[[int], Evictor]) -> None:
    policy = make(8)
    policy.admit(1, 1)
    assert policy.remove(1)
    assert not policy.remove(1)
    assert not policy.hit(1)
    assert policy.used_nbytes == 0


@every_policy
def test_what_is_not_resident_has_no_size(make: Callable[[int], Evictor]) -> None:
    with pytest.raises(KeyError):
        make(8).nbytes_of("absent")


@given(trace=st.lists(st.integers(0, 12), max_size=120), capacity=st.integers(1, 10))
def test_lru_is_the_textbook_list(trace: list[int], capacity: int) -> None:
    policy, twin = Lru(capacity), list[int]()
    for tag in trace:
        assert policy.hit(tag) == (tag in twin)
        if tag in twin:
            twin.remove(tag)
        elif policy.admit(tag, 1):
            twin.pop(0)
        twin.append(tag)
        assert [t for t, _ in policy.coldest_first()] == twin


class ListS3Fifo:
    """The paper's pseudocode on plain lists; unit sizes."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.small: list[int] = []
        self.main: list[int] = []
        self.ghosts: list[int] = []
        self.requests: dict[int, int] = {}

    def request(self, tag: int) -> bool:
        if tag in self.small or tag in self.main:
            self.requests[tag] = min(3, self.requests[tag] + 1)
            return True
        if len(self.small) + len(self.main) == self.capacity:
            self.evict()
        if tag in self.ghosts:
            self.ghosts.remove(tag)
            self.main.append(tag)
        else:
            self.small.append(tag)
        self.requests[tag] = 0
        return False

    def evict(self) -> None:
        while self.small and (10 * len(self.small) > self.capacity or not self.main):
            tag = self.small.pop(0)
            if self.requests[tag] < 2:
                self.ghosts.append(tag)
                while 10 * len(self.ghosts) > 9 * self.capacity:
                    self.ghosts.pop(0)
                return
            self.requests[tag] = 0
            self.main.append(tag)
        while self.requests[self.main[0]]:
            self.requests[self.main[0]] -= 1
            self.main.append(self.main.pop(0))
        self.main.pop(0)


@given(trace=st.lists(st.integers(0, 25), max_size=300), capacity=st.integers(1, 20))
def test_s3fifo_is_the_papers_three_lists(trace: list[int], capacity: int) -> None:
    policy, twin = S3Fifo(capacity), ListS3Fifo(capacity)
    for tag in trace:
        known = policy.hit(tag)
        if not known:
            policy.admit(tag, 1)
        assert known == twin.request(tag)
        assert [t for t, _ in policy.coldest_first()] == twin.small + twin.main


class ListLirs:
    """The paper's stack and queue on plain lists; unit sizes, one place for those on probation."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.most_kept = int(capacity * 0.99)
        self.stack: list[int] = []  # youngest last
        self.kept: set[int] = set()
        self.queue: list[int] = []

    def request(self, tag: int) -> bool:
        known = tag in self.kept or tag in self.queue
        if not known:
            self.make_room()
        in_stack = tag in self.stack
        room = not known and len(self.kept) < self.most_kept and not self.queue
        self.stack = [t for t in self.stack if t != tag] + [tag]
        if tag in self.kept or in_stack or room:
            self.queue = [t for t in self.queue if t != tag]
            self.kept.add(tag)
        else:
            self.queue = [t for t in self.queue if t != tag] + [tag]
        while len(self.kept) > self.most_kept:
            self.demote()
        self.prune()
        return known

    def make_room(self) -> None:
        if len(self.kept) + len(self.queue) == self.capacity:
            if not self.queue:
                self.demote()
            self.queue.pop(0)
            gone = [t for t in self.stack if t not in self.kept and t not in self.queue]
            assert len(gone) <= 2 * self.capacity, "the twin forgets nothing"

    def demote(self) -> None:
        tag = self.stack.pop(0)
        self.kept.remove(tag)
        self.queue.append(tag)
        self.prune()

    def prune(self) -> None:
        while self.stack and self.stack[0] not in self.kept:
            self.stack.pop(0)


@given(trace=st.lists(st.integers(0, 14), max_size=300), capacity=st.integers(7, 12))
def test_lirs_is_the_papers_stack_and_queue(trace: list[int], capacity: int) -> None:
    policy, twin = Lirs(capacity), ListLirs(capacity)
    for tag in trace:
        known = policy.hit(tag)
        if not known:
            policy.admit(tag, 1)
        assert known == twin.request(tag)
        listed = [t for t, _ in policy.coldest_first()]
        assert listed[: len(twin.queue)] == twin.queue
        assert listed[len(twin.queue) :] == [t for t in twin.stack if t in twin.kept]


def test_lirs_keeps_most_of_a_loop_that_lru_always_misses() -> None:
    loop = list(range(100)) * 20
    assert hits_of(Lru(50), loop) == 0
    assert hits_of(Lirs(50), loop) >= 0.45 * len(loop)


def test_lirs_forgets_what_left_long_ago() -> None:
    policy = Lirs(10)
    for tag in range(10_000):
        policy.admit(tag, 1)
    remembered = [name for name in vars(policy) if isinstance(vars(policy)[name], dict)]
    assert sum(len(vars(policy)[name]) for name in remembered) <= 100


def fewest_misses(trace: Sequence[int], capacity: int) -> int:
    """By trying every eviction, and every refusal, at every miss."""

    @cache
    def from_here(place: int, resident: frozenset[int]) -> int:
        if place == len(trace):
            return 0
        tag = trace[place]
        if tag in resident:
            return from_here(place + 1, resident)
        choices = [resident]
        if len(resident) < capacity:
            choices.append(resident | {tag})
        choices += [resident - {victim} | {tag} for victim in resident]
        return 1 + min(from_here(place + 1, choice) for choice in choices)

    return from_here(0, frozenset())


@given(trace=st.lists(st.integers(0, 5), min_size=1, max_size=16), capacity=st.integers(1, 4))
@settings(max_examples=150)
def test_belady_misses_as_rarely_as_any_choice_of_evictions_can(
    trace: list[int], capacity: int
) -> None:
    misses = len(trace) - hits_of(Belady(capacity, trace), trace)
    assert misses == fewest_misses(trace, capacity)


@given(trace=st.lists(st.integers(0, 40), min_size=1, max_size=400), capacity=st.integers(1, 20))
def test_no_policy_beats_belady(trace: list[int], capacity: int) -> None:
    best = hits_of(Belady(capacity, trace), trace)
    for make in (Lru, S3Fifo, Lirs, DuelingPolicy):
        assert hits_of(make(capacity), trace) <= best
