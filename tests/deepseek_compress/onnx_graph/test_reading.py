"""Files of strangers as they are read: any opset, folded, refused where they can't be quantized."""

import signal
import subprocess
import sys
import textwrap

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_onnx import IDIOMS, Net, noise, samples_for

from deepseek_compress.lower.coverage import int8_coverage
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.onnx_graph.files import write_whole
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import compare, open_session
from deepseek_compress.onnx_graph.work import macs_by_node
from deepseek_compress.quantize.calibrating import calibrate
from deepseek_core import Artifact, errors


def check_same(before, after, x):
    """The read model computes what the file did."""
    expected, found = (open_session(proto).run(None, {"x": x}) for proto in (before, after))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def lowered(model, x):
    return lower_ort_x86(model, calibrate(model, x).spec)


def kinds(model):
    return [node.op_type for node in model.proto.graph.node]


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 17, 20, 21])
def test_any_opset_is_read_lowered_and_run(opset):
    proto = IDIOMS["residual"](opset=opset)
    x = samples_for(proto)
    model = read_float_model(proto)
    check_same(proto, model.proto, x)
    (found,) = [each.version for each in model.proto.opset_import if not each.domain]
    assert found == max(opset, 13)
    assert any("raised to 13" in note for note in model.notes) == (opset < 13)
    made = lowered(model, x)
    assert made.stays_float == {}
    assert compare(model.proto, made.proto, x).relative_error < 0.05


def test_a_file_bytes_a_proto_and_an_artifact_are_the_same(tmp_path):
    proto = IDIOMS["gemm"]()
    onnx.save(proto, tmp_path / "m.onnx")
    sources = (
        proto,
        proto.SerializeToString(),
        tmp_path / "m.onnx",
        Artifact.from_path(tmp_path / "m.onnx"),
    )
    found = {read_float_model(source).proto.SerializeToString() for source in sources}
    assert len(found) == 1


def test_weights_beside_the_file_are_read(tmp_path):
    proto = IDIOMS["residual"]()
    path = tmp_path / "m.onnx"
    beside = IDIOMS["residual"]()  # what is saved so loses its weights
    onnx.save(beside, path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert (tmp_path / "m.data").stat().st_size > path.stat().st_size // 2
    check_same(proto, read_float_model(path).proto, samples_for(proto))
    with pytest.raises(errors.ArtifactError, match="in no file below the model's folder"):
        read_float_model(path.read_bytes())
    (tmp_path / "m.data").write_bytes(b"short")
    with pytest.raises(errors.ArtifactError, match=r"data of 'c0' can't be read from .*m\.data"):
        read_float_model(path)
    (tmp_path / "m.data").unlink()
    with pytest.raises(errors.ArtifactError, match=r"data of 'c0' can't be read from .*m\.data"):
        read_float_model(path)


def test_a_hub_s_links_lead_to_the_model_and_its_data(tmp_path):
    proto, path = IDIOMS["residual"](), tmp_path / "snapshot" / "model.onnx"
    blobs = tmp_path / "blobs"
    for folder in (blobs, path.parent):
        folder.mkdir()
    onnx.save(
        IDIOMS["residual"](), blobs / "1", save_as_external_data=True, location="m.data",
        size_threshold=0,
    )  # fmt: skip
    path.symlink_to("../blobs/1")
    (path.parent / "m.data").symlink_to("../blobs/2")
    (blobs / "m.data").rename(blobs / "2")
    check_same(proto, read_float_model(path).proto, samples_for(proto))
    (blobs / "2").rename(tmp_path / "2")
    (blobs / "2").symlink_to(tmp_path / "2")
    with pytest.raises(errors.ArtifactError, match="in no file below the model's folder"):
        read_float_model(path)


def test_the_given_model_is_not_changed():
    for opset in (11, 17):
        proto = IDIOMS["residual"](opset=opset)
        before = proto.SerializeToString()
        lowered(read_float_model(proto), samples_for(proto))
        assert proto.SerializeToString() == before


# What is folded


def test_constants_identities_and_inputs_with_defaults_are_folded():
    net = Net(opset=9, ir_version=3)
    weight = numpy_helper.from_array(net.rng.normal(size=(4, 4, 3, 3)).astype(np.float32))
    net.nodes.append(helper.make_node("Constant", [], ["w0"], value=weight))
    given = net.node("Identity", net.node("Identity", "w0"))
    out = net.node("Identity", net.relu(net.conv("x", 4, 4, weight=given)))
    proto = net.model(net.relu(net.conv(out, 4, 4)))
    for tensor in proto.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
        proto.graph.input.append(value)
    model = read_float_model(proto)
    assert kinds(model) == ["Conv", "Relu"] * 2
    assert [value.name for value in model.proto.graph.input] == ["x"]
    assert any("inputs that had default values became constants" in note for note in model.notes)
    check_same(proto, model.proto, samples_for(proto))


@pytest.mark.parametrize("group", [1, 2])
def test_normalization_is_folded_into_each_kind_of_layer(group):
    net = Net()
    first = net.normalized(net.conv("x", 4, 8, bias=False), 8)
    weight = net.drawn(8, 6 // group, 2, 2)
    up = net.node("ConvTranspose", first, weight, group=group, strides=[2, 2])
    pooled = net.node("Flatten", net.pool(net.normalized(up, 6)))
    proto = net.model(net.normalized(net.gemm(pooled, 6, 5), 5))
    model = read_float_model(proto)
    assert "BatchNormalization" not in kinds(model)
    check_same(proto, model.proto, samples_for(proto))


def test_a_weight_along_different_axes_becomes_one_weight_each():
    net = Net(["N", 8])
    weight = net.drawn(8, 8)
    proto = net.model(net.node("Gemm", net.node("MatMul", "x", weight), weight, transB=1))
    model, x = read_float_model(proto), noise(32, 8)
    check_same(proto, model.proto, x)
    assert {kept.axis for kept in calibrate(model, x).spec.weights.values()} == {0, 1}


def in_half(proto):
    """The whole network in half precision, its input too."""
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return proto


def test_half_precision_is_quantized_as_it_is_computed():
    """ONNX Runtime computes it in float32 on CPUs; inputs and outputs stay as they are."""
    proto = in_half(IDIOMS["residual"]())
    x = samples_for(proto).astype(np.float16)
    model = read_float_model(proto)
    assert "constants of other types became float32" in model.notes
    made = lowered(model, x)
    assert made.stays_float == {}
    assert int8_coverage(model, made, x).macs == 1.0
    expected = open_session(proto).run(None, {"x": x})[0]
    found = open_session(made.proto).run(None, {"x": x})[0]
    assert found.dtype == np.float16
    assert np.abs(found - expected).max() <= 0.1 * np.abs(expected).max()


def test_layers_of_half_precision_are_quantized_from_float32():
    net = Net()
    half = net.node("Cast", "x", to=TensorProto.FLOAT16)
    weight = net.constant(net.rng.normal(size=(4, 4, 3, 3)).astype(np.float16))
    out = net.node("Conv", half, weight)
    proto = net.model(net.node("Cast", out, to=TensorProto.FLOAT))
    model, x = read_float_model(proto), samples_for(proto)
    check_same(proto, model.proto, x)
    made = lowered(model, x)
    assert made.stays_float == {}
    assert compare(model.proto, made.proto, x).relative_error < 0.05


def test_multiply_accumulates_are_counted_from_shapes():
    proto = IDIOMS["depthwise"]()
    found = macs_by_node(read_float_model(proto).proto, samples_for(proto))
    expected = [4 * 8 * 64, 8 * 9 * 64, 8 * 8 * 64, 8 * 5]
    assert sorted(found.values()) == sorted(expected)


# What is refused


def test_quantized_files_are_refused_by_the_node():
    model = read_float_model(IDIOMS["residual"]())
    made = lowered(model, samples_for(model.proto))
    with pytest.raises(errors.InputError, match=r"quantized already: node .* is a "):
        read_float_model(made.proto)


WHOLE = IDIOMS["residual"]().SerializeToString()


@pytest.mark.parametrize(
    "content",
    [b"", b"no model", b"\x08\x08" * 9, WHOLE[: len(WHOLE) // 2]],
    ids=["empty", "text", "numbers", "cut"],
)
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(errors.ArtifactError):
        read_float_model(tmp_path / "m.onnx")


def test_missing_files_and_unknown_operators_are_told(tmp_path):
    with pytest.raises(errors.ArtifactError, match="no such file"):
        read_float_model(tmp_path / "none.onnx")
    net = Net([1, 3, 4, 4])
    with pytest.raises(errors.ArtifactError, match="NoSuchOperator"):
        read_float_model(net.model(net.node("NoSuchOperator", "x")))


# What is written


def test_a_killed_writer_leaves_the_file_before(tmp_path):
    path = tmp_path / "m.onnx"
    write_whole(path, b"before")
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from deepseek_compress.onnx_graph.files import write_whole
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        write_whole(Path(sys.argv[1]), b"x" * 1000)
    """)
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"
    (left,) = set(tmp_path.iterdir()) - {path}
    assert left.suffix == ".part"  # what nobody takes for a model


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(errors.WriteError, match="can't be written"):
        write_whole(tmp_path / "none" / "m.onnx", b"x")
