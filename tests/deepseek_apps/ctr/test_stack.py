"""A stack trusts the better model, and calibrated probabilities are taken at their word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_apps.ctr.measures import auc, log_loss, reliability, sigmoid
from deepseek_apps.ctr.stack.calibration import Calibration, fit_calibration
from deepseek_apps.ctr.stack.combination import fit_combination
from deepseek_core import errors


def clicks(rows: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log odds, and targets drawn by them."""
    random = np.random.default_rng(seed)
    true = random.normal(-1.0, 1.5, rows)
    return true, (random.uniform(size=rows) < sigmoid(true)).astype(np.int64)


def test_the_better_model_has_the_larger_weight_and_no_weight_is_negative() -> None:
    true, target = clicks()
    random = np.random.default_rng(1)
    models = {
        "good": true + 0.3 * random.normal(size=len(true)),
        "poor": true + 2.0 * random.normal(size=len(true)),
        "noise": random.normal(size=len(true)),
        "against": -true + 3.0 * random.normal(size=len(true)),
    }
    found = fit_combination(models, target)
    weights = found.weights
    assert weights["good"] > weights["poor"] > 0
    assert min(weights.values()) >= 0
    assert weights["noise"] < 0.1
    assert log_loss(target, sigmoid(found.logits(models))) <= log_loss(
        target, sigmoid(models["good"])
    )


def test_a_stack_without_one_of_its_models_is_refused() -> None:
    true, target = clicks(200)
    found = fit_combination({"a": true, "b": true + 1}, target)
    with pytest.raises(errors.InputError, match="predictions of b"):
        found.logits({"a": true})


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibration_makes_distorted_probabilities_true(method) -> None:
    true, target = clicks(seed=2)
    distorted = 2.5 * true + 1.0
    fitted = fit_calibration(distorted[:2000], target[:2000], method)
    before = reliability(target[2000:], sigmoid(distorted[2000:])).error
    after = reliability(target[2000:], fitted.probabilities(distorted[2000:])).error
    assert before > 0.05
    assert after < before / 2
    moved = auc(target[2000:], fitted.probabilities(distorted[2000:]))
    assert moved == pytest.approx(auc(target[2000:], distorted[2000:]), abs=0.005)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["platt", "isotonic", "none"]))
def test_calibration_never_turns_an_order_around(seed: int, method) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=40)
    target = (random.uniform(size=40) < sigmoid(-logits)).astype(np.int64)
    fitted = fit_calibration(logits, target, method)
    found = fitted.probabilities(np.sort(logits))
    assert (np.diff(found) >= -1e-12).all()
    assert found.min() >= 0 and found.max() <= 1


def test_one_class_alone_calibrates_nothing() -> None:
    assert fit_calibration(np.zeros(5), np.ones(5, np.int64), "platt") == Calibration()


@pytest.mark.parametrize("points", [(1.0,), (1.0, 1.0), (2.0, 1.0)])
def test_points_that_do_not_rise_are_refused(points) -> None:
    with pytest.raises(errors.InputError, match="rise"):
        Calibration(points=points, levels=tuple(0.5 for _ in points))
