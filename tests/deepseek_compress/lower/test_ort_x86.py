"""int8 files for ONNX Runtime: everything heavy in integer, equal at each level of optimization."""

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from small_onnx import IDIOMS, Net, samples_for, with_head

from deepseek_compress.lower.coverage import int8_coverage
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import compare, open_session
from deepseek_compress.qspec import WeightScales
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_core import errors

LEVELS = ("NONE", "BASIC", "EXTENDED", "ALL")


def made(proto, x=None, **settings):
    """A float model, its int8 form, and the samples."""
    model = read_float_model(proto)
    x = samples_for(model.proto) if x is None else x
    spec = calibrate(model, x, CalibrationSettings(**settings)).spec
    return model, lower_ort_x86(model, spec), x


def outputs(proto, x, level="ALL"):
    return open_session(proto, level=level).run(None, {"x": x})[0]


@pytest.mark.parametrize("idiom", sorted(set(IDIOMS) - {"transposed"}))
def test_all_multiplications_are_integer(idiom):
    model, lowered, x = made(IDIOMS[idiom]())
    coverage = int8_coverage(model, lowered, x)
    assert coverage.macs == 1.0, coverage.in_float
    assert lowered.stays_float == {}


def test_a_transposed_convolution_stays_float_and_says_why():
    model, lowered, x = made(IDIOMS["transposed"]())
    (left,) = int8_coverage(model, lowered, x).in_float
    assert left.operator == "ConvTranspose"
    assert left.why_float == "ONNX Runtime has no integer ConvTranspose"


@pytest.mark.parametrize("idiom", IDIOMS)
def test_levels_of_optimization_agree(idiom):
    _, lowered, x = made(IDIOMS[idiom]())
    plain = outputs(lowered.proto, x, "NONE")
    step = np.abs(plain).max() / 127
    for level in LEVELS[1:]:
        found = outputs(lowered.proto, x, level)
        assert np.abs(found - plain).max() <= 3 * step, level
        assert (found.argmax(-1) == plain.argmax(-1)).mean() >= 0.97, level


@pytest.mark.parametrize("idiom", IDIOMS)
def test_it_is_near_to_float(idiom):
    model, lowered, x = made(IDIOMS[idiom]())
    found = compare(model.proto, lowered.proto, x)
    assert found.relative_error < 0.05


@pytest.mark.parametrize("idiom", ["residual", "concat", "squeeze_excite", "gemm", "matmul"])
def test_it_agrees_with_what_the_standard_says(idiom):
    """The reference evaluator of ONNX does the arithmetic by itself, in numpy."""
    proto = IDIOMS[idiom]()
    proto.opset_import[0].version = 21  # the first that the evaluator knows scales per channel in
    _, lowered, x = made(proto)
    expected = ReferenceEvaluator(lowered.proto).run(None, {"x": x[:16]})[0]
    found = outputs(lowered.proto, x[:16])
    assert np.abs(found - expected).max() <= 3 * np.abs(expected).max() / 127


@pytest.mark.parametrize("count", [1, 3, 64])
def test_the_batch_stays_free(count):
    _, lowered, x = made(IDIOMS["residual"]())
    assert outputs(lowered.proto, x[:count]).shape == (count, 5)


def scales(proto):
    return [numpy_helper.to_array(t) for t in proto.graph.initializer if t.name.endswith("__scale")]


def test_scales_are_never_zero():
    """Of channels of zeros, tensors of zeros, negative ones, and weights too small to divide by."""
    net = Net()
    weight = net.rng.normal(size=(8, 4, 3, 3)).astype(np.float32)
    weight[1], weight[2] = 0, 1e-42
    dead = np.full((8, 8, 3, 3), -1e-3, np.float32)
    body = net.relu(net.conv("x", 8, 4, weight=net.constant(weight)))
    below = net.node("Neg", [net.relu(net.conv(body, 8, 8))])
    nothing = net.node("Mul", [below, net.constant(np.float32(0))])
    again = net.relu(net.conv(nothing, 8, 8, weight=net.constant(dead)))
    proto = with_head(net, net.conv(again, 8, 8))
    _, lowered, x = made(proto)
    assert len(scales(lowered.proto)) > 6
    for found in scales(lowered.proto):
        assert np.isfinite(found).all()
        assert (found >= np.finfo(np.float32).tiny).all()
    for level in LEVELS:
        assert np.isfinite(outputs(lowered.proto, x, level)).all()


def test_a_bias_larger_than_its_products_is_kept():
    net = Net()
    weight = net.constant(np.full((8, 4, 3, 3), 1e-9, np.float32))
    conv = net.conv("x", 8, 4, weight=weight)
    net.constants[-1].CopyFrom(numpy_helper.from_array(np.full(8, 3.0, np.float32), "c1"))
    model, lowered, x = made(with_head(net, net.relu(conv)))
    assert compare(model.proto, lowered.proto, x).relative_error < 0.02


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_inputs_of_one_sign(sign):
    proto = IDIOMS["residual"]()
    x = sign * (np.abs(samples_for(proto)) + 1.0)
    model, lowered, x = made(proto, x)
    assert compare(model.proto, lowered.proto, x).relative_error < 0.05


def test_shared_weights_are_one_integer_constant():
    _, lowered, _ = made(IDIOMS["shared"]())
    integers = [t for t in lowered.proto.graph.initializer if t.name.endswith("__integer")]
    assert sum(list(t.dims) == [8, 8, 3, 3] for t in integers) == 1


@pytest.mark.parametrize("bits", [2, 4])
def test_fewer_bits_saturate_at_their_ends(bits):
    _, lowered, x = made(IDIOMS["residual"](), activation_bits=bits, weight_bits=bits)
    assert lowered.simulated
    weights = [
        numpy_helper.to_array(t)
        for t in lowered.proto.graph.initializer
        if t.name.endswith("__integer") and t.data_type == 3
    ]
    assert max(np.abs(w).max() for w in weights) == 2 ** (bits - 1) - 1
    names = [n.output[0] for n in lowered.proto.graph.node if n.op_type == "QuantizeLinear"]
    from deepseek_compress.onnx_graph.running import with_outputs

    watched = with_outputs(lowered.proto, names)
    for found in open_session(watched, level="NONE").run(None, {"x": 3 * x}):
        assert found.dtype == np.uint8
        assert len(np.unique(found)) <= 2**bits


def test_layers_may_stay_float():
    model, _, x = made(IDIOMS["residual"]())
    first = next(n.name for n in model.proto.graph.node if n.op_type == "Conv")
    spec = calibrate(model, x).spec
    lowered = lower_ort_x86(model, spec, skip=[first])
    assert lowered.stays_float == {first: "left in float as asked"}
    assert [la.name for la in int8_coverage(model, lowered, x).in_float] == [first]


def test_a_wrong_name_to_skip_is_told_the_nearest():
    model, _, x = made(IDIOMS["residual"]())
    first = next(n.name for n in model.proto.graph.node if n.op_type == "Conv")
    with pytest.raises(errors.InputError) as caught:
        lower_ort_x86(model, calibrate(model, x).spec, skip=[first + "x"])
    assert repr(first) in caught.value.remedy


def test_a_spec_of_another_model_is_refused():
    model, _, _ = made(IDIOMS["residual"]())
    other = read_float_model(IDIOMS["matmul"]())
    spec = calibrate(other, samples_for(other.proto)).spec
    with pytest.raises(errors.InputError, match="no tensor of the model"):
        lower_ort_x86(model, spec)


def test_scales_that_do_not_fit_leave_the_layer_in_float():
    model, _, x = made(IDIOMS["gemm"]())
    spec = calibrate(model, x).spec
    name = next(iter(spec.weights))
    spec.weights[name] = WeightScales(scales=(1.0,), axis=0)
    (reason,) = lower_ort_x86(model, spec).stays_float.values()
    assert "do not fit" in reason


def test_a_killed_writer_leaves_nothing(tmp_path, monkeypatch):
    """Neither a part of the file nor a change of the one before."""
    _, lowered, _ = made(IDIOMS["gemm"]())
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(errors.WriteError, match="No space left"):
        lowered.save(path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
