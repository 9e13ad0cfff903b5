"""The small models of the corpus on OpenVINO, beside ONNX Runtime's CPU provider."""

import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("deepseek_openvino", reason="make providers")

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))

import numpy as np
from small_models import CASES

import beside

LEAST_THAT_AGREE = 190  # with onnxruntime-ep-openvino 1.8.1


def test_each_model_agrees_or_is_refused_in_words(openvino):
    cases = [case for case in CASES if not case.random]
    found = list(beside.outcomes(cases, openvino))
    assert [(o.model, o.why) for o in found if o.what == "differs"] == []
    assert all(outcome.why for outcome in found if outcome.what == "refused")
    assert Counter(outcome.what for outcome in found)["agrees"] >= LEAST_THAT_AGREE


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (np.array([1.0, 100.0], np.float32), np.array([1.02, 100.0], np.float32)),
        (np.array([1, 2]), np.array([1, 3])),
        (np.array([1.0], np.float32), np.array([1.0])),
        (np.array([1.0, np.nan], np.float32), np.array([1.0, 0.0], np.float32)),
        (np.array([[1.0]], np.float32), np.array([1.0], np.float32)),
    ],
)
def test_what_is_too_far_off_is_seen(expected, found):
    assert beside.far(expected, found, beside.OF_LARGEST)
    assert beside.far(expected, expected, beside.OF_LARGEST) is None
