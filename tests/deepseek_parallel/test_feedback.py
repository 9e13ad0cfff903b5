"""Error feedback over ranks that are vectors of one process: nothing is lost, nothing is early."""

import numpy as np
import pytest

from deepseek_parallel.codec import packet
from deepseek_parallel.exchange import Layout
from deepseek_parallel.feedback import Feedback

LENGTH = 3001


def made(ranks, *, ratio=0.01, ratio_of_sum=0.02, momentum=0.9, length=LENGTH):
    layout = Layout(length=length, ranks=ranks, ratio=ratio, ratio_of_sum=ratio_of_sum)
    return layout, [Feedback(layout, rank, momentum) for rank in range(ranks)]


def stepped(layout, ranks, updates):
    """The change that each rank would take away."""

    def read(data, owner):
        begin, end = layout.bounds(owner)
        return packet.decode(data, end - begin)

    offers = [rank.offer(update) for rank, update in zip(ranks, updates, strict=True)]
    sums = [
        rank.own([read(offer[number], number) for offer in offers])
        for number, rank in enumerate(ranks)
    ]
    found = [read(data, owner) for owner, data in enumerate(sums)]
    return [rank.finish(found) for rank in ranks]


def draws(ranks, steps, length=LENGTH):
    draw = np.random.default_rng(3)
    return draw.standard_normal((steps, ranks, length)).astype(np.float32)


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_what_is_not_sent_waits(ranks):
    """Without momentum: all that was given is in the parameters or waits somewhere."""
    layout, all_ranks = made(ranks, momentum=0.0)
    total, moved = np.zeros(LENGTH), np.zeros(LENGTH)
    for updates in draws(ranks, 40):
        changes = stepped(layout, all_ranks, updates)
        assert all(np.array_equal(changes[0], other) for other in changes)
        total += updates.mean(0)
        moved += changes[0]
        waits = np.mean([rank.residual for rank in all_ranks], axis=0)
        waits = waits + np.sum([rank.left for rank in all_ranks], axis=0)
        np.testing.assert_allclose(moved + waits, total, atol=2e-4)
    assert np.count_nonzero(moved) > LENGTH / 10


def test_all_is_sent_at_once_where_all_is_kept():
    """As plain SGD, but for the codes of values."""
    layout, ranks = made(2, ratio=1.0, ratio_of_sum=1.0, momentum=0.0)
    (updates,) = draws(2, 1)
    updates = np.sign(updates)  # a code is exact where all magnitudes are the same
    updates[1] = updates[0]
    (change, _) = stepped(layout, ranks, updates)
    np.testing.assert_array_equal(change, updates[0])


def test_momentum_is_that_of_sgd_until_something_is_sent():
    layout, (rank,) = made(1, ratio=1e-9, ratio_of_sum=1e-9)
    v, r = np.zeros(LENGTH, np.float32), np.zeros(LENGTH, np.float32)
    for (update,) in draws(1, 5):
        sent = np.flatnonzero(stepped(layout, [rank], [update])[0])
        v = np.float32(0.9) * v + update
        r += v
        assert len(sent) == 1
        others = np.delete(np.arange(LENGTH), sent)
        np.testing.assert_allclose(rank.velocity[others], v[others], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(rank.residual[others], r[others], rtol=1e-5, atol=1e-6)
        assert rank.velocity[sent] == 0
        v[sent], r[sent] = 0, rank.residual[sent]


def test_a_lower_rate_shrinks_nothing_that_waits():
    """Updates have the rate inside; a step of rate 0 sends what waited."""
    layout, (rank,) = made(1, momentum=0.0)
    (((update,),)) = draws(1, 1)
    stepped(layout, [rank], [update])
    waits = rank.residual + rank.left
    moved = sum(stepped(layout, [rank], [np.zeros(LENGTH, np.float32)])[0] for _ in range(200))
    assert np.abs(rank.residual).sum() < 0.05 * np.abs(waits).sum()
    np.testing.assert_allclose(moved + rank.residual + rank.left, waits, atol=1e-4)


def test_a_step_that_does_not_finish_changes_nothing():
    layout, ranks = made(2)
    first, second = draws(2, 2)
    stepped(layout, ranks, first)
    before = [[v.copy() for v in (r.velocity, r.residual, r.left)] for r in ranks]
    offers = [rank.offer(update) for rank, update in zip(ranks, second, strict=True)]
    begin, end = layout.bounds(0)
    ranks[0].own([packet.decode(offer[0], end - begin) for offer in offers])
    after = [[r.velocity, r.residual, r.left] for r in ranks]
    for was, now in zip(before, after, strict=True):
        assert all(map(np.array_equal, was, now))


def test_a_sum_that_grows_beyond_float32_says_where():
    layout, (_, second) = made(2)
    second.left[2000:2100] = 3.3e38
    begin, end = layout.bounds(1)
    offered = packet.Sparse(places=np.array([2050 - begin]), values=np.float32([3e38]))
    said = packet.decode(second.own([offered, offered]), end - begin)
    assert said.bad == 2050
    assert second.left.max() == np.float32(3.3e38)


@pytest.mark.parametrize(("length", "ranks"), [(1, 1), (1, 4), (5, 8), (0, 2)])
def test_vectors_shorter_than_the_number_of_ranks(length, ranks):
    layout, all_ranks = made(ranks, momentum=0.0, length=length)
    changes = stepped(layout, all_ranks, np.ones((ranks, length), np.float32))
    assert all(np.array_equal(change, np.ones(length)) for change in changes)


def test_slots_take_whatever_is_offered():
    for ranks in (1, 2, 7):
        layout, all_ranks = made(ranks, ratio=0.1)
        for updates in draws(ranks, 3):
            for rank, update in zip(all_ranks, updates, strict=True):
                for data in rank.offer(update):
                    assert len(data) + 4 <= layout.slot_nbytes(layout.ratio)
