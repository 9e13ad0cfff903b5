"""Calibration: ranges are what samples show, and bad sets are refused with the reason."""

import attrs
import numpy as np
import pytest
from float_nets import Net, perceptron, pictures, residual
from onnx import TensorProto, helper

from deepseek_compress.errors import BadCalibration
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.onnx_graph.feeding import ArraySamples
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_core import errors


@pytest.fixture(scope="module")
def model():
    return read_float_model(residual())


def lower(model, spec):
    return lower_ort_x86(model, spec).proto


@pytest.mark.parametrize("batch", ["N", 1, 5])
def test_min_and_max_are_those_of_all_samples_whatever_the_batch(batch):
    samples = pictures(23)
    found = calibrate(read_float_model(residual(batch=batch)), samples)
    assert (found.spec.activations["x"].min, found.spec.activations["x"].max) == (
        samples.min(),
        samples.max(),
    )
    assert found.spec.samples == 23
    assert "23 samples" in found.notes[-1]


def test_every_float_tensor_has_a_range_and_every_weight_scales(model):
    spec = calibrate(model, pictures()).spec
    assert set(spec.activations) == set(model.float_tensors())
    assert sorted(len(kept.scales) for kept in spec.weights.values()) == [5, 8, 8, 8, 16]


def test_auto_keeps_the_method_with_the_least_error_and_tells_all(model):
    samples = pictures()
    samples[3, 0, 0, 0] = 9.0
    settings = CalibrationSettings(method="auto", activation_bits=4, outliers="keep")
    found = calibrate(model, samples, settings, lower)
    assert found.errors[found.method] == min(found.errors.values())
    assert len(found.errors) >= 3
    assert {kept.source for kept in found.spec.activations.values()} == {found.method}
    with pytest.raises(errors.ConfigError, match="give lower"):
        calibrate(model, samples, settings)


@pytest.mark.parametrize("at", [0, 17, 39])
def test_a_sample_that_defines_a_range_is_named(model, at):
    samples = pictures(40)
    samples[at] *= 30
    with pytest.raises(BadCalibration, match=rf"sample {at} alone makes the range of 'x' \d+"):
        calibrate(model, samples)
    kept = calibrate(model, samples, CalibrationSettings(outliers="keep"))
    assert f"sample {at} alone" in kept.notes[0]


def test_two_bad_samples_of_many_do_not_hide_each_other(model):
    samples = pictures(200)
    samples[[20, 120]] *= 30
    with pytest.raises(BadCalibration, match=r"sample (20|120) alone"):
        calibrate(model, samples)


@pytest.mark.parametrize("seed", range(5))
def test_plain_samples_are_not_called_poisoned(model, seed):
    calibrate(model, pictures(40, seed=seed))


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (pictures(0), "no samples"),
        (np.zeros((8, 3, 12, 12), np.float32), "equal"),
        (np.repeat(pictures(1), 8, axis=0), "all 8 samples are equal"),
        (pictures(8).astype(np.float64), "given as float64"),
        (pictures(8, side=11), None),
        (pictures(8, channels=1), "is given as"),
        (pictures(8)[:, 0], "is given as"),
        ({"y": pictures(8)}, "no input 'y'.*call it 'x'"),
        ({}, "no samples"),
        ({"x": pictures(8), "z": pictures(7)}, "different numbers"),
        ("samples.npz", "samples must be"),
    ],
)
def test_sets_that_do_not_fit_are_refused(model, samples, says):
    if says is None:
        calibrate(model_of_side(11), samples)
        return
    with pytest.raises(BadCalibration, match=says):
        calibrate(model, samples)


def model_of_side(side):
    net = Net(["N", 3, "side", "side"])
    return read_float_model(net.model(net.conv("x", 3, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("batch", ["N", 1])
def test_values_that_are_not_finite_are_named_by_sample(value, batch):
    samples = pictures(20)
    samples[18, 1, 2, 3] = value
    with pytest.raises(BadCalibration, match="sample 18 has NaN or infinity in input 'x'"):
        calibrate(read_float_model(residual(batch=batch)), samples)


def test_a_tensor_that_overflows_inside_is_named():
    net = Net(["N", 3, 12, 12])
    out = net.node("Exp", net.node("Mul", net.conv("x", 3, 4), net.constant(np.float32(1e4))))
    model = read_float_model(net.model(net.conv(out, 4, 2)))
    with pytest.raises(BadCalibration, match=r"tensor '.*' becomes NaN or infinite for sample \d"):
        calibrate(model, pictures())


def test_one_class_is_refused_where_labels_tell(model):
    with pytest.raises(BadCalibration, match="all 48 samples are of class 3"):
        calibrate(model, ArraySamples({"x": pictures()}, np.full(48, 3)))
    calibrate(model, ArraySamples({"x": pictures()}, np.arange(48) % 4))


def test_ranges_that_hold_no_zero_or_nothing_else_can_be_lowered():
    net = Net(["N", 3, 12, 12])
    low = net.node("Sub", net.node("Sigmoid", "x"), net.constant(np.float32(5)))  # below 0
    none = net.node("Mul", low, net.constant(np.float32(0)))
    both = net.node("Concat", net.conv(low, 3, 4), net.conv(none, 3, 4), axis=1)
    model = read_float_model(net.model(net.conv(both, 8, 2)))
    found = calibrate(model, pictures(), CalibrationSettings(method="auto"), lower)
    negative = found.spec.activations["sub1_out"]
    assert negative.min >= -5 and negative.max <= -3.9
    assert min(found.errors.values()) < 0.05


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "best"},
        {"weight_bits": 1},
        {"activation_bits": 9},
        {"weight_bits": 8.0},
        {"outliers": "drop"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(errors.ConfigError):
        CalibrationSettings(**wrong)


def test_samples_of_whole_inputs_run_one_by_one():
    rng = np.random.default_rng(0)
    net = Net([4, 16])
    model = read_float_model(net.model(net.gemm("x", 16, 3)))
    whole = rng.normal(size=(10, 4, 16)).astype(np.float32)  # ten inputs of four rows
    found = calibrate(model, whole).spec
    assert found.activations["x"].max == whole.max()
    assert found.samples == 10


def test_a_perceptron_calibrates_alike_twice():
    model = read_float_model(perceptron())
    samples = np.random.default_rng(4).normal(size=(32, 16)).astype(np.float32)
    assert attrs.asdict(calibrate(model, samples)) == attrs.asdict(calibrate(model, samples))


def test_scalars_beside_tensors_are_fed_sample_by_sample():
    net = Net(["N", 16])
    net.inputs.append(helper.make_tensor_value_info("gain", TensorProto.FLOAT, []))
    model = read_float_model(net.model(net.gemm(net.node("Mul", "x", "gain"), 16, 3)))
    rng = np.random.default_rng(0)
    samples = {
        "x": rng.normal(size=(9, 5, 16)).astype(np.float32),
        "gain": rng.uniform(1, 2, 9).astype(np.float32),
    }
    found = calibrate(model, samples).spec
    assert found.activations["gain"].max == samples["gain"].max()
