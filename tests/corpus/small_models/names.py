"""Names that Python, NPZ files or paths know in another sense."""

from __future__ import annotations

from typing import Final

from small_models.building import Built, Cases, as_model, floats, node, tensor

cases = Cases("names")

_PYTHON: Final = (
    "self",
    "inputs",
    "constants",
    "args",
    "kwargs",
    "outputs",
    "run",
    "model",
    "file",
)
_ODD: Final = {
    "a_space": "input ids",
    "slashes": "/encoder/layer.0/x",
    "a_colon": "serving_default_x:0",
    "dots": "x.1",
    "only_a_number": "0",
    "unicode": "输入_ünïcødé",
    "a_quote": 'it\'s "x"',
    "brackets": "x[0]{a}",
    "a_percent_sign": "100%s",
    "a_suffix_of_npy": "x.npy",
    "a_dash_in_front": "--input",
    "the_word_batch": "batch",
    "the_length_of_300": "x" * 300,
}


def _renamed(given: str, made: str) -> Built:
    ends = [tensor(given, ["N", 3])], [tensor(made, ["N", 3])]
    return Built(
        model=as_model([node("Neg", [given], [made])], *ends),
        inputs=lambda rng, items: {given: floats(rng, items, 3)},
        axes={given: 0},
    )


def _beside_items(name: str) -> Built:
    inputs = [tensor("x", ["N", 3]), tensor(name, [3])]
    return Built(
        model=as_model([node("Add", ["x", name], ["y"])], inputs, [tensor("y", ["N", 3])]),
        inputs=lambda rng, items: {"x": floats(rng, items, 3), name: floats(rng, 3)},
        axes={"x": 0},
    )


for _name in _PYTHON:
    _note = f"An input called {_name} that has no items, beside one that has."
    cases.put(f"fixed_input_named_{_name}", _note, _beside_items(_name))
for _name in _PYTHON:
    cases.put(f"input_named_{_name}", f"An input called {_name}.", _renamed(_name, "y"))
for _name in _PYTHON:
    cases.put(f"output_named_{_name}", f"An output called {_name}.", _renamed("x", _name))
for _what, _name in _ODD.items():
    cases.put(
        f"name_with_{_what}", f"Input and output: {_name[:20]}.", _renamed(_name, f"{_name}_")
    )


@cases.add
def nodes_without_names() -> Built:
    """No node has a name."""
    nodes = [node("Relu", ["x"], ["h"]), node("Neg", ["h"], ["y"])]
    for each in nodes:
        each.ClearField("name")
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    return Built(model=as_model(nodes, *ends), inputs=_x, axes={"x": 0})


@cases.add
def node_named_as_a_tensor() -> Built:
    """A node has the name of the input, another one that of the output."""
    nodes = [node("Relu", ["x"], ["h"], name="x"), node("Neg", ["h"], ["y"], name="y")]
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    return Built(model=as_model(nodes, *ends), inputs=_x, axes={"x": 0})


@cases.add
def graph_without_a_name() -> Built:
    """The graph's name is empty."""
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    model = as_model([node("Relu", ["x"], ["y"])], *ends)
    model.graph.name = ""
    return Built(model=model, inputs=_x, axes={"x": 0})


@cases.add
def names_that_differ_in_case() -> Built:
    """Inputs `x` and `X`, outputs `y` and `Y`."""
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["X"], ["Y"])]
    inputs = [tensor("x", ["N", 3]), tensor("X", ["N", 3])]
    outputs = [tensor("y", ["N", 3]), tensor("Y", ["N", 3])]
    return Built(
        model=as_model(nodes, inputs, outputs),
        inputs=lambda rng, items: {"x": floats(rng, items, 3), "X": floats(rng, items, 3)},
        axes={"x": 0, "X": 0},
    )


def _x(rng, items):
    return {"x": floats(rng, items, 3)}
