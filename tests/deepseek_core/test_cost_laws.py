"""Intervals of costs hold whatever law a device follows, and all sizes follow its changes."""

import math
import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from of_benchmarks import benchmark

from deepseek_core.schedule.cost import Sample, predict

laws = benchmark("_cost_laws")

STEADY = [name for name in laws.LAWS if name != "bimodal"]  # a run tells what the next one takes


@pytest.mark.parametrize("sizes", [3, 4, 5, 6])
@pytest.mark.parametrize("law", laws.LAWS)
def test_intervals_hold(law, sizes):
    share = laws.covered(laws.LAWS[law], sizes, draws=60)
    assert share >= 0.85


@pytest.mark.parametrize("law", laws.LAWS)
def test_intervals_are_no_wider_than_need_be(law):
    shares = [laws.covered(laws.LAWS[law], sizes, draws=60) for sizes in (3, 4, 5, 6)]
    assert sum(shares) / 4 <= 0.97


@pytest.mark.parametrize("law", laws.LAWS)
def test_intervals_hold_where_each_size_ran_once(law):
    shares = [laws.covered(laws.LAWS[law], sizes, draws=40, runs=1) for sizes in (3, 4, 5, 6)]
    assert sum(shares) / 4 >= 0.85


@pytest.mark.parametrize("noise", [0.02, 0.3])
@pytest.mark.parametrize("law", ["constant", "step", "cache cliff", "roofline"])
def test_intervals_hold_on_quiet_and_on_busy_machines(law, noise):
    assert laws.covered(laws.LAWS[law], 5, draws=60, noise=noise) >= 0.85


def test_intervals_tell_a_steady_device_from_one_with_steps():
    """At a size between measured ones, of which the larger ones jump."""

    def sigma(seconds):
        samples = [Sample(b, seconds(b)) for b in (1, 4, 16, 64, 256) for _ in range(3)]
        return predict(laws.prior, samples, 32).sigma

    steady = sigma(lambda b: 3 * laws.prior(b).seconds)
    assert 2 * steady < sigma(lambda b: 3 * laws.prior(b).seconds * (5 if b > 16 else 1))
    assert steady < 0.25


@pytest.mark.parametrize("factor", [3.0, 1 / 3, 2.0])
@pytest.mark.parametrize("law", STEADY)
def test_a_change_seen_at_one_size_moves_its_neighbors(law, factor):
    missed = laws.neighbors_missed(laws.LAWS[law], factor, draws=30)
    assert median(missed) <= 1.12
    assert laws.quantile(missed, 0.8) <= 1.25


def slowed(*after):
    """Three sizes that are measured, then eight times slower runs of one, then others."""
    calm = [Sample(b, laws.prior(b).seconds) for b in (8, 16, 32) for _ in range(4)]
    return [*calm, *[Sample(16, 3 * laws.prior(16).seconds)] * 8, *after]


def ratio(samples, batch):
    return predict(laws.prior, samples, batch).seconds / laws.prior(batch).seconds


def test_what_was_measured_after_a_change_is_not_moved_twice():
    again = [Sample(8, 3 * laws.prior(8).seconds)] * 3
    assert ratio(slowed(*again), 8) == pytest.approx(3.0, rel=0.05)
    assert ratio(slowed(*again[:1]), 8) == pytest.approx(3.0, rel=0.05)
    new = [Sample(128, 3 * laws.prior(128).seconds)] * 3
    assert ratio(slowed(*new), 128) == pytest.approx(3.0, rel=0.05)
    assert ratio(slowed(*new), 32) == pytest.approx(3.0, rel=0.1)


def test_a_device_that_recovers_is_followed_back():
    back = [Sample(16, laws.prior(16).seconds)] * 8
    for batch in (4, 8, 16, 24, 32):
        assert ratio(slowed(*back), batch) == pytest.approx(1.0, rel=0.1)


def test_a_size_that_alone_became_slower_moves_no_other():
    """The others are measured in turn with it, and took what they took before."""
    calm = [Sample(b, laws.prior(b).seconds) for b in (8, 16, 32) * 4]
    turn = [Sample(b, (3 if b == 16 else 1) * laws.prior(b).seconds) for b in (8, 16, 32)]
    assert ratio([*calm, *turn * 6], 8) == pytest.approx(1.0, rel=0.05)
    assert ratio([*calm, *turn * 6], 16) == pytest.approx(3.0, rel=0.05)


def test_slow_runs_of_several_sizes_are_one_change():
    calm = [Sample(b, laws.prior(b).seconds) for b in (8, 16, 32, 64) for _ in range(4)]
    slow = [Sample(b, 3 * laws.prior(b).seconds) for b in (8, 16, 32)]
    assert ratio([*calm, *slow], 64) == pytest.approx(3.0, rel=0.1)
    assert ratio([*calm, *slow], 16) == pytest.approx(3.0, rel=0.1)


@given(
    factor=st.sampled_from([500.0, 10.0, 3.0, 0.2, 1e-3]),
    where=st.integers(0, 15),
    batch=st.sampled_from([8, 16, 32, 64]),
    seed=st.integers(0, 20),
)
def test_one_wild_run_moves_no_size(factor, where, batch, seed):
    rng = random.Random(seed)
    good = [
        Sample(b, laws.prior(b).seconds * math.exp(rng.gauss(0, 0.05)))
        for b in (8, 16, 32)
        for _ in range(5)
    ]
    wild = good.copy()
    wild.insert(where, Sample(16, factor * laws.prior(16).seconds))
    assert ratio(wild, batch) == pytest.approx(ratio(good, batch), rel=0.1)
    before = predict(laws.prior, good, batch).sigma
    assert predict(laws.prior, wild, batch).sigma < 1.5 * before


@given(
    runs=st.lists(
        st.tuples(st.sampled_from([1, 3, 8, 64, 4096]), st.floats(1e-9, 1e6)), max_size=40
    ),
    batch=st.sampled_from([1, 2, 8, 1000]),
)
def test_whatever_was_measured_the_estimate_is_finite_and_the_same_again(runs, batch):
    samples = [Sample(b, seconds) for b, seconds in runs]
    estimate = predict(laws.prior, samples, batch)
    assert estimate == predict(laws.prior, iter(samples), batch)
    assert 0 < estimate.seconds < math.inf
    assert 0 < estimate.sigma < 50
