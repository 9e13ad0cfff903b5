"""Files for runtimes: exact scales, everything fused, close to float, at all levels."""

import numpy as np
import onnx
import pytest
from float_nets import Net, perceptron, pictures, residual, squeeze_excite
from onnx import numpy_helper

from deepseek_compress.lower.coverage import int8_coverage
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.lower.trt import lower_trt
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import compare, open_session
from deepseek_compress.qspec import QuantSpec, TensorRange
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_core import errors

LOWERINGS = {"ort_x86": lower_ort_x86, "trt": lower_trt}
SAMPLES = {
    "residual": (residual, pictures()),
    "squeeze_excite": (squeeze_excite, pictures(channels=4, side=8)),
    "perceptron": (perceptron, np.random.default_rng(1).normal(size=(48, 16)).astype(np.float32)),
}


def spec_of(model, samples, **settings):
    return calibrate(model, samples, CalibrationSettings(outliers="keep", **settings)).spec


def constants(proto):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


@pytest.mark.parametrize("target", LOWERINGS)
@pytest.mark.parametrize("net", SAMPLES)
def test_a_lowered_file_agrees_with_float_and_opens_at_every_level(net, target):
    make, samples = SAMPLES[net]
    model = read_float_model(make())
    lowered = LOWERINGS[target](model, spec_of(model, samples))
    onnx.checker.check_model(lowered.proto)
    difference = compare(model.proto, lowered.proto, samples)
    assert difference.relative_error < 0.05
    for level in ("NONE", "BASIC", "EXTENDED", "ALL"):
        open_session(lowered.proto, level=level)


@pytest.mark.parametrize("net", SAMPLES)
def test_onnx_runtime_runs_every_multiplication_in_integer(net):
    make, samples = SAMPLES[net]
    model = read_float_model(make())
    coverage = int8_coverage(model, lower_ort_x86(model, spec_of(model, samples)), samples)
    assert (coverage.macs, coverage.convolution_macs) == (1.0, 1.0)
    assert coverage.measured and not coverage.in_float


def test_scales_of_the_spec_land_exactly_in_the_file():
    model = read_float_model(residual())
    spec = spec_of(model, pictures())
    found = constants(lower_ort_x86(model, spec).proto)
    seen = 0
    for name, kept in spec.activations.items():
        if f"{name}__scale" in found and not name.startswith(("maxpool", "flatten")):
            assert found[f"{name}__scale"] == kept.affine()[0], name
            seen += 1
    for name, kept in spec.weights.items():
        np.testing.assert_array_equal(found[f"{name}__scale"], np.float32(kept.scales))
        seen += 1
    assert seen > 10


def test_a_tensorrt_file_has_no_zero_points_and_no_quantized_bias():
    model = read_float_model(residual())
    proto = lower_trt(model, spec_of(model, pictures())).proto
    for name, values in constants(proto).items():
        assert values.dtype not in (np.uint8, np.int32), name
        if name.endswith("__zero"):
            assert values.dtype == np.int8 and not values.any()
    readers = {}
    for node in proto.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    for node in proto.graph.node:
        if node.op_type == "Conv" and "Relu" in readers[node.output[0]]:
            assert readers[node.output[0]] == ["Relu"]
        if node.op_type == "Add":
            makers = {n.output[0]: n.op_type for n in proto.graph.node}
            assert [makers[name] for name in node.input] == ["DequantizeLinear"] * 2


def test_a_channel_of_zeros_and_a_tensor_of_zeros_get_scales_that_runtimes_take():
    weight = np.random.default_rng(3).normal(size=(4, 3, 3, 3)).astype(np.float32)
    weight[1] = 0
    net = Net(["N", 3, 12, 12])
    first = net.conv("x", 3, 4, weight=net.constant(weight))
    none = net.node("Mul", net.conv(first, 4, 4), net.constant(np.float32(0)))
    model = read_float_model(net.model(net.conv(none, 4, 2)))
    spec = spec_of(model, pictures())
    for lower in LOWERINGS.values():
        proto = lower(model, spec).proto
        for name, values in constants(proto).items():
            if name.endswith("__scale"):
                assert (values > 0).all() and np.isfinite(values).all(), name
        assert compare(model.proto, proto, pictures()).relative_error < 0.05


def test_a_bias_that_int32_could_not_hold_makes_its_channel_coarser():
    weight = np.full((2, 3, 3, 3), 0.1, np.float32)
    weight[1] = 1e-12
    net = Net(["N", 3, 12, 12])
    bias = net.constant(np.float32([0.5, 100.0]))
    out = net.node("Conv", "x", net.constant(weight), bias, pads=[1] * 4)
    model = read_float_model(net.model(out))
    proto = lower_ort_x86(model, spec_of(model, pictures())).proto
    assert compare(model.proto, proto, pictures()).relative_error < 0.01


def test_one_weight_of_two_convolutions_stays_one():
    net = Net(["N", 3, 12, 12])
    weight = net.constant(np.random.default_rng(2).normal(size=(3, 3, 3, 3)).astype(np.float32))
    first = net.node("Relu", net.conv("x", 3, 3, weight=weight))
    model = read_float_model(net.model(net.conv(first, 3, 3, weight=weight)))
    lowered = lower_ort_x86(model, spec_of(model, pictures()))
    stored = [n for n, v in constants(lowered.proto).items() if v.dtype == np.int8 and v.ndim == 4]
    assert len(stored) == 1
    assert compare(model.proto, lowered.proto, pictures()).relative_error < 0.05


def test_what_stays_float_is_named_with_the_reason():
    net = Net(["N", 3, 12, 12])
    weight = net.constant(np.random.default_rng(2).normal(size=(8, 4, 2, 2)).astype(np.float32))
    up = net.node("ConvTranspose", net.conv("x", 3, 8), weight, name="up", strides=[2, 2])
    model = read_float_model(net.model(net.conv(up, 4, 2)))
    spec = spec_of(model, pictures())
    coverage = int8_coverage(model, lower_ort_x86(model, spec), pictures())
    assert [layer.name for layer in coverage.in_float] == ["up"]
    assert "no integer ConvTranspose" in coverage.in_float[0].why_float
    assert coverage.macs < 1
    assert int8_coverage(model, lower_trt(model, spec), pictures()).macs == 1.0
    skipped = lower_trt(model, spec, skip={"up"})
    assert skipped.stays_float == {"up": "left in float as asked"}


def test_fewer_bits_saturate_where_they_end():
    model = read_float_model(residual())
    spec = spec_of(model, pictures(), weight_bits=3, activation_bits=3)
    lowered = lower_ort_x86(model, spec)
    assert lowered.simulated
    found = constants(lowered.proto)
    weights = [v for v in found.values() if v.dtype == np.int8 and v.ndim > 1]
    assert max(int(np.abs(v).max()) for v in weights) == 3
    whole = lower_ort_x86(model, spec_of(model, pictures()))
    worse = compare(model.proto, lowered.proto, pictures()).relative_error
    assert worse > 4 * compare(model.proto, whole.proto, pictures()).relative_error


def test_a_spec_of_another_model_is_refused():
    model = read_float_model(residual())
    spec = QuantSpec(activations={"nowhere": TensorRange(min=0, max=1)}, weights={}, samples=1)
    with pytest.raises(errors.InputError, match="no tensor of the model"):
        lower_ort_x86(model, spec)
    with pytest.raises(errors.InputError, match="did you mean 'conv0'"):
        lower_ort_x86(model, spec_of(model, pictures()), skip={"conv_0"})


def test_a_file_that_can_not_be_written_leaves_the_old_one(tmp_path):
    model = read_float_model(perceptron())
    lowered = lower_ort_x86(model, spec_of(model, SAMPLES["perceptron"][1]))
    path = tmp_path / "model.onnx"
    lowered.save(path)
    assert onnx.load(path) == lowered.proto
    with pytest.raises(errors.WriteError):
        lowered.save(tmp_path / "missing" / "model.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
