"""Shares that follow the speed of the ranks, on an injected clock."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_parallel import Balancer, StateMismatch
from deepseek_parallel.shares import Affine, imbalance

RANKS, PERIOD = 4, 60


class Clock:
    """Seconds of each rank for its microbatches: `fixed` of an even share, and a noise within
    `noise`; rank `slow` takes three times as long."""

    def __init__(self, microbatches, fixed, noise, seed):
        self.fixed, self.noise = fixed * microbatches / RANKS, noise
        self.random, self.slow = random.Random(seed), 0

    def exact(self, shares):
        """Without noise."""
        return [(3 if n == self.slow else 1) * (self.fixed + s) for n, s in enumerate(shares)]

    def measured(self, shares):
        """What a rank would tell."""
        return [s * (1 + self.random.uniform(-self.noise, self.noise)) for s in self.exact(shares)]


def followed(microbatches, fixed, noise, seed):
    """Imbalance of each step, without the noise of its own; the slow rank is another one each
    `PERIOD`."""
    balancer, clock = Balancer(RANKS, microbatches), Clock(microbatches, fixed, noise, seed)
    found = []
    for step in range(RANKS * PERIOD):
        clock.slow = step // PERIOD
        found.append(imbalance(clock.exact(balancer.shares())))
        balancer.observe(clock.measured(balancer.shares()))
    return np.array(found).reshape(RANKS, PERIOD)


@pytest.mark.parametrize("microbatches", [128, 256])
@pytest.mark.parametrize("fixed", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.02])
def test_a_slow_rank_is_followed_within_four_steps_each_time(microbatches, fixed, noise):
    for seed in range(5):
        found = followed(microbatches, fixed, noise, seed)
        assert (found[:, :5].min(axis=1) <= 0.05).all()
        assert np.percentile(found[:, 4:], 95) <= 0.03


def test_one_hiccup_changes_nothing():
    balancer, clock = Balancer(RANKS, 128), Clock(128, 0.1, 0.01, 0)
    for step in range(60):
        if step == 30:
            settled = balancer.shares()
        seconds = clock.measured(balancer.shares())
        if step in (40, 50):
            seconds[2] *= 5
        balancer.observe(seconds)
    assert balancer.shares() == settled


def test_equal_ranks_keep_equal_shares():
    balancer, draw = Balancer(3, 24), random.Random(1)
    for _ in range(200):
        balancer.observe([1 + draw.uniform(-0.02, 0.02) for _ in range(3)])
        assert balancer.shares() == (8, 8, 8)


@given(
    st.integers(1, 6).flatmap(
        lambda ranks: st.tuples(
            st.integers(1, 40),
            st.lists(
                st.lists(st.floats(1e-6, 1e6), min_size=ranks, max_size=ranks),
                min_size=1, max_size=30,
            ),
        )
    )
)  # fmt: skip
def test_whatever_is_measured_all_microbatches_are_given(given):
    microbatches, steps = given
    ranks = len(steps[0])
    balancer = Balancer(ranks, microbatches)
    for seconds in steps:
        balancer.observe(seconds)
        assert sum(balancer.shares()) == microbatches
        assert min(balancer.shares()) >= (microbatches >= ranks)
        assert balancer.floor >= 0
    again = Balancer.resumed(json.loads(json.dumps(balancer.state())))
    balancer.observe(steps[0])
    again.observe(steps[0])
    assert again.state() == balancer.state()


def learned(microbatches=32):
    """A balancer that knows that rank 3 takes three times as long."""
    balancer, clock = Balancer(RANKS, microbatches), Clock(microbatches, 0.0, 0.0, 0)
    clock.slow = 3
    for _ in range(6):
        balancer.observe(clock.measured(balancer.shares()))
    return balancer


def test_it_tells_its_floor_and_picks_a_microbatch_that_lowers_it():
    balancer = learned(16)
    assert balancer.floor == pytest.approx(0.11, abs=0.005)
    cut = balancer.picked(768, most=48)
    assert cut.samples * cut.microbatches == 768
    assert cut.floor <= 0.05
    larger = [size for size in range(cut.samples + 1, 49) if 768 % size == 0]
    assert larger  # each of which is too coarse
    for size in larger:
        balancer.recut(768 // size)
        assert balancer.floor > 0.05
    balancer.recut(cut.microbatches)
    assert balancer.floor == pytest.approx(cut.floor)
    assert sum(balancer.shares()) == cut.microbatches


def test_where_no_microbatch_is_fine_enough_it_says_the_floor():
    assert learned().picked(8, most=4).floor > 0.05
    assert learned().picked(7, most=7).microbatches == 7


def test_what_was_learned_stays_when_ranks_come_and_go():
    state = learned().state()
    left = Balancer.resumed(state, [1, 3])
    assert left.shares() == (24, 8)
    more = Balancer.resumed(state, [3, 0, None])
    slow, fast, new = more.costs
    assert slow.each_s == pytest.approx(3 * fast.each_s, rel=0.05)
    assert fast.each_s < new.each_s < slow.each_s
    assert Balancer.resumed(state, [None, None]).costs == (Affine(0.0, 1.0),) * 2


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ({}, None),
        ({**learned().state(), "ranks": 3}, None),
        (learned().state(), [0, 4]),
        (learned().state(), []),
    ],
)
def test_a_state_that_does_not_fit_is_told(state, kept):
    with pytest.raises(StateMismatch, match="no state of a Balancer"):
        Balancer.resumed(state, kept)


@pytest.mark.parametrize(
    "deed",
    [
        lambda: Balancer(0, 8),
        lambda: Balancer(2, 0),
        lambda: Balancer(2, 2.5),
        lambda: Balancer(2, 8).observe([1.0]),
        lambda: Balancer(2, 8).observe([1.0, 0.0]),
        lambda: Balancer(2, 8).observe([1.0, float("nan")]),
        lambda: Balancer(2, 8).observe([1.0, -1.0]),
        lambda: Balancer(2, 8).observe([1.0, 1e-200]),
        lambda: Balancer(2, 8).recut(0),
        lambda: Balancer(2, 8).picked(0, most=2),
    ],
)
def test_numbers_that_can_not_be_are_refused(deed):
    with pytest.raises(errors.InputError, match="must be"):
        deed()
