"""Weights rounded so that their sums stay, biases that make up for the rest, by measure."""

import numpy as np
import pytest
from onnx import helper
from small_onnx import IDIOMS, Net, samples_for

from deepseek_compress.lower.integers import bias_shift, weight_integers
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.lower.trt import lower_trt
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import compare
from deepseek_compress.qspec import QuantSpec, TensorRange, WeightScales
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_compress.quantize.refining import refined
from deepseek_core import errors

LOWERINGS = {"ort_x86": lower_ort_x86, "trt": lower_trt}


@pytest.mark.parametrize("axis", [0, 1])
def test_sums_of_channels_stay(axis):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 5, 3, 3)).astype(np.float32)
    scales = np.abs(np.moveaxis(values, axis, 0)).reshape(values.shape[axis], -1).max(1) / 127
    shape = [-1 if at == axis else 1 for at in range(4)]
    scaled = values / scales.reshape(shape)
    others = tuple(at for at in range(4) if at != axis)
    found = {}
    for rounding in ("nearest", "sum"):
        kept = WeightScales(scales=scales, axis=axis, rounding=rounding)
        integers = weight_integers(values, scales, kept).astype(float)
        assert np.abs(integers - scaled).max() < 1.0
        found[rounding] = np.abs((integers - scaled).sum(axis=others)).max()
    assert found["sum"] <= 0.51
    assert found["nearest"] > 0.8  # the case is one


def test_the_largest_integers_are_kept():
    values = np.full((1, 4), 1.0, np.float32)
    kept = WeightScales(scales=[1 / 127.4], axis=0, rounding="sum")
    assert weight_integers(values, np.float32([1 / 127.4]), kept).max() == 127


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_bias_makes_up_for_the_mean_of_a_convolution(groups):
    """Without padding, and with channels that are constant, nothing is left."""
    rng = np.random.default_rng(1)
    lost, means = rng.normal(size=(8, 4 // groups, 3, 3)), rng.normal(size=4)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=groups)
    per_group = np.repeat(means.reshape(groups, -1), 8 // groups, axis=0)
    expected = (lost.sum((2, 3)) * per_group).sum(1)
    np.testing.assert_allclose(bias_shift(node, lost, means), expected)


@pytest.mark.parametrize("turned", [0, 1])
def test_a_bias_makes_up_for_the_mean_of_a_gemm(turned):
    rng = np.random.default_rng(2)
    lost, means = rng.normal(size=(3, 5)), rng.normal(size=5)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=turned)
    given = lost if turned else lost.T
    np.testing.assert_allclose(bias_shift(node, given, means), lost @ means)


def edges():
    """Depthwise filters that nearly cancel, on inputs that are even."""
    net = Net()
    weight = net.rng.normal(size=(8, 1, 3, 3)).astype(np.float32)
    weight[:, 0, 1, 1] -= weight.sum((1, 2, 3)) - 0.02
    wide = net.relu(net.conv("x", 4, 8, kernel=1))
    deep = net.conv(wide, 8, 8, group=8, weight=net.constant(weight))
    return net.head(net.conv(net.relu(deep), 8, 8, kernel=1))


def even(proto):
    """Pictures whose pixels are alike; weights of 5 bits, so that what they lose is the most."""
    pixels = np.ones_like(samples_for(proto, count=80))
    return pixels * np.random.default_rng(3).uniform(2, 4, (80, 4, 1, 1)).astype(np.float32)


@pytest.mark.parametrize("target", LOWERINGS)
def test_filters_that_cancel_gain_much(target):
    model = read_float_model(edges())
    x = even(model.proto)

    def lower(model, spec):
        return LOWERINGS[target](model, spec).proto

    errors_found = {}
    for refine in (False, True):
        settings = CalibrationSettings(method="auto", weight_bits=5, refine=refine)
        found = calibrate(model, x[:60], settings, lower)
        errors_found[refine] = compare(model.proto, lower(model, found.spec), x[60:]).relative_error
    assert errors_found[True] < 0.8 * errors_found[False]
    assert any("relative error" in note for note in found.notes)
    assert QuantSpec.from_json(found.spec.to_json()) == found.spec


@pytest.mark.parametrize("idiom", IDIOMS)
def test_what_is_refined_is_never_worse_where_it_was_judged(idiom):
    model = read_float_model(IDIOMS[idiom]())
    x = samples_for(model.proto)

    def lower(model, spec):
        return lower_ort_x86(model, spec).proto

    found = {}
    for refine in (False, True):
        settings = CalibrationSettings(method="auto", refine=refine)
        spec = calibrate(model, x, settings, lower).spec
        found[refine] = compare(model.proto, lower(model, spec), x[51:]).relative_error
    assert found[True] <= found[False]


def test_what_gains_nothing_is_left_out():
    spec = QuantSpec(
        activations={"x": TensorRange(min=0, max=1)},
        weights={"w": WeightScales(scales=[1.0], axis=0)},
        samples=1,
    )
    same, notes = refined(spec, 0.5, {"x": (0.5,)}, lambda _: 0.5)
    assert same == spec
    assert notes == ()
    better, notes = refined(spec, 0.5, {"x": (0.5,)}, only_shifted)
    assert better.activations["x"].means == (0.5,)
    assert better.weights["w"].rounding == "nearest"
    assert notes == ("biases that make up for what weights lost: relative error 0.5 -> 0.4",)


def only_shifted(spec):
    """An error that is least with shifted biases and weights as they were."""
    shifted, summed = spec.activations["x"].means, spec.weights["w"].rounding == "sum"
    return 0.4 if shifted and not summed else 0.6


def test_a_foreign_rounding_and_infinite_means_are_refused():
    with pytest.raises(errors.ConfigError, match="nearest or sum, got 'up'"):
        WeightScales(scales=[1.0], axis=0, rounding="up")
    with pytest.raises(errors.ConfigError, match="means"):
        TensorRange(min=0, max=1, means=[np.nan])
