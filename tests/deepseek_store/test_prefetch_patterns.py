"""Patterns of training, tables and arrays: prefetch helps or keeps out of the way."""

import functools

import attrs
import pytest
import traces  # noqa: F401 - finds the modules of benchmarks

import _read_patterns as patterns
from _simulated_store import Conditions, closed_loop, footprint_share
from deepseek_store.prefetch.prefetcher import NAMES, Prefetcher

SUBSETS = (NAMES[:1], NAMES[1:2], NAMES[:2])
LONGEST = 12_000


def whole_files(count, mean, spread, readers, **more):
    sizes = patterns.volumes(count, mean, spread, seed=count)
    return patterns.files(sizes, readers=readers, epochs=4, seed=readers, **more)


FILES = {
    "one reader": whole_files(60, 50, 20, 1),
    "four readers": whole_files(60, 50, 20, 4),
    "eight readers, files of one size": whole_files(50, 60, 0, 8),
    "files apart": whole_files(60, 50, 20, 6, gap=5),
    "short files": whole_files(250, 12, 5, 5),
}
OTHERS = {
    "records": patterns.records(3000, epochs=4, seed=1),
    "columns": patterns.columns(12, readers=3, epochs=8, seed=2),
    "chunk rows": patterns.chunk_rows(20, reads=600, seed=3),
    "restores": patterns.restores(4, 600, rounds=4, seed=4),
    "runs of three": patterns.short_runs(LONGEST, run=3, space=10**5, seed=5),
    "scans and short runs": patterns.long_and_short(LONGEST, period=1000, seed=6),
    "look-ups and scans": patterns.look_ups(LONGEST, seed=7),
    "viewers": patterns.viewers(LONGEST, count=30, seed=8),
}
EVERY = {**FILES, **OTHERS}


@functools.cache  # a run is the same each time
def run(name, sources=NAMES, *, gated=True, channels=8):
    trace = EVERY[name]
    capacity = footprint_share(trace)
    store = Conditions(capacity_blocks=capacity, channels=channels)
    ours = None
    if sources:
        ours = Prefetcher(
            capacity_blocks=capacity, fetch_s=store.fetch_s, sources=sources, gated=gated
        )
    return closed_loop(trace[:LONGEST], ours, store)


@pytest.mark.parametrize("name", EVERY)
def test_the_gate_never_hurts_and_comes_near_the_best_subset(name):
    none = run(name, ()).mean_wait_s
    best = min(none, *(run(name, s, gated=False).mean_wait_s for s in SUBSETS))
    gated = run(name).mean_wait_s
    assert gated <= 1.005 * none
    assert gated <= 1.03 * best


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_fetched_once_and_what_lies_behind_them_is_left(name):
    outcome = run(name)
    assert outcome.issued + outcome.misses <= 1.1 * outcome.requests
    assert outcome.mean_wait_s <= 0.3 * run(name, ()).mean_wait_s


@pytest.mark.parametrize("name", EVERY)
def test_the_only_channel_is_left_to_those_who_wait(name):
    none, gated = run(name, (), channels=1), run(name, channels=1)
    assert gated.mean_wait_s <= 1.02 * none.mean_wait_s


@pytest.mark.parametrize(("name", "left"), [("four readers", 0.1), ("runs of three", 0.7)])
def test_the_only_channel_is_used_while_the_reader_thinks(name, left):
    trace = EVERY[name][:6000]
    store = Conditions(capacity_blocks=footprint_share(trace), channels=1, hit_s=2.5e-3)
    ours = Prefetcher(capacity_blocks=store.capacity_blocks, fetch_s=store.fetch_s)
    thinking, none = Thinking(ours), Thinking(None)
    closed_loop(trace, thinking, store)
    closed_loop(trace, none, store)
    assert thinking.misses <= left * none.misses


class Thinking:
    """Counts what was not there yet; each request takes as long as `hit_s` at least."""

    def __init__(self, ours):
        self.ours, self.misses = ours, 0

    def on_request(self, block, hit, now_s):
        self.misses += not hit
        return self.ours.on_request(block, hit, now_s) if self.ours else ()

    def on_fetched(self, block, seconds, now_s):
        if self.ours:
            self.ours.on_fetched(block, seconds, now_s)


class Later:
    """The same prefetcher at a later time of its life."""

    def __init__(self, ours, after_s):
        self.ours, self.after_s, self.now_s = ours, after_s, after_s

    def on_request(self, block, hit, now_s):
        self.now_s = self.after_s + now_s
        return self.ours.on_request(block, hit, self.now_s)

    def on_fetched(self, block, seconds, now_s):
        self.ours.on_fetched(block, seconds, self.after_s + now_s)


@pytest.mark.parametrize("name", ["four readers", "viewers", "look-ups and scans"])
def test_channels_that_went_and_came_back_are_used_again(name):
    trace = EVERY[name][:LONGEST]
    capacity = footprint_share(trace)
    ours, now_s, waits = Prefetcher(capacity_blocks=capacity, fetch_s=1.11e-3), 0.0, {}
    for channels in (8, 1, 8):
        store = Conditions(capacity_blocks=capacity, channels=channels, skip=0.0)
        later = Later(ours, now_s)
        waits[channels] = closed_loop(trace, later, store).mean_wait_s
        waits[-channels] = closed_loop(trace, None, store).mean_wait_s
        now_s = later.now_s + 0.01
    assert waits[1] <= 1.02 * waits[-1]
    assert waits[8] <= 0.5 * waits[-8]


@pytest.mark.parametrize("name", ["four readers", "columns", "runs of three"])
def test_two_channels_are_noticed_and_not_given_away(name):
    none, gated = run(name, (), channels=2), run(name, channels=2)
    assert gated.mean_wait_s <= 1.005 * none.mean_wait_s
    assert gated.issued + gated.misses <= 1.1 * gated.requests


def test_all_that_is_remembered_is_bounded():
    trace = [block * 7 for name in EVERY for block in EVERY[name][:6000]]
    ours = Prefetcher(capacity_blocks=200)
    for number, block in enumerate(trace):
        for wanted in ours.on_request(block, False, number * 1e-4):
            if number % 3:
                ours.on_fetched(wanted, 1e-3, number * 1e-4)
    assert len(ours._held) <= 256
    assert len(ours._channels) <= 16 * max(ours._channels.count, 8) + 16 * 11  # and demands
    assert all(len(shadow.ready_s) <= 200 for shadow in ours._duel._shadows)
    assert len(ours.streams._edges) <= 1 << 15


def test_a_gate_that_is_not_told_the_channels_finds_them():
    for channels in (1, 2, 8, 64):
        trace = FILES["four readers"]
        capacity = footprint_share(trace)
        store = attrs.evolve(Conditions(capacity_blocks=capacity), channels=channels)
        ours = Prefetcher(capacity_blocks=capacity, sources=["streams"], gated=False)
        closed_loop(trace, ours, store)
        found = ours._channels.count
        assert channels / 3 <= found <= channels * 2 or (channels == 64 and found >= 8)
