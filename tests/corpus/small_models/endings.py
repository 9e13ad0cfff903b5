"""Inputs and outputs that are no plain ends of a chain of nodes."""

from __future__ import annotations

import onnx

from small_models.building import (
    BOOL,
    Built,
    Cases,
    as_model,
    floats,
    node,
    rows,
    tensor,
    weights,
)

cases = Cases("endings")


def _ends(*outputs: str) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    return [tensor("x", ["N", 3])], [tensor(name, ["N", 3]) for name in outputs]


@cases.add
def output_that_is_an_input() -> Built:
    """An input is listed among the outputs."""
    model = as_model([node("Relu", ["x"], ["y"])], *_ends("y", "x"))
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def output_that_flows_on() -> Built:
    """An output is also an input of a later node."""
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["y"], ["z"])]
    return Built(model=as_model(nodes, *_ends("y", "z")), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def one_tensor_under_three_names() -> Built:
    """Chains of Identity: three outputs are the same tensor."""
    nodes = [
        node("Relu", ["x"], ["h"]),
        node("Identity", ["h"], ["y"]),
        node("Identity", ["y"], ["z"]),
        node("Identity", ["h"], ["w"]),
    ]
    return Built(model=as_model(nodes, *_ends("y", "z", "w")), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def input_handed_through_by_identity() -> Built:
    """Nothing but Identity."""
    model = as_model([node("Identity", ["x"], ["y"])], *_ends("y"))
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def one_output_listed_twice() -> Built:
    """The same name stands twice among the outputs."""
    model = as_model([node("Relu", ["x"], ["y"])], *_ends("y", "y"))
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def output_that_is_an_initializer() -> Built:
    """A constant of the file is an output."""
    inputs, outputs = _ends("y")
    outputs.append(tensor("w", [3]))
    model = as_model([node("Add", ["x", "w"], ["y"])], inputs, outputs, {"w": weights(0, 3)})
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def output_of_a_constant() -> Built:
    """A Constant node's value is an output."""
    value = onnx.numpy_helper.from_array(weights(0, 3))
    nodes = [node("Constant", [], ["c"], value=value), node("Add", ["x", "c"], ["y"])]
    inputs, outputs = _ends("y")
    model = as_model(nodes, inputs, [*outputs, tensor("c", [3])])
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def no_nodes() -> Built:
    """The input is the output and there is nothing between."""
    return Built(model=as_model([], *_ends("x")), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def no_nodes_and_no_inputs() -> Built:
    """Only an initializer comes out."""
    model = as_model([], [], [tensor("w", [3])], {"w": weights(0, 3)})
    return Built(model=model, inputs=lambda _, __: {})


@cases.add
def no_inputs() -> Built:
    """Everything is in the file."""
    model = as_model([node("Relu", ["w"], ["y"])], [], [tensor("y", [3])], {"w": weights(0, 3)})
    return Built(model=model, inputs=lambda _, __: {})


@cases.add
def input_that_nobody_reads() -> Built:
    """A mask is declared and not used."""
    inputs = [tensor("x", ["N", 3]), tensor("mask", ["N"], BOOL)]
    return Built(
        model=as_model([node("Relu", ["x"], ["y"])], inputs, [tensor("y", ["N", 3])]),
        inputs=lambda rng, items: {"x": floats(rng, items, 3), "mask": rng.random(items) < 0.5},
        axes={"x": 0, "mask": 0},
    )


@cases.add
def default_that_is_overridden() -> Built:
    """An input has a default, and it is given."""
    return _with_default(lambda rng: {"hi": floats(rng, 3)})


@cases.add
def default_that_is_left() -> Built:
    """An input has a default, and it is not given."""
    return _with_default(lambda _: {})


@cases.add
def default_that_is_given_at_times() -> Built:
    """An input has a default; some calls give it and some do not."""
    return _with_default(lambda rng: {"hi": floats(rng, 3)} if rng.random() < 0.5 else {})


@cases.add
def default_of_another_size() -> Built:
    """The value that is given has another size than the default."""
    return _with_default(lambda rng: {"hi": floats(rng, 1)}, shape=["K"])


def _with_default(given, shape=(3,)) -> Built:
    inputs = [tensor("x", ["N", 3]), tensor("hi", shape)]
    nodes = [node("Max", ["x", "hi"], ["y"])]
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["N", 3])], {"hi": weights(0, 3)}),
        inputs=lambda rng, items: {"x": floats(rng, items, 3), **given(rng)},
        axes={"x": 0},
    )


@cases.add
def constants_listed_as_inputs() -> Built:
    """IR version 3 lists every initializer among the inputs."""
    inputs = [tensor("x", ["N", 3]), tensor("w", [3, 2])]
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    constants = {"w": weights(0, 3, 2)}
    outputs = [tensor("y", ["N", 2])]
    model = as_model(nodes, inputs, outputs, constants, opset=8, ir_version=3)
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def optional_outputs_left_out() -> Built:
    """An LSTM whose first and last outputs have no name."""
    constants = {"w": weights(0, 1, 8, 3), "r": weights(1, 1, 8, 2)}
    nodes = [node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=2)]
    ends = [tensor("x", ["seq", 1, 3])], [tensor("h", [1, 1, 2])]
    return Built(
        model=as_model(nodes, *ends, constants),
        inputs=lambda rng, items: {"x": floats(rng, items, 1, 3)},
    )


@cases.add
def forty_inputs() -> Built:
    """Forty inputs, one output."""
    names = [f"x{number}" for number in range(40)]
    inputs = [tensor(name, ["N", 2]) for name in names]
    return Built(
        model=as_model([node("Sum", names, ["y"])], inputs, [tensor("y", ["N", 2])]),
        inputs=lambda rng, items: {name: floats(rng, items, 2) for name in names},
        axes=dict.fromkeys(names, 0),
    )


@cases.add
def forty_outputs() -> Built:
    """One input, forty outputs."""
    names = [f"y{number}" for number in range(40)]
    nodes = [node("Split", ["x"], names, axis=1, num_outputs=40)]
    model = as_model(nodes, [tensor("x", ["N", 80])], [tensor(name, ["N", 2]) for name in names])
    return Built(model=model, inputs=rows("x", 80), axes={"x": 0})


@cases.add
def two_models_in_one_file() -> Built:
    """Two chains that have nothing in common."""
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["z"], ["w"])]
    inputs = [tensor("x", ["N", 3]), tensor("z", ["M", 2])]
    outputs = [tensor("y", ["N", 3]), tensor("w", ["M", 2])]
    return Built(
        model=as_model(nodes, inputs, outputs),
        inputs=lambda rng, items: {"x": floats(rng, items, 3), "z": floats(rng, 2, 2)},
    )


@cases.add
def nodes_whose_result_nobody_wants() -> Built:
    """A dead branch, with a constant of its own."""
    nodes = [node("Relu", ["x"], ["y"]), node("Reshape", ["x", "shape"], ["dead"])]
    model = as_model(nodes, *_ends("y"), {"shape": [-1]})
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})
