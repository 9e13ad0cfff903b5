"""Calibration: ranges by each method, and what can't give any is refused by what is wrong."""

import numpy as np
import pytest
from small_onnx import IDIOMS, Net, samples_for

from deepseek_compress.errors import BadCalibration
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.onnx_graph.feeding import ArraySamples
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_compress.quantize.weights import scales_of
from deepseek_core import errors


def lowered(model, spec):
    return lower_ort_x86(model, spec).proto


@pytest.fixture(scope="module")
def model():
    return read_float_model(IDIOMS["residual"]())


@pytest.fixture
def x(model):
    return samples_for(model.proto)


def ranges(model, x, method, **more):
    return calibrate(model, x, CalibrationSettings(method=method, **more)).spec.activations


def test_minmax_holds_all_that_was_seen(model, x):
    found = ranges(model, x, "minmax")["x"]
    assert (found.min, found.max) == (x.min(), x.max())


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_other_methods_are_no_wider(model, x, method):
    whole, found = ranges(model, x, "minmax"), ranges(model, x, method, activation_bits=4)
    assert whole.keys() == found.keys() == set(model.float_tensors())
    for name, got in found.items():
        assert min(whole[name].min, 0.0) <= got.min <= got.max <= whole[name].max
        assert (got.source, got.bits) == (method, 4)


def test_least_squared_error_is_least(model, x):
    def loss(found):
        scale, zero = found.affine()
        steps = np.clip(np.rint(x / scale), -zero, 2**found.bits - 1 - zero)
        return np.square(x - steps * scale).mean()

    losses = {m: loss(ranges(model, x, m, activation_bits=3)["x"]) for m in ("minmax", "mse")}
    assert losses["mse"] < 0.7 * losses["minmax"]


def test_auto_takes_what_loses_least(model, x):
    found = calibrate(model, x, CalibrationSettings(method="auto", activation_bits=3), lowered)
    assert set(found.errors) == {"minmax", "percentile", "mse"}
    assert found.errors[found.method] == min(found.errors.values())
    assert {r.source for r in found.spec.activations.values()} == {found.method}


def test_auto_needs_a_lowering(model, x):
    with pytest.raises(errors.ConfigError, match="auto"):
        calibrate(model, x, CalibrationSettings(method="auto"))


def test_scales_of_weights_hold_each_channels_largest(model, x):
    spec = calibrate(model, x).spec
    constants = {t.name for t in model.proto.graph.initializer}
    assert spec.weights.keys() <= constants
    assert all(max(w.scales) > 0 for w in spec.weights.values())


def test_weights_of_least_squared_error_lose_less():
    values = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
    values[2] = 0

    def loss(method):
        found = scales_of(values, 0, 3, method)
        scales = np.asarray(found.scales)
        assert scales[2] == 0
        scales = np.where(scales > 0, scales, 1.0)[:, None, None, None]
        return np.square(values - np.clip(np.rint(values / scales), -3, 3) * scales).sum()

    assert loss("mse") < 0.8 * loss("minmax")


def test_a_poisoned_sample_is_named(model, x):
    x[17] *= 50
    with pytest.raises(BadCalibration, match="sample 17 alone"):
        calibrate(model, x)


def test_it_may_be_kept_and_is_noted(model, x):
    x[17] *= 50
    found = calibrate(model, x, CalibrationSettings(outliers="keep"))
    assert any("sample 17" in note for note in found.notes)


def test_clean_samples_are_not_suspected(model, x):
    assert all("alone" not in note for note in calibrate(model, x).notes)


def without(x):
    return x[:0]


def equal(x):
    return np.repeat(x[:1], len(x), axis=0)


def constant(x):
    return np.full_like(x, 0.5)


def with_nan(x):
    x[5, 0, 0, 0] = np.nan
    return x


def doubled(x):
    return x.astype(np.float64)


def too_small(x):
    return x[..., :-1, :-1][:, :2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without, "no samples"),
        (equal, "all 64 samples are equal"),
        (constant, "samples are equal|throughout"),
        (with_nan, "sample 5 has NaN"),
        (doubled, "float64"),
        (too_small, "is given as"),
    ],
)
def test_what_gives_no_ranges_is_refused(model, x, change, said):
    with pytest.raises(BadCalibration, match=said):
        calibrate(model, change(x))


def test_one_class_is_refused(model, x):
    with pytest.raises(BadCalibration, match="of class 3"):
        calibrate(model, ArraySamples({"x": x}, np.full(len(x), 3)))


def test_a_wrong_name_is_told_the_right_one(model, x):
    with pytest.raises(BadCalibration, match="no input 'image'") as caught:
        calibrate(model, {"image": x})
    assert caught.value.remedy == "call it 'x'"


def test_a_tensor_that_becomes_infinite_is_named():
    net = Net()
    broken = net.model(net.conv(net.node("Log", ["x"]), 8, 4))
    x = np.abs(samples_for(broken)) + 0.1
    x[9, 0, 0, 0] = 0.0
    with pytest.raises(BadCalibration, match=r"'log_0' becomes NaN or infinite for sample 9"):
        calibrate(read_float_model(broken), x)


@pytest.mark.parametrize(
    "wrong",
    [{"method": "best"}, {"weights": "max"}, {"weight_bits": 1}, {"outliers": "drop"}],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(errors.ConfigError):
        CalibrationSettings(**wrong)


def test_few_samples_are_noted(model, x):
    assert any(note.startswith("64 samples") for note in calibrate(model, x).notes)
