"""Figures are those of their definitions, and of scikit-learn where it has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from deepseek_apps.ctr import measures

PAIRS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=2
)


@given(PAIRS)
def test_auc_is_that_of_scikit_learn_with_ties_too(pairs) -> None:
    target, scores = (np.array(one) for one in zip(*pairs, strict=True))
    if len(set(target)) < 2:
        assert math.isnan(measures.auc(target, scores))
    else:
        assert measures.auc(target, scores) == pytest.approx(metrics.roc_auc_score(target, scores))


def test_log_loss_is_that_of_scikit_learn_and_finite_for_certain_errors() -> None:
    random = np.random.default_rng(0)
    target, scores = random.integers(0, 2, 100), random.uniform(size=100)
    assert measures.log_loss(target, scores) == pytest.approx(metrics.log_loss(target, scores))
    assert measures.log_loss(np.array([1, 0]), np.array([0.0, 1.0])) < 20


def test_the_calibration_error_is_the_gap_of_shares_and_probabilities() -> None:
    target = np.array([0] * 80 + [1] * 20)
    even = measures.reliability(target, np.full(100, 0.5), num_bins=1)
    assert even.error == pytest.approx(0.3)
    assert even.rows.tolist() == [100]


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.0, 0.012), (0.1, 0.09, 0.11)])
def test_the_calibration_error_finds_a_shift(shift: float, low: float, high: float) -> None:
    random = np.random.default_rng(3)
    true = random.uniform(0.05, 0.85, 40_000)
    target = (random.uniform(size=40_000) < true).astype(np.int64)
    assert low <= measures.reliability(target, true + shift).error <= high


def test_relative_improvement_is_of_what_is_above_chance() -> None:
    assert measures.relative_improvement(0.9, 0.7) == pytest.approx(1.0)
    assert measures.relative_improvement(0.7, 0.7) == 0.0


@given(st.floats(-700, 700))
def test_a_sigmoid_is_a_share_and_that_of_the_negative_is_the_rest(value: float) -> None:
    one, other = measures.sigmoid(np.array([value, -value]))
    assert 0.0 <= one <= 1.0
    assert one + other == pytest.approx(1.0)
    if abs(value) < 30:
        assert one == pytest.approx(1.0 / (1.0 + math.exp(-value)), rel=1e-6, abs=1e-12)
