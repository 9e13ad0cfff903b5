"""What ended runs tell: edges, lengths, and the number of channels."""

import random

from deepseek_store.prefetch import runs
from deepseek_store.prefetch.channels import FIRST, Channels
from deepseek_store.prefetch.markov import MarkovSource
from deepseek_store.prefetch.runs import Edges, Lengths
from deepseek_store.prefetch.streams import StreamSource


def test_edges_are_trusted_once_runs_end_there_and_not_when_they_pass():
    edges = Edges()
    edges.learn(10)
    assert not edges.trusted
    for _ in range(8):
        edges.met(10, stopped=True)
    assert edges.trusted
    assert 10 in edges
    edges.met(10, stopped=False)
    assert 10 not in edges
    for _ in range(20):
        edges.met(10, stopped=False)
    assert not edges.trusted


def test_edges_stay_bounded(monkeypatch):
    monkeypatch.setattr(runs, "MAX_EDGES", 50)
    edges = Edges()
    for block in range(500):
        edges.learn(block)
    assert len(edges) == 50
    assert 499 in edges


def test_lengths_say_how_far_a_run_is_likely_to_go():
    lengths = Lengths()
    assert lengths.left(1) is None
    for _ in range(40):
        lengths.learn(3)
    assert lengths.left(1) == 2
    assert lengths.left(3) == 0
    assert lengths.left(4) is None  # longer than all before
    for _ in range(20):
        lengths.learn(100)
    assert lengths.left(2) == 98  # one in three goes on
    assert lengths.left(50) == 50
    for _ in range(64):
        lengths.learn(5)
    assert lengths.left(6) is None  # what is long ago is forgotten


def announced_of(source, blocks, gap_s=1e-3):
    return [b for n, block in enumerate(blocks) for b in source.observe(block, n * gap_s)]


def test_runs_of_one_length_are_announced_no_further():
    rng = random.Random(1)
    source = StreamSource(capacity_blocks=1000, fetch_s=1e-3)
    starts = [rng.randrange(10**9) for _ in range(200)]
    blocks = [start + n for start in starts for n in range(6)]
    early, late = blocks[:600], blocks[600:]
    announced_of(source, early)
    announced = announced_of(source, late)
    assert set(announced) <= set(late)
    assert len(announced) >= 0.6 * len(late)


def test_files_that_were_read_before_end_where_they_ended():
    rng = random.Random(2)
    sizes = [rng.randrange(20, 80) for _ in range(40)]
    firsts = [sum(sizes[:n]) for n in range(40)]
    source = StreamSource(capacity_blocks=1000, fetch_s=1e-3)
    for _ in range(3):
        order = rng.sample(range(40), 40)
        blocks = [firsts[n] + at for n in order for at in range(sizes[n])]
        announced = announced_of(source, blocks, gap_s=1e-4)
    assert len(announced) <= 1.02 * len(blocks)
    assert len(set(announced)) >= 0.85 * len(blocks)


def test_more_streams_than_are_watched_at_a_time_are_still_announced():
    source = StreamSource(capacity_blocks=100_000, fetch_s=1e-3)
    blocks = [base * 10**6 + n for n in range(60) for base in range(100)]
    seen, hits = set(), 0
    for number, block in enumerate(blocks):
        hits += block in seen
        seen.update(source.observe(block, number * 1e-4))
    assert hits >= 0.8 * len(blocks)


def test_successors_that_never_come_are_announced_no_more():
    rng, source = random.Random(3), MarkovSource()
    announced = [
        sum(len(source.observe(block, 0.0)) for block in rng.sample(range(2000), 2000))
        for _ in range(4)
    ]
    assert announced[-1] <= 20
    cycle = rng.sample(range(10**6, 10**7), 300)
    for _ in range(3):
        found = [len(source.observe(block, 0.0)) for block in cycle]
    assert sum(found) >= 600  # and what comes again is found again


def fetch_all(channels, count, waves, fetch_s=1.0):
    """Announce many at a time to a store of `count` channels."""
    now_s, block = 0.0, 0
    for _ in range(waves):
        channels.tick(now_s, fetch_s)
        wave = range(block, block + 3 * count)
        channels.announce(wave)
        for at, one in enumerate(wave):
            if at % count == 0:
                now_s += fetch_s
                channels.tick(now_s - 1e-3, fetch_s)
            channels.arrive(one, fetch_s, now_s)
            if at % count == count - 1:
                channels.tick(now_s, fetch_s)
        block += 3 * count


def test_channels_are_counted_by_what_comes_in_at_a_time():
    for count in (1, 2, 8, 40):
        channels = Channels()
        fetch_all(channels, count, waves=60)
        assert count / 2 <= channels.count <= 2 * count


def test_without_any_wait_there_may_be_more_channels():
    channels = Channels()
    for n in range(100):
        channels.tick(float(n), 1.0)
        channels.announce(range(n * 50, n * 50 + 50))
        channels.tick(n + 1.0, 1.0)
        for block in range(n * 50, n * 50 + 50):
            channels.arrive(block, 1.0, n + 1.0)
    assert channels.count > 50


def test_fetches_that_are_slow_by_themselves_say_nothing_of_the_channels():
    rng, channels = random.Random(4), Channels()
    for n in range(300):
        channels.tick(float(n), 1.0)
        channels.announce([n])
        slow_s = rng.choice([1.0, 1.0, 5.0])
        channels.tick(n + slow_s, 1.0)
        channels.arrive(n, slow_s, n + slow_s)
    assert channels.count >= FIRST


def test_fetches_that_never_come_are_forgotten():
    channels = Channels()
    for n in range(1000):
        channels.tick(n * 1.0, 1.0)
        channels.announce([n])
        channels.ask(10**6 + n, hit=False)
    assert len(channels) <= 40
    assert channels.room > 0
