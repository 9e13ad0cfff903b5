"""Functions that a file brings along."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import helper

from small_models.building import BOOL, Built, Cases, as_model, floats, node, rows, subgraph, tensor

cases = Cases("functions")

_OWN: Final = "own.functions"
_STANDARD: Final = [helper.make_opsetid("", 18)]
_BOTH: Final = [*_STANDARD, helper.make_opsetid(_OWN, 1)]


def _with(nodes, functions, ir_version: int = 9, inputs=("x",)) -> onnx.ModelProto:
    return as_model(
        nodes,
        [tensor(name, ["N", 3]) for name in inputs],
        [tensor("y", ["N", 3])],
        functions=functions,
        domains={_OWN: 1},
        ir_version=ir_version,
    )


def _function(name, nodes, inputs=("a",), opsets=None, **more) -> onnx.FunctionProto:
    return helper.make_function(_OWN, name, inputs, ["b"], nodes, opsets or _STANDARD, **more)


@cases.add
def one_function() -> Built:
    """A function that is called twice."""
    twice = _function("Twice", [node("Add", ["a", "a"], ["b"])])
    nodes = [node("Twice", ["x"], ["h"], domain=_OWN), node("Twice", ["h"], ["y"], domain=_OWN)]
    return Built(model=_with(nodes, [twice]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def nested_functions() -> Built:
    """A function calls another one, which stands behind it in the file."""
    outer_nodes = [node("Inner", ["a"], ["m"], domain=_OWN), node("Relu", ["m"], ["b"])]
    outer = _function("Outer", outer_nodes, opsets=_BOTH)
    inner = _function("Inner", [node("Neg", ["a"], ["b"])])
    nodes = [node("Outer", ["x"], ["y"], domain=_OWN)]
    return Built(model=_with(nodes, [outer, inner]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def function_with_an_attribute() -> Built:
    """The caller's attribute goes to a node inside."""
    leaky = node("LeakyRelu", ["a"], ["b"])
    leaky.attribute.append(_reference("alpha", "slope"))
    function = _function("Leaky", [leaky], attributes=["slope"])
    nodes = [node("Leaky", ["x"], ["y"], domain=_OWN, slope=0.25)]
    return Built(model=_with(nodes, [function]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def function_with_a_default_attribute() -> Built:
    """The attribute has a default; one call gives it and one does not."""
    leaky = node("LeakyRelu", ["a"], ["b"])
    leaky.attribute.append(_reference("alpha", "slope"))
    default = [helper.make_attribute("slope", 0.5)]
    function = _function("Leaky", [leaky], attribute_protos=default)
    nodes = [
        node("Leaky", ["x"], ["h"], domain=_OWN),
        node("Leaky", ["h"], ["y"], domain=_OWN, slope=0.125),
    ]
    return Built(model=_with(nodes, [function]), inputs=rows("x", 3), axes={"x": 0})


def _reference(name: str, of: str) -> onnx.AttributeProto:
    return onnx.AttributeProto(name=name, ref_attr_name=of, type=onnx.AttributeProto.FLOAT)


@cases.add
def overloads() -> Built:
    """Two functions of one name that differ in their overload (IR version 10)."""
    functions = [
        _function("F", [node("Add", ["a", "a"], ["b"])], overload="double"),
        _function("F", [node("Neg", ["a"], ["b"])], overload="negate"),
    ]
    nodes = [
        node("F", ["x"], ["h"], domain=_OWN, overload="double"),
        node("F", ["h"], ["y"], domain=_OWN, overload="negate"),
    ]
    model = _with(nodes, functions, ir_version=10)
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def function_with_an_input_left_out() -> Built:
    """A caller leaves out the last input of a function."""
    clip = _function("Cut", [node("Clip", ["a", "", "most"], ["b"])], inputs=("a", "most"))
    nodes = [node("Cut", ["x"], ["y"], domain=_OWN)]
    return Built(model=_with(nodes, [clip]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def function_in_a_branch() -> Built:
    """An If whose branch calls a function."""
    twice = _function("Twice", [node("Add", ["a", "a"], ["b"])])
    yes = subgraph("yes", [node("Twice", ["x"], ["r"], domain=_OWN)], (), [tensor("r", ["N", 3])])
    no = subgraph("no", [node("Neg", ["x"], ["r"])], (), [tensor("r", ["N", 3])])
    nodes = [node("If", ["flag"], ["y"], then_branch=yes, else_branch=no)]
    inputs = [tensor("x", ["N", 3]), tensor("flag", [], BOOL)]
    outputs = [tensor("y", ["N", 3])]
    model = as_model(nodes, inputs, outputs, functions=[twice], domains={_OWN: 1})

    def make(rng, items):
        return {"x": floats(rng, items, 3), "flag": np.array(bool(rng.random() < 0.5))}

    return Built(model=model, inputs=make, axes={"x": 0})


@cases.add
def function_that_mixes_items() -> Built:
    """What a function does to the items can be seen only inside it."""
    mean = [
        node("ReduceMean", ["a", "axis"], ["m"], keepdims=1),
        node("Sub", ["a", "m"], ["b"]),
    ]
    axis = node("Constant", [], ["axis"], value_ints=[0])
    function = _function("Center", [axis, *mean])
    nodes = [node("Center", ["x"], ["y"], domain=_OWN)]
    return Built(model=_with(nodes, [function]), inputs=rows("x", 3))


@cases.add
def function_named_as_a_standard_operator() -> Built:
    """A function `Relu` of a domain of its own, which does another thing."""
    function = _function("Relu", [node("Neg", ["a"], ["b"])])
    nodes = [node("Relu", ["x"], ["h"], domain=_OWN), node("Relu", ["h"], ["y"])]
    return Built(model=_with(nodes, [function]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def function_of_an_older_opset() -> Built:
    """The function imports another version of the standard than the model."""
    softmax = node("Softmax", ["a"], ["b"])  # its default axis was another one before 13
    function = _function("S", [softmax], opsets=[helper.make_opsetid("", 13)])
    nodes = [node("S", ["x"], ["y"], domain=_OWN)]
    return Built(model=_with(nodes, [function]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def function_that_nobody_calls() -> Built:
    """A function is there and not used."""
    unused = _function("Unused", [node("Neg", ["a"], ["b"])])
    model = _with([node("Relu", ["x"], ["y"])], [unused])
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def function_whose_tensors_are_named_as_the_callers() -> Built:
    """Inside, `x` and `y` are other tensors than outside."""
    nodes = [node("Neg", ["y"], ["x"]), node("Relu", ["x"], ["b"])]
    function = _function("Turned", nodes, inputs=("y",))
    outer = [node("Turned", ["x"], ["h"], domain=_OWN), node("Add", ["h", "x"], ["y"])]
    return Built(model=_with(outer, [function]), inputs=rows("x", 3), axes={"x": 0})
