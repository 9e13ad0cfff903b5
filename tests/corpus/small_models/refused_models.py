"""Models that ONNX Runtime refuses to open: for their versions, their nodes, their types."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from small_models.building import INT64, STRING, as_model, node, subgraph, tensor, weights
from small_models.refusing import Refusals, X, Y, relu

refusals = Refusals()


@refusals.saying("(?i)ir.?version")
def ir_version_of_the_future():
    """IR version 99."""
    model = relu()
    model.ir_version = 99
    return model


@refusals.saying("(?i)opset")
def opset_of_the_future():
    """Opset 99."""
    model = relu()
    model.opset_import[0].version = 99
    return model


@refusals.saying("Relu")
def opset_of_the_past():
    """Relu of opset 1."""
    model = relu()
    model.opset_import[0].version = 1
    return model


@refusals.saying("(?i)opset|domain")
def no_opset():
    """No version of the standard."""
    model = relu()
    del model.opset_import[:]
    return model


# -- nodes ------------------------------------------------------------------------------------


@refusals.saying("Nobody")
def unknown_operator():
    """An operator that nobody knows."""
    return as_model([node("Nobody", ["x"], ["y"])], X, Y)


@refusals.saying("their.own")
def unknown_domain():
    """An operator of a foreign domain."""
    return as_model([node("Theirs", ["x"], ["y"], domain="their.own")], X, Y)


@refusals.saying(r"node name|'a'|\ba\b.*\ba\b")
def two_nodes_of_one_name():
    """Two nodes share a name."""
    nodes = [node("Relu", ["x"], ["h"], name="a"), node("Neg", ["h"], ["y"], name="a")]
    return as_model(nodes, X, Y)


@refusals.saying("(?i)duplicate|twice|two nodes")
def one_tensor_made_twice():
    """Two nodes make one tensor."""
    return as_model([node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])], X, Y)


@refusals.saying("(?i)cycl|circle")
def circle():
    """Two nodes wait for each other."""
    return as_model([node("Add", ["x", "b"], ["y"]), node("Relu", ["y"], ["b"])], X, Y)


@refusals.saying("gone")
def tensor_from_nowhere():
    """A node reads what nobody makes."""
    return as_model([node("Neg", ["h"], ["y"]), node("Relu", ["gone"], ["h"])], X, Y)


@refusals.saying(r"\bz\b")
def output_from_nowhere():
    """An output that nobody makes."""
    return as_model([node("Relu", ["x"], ["y"])], X, [tensor("z", ["N", 3])])


@refusals.saying(r"\bw\b")
def inner_tensor_named_as_an_outer_one():
    """A branch makes a second `w`."""
    inner = subgraph("body", [node("Neg", ["x"], ["w"])], (), [tensor("w", None)])
    nodes = [
        node("If", ["c"], ["h"], then_branch=inner, else_branch=inner),
        node("Add", ["h", "w"], ["y"]),
    ]
    return as_model(nodes, X, Y, {"w": weights(0, 3), "c": np.array(True)})


@refusals.saying("colour")
def unknown_attribute():
    """An attribute that the operator has not."""
    return as_model([node("Relu", ["x"], ["y"], colour=1)], X, Y)


@refusals.saying("Cast")
def attribute_left_out():
    """An attribute that the operator needs."""
    return as_model([node("Cast", ["x"], ["y"])], X, Y)


@refusals.saying("MatMul")
def too_few_inputs():
    """An operator with one input in place of two."""
    return as_model([node("MatMul", ["x"], ["y"])], X, Y)


# -- types ------------------------------------------------------------------------------------


@refusals.saying("int64")
def output_of_another_dtype():
    """The file says int64; it is float."""
    return as_model([node("Relu", ["x"], ["y"])], X, [tensor("y", ["N", 3], INT64)])


@refusals.saying("int64")
def value_info_of_another_dtype():
    """Inside, the file says int64; it is float."""
    model = as_model([node("Relu", ["x"], ["h"]), node("Neg", ["h"], ["y"])], X, Y)
    model.graph.value_info.append(tensor("h", ["N", 3], INT64))
    return model


@refusals.saying("(?i)dimension|shape")
def sizes_that_do_not_fit():
    """[N, 3] times [5, 3]."""
    return as_model([node("MatMul", ["x", "w"], ["y"])], X, Y, {"w": weights(0, 5, 3)})


@refusals.saying("(?i)string")
def operator_of_another_dtype():
    """Relu of strings."""
    ends = [tensor("x", ["N"], STRING)], [tensor("y", ["N"], STRING)]
    return as_model([node("Relu", ["x"], ["y"])], *ends)


@refusals.saying("(?i)complex64")
def complex_numbers():
    """complex64."""
    element = TensorProto.COMPLEX64
    ends = [tensor("x", ["N"], element)], [tensor("y", ["N"], element)]
    return as_model([node("Identity", ["x"], ["y"])], *ends)


@refusals.saying("(?i)size|bytes|length")
def weight_that_is_too_short():
    """Three floats in one byte."""
    stub = TensorProto(data_type=TensorProto.FLOAT, dims=[3], raw_data=b"0")
    return as_model([node("Mul", ["x", "w"], ["y"])], X, Y, {"w": stub})
