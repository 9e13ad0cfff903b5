"""Small models for the tests of this folder."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deepseek_core import Artifact, Stage
from deepseek_onnx.frontend import whole_model_stage


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[str | onnx.ValueInfoProto],
    initializers: dict[str, np.ndarray] | None = None,
    *,
    functions: Sequence[onnx.FunctionProto] = (),
    opset: int = 17,
    ir_version: int = 8,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        inputs,
        [helper.make_empty_tensor_value_info(o) if isinstance(o, str) else o for o in outputs],
        [numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=ir_version, functions=functions
    )


def tensor(name: str, shape: Sequence[int | str | None], dtype: int = TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def as_artifact(model: onnx.ModelProto) -> Artifact:
    return Artifact.from_bytes(model.SerializeToString(), format="onnx")


def as_stage(model: onnx.ModelProto) -> Stage:
    return whole_model_stage(as_artifact(model))


def perceptron(width: int = 8, layers: int = 1, seed: int = 0) -> onnx.ModelProto:
    """x[n, width] -> y[n, width], layers of MatMul and Relu."""
    rng = np.random.default_rng(seed)
    names = ["x", *(f"h{i}" for i in range(layers - 1)), "y"]
    nodes, weights = [], {}
    for i in range(layers):
        weights[f"w{i}"] = rng.standard_normal((width, width)).astype(np.float32) / width
        nodes.append(helper.make_node("MatMul", [names[i], f"w{i}"], [f"m{i}"], name=f"matmul{i}"))
        nodes.append(helper.make_node("Relu", [f"m{i}"], [names[i + 1]]))
    return make_model(nodes, [tensor("x", ["n", width])], ["y"], weights)


def one_node(
    op: str, inputs: Sequence[onnx.ValueInfoProto], *, opset: int = 17, **attributes: object
) -> onnx.ModelProto:
    """A model of one operator with the output `y`."""
    node = helper.make_node(op, [value.name for value in inputs], ["y"], name=op, **attributes)
    return make_model([node], inputs, ["y"], opset=opset)
