"""Streams, successors and the known order, on patterns whose answer is plain."""

import random

import pytest

from deepseek_store.prefetch.markov import MarkovSource
from deepseek_store.prefetch.order import LOST_AFTER, OrderSource
from deepseek_store.prefetch.streams import MAX_STREAMS, MAX_WINDOW, StreamSource


def streams(capacity=1000):
    return StreamSource(capacity_blocks=capacity, fetch_s=1e-3)


def run(source, blocks, gap_s=1e-3):
    """What is announced with each request."""
    return [list(source.observe(block, n * gap_s)) for n, block in enumerate(blocks)]


def covered(source, blocks, gap_s=1e-3):
    """Share of the requests that had been announced before."""
    seen, hits = set(), 0
    for number, block in enumerate(blocks):
        hits += block in seen
        seen.update(source.observe(block, number * gap_s))
    return hits / len(blocks)


@pytest.mark.parametrize("stride", [1, -1, 2, -3, 100])
def test_a_run_at_a_steady_stride_is_announced_after_a_few_requests(stride):
    blocks = [5000 + stride * n for n in range(40)]
    assert covered(streams(), blocks) >= 37 / 40


def test_a_unit_stride_counts_after_two_requests_and_another_after_three():
    assert run(streams(), [7, 8])[1][0] == 9
    found = run(streams(), [70, 80, 90])
    assert found[1] == []
    assert found[2][0] == 100


def test_interleaved_streams_are_told_apart():
    blocks = [base + n for n in range(60) for base in (1000, 50_000, 900_000)]
    assert covered(streams(), blocks) >= 0.94


def test_random_requests_announce_next_to_nothing():
    rng = random.Random(3)
    found = run(streams(), [rng.randrange(10**9) for _ in range(3000)])
    assert sum(map(len, found)) <= 30


def test_a_block_is_announced_once_by_a_steady_stream():
    announced = [b for found in run(streams(), range(100, 300)) for b in found]
    assert len(announced) == len(set(announced))
    assert announced == sorted(announced)


def test_the_pointer_runs_ahead_by_three_fetches():
    slow, fast = streams(), streams()
    run(slow, range(200), gap_s=1e-3)
    run(fast, range(200), gap_s=5e-5)
    ahead = [source._owner[200].ahead - 199 for source in (slow, fast)]
    assert ahead[0] == 6  # the least
    assert ahead[1] == pytest.approx(3 * 20, abs=2)


def test_the_windows_of_all_streams_fit_half_the_cache():
    source = streams(capacity=40)
    for n in range(400):
        for base in (0, 10_000, 20_000, 30_000):
            source.observe(base + n, n * 1e-6)
    windows = {id(s): s.ahead - s.position for s in source._streams}
    assert len(windows) == 4
    assert sum(windows.values()) <= 20


def test_requests_a_little_out_of_turn_keep_their_stream():
    blocks = [n ^ 1 for n in range(400)]
    source = streams()
    assert covered(source, blocks) >= 0.95
    assert len(source) <= 3


def test_repeats_of_a_block_announce_nothing():
    assert run(streams(), [5, 5, 5, 5]) == [[]] * 4


def test_no_negative_block_is_announced():
    announced = [b for found in run(streams(), range(20, -1, -1)) for b in found]
    assert min(announced) == 0


def test_streams_stay_bounded():
    source = streams()
    for n in range(5000):
        source.observe(n * 1000, n * 1e-3)
        source.observe(n * 1000 + 1, n * 1e-3)
    assert len(source) <= MAX_STREAMS
    assert len(source._owner) <= MAX_STREAMS * 600
    assert len(source._active) <= MAX_STREAMS


def test_a_burst_at_one_moment_announces_no_more_than_the_longest_window():
    source = streams(capacity=1 << 20)
    assert max(len(found) for found in run(source, range(4000), gap_s=0.0)) <= MAX_WINDOW
    assert source._owner[3999 + 1].ahead == 3999 + MAX_WINDOW


def test_a_clock_that_stands_or_jumps_back_does_no_harm():
    source = streams(capacity=100)
    for n in range(200):
        assert all(b > n for b in source.observe(n, 100.0 - n))
    assert covered(source, range(5000, 5100), gap_s=0.0) > 0.9


def test_a_cycle_is_followed_from_its_second_round_on():
    rng = random.Random(1)
    cycle = rng.sample(range(10**6), 50)
    source = MarkovSource()
    run(source, cycle)
    assert run(source, cycle)[7] == cycle[8:11]


def test_of_several_successors_the_most_frequent_is_announced():
    source = MarkovSource(depth=1)
    run(source, [1, 2, 1, 3, 1, 3, 1, 3, 9])
    assert list(source.observe(1, 0.0)) == [3]


def test_a_successor_that_is_seldom_right_is_not_announced():
    source = MarkovSource(depth=1)
    run(source, [x for other in (2, 3, 4, 5) for x in (1, other)])
    assert list(source.observe(1, 0.0)) == []


def test_successors_stay_bounded():
    source = MarkovSource(max_blocks=100)
    run(source, range(5000))
    assert len(source) <= 100


def test_new_habits_replace_old_ones():
    source = MarkovSource(depth=1)
    run(source, [1, 2] * 3 + [1, 3] * 20)
    assert list(source.observe(1, 0.0)) == [3]


def test_a_known_order_is_announced_before_it_is_asked_for():
    order = random.Random(2).sample(range(10_000), 500)
    source = OrderSource(order, ahead=16)
    announced = dict.fromkeys(source.start())
    assert list(announced)[8:] == order[8:16]
    for place, block in enumerate(order):
        assert block in announced
        announced.update(dict.fromkeys(source.observe(block, 0.0)))
        assert len(announced) == min(500, place + 17)
    assert list(announced) == order
    assert source.ended
    assert source.stats().followed == 500


def test_each_block_is_announced_once_more_at_half_the_distance():
    source = OrderSource(range(100), ahead=10)
    source.start()
    source.observe(0, 0.0)
    assert list(source.observe(1, 0.0)) == [6, 11]
    assert list(source.observe(4, 0.0)) == [7, 8, 9, 12, 13, 14]


def test_repeats_in_an_order_are_each_followed():
    order = [1, 2, 1, 3, 1, 2] * 20
    source = OrderSource(order, ahead=4)
    source.start()
    for block in order:
        source.observe(block, 0.0)
    assert source.ended
    assert source.stats().strays == 0


def test_workers_out_of_turn_and_skips_are_tolerated():
    rng = random.Random(4)
    order = [rng.randrange(10**6) for _ in range(2000)]
    asked = sorted(range(2000), key=lambda n: n + rng.uniform(0, 8))
    asked = [n for n in asked if n % 50]
    source = OrderSource(order, ahead=32)
    announced, missed = set(source.start()), 0
    for n in asked:
        missed += order[n] not in announced
        announced.update(source.observe(order[n], 0.0))
    assert missed == 0
    assert not source.lost


def test_strays_do_not_move_the_order_and_many_in_a_row_silence_it():
    source = OrderSource(range(100), ahead=8)
    source.start()
    assert list(source.observe(10_000, 0.0)) == [0, 1, 2, 3]  # the reminder is due
    assert list(source.observe(10_001, 0.0)) == []
    assert list(source.observe(0, 0.0)) == [4, 8]
    for n in range(LOST_AFTER):
        source.observe(20_000 + n, 0.0)
    assert source.lost
    assert list(source.observe(1, 0.0)) == [5, 9]
    assert not source.lost


def test_an_endless_order_is_read_a_window_at_a_time():
    def endless():
        n = 0
        while True:
            yield n
            n += 1

    source = OrderSource(endless(), ahead=10)
    source.start()
    for n in range(5000):
        source.observe(n, 0.0)
    assert set(range(5000, 5010)) <= set(source._window)
    assert len(source._window) <= 21
    assert len(source._places) <= 21


def test_an_order_of_nothing_has_ended():
    source = OrderSource([], ahead=4)
    assert list(source.start()) == []
    assert source.ended
    with pytest.raises(ValueError, match="one at least"):
        OrderSource([], ahead=0)
