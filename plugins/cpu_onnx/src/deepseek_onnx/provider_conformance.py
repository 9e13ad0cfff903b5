"""What the device of any provider promises: a plugin inherits it, as `deepseek_onnx` does."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deepseek_core import Artifact, Operation, Stage
from deepseek_core.testing import DeviceCase, DeviceConformance
from deepseek_onnx.frontend import whole_model_stage

_WIDTH = 4
_WEIGHTS = np.arange(_WIDTH * _WIDTH, dtype=np.float32).reshape(_WIDTH, _WIDTH) - 7


def perceptron() -> onnx.ModelProto:
    """y[n, 4] = max(x[n, 4] @ weights, 0), in whole numbers."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", _WIDTH]) for n in "xy")
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["product"], name="matmul"),
        helper.make_node("Relu", ["product"], ["y"], name="relu"),
    ]
    weights = numpy_helper.from_array(_WEIGHTS, "weights")
    graph = helper.make_graph(nodes, "perceptron", [x], [y], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def artifact() -> Artifact:
    """The perceptron as bytes."""
    return Artifact.from_bytes(perceptron().SerializeToString(), format="onnx")


class ProviderConformance(DeviceConformance):
    """Inherit it as `Test...` and set `plugin` and `device_id`."""

    def cases(self) -> Sequence[DeviceCase]:
        """A perceptron of whole numbers, which is exact in any order of summing."""
        x = np.arange(12, dtype=np.float32).reshape(3, _WIDTH) - 5
        right = np.maximum(x @ _WEIGHTS, 0)
        stage = whole_model_stage(artifact())
        return [DeviceCase(stage=stage, inputs={"x": x}, expected={"y": right})]

    def unsupported(self) -> Stage:
        """A sound model of an operator that nobody has: the artifact is what is loaded."""
        model = perceptron()
        model.graph.node[1].op_type = "Nonsense"
        artifact = Artifact.from_bytes(model.SerializeToString(), format="onnx")
        operations = [Operation(name="Nonsense", version=17)]
        return attrs.evolve(self.cases()[0].stage, operations=operations, artifact=artifact)
