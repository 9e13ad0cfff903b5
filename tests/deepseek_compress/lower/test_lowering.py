"""int8 files for runtimes: near to float, all heavy work in integer, equal at each level."""

import attrs
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from small_onnx import IDIOMS, Net, samples_for

from deepseek_compress.lower.coverage import int8_coverage
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.lower.trt import lower_trt
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import compare, open_session, with_outputs
from deepseek_compress.qspec import TensorRange, WeightScales
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_core import errors

LOWERINGS = {"ort_x86": lower_ort_x86, "trt": lower_trt}
LEVELS = ("NONE", "BASIC", "EXTENDED", "ALL")


def made(proto, x=None, lower=lower_ort_x86, **settings):
    """A float model, its int8 form, and the samples."""
    model = read_float_model(proto)
    x = samples_for(model.proto) if x is None else x
    spec = calibrate(model, x, CalibrationSettings(outliers="keep", **settings)).spec
    return model, lower(model, spec), x


def outputs(proto, x, level="ALL"):
    return open_session(proto, level=level).run(None, {"x": x})[0]


def constants(proto):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


# What a file computes


@pytest.mark.parametrize("target", LOWERINGS)
@pytest.mark.parametrize("idiom", IDIOMS)
def test_it_is_near_to_float_and_opens_at_each_level(idiom, target):
    model, lowered, x = made(IDIOMS[idiom](), lower=LOWERINGS[target])
    onnx.checker.check_model(lowered.proto)
    assert compare(model.proto, lowered.proto, x).relative_error < 0.05
    for level in LEVELS:
        open_session(lowered.proto, level=level)


@pytest.mark.parametrize("idiom", IDIOMS)
def test_levels_of_optimization_agree(idiom):
    _, lowered, x = made(IDIOMS[idiom]())
    plain = outputs(lowered.proto, x, "NONE")
    step = np.abs(plain).max() / 127
    for level in LEVELS[1:]:
        found = outputs(lowered.proto, x, level)
        assert np.abs(found - plain).max() <= 3 * step, level
        assert (found.argmax(-1) == plain.argmax(-1)).mean() >= 0.97, level


@pytest.mark.parametrize("idiom", ["residual", "concat", "squeeze_excite", "gemm", "matmul"])
def test_it_agrees_with_what_the_standard_says(idiom):
    """The reference evaluator of ONNX does the arithmetic by itself, in numpy."""
    proto = IDIOMS[idiom]()
    proto.opset_import[0].version = 21  # the first that the evaluator knows scales per channel in
    _, lowered, x = made(proto)
    expected = ReferenceEvaluator(lowered.proto).run(None, {"x": x[:16]})[0]
    found = outputs(lowered.proto, x[:16])
    assert np.abs(found - expected).max() <= 3 * np.abs(expected).max() / 127


def mean_over_pixels(opset, axes, keepdims):
    """A residual addition whose mean is what the head reads, as torch writes `x.mean((2, 3))`."""
    net = Net(opset=opset)
    stem = net.relu(net.conv("x", 4, 8))
    added = net.relu(net.node("Add", net.conv(stem, 8, 8), stem))
    if opset < 18:
        mean = net.node("ReduceMean", added, axes=axes, keepdims=keepdims)
    else:
        given = net.constant(np.array(axes, np.int64))
        mean = net.node("ReduceMean", added, given, keepdims=keepdims)
    return net.model(net.gemm(net.node("Flatten", mean, axis=1) if keepdims else mean, 8, 5))


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize(("opset", "axes"), [(17, [2, 3]), (17, [-1, -2]), (20, [-2, -1])])
def test_a_mean_over_pixels_is_an_integer_pooling(opset, axes, keepdims, tmp_path):
    model, lowered, x = made(mean_over_pixels(opset, axes, keepdims))
    saved = tmp_path / "optimized.onnx"
    open_session(lowered.proto, level="EXTENDED", saved_to=str(saved))
    kinds = {node.op_type for node in onnx.load(saved).graph.node}
    assert {"QLinearGlobalAveragePool", "QLinearAdd"} <= kinds
    assert not {"ReduceMean", "Add"} & kinds
    plain = outputs(lowered.proto, x, "NONE")
    assert np.abs(outputs(lowered.proto, x) - plain).max() <= 3 * np.abs(plain).max() / 127
    assert compare(model.proto, lowered.proto, x).relative_error < 0.05


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "ReduceMean"])
def test_a_mean_that_cancels_stays_float(kind):
    """ONNX Runtime's pooling fails as it runs where next to nothing is left of what it averages."""
    net = Net()
    axes = {"axes": [2, 3]} if kind == "ReduceMean" else {}
    mean = net.node(kind, net.relu(net.conv("x", 4, 8)), **axes)
    proto = net.model(net.gemm(net.node("Flatten", mean, axis=1), 8, 5))
    model, x = read_float_model(proto), samples_for(proto)
    spec = calibrate(model, x).spec
    learned = {**spec.activations, mean: TensorRange(min=0, max=1e-5)}
    lowered = lower_ort_x86(model, attrs.evolve(spec, activations=learned))
    assert kind in {node.op_type for node in lowered.proto.graph.node}
    assert np.isfinite(outputs(lowered.proto, x)).all()


def test_a_mean_over_one_axis_stays_float():
    net = Net()
    mean = net.node("ReduceMean", net.relu(net.conv("x", 4, 8)), axes=[3], keepdims=1)
    model, lowered, x = made(net.head(net.conv(mean, 8, 8)))
    assert "ReduceMean" in {node.op_type for node in lowered.proto.graph.node}
    assert compare(model.proto, lowered.proto, x).relative_error < 0.05


@pytest.mark.parametrize("count", [1, 3, 64])
def test_the_batch_stays_free(count):
    _, lowered, x = made(IDIOMS["residual"]())
    assert outputs(lowered.proto, x[:count]).shape == (count, 5)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_inputs_of_one_sign(sign):
    proto = IDIOMS["residual"]()
    model, lowered, x = made(proto, sign * (np.abs(samples_for(proto)) + 1.0))
    assert compare(model.proto, lowered.proto, x).relative_error < 0.05


# What is in integer


@pytest.mark.parametrize("idiom", sorted(set(IDIOMS) - {"transposed"}))
def test_onnx_runtime_runs_every_multiplication_in_integer(idiom):
    model, lowered, x = made(IDIOMS[idiom]())
    coverage = int8_coverage(model, lowered, x)
    assert coverage.macs == coverage.convolution_macs == 1.0, coverage.in_float
    assert coverage.measured
    assert lowered.stays_float == {}


def test_what_stays_float_is_named_with_the_reason():
    model, lowered, x = made(IDIOMS["transposed"]())
    coverage = int8_coverage(model, lowered, x)
    (left,) = coverage.in_float
    assert left.operator == "ConvTranspose"
    assert left.why_float == "ONNX Runtime has no integer ConvTranspose"
    assert coverage.macs < 1
    _, lowered, _ = made(IDIOMS["transposed"](), lower=lower_trt)
    assert int8_coverage(model, lowered, x).macs == 1.0


@pytest.mark.parametrize("lower", LOWERINGS.values(), ids=LOWERINGS)
def test_layers_may_stay_float(lower):
    model, _, x = made(IDIOMS["residual"]())
    first = next(n.name for n in model.proto.graph.node if n.op_type == "Conv")
    lowered = lower(model, calibrate(model, x).spec, skip=[first])
    assert lowered.stays_float == {first: "left in float as asked"}
    assert [each.name for each in int8_coverage(model, lowered, x).in_float] == [first]


def test_scales_that_do_not_fit_leave_the_layer_in_float():
    model, _, x = made(IDIOMS["gemm"]())
    spec = calibrate(model, x).spec
    name = next(iter(spec.weights))
    spec.weights[name] = WeightScales(scales=(1.0,), axis=0)
    (reason,) = lower_ort_x86(model, spec).stays_float.values()
    assert "do not fit" in reason


# Scales and integers


def test_scales_of_the_spec_land_exactly_in_the_file():
    model = read_float_model(IDIOMS["residual"]())
    spec = calibrate(model, samples_for(model.proto)).spec
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


@pytest.mark.parametrize("lower", LOWERINGS.values(), ids=LOWERINGS)
def test_scales_are_never_zero(lower):
    """Of channels of zeros, tensors of zeros, negative ones, and weights too small to divide by."""
    net = Net()
    weight = net.rng.normal(size=(8, 4, 3, 3)).astype(np.float32)
    weight[1], weight[2] = 0, 1e-42
    dead = np.full((8, 8, 3, 3), -1e-3, np.float32)
    body = net.relu(net.conv("x", 4, 8, weight=net.constant(weight)))
    below = net.node("Neg", net.relu(net.conv(body, 8, 8)))
    nothing = net.node("Mul", below, net.constant(np.float32(0)))
    again = net.relu(net.conv(nothing, 8, 8, weight=net.constant(dead)))
    model, lowered, x = made(net.head(net.conv(again, 8, 8)), lower=lower)
    scales = [v for name, v in constants(lowered.proto).items() if name.endswith("__scale")]
    assert len(scales) > 6
    for found in scales:
        assert np.isfinite(found).all()
        assert (found >= np.finfo(np.float32).tiny).all()
    for level in LEVELS:
        assert np.isfinite(outputs(lowered.proto, x, level)).all()
    assert compare(model.proto, lowered.proto, x).relative_error < 0.05


@pytest.mark.parametrize("small", [1e-9, 1e-12])
@pytest.mark.parametrize("lower", LOWERINGS.values(), ids=LOWERINGS)
def test_a_bias_that_int32_could_not_hold_makes_its_channel_coarser(small, lower):
    weight = np.full((2, 4, 3, 3), 0.1, np.float32)
    weight[1] = small
    net = Net()
    bias = net.constant(np.float32([0.5, 100.0]))
    out = net.node("Conv", "x", net.constant(weight), bias, pads=[1] * 4)
    model, lowered, x = made(net.model(out), lower=lower)
    assert compare(model.proto, lowered.proto, x).relative_error < 0.01


def test_shared_weights_are_one_integer_constant():
    _, lowered, _ = made(IDIOMS["shared"]())
    integers = [v for n, v in constants(lowered.proto).items() if n.endswith("__integer")]
    assert sum(values.shape == (8, 8, 3, 3) for values in integers) == 1


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_fewer_bits_saturate_at_their_ends(bits):
    model, whole, x = made(IDIOMS["residual"]())
    _, lowered, _ = made(IDIOMS["residual"](), activation_bits=bits, weight_bits=bits)
    assert lowered.simulated and not whole.simulated
    integers = [v for n, v in constants(lowered.proto).items() if n.endswith("__integer")]
    weights = [values for values in integers if values.dtype == np.int8]
    assert max(np.abs(values).max() for values in weights) == 2 ** (bits - 1) - 1
    names = [n.output[0] for n in lowered.proto.graph.node if n.op_type == "QuantizeLinear"]
    watched = with_outputs(lowered.proto, names)
    for found in open_session(watched, level="NONE").run(None, {"x": 3 * x}):
        assert found.dtype == np.uint8
        assert len(np.unique(found)) <= 2**bits
    worse, error = (compare(model.proto, m.proto, x).relative_error for m in (lowered, whole))
    assert worse > 4 * error


# What is refused


def test_a_wrong_name_to_skip_is_told_the_nearest():
    model, _, x = made(IDIOMS["residual"]())
    first = next(n.name for n in model.proto.graph.node if n.op_type == "Conv")
    with pytest.raises(errors.InputError) as caught:
        lower_ort_x86(model, calibrate(model, x).spec, skip=[first + "x"])
    assert repr(first) in caught.value.remedy


def test_a_spec_of_another_model_is_refused():
    model = read_float_model(IDIOMS["residual"]())
    other = read_float_model(IDIOMS["matmul"]())
    spec = calibrate(other, samples_for(other.proto)).spec
    with pytest.raises(errors.InputError, match=r"not a tensor of|not tensors of"):
        lower_ort_x86(model, spec)


def test_a_file_that_can_not_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    _, lowered, _ = made(IDIOMS["gemm"]())
    path = tmp_path / "model.onnx"
    lowered.save(path)
    assert onnx.load(path) == lowered.proto
    before = path.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(errors.WriteError, match="No space left"):
        lowered.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
