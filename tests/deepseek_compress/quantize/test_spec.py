"""Specs on disk, and the integers that ranges stand for."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_compress.qspec import QuantSpec, TensorRange, WeightScales
from deepseek_core import errors

SPEC = QuantSpec(
    activations={"x": TensorRange(min=-0.1, max=1 / 3, bits=4, source="percentile")},
    weights={"w": WeightScales(scales=np.float32([0.1, 1e-7, 0]), axis=1, bits=2)},
    samples=7,
)
FINITE = st.floats(-1e30, 1e30)


def test_a_spec_comes_back_exactly(tmp_path):
    path = tmp_path / "spec.json"
    SPEC.save(path)
    assert QuantSpec.read(path) == SPEC
    assert [entry.name for entry in tmp_path.iterdir()] == ["spec.json"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "other"}, "lacks format"),
        ({"version": 2}, "version 2"),
        ({"activations": {"x": {"min": 1, "max": 0}}}, "damaged"),
        ({"activations": {"x": {"min": "a", "max": 0}}}, "damaged"),
        ({"activations": {"x": {"min": float("nan"), "max": 0}}}, "damaged"),
        ({"activations": []}, "damaged"),
        ({"weights": {"w": {"scales": [], "axis": 0}}}, "damaged"),
        ({"weights": {"w": {"scales": [-1.0], "axis": 0}}}, "damaged"),
        ({"weights": {"w": {"scales": [1.0], "axis": 0, "bits": 16}}}, "damaged"),
        ({"samples": -1}, "damaged"),
        ({"samples": None}, "damaged"),
    ],
)
def test_damaged_and_foreign_files_are_refused(tmp_path, change, says):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({**SPEC.to_json(), **change}))
    with pytest.raises(errors.ArtifactError, match=says):
        QuantSpec.read(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '"text"', "\x00"])
def test_what_is_no_spec_is_refused(tmp_path, content):
    path = tmp_path / "spec.json"
    path.write_text(content)
    with pytest.raises(errors.ArtifactError):
        QuantSpec.read(path)


def test_fields_of_a_later_minor_version_are_passed_over(tmp_path):
    kept = SPEC.to_json()
    kept["activations"]["x"]["color"] = "red"
    assert QuantSpec.from_json(kept) == SPEC


@given(FINITE, FINITE, st.integers(2, 8))
def test_any_range_gives_a_scale_and_holds_zero_exactly(one, other, bits):
    found = TensorRange(min=min(one, other), max=max(one, other), bits=bits)
    scale, zero = found.affine()
    assert scale > 0 and np.isfinite(scale) and 0 <= zero < 2**bits
    assert found.symmetric() > 0
    span = max(found.max, 0) - min(found.min, 0)
    if span > 1e-30:  # both ends are within half a step of what the integers can say
        assert abs(float(scale) * -zero - min(found.min, 0)) <= 0.51 * float(scale)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min": 1, "max": 0},
        {"min": 0, "max": np.inf},
        {"min": 0, "max": 1, "bits": 1},
        {"min": 0, "max": 1, "source": "felt"},
    ],
)
def test_ranges_that_can_not_be_are_refused(wrong):
    with pytest.raises(errors.ConfigError):
        TensorRange(**wrong)
