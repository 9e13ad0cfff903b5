"""Calls that ONNX Runtime refuses, of models that it opens."""

from __future__ import annotations

import numpy as np

from small_models.building import BOOL, INT64, as_model, node, sequence, subgraph, tensor
from small_models.refusing import Refusals, X, Y, relu

refusals = Refusals()


def _ones(*sizes: int, dtype: str = "float32") -> np.ndarray:
    return np.ones(sizes, dtype)


@refusals.saying(r"\bx\b")
def another_width():
    """[2, 4] for [N, 3]."""
    return relu(), {"x": _ones(2, 4)}


@refusals.saying(r"\bx\b")
def another_rank():
    """[3] for [N, 3]."""
    return relu(), {"x": _ones(3)}


@refusals.saying("(?i)double|float64")
def another_dtype():
    """float64 for float32."""
    return relu(), {"x": _ones(2, 3, dtype="float64")}


@refusals.saying(r"\bx\b")
def an_input_is_missing():
    """Nothing is given."""
    return relu(), {}


@refusals.saying(r"\bq\b")
def an_input_too_many():
    """One that the model has not."""
    return relu(), {"x": _ones(2, 3), "q": _ones(1)}


@refusals.saying("object")
def an_object():
    """No array at all."""
    return relu(), {"x": object()}


@refusals.saying("(?i)reshape")
def reshape_that_does_not_fit():
    """Six values as [7, 7]."""
    model = as_model([node("Reshape", ["x", "s"], ["y"])], X, Y, {"s": [7, 7]})
    return model, {"x": _ones(2, 3)}


@refusals.saying("(?i)indices|bound|range|Gather")
def gather_out_of_range():
    """Row 9 of two."""
    inputs = [*X, tensor("i", [1], INT64)]
    model = as_model([node("Gather", ["x", "i"], ["y"])], inputs, [tensor("y", [1, 3])])
    return model, {"x": _ones(2, 3), "i": np.array([9])}


def _joining():
    nodes = [node("ConcatFromSequence", ["s"], ["y"], axis=0)]
    return as_model(nodes, [sequence("s")], [tensor("y", None)])


@refusals.saying(r"(?i)sequence|\bs\b.*tensor")
def a_tensor_for_a_sequence():
    """An array where a list belongs."""
    return _joining(), {"s": _ones(3)}


@refusals.saying("(?i)concat|rank")
def a_sequence_of_unequal_ranks():
    """A matrix and a row to be joined."""
    return _joining(), {"s": [_ones(2, 3), _ones(3)]}


@refusals.saying("(?i)condition|one element|scalar")
def a_condition_of_two_values():
    """If on two bools."""
    body = subgraph("body", [node("Identity", ["x"], ["r"])], (), [tensor("r", None)])
    nodes = [node("If", ["c"], ["y"], then_branch=body, else_branch=body)]
    model = as_model(nodes, [*X, tensor("c", ["n"], BOOL)], [tensor("y", None)])
    return model, {"x": _ones(2, 3), "c": np.array([True, False])}
