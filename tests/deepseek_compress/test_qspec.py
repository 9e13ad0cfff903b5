"""Specs of quantization: kept in files, refused where they can't be; ranges as integers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_compress.qspec import QuantSpec, TensorRange, WeightScales
from deepseek_core import errors

SPEC = QuantSpec(
    activations={
        "x": TensorRange(min=-0.1, max=1 / 3, bits=4, source="learned"),
        "y": TensorRange(min=0, max=1, source="entropy"),  # a method that is gone
    },
    weights={"w": WeightScales(scales=np.float32([0.1, 1e-7, 0]), axis=1, bits=3, source="mse")},
    samples=7,
)
FINITE = st.floats(-1e30, 1e30)


def test_a_spec_comes_back_from_a_file_exactly(tmp_path):
    path = tmp_path / "spec.json"
    SPEC.save(path)
    assert QuantSpec.read(path) == SPEC
    assert [entry.name for entry in tmp_path.iterdir()] == ["spec.json"]


def test_fields_of_a_later_minor_version_are_passed_over():
    kept = SPEC.to_json() | {"comment": "new"}
    kept["activations"]["x"]["granularity"] = "tensor"
    assert QuantSpec.from_json(kept) == SPEC


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "other"}, "lacks format"),
        ({"version": 2}, "version 2"),
        ({"activations": {"x": {"min": 1, "max": 0}}}, "damaged"),
        ({"activations": {"x": {"min": "a", "max": 0}}}, "damaged"),
        ({"activations": {"x": {"min": float("nan"), "max": 0}}}, "damaged"),
        ({"activations": []}, "damaged"),
        ({"activations": None}, "damaged"),
        ({"weights": {"w": {"scales": [], "axis": 0}}}, "damaged"),
        ({"weights": {"w": {"scales": [-1.0], "axis": 0}}}, "damaged"),
        ({"weights": {"w": {"scales": [1.0]}}}, "damaged"),
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


CUT = json.dumps(SPEC.to_json())[:50].encode()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b"null", b'"text"', b"\0", b"\xff", CUT]
)
def test_what_is_no_spec_is_refused(tmp_path, content):
    path = tmp_path / "spec.json"
    path.write_bytes(content)
    with pytest.raises(errors.ArtifactError):
        QuantSpec.read(path)


@given(FINITE, FINITE, st.integers(2, 8))
def test_any_range_gives_a_scale_and_holds_zero_exactly(one, other, bits):
    found = TensorRange(min=min(one, other), max=max(one, other), bits=bits)
    scale, zero = found.affine()
    assert scale > 0 and np.isfinite(scale) and 0 <= zero < 2**bits
    assert found.symmetric() > 0
    span = max(found.max, 0) - min(found.min, 0)
    if span > 1e-30:  # both ends are within half a step of what the integers can say
        assert abs(float(scale) * -zero - min(found.min, 0)) <= 0.51 * float(scale)
        assert float(scale) * (2**bits - 1 - zero) >= max(found.max, 0) - 0.51 * float(scale)


@pytest.mark.parametrize("ends", [(0.0, 0.0), (0.0, 1e-45), (-0.0, 0.0)])
def test_a_scale_is_never_zero(ends):
    found = TensorRange(min=ends[0], max=ends[1])
    assert found.affine()[0] > 0
    assert found.symmetric() > 0


@pytest.mark.parametrize("bits", [1, 9, True, 4.0])
def test_bits_are_two_to_eight(bits):
    with pytest.raises(errors.ConfigError, match="from 2 to 8"):
        TensorRange(min=0.0, max=1.0, bits=bits)


@pytest.mark.parametrize("ends", [(0.0, np.nan), (-np.inf, 0.0), (0.0, np.inf), (1.0, 0.0)])
def test_ranges_are_finite_and_rise(ends):
    with pytest.raises(errors.ConfigError, match="finite and rise"):
        TensorRange(min=ends[0], max=ends[1])


def test_a_source_is_a_method():
    with pytest.raises(errors.ConfigError, match="felt"):
        TensorRange(min=0, max=1, source="felt")
