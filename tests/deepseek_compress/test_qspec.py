"""Specs of quantization: kept in files, refused where they can't be."""

import json

import numpy as np
import pytest

from deepseek_compress.qspec import QuantSpec, TensorRange, WeightScales
from deepseek_core import errors


def spec():
    return QuantSpec(
        activations={"x": TensorRange(min=-0.1, max=1 / 3, bits=4, source="learned")},
        weights={"w": WeightScales(scales=(0.1, 1e-7, 0.0), axis=1, bits=3, source="mse")},
        samples=7,
    )


def test_it_comes_back_from_a_file_as_it_was(tmp_path):
    spec().save(tmp_path / "q.json")
    assert QuantSpec.read(tmp_path / "q.json") == spec()
    assert [p.name for p in tmp_path.iterdir()] == ["q.json"]


def test_keys_of_a_later_version_one_are_passed_over():
    kept = spec().to_json() | {"comment": "new"}
    kept["activations"]["x"]["granularity"] = "tensor"
    assert QuantSpec.from_json(kept) == spec()


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"activations": None},
        {"activations": {"x": {"min": 2.0, "max": 1.0}}},
        {"activations": {"x": {"min": 0.0, "max": "much"}}},
        {"weights": {"w": {"scales": [], "axis": 0}}},
        {"weights": {"w": {"scales": [-1.0], "axis": 0}}},
        {"weights": {"w": {"scales": [1.0]}}},
        {"samples": -1},
    ],
)
def test_what_is_no_spec_is_refused(change):
    with pytest.raises(errors.DeepSeekError):
        QuantSpec.from_json(spec().to_json() | change)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "q.json").write_bytes(content)
    with pytest.raises(errors.ArtifactError):
        QuantSpec.read(tmp_path / "q.json")


def test_a_cut_file_is_refused(tmp_path):
    whole = json.dumps(spec().to_json())
    (tmp_path / "q.json").write_text(whole[: len(whole) // 2])
    with pytest.raises(errors.ArtifactError):
        QuantSpec.read(tmp_path / "q.json")


@pytest.mark.parametrize("bits", [1, 9, True, 4.0])
def test_bits_are_two_to_eight(bits):
    with pytest.raises(errors.ConfigError, match="from 2 to 8"):
        TensorRange(min=0.0, max=1.0, bits=bits)


@pytest.mark.parametrize("ends", [(0.0, np.nan), (-np.inf, 0.0), (1.0, 0.0)])
def test_ranges_are_finite_and_rise(ends):
    with pytest.raises(errors.ConfigError, match="finite and rise"):
        TensorRange(min=ends[0], max=ends[1])


@pytest.mark.parametrize("ends", [(0.0, 0.0), (0.0, 1e-45), (-0.0, 0.0)])
def test_a_scale_is_never_zero(ends):
    found = TensorRange(min=ends[0], max=ends[1])
    assert found.affine()[0] > 0
    assert found.symmetric() > 0


@pytest.mark.parametrize(("low", "high"), [(-3.0, -1.0), (2.0, 5.0), (-1.0, 3.0)])
def test_zero_is_one_of_the_integers(low, high):
    scale, zero = TensorRange(min=low, max=high).affine()
    assert 0 <= zero <= 255
    assert scale * (0 - zero) <= min(low, 0.0) + scale
    assert scale * (255 - zero) >= max(high, 0.0) - scale


def test_ranges_of_a_method_that_is_gone_are_read():
    kept = TensorRange(min=0, max=1, source="entropy")
    spec = QuantSpec(activations={"x": kept}, weights={}, samples=1)
    assert QuantSpec.from_json(spec.to_json()).activations == {"x": kept}
