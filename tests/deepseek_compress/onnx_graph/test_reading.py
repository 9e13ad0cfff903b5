"""Files of strangers: old opsets, defaults, external data, normalizations, damage."""

import numpy as np
import onnx
import pytest
from float_nets import Net, pictures, residual
from onnx import TensorProto, helper

from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import compare, open_session
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_core import errors


def same(before, after, samples):
    """The read model computes what the file did."""
    expected = open_session(before).run(None, {"x": samples})
    for a, b in zip(expected, open_session(after).run(None, {"x": samples}), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", [7, 9, 11, 12, 13, 17, 20, 21])
def test_any_opset_is_read_lowered_and_run(version):
    given = residual(opset=version)
    model = read_float_model(given)
    same(given, model.proto, pictures(4))
    found = next(o.version for o in model.proto.opset_import if not o.domain)
    assert found == max(version, 13)
    assert bool(model.notes) == (version < 13)
    spec = calibrate(model, pictures(), CalibrationSettings(outliers="keep")).spec
    lowered = lower_ort_x86(model, spec)
    assert compare(model.proto, lowered.proto, pictures()).relative_error < 0.05


def test_constants_identities_and_inputs_with_defaults_are_folded():
    net = Net(["N", 3, 12, 12], opset=9, ir_version=3)
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    net.nodes.append(
        helper.make_node("Constant", [], ["w0"], value=onnx.numpy_helper.from_array(weight))
    )
    given = net.node("Identity", net.node("Identity", "w0"))
    out = net.node("Identity", net.node("Relu", net.conv("x", 3, 4, weight=given)))
    second = net.node("Relu", net.conv(out, 4, 4))
    proto = net.model(second)
    for tensor in proto.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
        proto.graph.input.append(value)
    model = read_float_model(proto)
    assert [node.op_type for node in model.proto.graph.node] == ["Conv", "Relu"] * 2
    assert [value.name for value in model.proto.graph.input] == ["x"]
    assert any("inputs that had default values" in note for note in model.notes)
    same(proto, model.proto, pictures(4))


@pytest.mark.parametrize("group", [1, 2])
def test_normalization_is_folded_into_each_kind_of_layer(group):
    rng = np.random.default_rng(5)
    net = Net(["N", 4, 6, 6])

    def norm(x, channels):
        values = [rng.normal(size=channels) for _ in range(3)]
        parts = [*values, rng.uniform(0.5, 2, channels)]
        names = [net.constant(part.astype(np.float32)) for part in parts]
        return net.node("BatchNormalization", x, *names)

    a = norm(net.conv("x", 4, 8, bias=False), 8)
    weight = net.constant(rng.normal(size=(8, 6 // group, 2, 2)).astype(np.float32))
    b = norm(net.node("ConvTranspose", a, weight, group=group, strides=[2, 2]), 6)
    pooled = net.node("Flatten", net.node("GlobalAveragePool", b))
    proto = net.model(norm(net.gemm(pooled, 6, 5), 5))
    model = read_float_model(proto)
    assert "BatchNormalization" not in {node.op_type for node in model.proto.graph.node}
    same(proto, model.proto, pictures(3, channels=4, side=6))


def test_external_data_is_read(tmp_path):
    path = tmp_path / "model.onnx"
    given = residual()
    kept = onnx.ModelProto()
    kept.CopyFrom(given)
    onnx.save(given, path, save_as_external_data=True, location="data.bin", size_threshold=0)
    assert (tmp_path / "data.bin").stat().st_size > path.stat().st_size // 2
    same(kept, read_float_model(path).proto, pictures(2))
    (tmp_path / "data.bin").unlink()
    with pytest.raises(errors.ArtifactError):
        read_float_model(path)


def test_a_weight_along_different_axes_becomes_one_weight_each():
    net = Net(["N", 8])
    weight = net.constant(np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32))
    a = net.node("MatMul", "x", weight)
    proto = net.model(net.node("Gemm", a, weight, transB=1))
    model = read_float_model(proto)
    same(proto, model.proto, np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32))
    axes = {
        scales.axis
        for scales in calibrate(
            model, np.random.default_rng(1).normal(size=(32, 8)).astype(np.float32)
        ).spec.weights.values()
    }
    assert axes == {0, 1}


def test_layers_of_half_precision_are_quantized_from_float32():
    net = Net(["N", 3, 12, 12])
    half = net.node("Cast", "x", to=TensorProto.FLOAT16)
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float16)
    out = net.node("Conv", half, net.constant(weight), name="half")
    proto = net.model(net.node("Cast", out, to=TensorProto.FLOAT))
    model = read_float_model(proto)
    same(proto, model.proto, pictures(2))
    lowered = lower_ort_x86(model, calibrate(model, pictures()).spec)
    assert lowered.stays_float == {}
    assert compare(model.proto, lowered.proto, pictures()).relative_error < 0.05


def test_quantized_files_are_refused_by_the_node():
    model = read_float_model(residual())
    spec = calibrate(model, pictures(), CalibrationSettings(outliers="keep")).spec
    with pytest.raises(errors.InputError, match=r"quantized already: node .* is a "):
        read_float_model(lower_ort_x86(model, spec).proto)


def test_damaged_missing_and_empty_files_are_refused(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(errors.ArtifactError, match="can't be read"):
        read_float_model(path)
    content = residual().SerializeToString()
    for damaged in (b"", b"no model at all", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(errors.ArtifactError):
            read_float_model(path)
    net = Net([1, 3, 4, 4])
    proto = net.model(net.node("NoSuchOperator", "x"))
    with pytest.raises(errors.ArtifactError, match="NoSuchOperator"):
        read_float_model(proto)


def test_the_given_model_stays_as_it_is():
    given = residual(opset=11)
    before = given.SerializeToString()
    read_float_model(given)
    assert given.SerializeToString() == before
