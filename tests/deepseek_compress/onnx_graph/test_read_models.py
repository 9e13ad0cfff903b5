"""Float models as they are read: any opset, folded, refused where they can't be quantized."""

import signal
import subprocess
import sys
import textwrap

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_onnx import IDIOMS, Net, samples_for, with_head

from deepseek_compress.lower.coverage import int8_coverage
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.onnx_graph.files import write_whole
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import open_session
from deepseek_compress.onnx_graph.work import macs_by_node
from deepseek_compress.quantize.calibrating import calibrate
from deepseek_core import Artifact, errors


def same(before, after, x):
    expected = open_session(before).run(None, {"x": x})[0]
    found = open_session(after).run(None, {"x": x})[0]
    return np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 17, 21])
def test_any_opset_is_read_and_lowered(opset):
    proto = IDIOMS["residual"](opset=opset)
    x = samples_for(proto)
    model = read_float_model(proto)
    assert same(proto, model.proto, x)
    lowered = lower_ort_x86(model, calibrate(model, x).spec)
    assert lowered.stays_float == {}
    assert any("raised to 13" in note for note in model.notes) == (opset < 13)
    open_session(lowered.proto).run(None, {"x": x})


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
    x = samples_for(proto)
    assert (tmp_path / "m.data").stat().st_size > 1000
    assert same(proto, read_float_model(path).proto, x)


def test_missing_weights_beside_the_file_are_told(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(
        IDIOMS["gemm"](), path, save_as_external_data=True, location="m.data", size_threshold=0
    )
    (tmp_path / "m.data").unlink()
    with pytest.raises(errors.ArtifactError):
        read_float_model(path)


def test_what_is_quantized_already_is_refused():
    model = read_float_model(IDIOMS["residual"]())
    lowered = lower_ort_x86(model, calibrate(model, samples_for(model.proto)).spec)
    with pytest.raises(errors.InputError, match="quantized already: node"):
        read_float_model(lowered.proto)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08" * 9])
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(errors.ArtifactError):
        read_float_model(tmp_path / "m.onnx")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(errors.ArtifactError, match="can't be read"):
        read_float_model(tmp_path / "none.onnx")


def test_the_given_model_is_not_changed():
    proto = IDIOMS["residual"]()
    before = proto.SerializeToString()
    model = read_float_model(proto)
    lower_ort_x86(model, calibrate(model, samples_for(proto)).spec)
    assert proto.SerializeToString() == before


def in_half(proto):
    """The whole network in half precision, its input too."""
    found = onnx.ModelProto()
    found.CopyFrom(proto)
    for tensor in found.graph.initializer:
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*found.graph.input, *found.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return found


def test_half_precision_is_quantized_as_it_is_computed():
    """ONNX Runtime computes it in float32 on CPUs; inputs and outputs stay as they are."""
    proto = in_half(IDIOMS["residual"]())
    x = samples_for(proto).astype(np.float16)
    model = read_float_model(proto)
    assert "constants of other types became float32" in model.notes
    lowered = lower_ort_x86(model, calibrate(model, x).spec)
    assert lowered.stays_float == {}
    assert int8_coverage(model, lowered, x).macs == 1.0
    expected = open_session(proto).run(None, {"x": x})[0]
    found = open_session(lowered.proto).run(None, {"x": x})[0]
    assert found.dtype == np.float16
    assert np.abs(found - expected).max() <= 0.1 * np.abs(expected).max()


def normalization(net, x, channels):
    draw = net.rng
    values = [draw.normal(size=channels), draw.normal(size=channels), draw.normal(size=channels)]
    variance = draw.uniform(0.5, 2.0, channels)
    names = [net.constant(v.astype(np.float32)) for v in (*values, variance)]
    return net.node("BatchNormalization", [x, *names])


@pytest.mark.parametrize("group", [1, 2])
def test_normalization_behind_a_transposed_convolution_is_folded(group):
    net = Net()
    up = net.node("ConvTranspose", ["x", net.drawn(4, 8 // group, 2, 2)], group=group)
    proto = with_head(net, net.relu(normalization(net, up, 8)))
    model = read_float_model(proto)
    assert "BatchNormalization" not in {n.op_type for n in model.proto.graph.node}
    assert same(proto, model.proto, samples_for(proto))


def test_inputs_that_only_repeat_initializers_are_constants():
    proto = IDIOMS["gemm"]()
    for tensor in proto.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        proto.graph.input.append(value)
    model = read_float_model(proto)
    assert [value.name for value in model.proto.graph.input] == ["x"]
    assert any("became constants" in note for note in model.notes)


def test_multiply_accumulates_are_counted_from_shapes():
    proto = IDIOMS["depthwise"]()
    found = macs_by_node(read_float_model(proto).proto, samples_for(proto))
    expected = [4 * 8 * 64, 8 * 9 * 64, 8 * 8 * 64, 8 * 5]
    assert sorted(found.values()) == sorted(expected)


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
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"
    (left,) = set(tmp_path.iterdir()) - {path}
    assert left.suffix == ".part"  # what nobody takes for a model


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(errors.WriteError, match="can't be written"):
        write_whole(tmp_path / "none" / "m.onnx", b"x")
