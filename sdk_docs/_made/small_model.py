"""Writes an ONNX model of one Relu, `x[N, 4] -> y`: what pages use when any model will do."""

import sys

import onnx
from onnx import TensorProto, helper

value = helper.make_tensor_value_info
graph = helper.make_graph(
    [helper.make_node("Relu", ["x"], ["y"])],
    "relu",
    [value("x", TensorProto.FLOAT, ["N", 4])],
    [value("y", TensorProto.FLOAT, ["N", 4])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
onnx.save(model, sys.argv[1])
