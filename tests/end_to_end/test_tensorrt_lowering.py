"""What deepseek-compress lowers for TensorRT, deepseek-trt checks and builds."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.lower.trt import lower_trt
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_trt import BuildOptions, Profile, build, check
from deepseek_trt.backends.find import flavors

PROFILES = [Profile.parse("x=1x3x16x16:4x..:8x..")]
TARGETS = ("8.0", "8.6", "8.9", "12.0")


def residual_network():
    """Three convolutions, a residual addition, a linear layer; x of shape (n, 3, 16, 16)."""
    rng = np.random.default_rng(0)
    weights, nodes = {}, []

    def conv(source, name, channels, activation=True):
        weights[f"{name}_w"] = rng.normal(size=(8, channels, 3, 3)).astype(np.float32) * 0.2
        weights[f"{name}_b"] = rng.normal(size=8).astype(np.float32) * 0.1
        out = f"{name}_conv" if activation else name
        inputs = [source, f"{name}_w", f"{name}_b"]
        nodes.append(helper.make_node("Conv", inputs, [out], name=name, pads=[1] * 4))
        if activation:
            nodes.append(helper.make_node("Relu", [out], [name], name=f"{name}_relu"))

    conv("x", "a", 3)
    conv("a", "b", 8)
    conv("b", "c", 8, activation=False)
    weights["fc_w"] = rng.normal(size=(8, 10)).astype(np.float32)
    nodes += [
        helper.make_node("Add", ["c", "a"], ["sum"], name="add"),
        helper.make_node("Relu", ["sum"], ["act"], name="act"),
        helper.make_node("GlobalAveragePool", ["act"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "fc_w"], ["y"], name="fc"),
    ]
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def lowered():
    floats = read_float_model(residual_network())
    samples = np.random.default_rng(1).normal(size=(64, 3, 16, 16)).astype(np.float32)
    spec = calibrate(floats, {"x": samples}, CalibrationSettings(method="minmax")).spec
    return lower_trt(floats, spec).proto, lower_ort_x86(floats, spec).proto


def test_the_file_for_tensorrt_is_taken_and_the_one_for_onnx_runtime_is_not(lowered):
    for_tensorrt, for_onnx_runtime = lowered
    found = check(for_tensorrt, targets=TARGETS, profiles=PROFILES)
    assert found.accepted
    assert "placement" not in {problem.rule for problem in found.problems}
    refused = check(for_onnx_runtime, targets=TARGETS, profiles=PROFILES)
    assert {"zero_point", "int32_dequantize"} <= {problem.rule for problem in refused.problems}


def test_the_file_for_tensorrt_is_built_for_four_kinds_of_gpu(lowered):
    flavor = next(each for each in flavors() if each.name == "tensorrt_rtx")
    if not flavor.available:
        pytest.skip(f"TensorRT-RTX: {flavor.reason}; {flavor.remedy}")
    for targets in (*TARGETS, ",".join(TARGETS)):
        options = BuildOptions(targets=targets, profiles=PROFILES)
        engine = build(lowered[0], options, backend="tensorrt_rtx")
        assert engine.manifest.borders[0].shape == (-1, 3, 16, 16)
        assert not engine.manifest.warnings
