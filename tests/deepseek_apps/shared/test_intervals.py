"""Intervals hold the truth as often as they say, and equal those of scipy where it has them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from deepseek_apps.shared import intervals
from deepseek_core import errors

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60)


@given(VALUES)
def test_seeds_have_the_t_interval_of_scipy(values):
    found = intervals.over_seeds(values)
    spread = stats.sem(values)
    half = stats.t.ppf(0.975, len(values) - 1) * spread
    assert found.value == pytest.approx(np.mean(values), abs=1e-9)
    assert found.high - found.value == pytest.approx(half, rel=2e-5, abs=1e-9)
    assert found.low <= found.value <= found.high
    assert found.count == len(values)


def test_one_seed_has_no_interval():
    found = intervals.over_seeds([0.5])
    assert (found.low, found.high) == (-math.inf, math.inf)


def mean(values, *_):
    return float(np.mean(values))


def accuracy(predicted, truth):
    return float((predicted == truth).mean())


def test_the_bootstrap_of_a_mean_is_near_the_normal_interval():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = intervals.over_samples(mean, values)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.04)
    assert found.high == pytest.approx(values.mean() + half, abs=0.04)


def test_intervals_hold_the_truth_in_about_nineteen_of_twenty_cases():
    rng = np.random.default_rng(1)
    seeds = [intervals.over_seeds(rng.normal(7, 1, 5)) for _ in range(400)]
    samples = [
        intervals.over_samples(mean, rng.normal(7, 1, 100), seed=n, draws=200) for n in range(400)
    ]
    for found in (seeds, samples):
        share = np.mean([each.low <= 7 <= each.high for each in found])
        assert 0.92 <= share <= 0.98


def test_pairing_shows_what_two_intervals_hide():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 500)
    hard = rng.random(500) < 0.3
    other = np.where(hard, 1 - truth, truth)
    one = np.where(hard & (rng.random(500) < 0.9), other, truth)  # a tenth of the errors less
    apart = [intervals.over_samples(accuracy, each, truth) for each in (one, other)]
    assert apart[0].overlaps(apart[1])
    paired = intervals.paired_over_both(accuracy, [one] * 3, [other] * 3, truth, draws=400)
    assert paired.low > 0
    assert paired.value == pytest.approx(accuracy(one, truth) - accuracy(other, truth))


def test_equal_models_differ_by_nothing():
    truth = np.arange(100) % 2
    found = intervals.paired_over_both(accuracy, [truth] * 2, [truth] * 2, truth, draws=50)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_seeds_and_items_together_are_wider_than_items_alone():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 300)

    def drawn(share):
        return np.where(rng.random(300) < share, truth, 1 - truth)

    ones = [drawn(share) for share in (0.7, 0.8, 0.9)]
    others = [drawn(0.7) for _ in range(3)]
    both = intervals.paired_over_both(accuracy, ones, others, truth, draws=400)
    alone = intervals.paired_over_both(accuracy, ones[:1], others[:1], truth, draws=400)
    assert both.high - both.low > alone.high - alone.low
    differences = [
        accuracy(a, truth) - accuracy(b, truth) for a, b in zip(ones, others, strict=True)
    ]
    assert both.value == pytest.approx(np.mean(differences))


def test_equal_calls_give_equal_intervals():
    values = np.random.default_rng(0).random(50)
    assert intervals.over_samples(mean, values) == intervals.over_samples(mean, values)


def auc(scores, truth):
    positive = truth.sum()
    if positive in (0, len(truth)):
        return math.nan
    ranks = stats.rankdata(scores)
    return (ranks[truth == 1].sum() - positive * (positive + 1) / 2) / (
        positive * (len(truth) - positive)
    )


def test_draws_of_one_class_are_left_out():
    truth = np.array([1] + [0] * 20)
    found = intervals.over_samples(auc, np.arange(21)[::-1], truth)
    assert math.isfinite(found.low)
    lonely = np.array([1, 0])
    assert math.isfinite(intervals.over_samples(auc, np.array([1.0, 0.0]), lonely).value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: intervals.over_seeds([]), "figures of the seeds"),
        (lambda: intervals.over_seeds([1.0, math.nan]), "figures of the seeds"),
        (lambda: intervals.over_samples(mean, [1.0]), "1 items have no interval"),
        (lambda: intervals.over_samples(accuracy, [1, 2], [1]), "no pairs"),
        (lambda: intervals.over_samples(lambda _: math.nan, [1.0, 2.0]), "is nan"),
        (lambda: intervals.paired_over_both(mean, [[1, 2]], [], draws=2), "no pairs"),
    ],
)
def test_what_has_no_interval_is_refused(call, said):
    with pytest.raises(errors.InputError, match=said):
        call()
