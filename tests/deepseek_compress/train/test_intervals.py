"""Intervals against published figures and against how often they hold what they should."""

import math

import numpy as np
import pytest

from deepseek_compress.train.intervals import (
    bootstrap,
    bootstrap_mean,
    over_seeds,
    paired,
    t_quantile,
    wilson,
)


def test_wilson():
    # Newcombe 1998, table I: 81 of 263 and 15 of 148; 0 of 20; 1 of 29.
    for hits, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = wilson(hits, count)
        assert (found.low, found.high) == (
            pytest.approx(low, abs=5e-5),
            pytest.approx(high, abs=5e-5),
        )
        assert found.value == hits / count
    assert wilson(20, 20).high == 1.0


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622),
     (10, 2.2281), (29, 2.0452), (30, 2.0423), (120, 1.9799)],
)  # fmt: skip
def test_student(degrees, expected):
    assert t_quantile(degrees) == pytest.approx(expected, abs=1e-4)


def test_seeds():
    found = over_seeds([90.0, 91.0, 92.0])
    assert found.value == 91.0
    assert found.high - found.value == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert over_seeds([90.0]).low == -math.inf
    assert over_seeds([90.0, 90.0]).low == 90.0


def test_seeds_hold_the_truth_in_95_of_100():
    rng = np.random.default_rng(0)
    found = [over_seeds(rng.normal(5.0, 2.0, 3)) for _ in range(2000)]
    assert 0.935 < np.mean([one.low <= 5.0 <= one.high for one in found]) < 0.965


def test_bootstrap_of_means():
    rng = np.random.default_rng(1)
    scores = rng.exponential(1.0, 400)
    found = bootstrap_mean(scores)
    error = scores.std() / math.sqrt(400)
    assert found.value == scores.mean()
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert bootstrap_mean(scores) == found
    same = bootstrap(lambda rows: float(scores[rows].mean()), 400, draws=2000)
    assert same.high == pytest.approx(found.high, abs=0.02)


def table(both, gained, lost, neither):
    first = np.r_[np.ones(both), np.zeros(gained), np.ones(lost), np.zeros(neither)]
    second = np.r_[np.ones(both), np.ones(gained), np.zeros(lost), np.zeros(neither)]
    return first, second


def test_paired_differences():
    # Agresti and Min 2005: cells of 1/2 each; McNemar by hand: 2 P(X <= 2), X ~ B(14, 1/2).
    found = paired(*table(80, 12, 2, 6))
    assert found.interval.value == pytest.approx(0.10)
    middle, spread = 10 / 102, math.sqrt((12.5 + 2.5) - 10**2 / 102) / 102
    assert found.interval.low == pytest.approx(middle - 1.959964 * spread, abs=1e-6)
    assert found.p == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    same = paired(*table(90, 0, 0, 10))
    assert same.p == 1.0
    assert same.interval.low < 0 < same.interval.high
    assert paired(*table(10, 3, 3, 4)).p == 1.0


def test_paired_intervals_hold_the_truth_in_95_of_100():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(800):
        cell = rng.choice(4, 500, p=[0.87, 0.02, 0.04, 0.07])
        first, second = np.isin(cell, (0, 2)) * 1.0, np.isin(cell, (0, 1)) * 1.0
        found = paired(first, second).interval
        held += found.low <= -0.02 <= found.high
    assert 0.93 < held / 800 < 0.975


def test_scores_between_are_paired_by_bootstrap():
    rng = np.random.default_rng(3)
    first = rng.random(300)
    found = paired(first, first - 0.1)
    assert found.p is None
    assert found.interval.value == pytest.approx(-0.1)
    assert found.interval.high - found.interval.low < 1e-6
