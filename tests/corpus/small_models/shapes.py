"""Shapes that a file does not declare, declares oddly, or declares wrongly."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from small_models.building import INT64, Built, Cases, Shape, as_model, floats, node, rows, tensor

cases = Cases("shapes")


def _relu(given: Shape, made: Shape) -> onnx.ModelProto:
    return as_model([node("Relu", ["x"], ["y"])], [tensor("x", given)], [tensor("y", made)])


@cases.add
def unknown_rank() -> Built:
    """Neither the input nor the output has a rank."""

    def make(rng, items):
        return {"x": floats(rng, *(items,) * int(rng.integers(4)))}

    return Built(model=_relu(None, None), inputs=make)


@cases.add
def unknown_rank_of_output() -> Built:
    """The input is declared, the output is not."""
    return Built(model=_relu(["N", 3], None), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def unknown_rank_of_input() -> Built:
    """The output is declared, the input is not."""
    return Built(model=_relu(None, ["N", 3]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def output_without_a_type() -> Built:
    """The output is a name and nothing else."""
    nodes = [node("Relu", ["x"], ["y"])]
    outputs = [helper.make_empty_tensor_value_info("y")]
    model = as_model(nodes, [tensor("x", ["N", 3])], outputs)
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def dimension_of_minus_one() -> Built:
    """Some exporters write -1 for an unknown size."""
    return Built(model=_relu([-1, 3], [-1, 3]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def dimension_of_zero() -> Built:
    """A size of 0 means 0: the input is empty."""
    return Built(model=_relu([0, 3], [0, 3]), inputs=lambda _, __: {"x": np.zeros((0, 3), "f")})


@cases.add
def dimension_of_minus_one_inside() -> Built:
    """-1 in the middle, behind the items."""
    return Built(model=_relu(["N", -1, 3], ["N", -1, 3]), inputs=rows("x", 4, 3), axes={"x": 0})


@cases.add
def empty_symbol() -> Built:
    """A dimension whose name is the empty text."""
    return Built(model=_relu(["", 3], ["", 3]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def symbol_that_is_a_formula() -> Built:
    """Exporters name sizes by formulas."""
    nodes = [node("Concat", ["x", "x"], ["y"], axis=1)]
    ends = [tensor("x", ["batch", "s0"])], [tensor("y", ["batch", "2*s0"])]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def one_symbol_of_two_sizes() -> Built:
    """Two inputs share a symbol, and ONNX Runtime lets them differ."""
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["z"], ["w"])]
    inputs = [tensor("x", ["N", 3]), tensor("z", ["N", 3])]
    outputs = [tensor("y", ["N", 3]), tensor("w", ["N", 3])]
    return Built(
        model=as_model(nodes, inputs, outputs),
        inputs=lambda rng, items: {"x": floats(rng, items, 3), "z": floats(rng, items + 2, 3)},
    )


@cases.add
def one_symbol_of_two_sizes_in_one_tensor() -> Built:
    """A shape [N, N] that is not square."""
    return Built(model=_relu(["N", "N"], ["N", "N"]), inputs=rows("x", 5))


@cases.add
def one_row_against_many() -> Built:
    """Two inputs share a symbol, and one of them has one row: it is broadcast."""
    nodes = [node("Add", ["x", "z"], ["y"])]
    inputs = [tensor("x", ["N", 3]), tensor("z", ["N", 3])]
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["N", 3])]),
        inputs=lambda rng, items: {"x": floats(rng, 1, 3), "z": floats(rng, items, 3)},
    )


@cases.add
def output_declared_with_another_rank() -> Built:
    """The file says [N]; it is [N, 3]."""
    return Built(model=_relu(["N", 3], ["N"]), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def output_declared_as_a_scalar() -> Built:
    """The file says []; it is [N, 3]."""
    return Built(model=_relu(["N", 3], []), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def no_value_info() -> Built:
    """Nothing is said of what flows inside."""
    return Built(model=_two_nodes(), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def value_info_of_another_shape() -> Built:
    """What flows inside is declared with sizes that it has not."""
    model = _two_nodes(tensor("h", ["N", 7]))
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def value_info_of_another_rank() -> Built:
    """What flows inside is declared with a rank that it has not."""
    model = _two_nodes(tensor("h", ["N"]))
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def value_info_of_strangers() -> Built:
    """Tensors are declared that nobody makes."""
    model = _two_nodes(tensor("gone", ["N", 3], INT64))
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


def _two_nodes(*inside: onnx.ValueInfoProto) -> onnx.ModelProto:
    nodes = [node("Relu", ["x"], ["h"]), node("Neg", ["h"], ["y"])]
    model = as_model(nodes, [tensor("x", ["N", 3])], [tensor("y", ["N", 3])])
    model.graph.value_info.extend(inside)
    return model


@cases.add
def scalars() -> Built:
    """Numbers without an axis."""
    nodes = [node("Add", ["x", "z"], ["y"])]
    return Built(
        model=as_model(nodes, [tensor("x", []), tensor("z", [])], [tensor("y", [])]),
        inputs=lambda rng, _: {"x": np.asarray(floats(rng)), "z": np.asarray(floats(rng))},
    )


@cases.add
def no_items() -> Built:
    """A batch of nothing."""
    return Built(
        model=_relu(["batch", 3], ["batch", 3]), inputs=lambda _, __: {"x": np.zeros((0, 3), "f")}
    )


@cases.add
def nothing_in_an_item() -> Built:
    """Items of size 0."""
    return Built(model=_relu(["batch", "n"], ["batch", "n"]), inputs=rows("x", 0), axes={"x": 0})


@cases.add
def fixed_batch_of_four() -> Built:
    """The file has four items, always."""
    return Built(model=_relu([4, 3], [4, 3]), inputs=lambda rng, _: {"x": floats(rng, 4, 3)})


@cases.add
def fixed_batch_of_one() -> Built:
    """The file has one item, always."""
    return Built(model=_relu([1, 3], [1, 3]), inputs=lambda rng, _: {"x": floats(rng, 1, 3)})


@cases.add
def eight_axes() -> Built:
    """A tensor of rank eight."""
    shape = ["N", 1, 2, 1, 2, 1, 2, 3]
    return Built(model=_relu(shape, shape), inputs=rows("x", 1, 2, 1, 2, 1, 2, 3), axes={"x": 0})


@cases.add
def values_that_are_no_numbers() -> Built:
    """NaN, infinities and minus zero."""
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], "f")
    ends = [tensor("x", ["N", 5])], [tensor("y", ["N", 5])]
    return Built(
        model=as_model([node("Neg", ["x"], ["y"])], *ends),
        inputs=lambda rng, items: {"x": rng.permuted(np.tile(odd, (items, 1)), axis=1)},
        axes={"x": 0},
    )
