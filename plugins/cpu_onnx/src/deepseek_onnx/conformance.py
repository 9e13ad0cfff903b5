"""Its promises as tests: `ds-sdk check-plugin cpu_onnx` runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deepseek_core import Artifact, Operation, Stage
from deepseek_core.testing import DeviceCase, DeviceConformance, FrontendConformance
from deepseek_onnx.frontend import whole_model_stage

_WIDTH = 4
_WEIGHTS = np.arange(_WIDTH * _WIDTH, dtype=np.float32).reshape(_WIDTH, _WIDTH) - 7


def _model() -> onnx.ModelProto:
    """y[n, 4] = max(x[n, 4] @ weights, 0), in whole numbers."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", _WIDTH]) for n in "xy")
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["product"], name="matmul"),
        helper.make_node("Relu", ["product"], ["y"], name="relu"),
    ]
    weights = numpy_helper.from_array(_WEIGHTS, "weights")
    graph = helper.make_graph(nodes, "perceptron", [x], [y], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _artifact() -> Artifact:
    return Artifact.from_bytes(_model().SerializeToString(), format="onnx")


class TestCpu(DeviceConformance):
    """ONNX Runtime on the CPU."""

    plugin = "cpu_onnx"
    name = "onnx_cpu"
    device_id = "onnx:cpu"
    # Of ONNX Runtime 1.20 to 1.32, which claims these operators and answers otherwise.
    operator_waivers: ClassVar[dict[str, str]] = {
        r"test_dft.*": "errors near zero exceed a tolerance of 1e-7",
        r"test_stft.*": "errors near zero exceed a tolerance of 1e-7",
        r"test_attention_4d_causal_fp16": "one element in 192 is rounded otherwise",
        r"test_attention_4d_with_past_and_present_qk_matmul_bias_[34]d_mask_causal": (
            "the runtime masks before the output of QK"
        ),
        r"test_attention_4d_diff_heads_mask4d_padded_kv": (
            "the runtime refuses padded keys with such a mask, but only when it runs"
        ),
        r"test_convinteger_with_padding": (
            "the runtime refuses a zero point of its shape, but only when it runs"
        ),
        r"test_maxunpool_export_with_output_shape": (
            "the runtime reads indices against the given output shape"
        ),
        r"test_reduce_max_empty_set_bool": "the runtime knows no maximum of no bool",
        r"test_resize_downsample_scales_(cubic|linear)_align_corners": (
            "the runtime rounds the size of the output otherwise"
        ),
    }

    def cases(self) -> Sequence[DeviceCase]:
        """A perceptron of whole numbers, which is exact in any order of summing."""
        x = np.arange(12, dtype=np.float32).reshape(3, _WIDTH) - 5
        right = np.maximum(x @ _WEIGHTS, 0)
        stage = whole_model_stage(_artifact())
        return [DeviceCase(stage=stage, inputs={"x": x}, expected={"y": right})]

    def unsupported(self) -> Stage:
        """A sound model of an operator that nobody has: the artifact is what is loaded."""
        model = _model()
        model.graph.node[1].op_type = "Nonsense"
        artifact = Artifact.from_bytes(model.SerializeToString(), format="onnx")
        operations = [Operation(name="Nonsense", version=17)]
        return attrs.evolve(self.cases()[0].stage, operations=operations, artifact=artifact)


class TestFrontend(FrontendConformance):
    """The reader of ONNX models."""

    plugin = "cpu_onnx"
    name = "onnx"

    def artifacts(self, tmp_path: Path) -> tuple[Sequence[Artifact], Sequence[Artifact]]:
        """A model as bytes and as a file; one cut off, one of another kind, one without outputs."""
        whole = _model().SerializeToString()
        file = tmp_path / "perceptron.onnx"
        file.write_bytes(whole)
        headless = _model()
        del headless.graph.output[:]
        bad = (whole[: len(whole) // 2], b"\x89PNG\r\n\x1a\n", headless.SerializeToString())
        return (
            [_artifact(), Artifact.from_path(file)],
            [Artifact.from_bytes(content, format="onnx") for content in bad],
        )
