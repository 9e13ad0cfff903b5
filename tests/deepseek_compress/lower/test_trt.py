"""Files for TensorRT: symmetric, biases in float, nothing inside what becomes one kernel."""

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from small_onnx import IDIOMS, samples_for

from deepseek_compress.lower.coverage import int8_coverage
from deepseek_compress.lower.trt import lower_trt
from deepseek_compress.onnx_graph.graph import GraphIndex
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.quantize.calibrating import calibrate


@pytest.fixture(params=sorted(IDIOMS))
def made(request):
    """A float model, its lowered form, and samples."""
    model = read_float_model(IDIOMS[request.param]())
    x = samples_for(model.proto)
    return model, lower_trt(model, calibrate(model, x).spec), x


def nodes(proto, kind):
    return [node for node in proto.graph.node if node.op_type == kind]


def test_zero_points_are_zero_and_signed(made):
    _, lowered, _ = made
    index = GraphIndex.of(lowered.proto)
    pairs = [*nodes(lowered.proto, "QuantizeLinear"), *nodes(lowered.proto, "DequantizeLinear")]
    assert pairs
    for node in pairs:
        zero = index.constant(node.input[2])
        assert zero.dtype == np.int8
        assert not zero.any()


def test_biases_stay_float(made):
    _, lowered, _ = made
    kinds = {t.data_type for t in lowered.proto.graph.initializer}
    assert TensorProto.INT32 not in kinds
    index = GraphIndex.of(lowered.proto)
    for node in [*nodes(lowered.proto, "Conv"), *nodes(lowered.proto, "Gemm")]:
        assert index.constants[node.input[2]].data_type == TensorProto.FLOAT


def test_nothing_stands_between_a_layer_and_its_activation(made):
    model, lowered, _ = made
    before, after = GraphIndex.of(model.proto), GraphIndex.of(lowered.proto)
    kept = {node.name for node in lowered.proto.graph.node}
    for node in (*nodes(model.proto, "Relu"), *nodes(model.proto, "Clip")):
        maker = before.producers[node.input[0]]
        assert node.name in kept
        now = next(n for n in lowered.proto.graph.node if n.name == node.name)
        if maker.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            assert after.producers[now.input[0]].name == maker.name


def test_both_inputs_of_every_layer_are_quantized(made):
    model, lowered, x = made
    assert lowered.stays_float == {}
    assert int8_coverage(model, lowered, x).macs == 1.0


def test_both_inputs_of_a_residual_addition_are_quantized():
    model = read_float_model(IDIOMS["residual"]())
    lowered = lower_trt(model, calibrate(model, samples_for(model.proto)).spec)
    index = GraphIndex.of(lowered.proto)
    (added,) = nodes(lowered.proto, "Add")
    assert {index.producers[name].op_type for name in added.input} == {"DequantizeLinear"}


def test_weights_have_a_scale_for_each_output_channel(made):
    _, lowered, _ = made
    index = GraphIndex.of(lowered.proto)
    for node in nodes(lowered.proto, "Conv"):
        dequantize = index.producers[node.input[1]]
        integers, scale = (index.constant(name) for name in dequantize.input[:2])
        assert scale.shape == (integers.shape[0],)
        assert numpy_helper.to_array(index.constants[dequantize.input[0]]).dtype == np.int8
