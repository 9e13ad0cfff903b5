"""Models of `overhead.py`: of a wanted time, of many inputs, of many nodes, of many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
WIDTH: Final = 8
LARGE: Final = 4096  # rows and columns of a weight of 64 MiB
_OPSETS: Final = [helper.make_opsetid("", 17)]


def perceptron(width: int, layers: int) -> ModelProto:
    """x[N, width] -> y[N, width]: layers of MatMul and Relu."""
    rng = np.random.default_rng(0)
    names = ["x", *(f"h{i}" for i in range(layers - 1)), "y"]
    nodes, weights = [], []
    for i, (before, after) in enumerate(pairwise(names)):
        matrix = rng.standard_normal((width, width)).astype(np.float32) / width
        weights.append(numpy_helper.from_array(matrix, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [before, f"w{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Relu", [f"m{i}"], [after]))
    return _model(nodes, ["x"], width, weights)


def many_inputs(count: int) -> ModelProto:
    """x0 ... [N, 8] -> y[N, 8]: their sum."""
    names = [f"x{i}" for i in range(count)]
    return _model([helper.make_node("Sum", names, ["y"])], names, WIDTH, [])


def many_nodes(count: int) -> ModelProto:
    """x[N, 8] -> y[N, 8]: MatMul, Add, Relu, Sigmoid, and again, `count` nodes in all."""
    rng = np.random.default_rng(0)
    names = ["x", *(f"t{i}" for i in range(count - 1)), "y"]
    shapes = {"MatMul": (WIDTH, WIDTH), "Add": (WIDTH,)}
    nodes, weights = [], []
    for i, (before, after) in enumerate(pairwise(names)):
        op = ("MatMul", "Add", "Relu", "Sigmoid")[i % 4]
        inputs = [before]
        if op in shapes:
            array = rng.standard_normal(shapes[op]).astype(np.float32) / WIDTH
            weights.append(numpy_helper.from_array(array, f"w{i}"))
            inputs.append(f"w{i}")
        nodes.append(helper.make_node(op, inputs, [after], name=f"n{i}"))
    return _model(nodes, ["x"], WIDTH, weights)


def write_large(folder: Path, layers: int, *, external: bool) -> Path:
    """x[N, 4096] -> y[N, 4096], 64 MiB of weights a layer, inside the file or beside it."""
    rng = np.random.default_rng(0)
    names = ["x", *(f"t{i}" for i in range(layers - 1)), "y"]
    nodes = [
        helper.make_node("MatMul", [before, f"w{i}"], [after])
        for i, (before, after) in enumerate(pairwise(names))
    ]
    weights = []
    with (folder / "weights.data").open("wb") as file:
        for i in range(layers):
            array = rng.standard_normal((LARGE, LARGE), dtype=np.float32) / LARGE
            if external:
                weights.append(_reference(f"w{i}", array, file.tell()))
                file.write(array.tobytes())
            else:
                weights.append(numpy_helper.from_array(array, f"w{i}"))
    path = folder / "large.onnx"
    path.write_bytes(_model(nodes, ["x"], LARGE, weights).SerializeToString())
    return path


def _reference(name: str, array: Array, offset: int) -> TensorProto:
    tensor = TensorProto(
        name=name,
        data_type=TensorProto.FLOAT,
        dims=array.shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (
        ("location", "weights.data"),
        ("offset", str(offset)),
        ("length", str(array.nbytes)),
    ):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _model(
    nodes: Sequence[NodeProto], inputs: Sequence[str], width: int, weights: Sequence[TensorProto]
) -> ModelProto:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", width]) for n in inputs]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", width])]
    graph = helper.make_graph(nodes, "overhead", values, made, weights)
    return helper.make_model(graph, ir_version=8, opset_imports=_OPSETS)
