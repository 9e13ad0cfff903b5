"""The cost model starts from the prior and follows what was measured."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import Estimate
from deepseek_core.schedule.cost import Sample, crossover, predict


def linear_prior(batch: int) -> Estimate:
    return Estimate(seconds=1e-3 * batch, sigma=1.0, source="prior", mem_bytes=8 * batch)


def test_without_samples_it_is_the_prior():
    assert predict(linear_prior, [], 4) == linear_prior(4)


@given(factor=st.floats(0.02, 50), batch=st.sampled_from([1, 8, 64]))
def test_many_equal_samples_decide(factor, batch):
    samples = [Sample(batch, 1e-3 * batch * factor)] * 9
    estimate = predict(linear_prior, samples, batch)
    assert math.isclose(estimate.seconds, 1e-3 * batch * factor, rel_tol=0.05)
    assert estimate.source == "measured"
    assert estimate.samples == 9
    assert estimate.sigma < 0.1
    assert estimate.mem_bytes == 8 * batch


@given(factor=st.floats(0.1, 10), target=st.sampled_from([2, 4, 16, 100, 1000]))
def test_a_size_not_seen_follows_the_measured_factor(factor, target):
    samples = [Sample(8, 8e-3 * factor)] * 5
    estimate = predict(linear_prior, samples, target)
    assert estimate.source == "model"
    off = abs(math.log(estimate.seconds / (1e-3 * target * factor)))
    assert off <= abs(math.log(factor)) * 0.3 + 0.01
    assert estimate.sigma > predict(linear_prior, samples, 8).sigma


def test_the_interval_covers_a_wrong_shape_of_the_prior():
    """Measured flat over sizes, the estimate between two sizes is between their costs."""
    samples = [Sample(1, 0.01)] * 5 + [Sample(16, 0.01)] * 5
    low, high = predict(linear_prior, samples, 4).interval_s
    assert low < 0.01 < high


def test_one_outlier_among_many_does_not_steer():
    samples = [Sample(8, 0.008)] * 8 + [Sample(8, 4.0)]
    assert math.isclose(predict(linear_prior, samples, 8).seconds, 0.008, rel_tol=0.05)


def test_hundreds_of_sizes_are_fast_and_finite():
    samples = [Sample(size, 1e-3 * size) for size in range(1, 400)]
    assert math.isclose(predict(linear_prior, samples, 200).seconds, 0.2, rel_tol=0.1)


@given(good=st.integers(1, 9), where=st.integers(0, 9))
def test_one_sample_500_times_off_moves_the_estimate_little(good, where):
    samples = [Sample(8, 0.008)] * good
    samples.insert(min(where, good), Sample(8, 4.0))
    before = predict(linear_prior, [Sample(8, 0.008)] * good, 8)
    assert math.isclose(predict(linear_prior, samples, 8).seconds, before.seconds, rel_tol=0.1)


@given(good=st.integers(1, 6))
def test_one_lone_outlier_at_another_size_moves_the_estimate_little(good):
    samples = [Sample(8, 0.008)] * good
    before = predict(linear_prior, samples, 8)
    after = predict(linear_prior, [*samples, Sample(16, 8.0)], 8)
    assert math.isclose(after.seconds, before.seconds, rel_tol=0.1)


@given(history=st.integers(1, 30))
def test_a_device_that_slows_down_is_followed_within_eight_samples(history):
    samples = [Sample(8, 0.008)] * history + [Sample(8, 0.024)] * 8
    assert math.isclose(predict(linear_prior, samples, 8).seconds, 0.024, rel_tol=0.1)


def test_while_a_device_drifts_the_interval_widens():
    calm = [Sample(8, 0.008)] * 9
    drifting = [Sample(8, 0.008)] * 6 + [Sample(8, 0.024)] * 3
    assert predict(linear_prior, drifting, 8).sigma > 2 * predict(linear_prior, calm, 8).sigma


def test_the_crossover_is_where_the_order_turns():
    def with_overhead(batch):
        return Estimate(seconds=1e-2 + 1e-4 * batch, sigma=0.1, source="prior")

    turn = crossover(linear_prior, with_overhead)
    assert turn == 12  # 1 ms x 12 > 10 ms + 0.1 ms x 12, for the first time
    assert crossover(linear_prior, linear_prior) is None


@pytest.mark.parametrize("sizes", [1, 3, 6])
@pytest.mark.parametrize(
    "law", [lambda _b: 1e-3, lambda b: 1e-4 * (1 + math.log2(b)), lambda b: 1e-4 * b**0.5],
    ids=["constant", "logarithm", "root"],
)  # fmt: skip
def test_intervals_hold_where_a_device_follows_another_law(law, sizes):
    held = asked = 0
    for seed in range(40):
        rng = random.Random(seed)
        known = rng.sample([2**i for i in range(11)], sizes)
        noise = [(b, math.exp(rng.gauss(0, 0.12))) for b in known for _ in range(3)]
        samples = [Sample(b, law(b) * factor) for b, factor in noise]
        for batch in (3, 6, 12, 24, 48, 100, 200, 400, 800):
            low, high = predict(linear_law, samples, batch).interval_s
            held, asked = held + (low <= law(batch) <= high), asked + 1
    assert held / asked >= 0.85


def linear_law(batch):
    return Estimate(seconds=2e-5 * batch + 5e-5, sigma=1.0, source="prior")
