"""Sequences, maps and optionals as inputs and outputs."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from small_models.building import (
    BOOL,
    FLOAT,
    INT64,
    ML,
    STRING,
    Built,
    Cases,
    as_model,
    floats,
    node,
    optional,
    rows,
    sequence,
    tensor,
    tensor_type,
)

cases = Cases("containers")


def _pieces(rng, items):
    return {"s": [floats(rng, size + 1, 3) for size in range(items)]}


@cases.add
def sequence_of_items() -> Built:
    """SplitToSequence: one tensor for each item."""
    nodes = [node("SplitToSequence", ["x"], ["y"], axis=0)]
    model = as_model(nodes, [tensor("x", ["N", 3])], [sequence("y")])
    return Built(model=model, inputs=rows("x", 3))


@cases.add
def sequence_of_unequal_tensors() -> Built:
    """SequenceConstruct of tensors of different shapes, with one inserted."""
    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("SequenceConstruct", ["x", "sum"], ["two"]),
        node("SequenceInsert", ["two", "x", "zero"], ["y"]),
    ]
    model = as_model(nodes, [tensor("x", ["N", 3])], [sequence("y")], {"zero": 0})
    return Built(model=model, inputs=rows("x", 3))


@cases.add
def sequence_as_input() -> Built:
    """ConcatFromSequence of what the caller gives."""
    nodes = [node("ConcatFromSequence", ["s"], ["y"], axis=0)]
    return Built(model=as_model(nodes, [sequence("s")], [tensor("y", None)]), inputs=_pieces)


@cases.add
def sequence_handed_through() -> Built:
    """A sequence in and the same sequence out."""
    nodes = [node("Identity", ["s"], ["y"])]
    return Built(model=as_model(nodes, [sequence("s")], [sequence("y")]), inputs=_pieces)


@cases.add
def sequence_that_may_be_empty() -> Built:
    """SequenceLength of a list, which is empty in half of the calls."""
    nodes = [node("SequenceLength", ["s"], ["y"])]

    def make(rng, items):
        return {"s": [floats(rng, 2)] * items if rng.random() < 0.5 else []}

    return Built(model=as_model(nodes, [sequence("s")], [tensor("y", [], INT64)]), inputs=make)


@cases.add
def sequence_beside_tensors() -> Built:
    """A sequence, a number and a tensor go in together."""
    nodes = [
        node("SequenceAt", ["s", "place"], ["one"]),
        node("Add", ["one", "x"], ["y"]),
    ]
    inputs = [sequence("s"), tensor("place", [], INT64), tensor("x", [1, 3])]

    def make(rng, items):
        given = {"place": np.array(items - 1), "x": floats(rng, 1, 3)}
        return {"s": [floats(rng, 2, 3) for _ in range(items)], **given}

    return Built(model=as_model(nodes, inputs, [tensor("y", None)]), inputs=make)


@cases.add
def sequence_of_strings() -> Built:
    """Words one by one, without an axis."""
    nodes = [node("SplitToSequence", ["x"], ["y"], axis=0, keepdims=0)]
    model = as_model(nodes, [tensor("x", ["N"], STRING)], [sequence("y", STRING)])

    def make(rng, items):
        return {"x": np.array([f"word {rng.integers(9)}" for _ in range(items)], object)}

    return Built(model=model, inputs=make)


@cases.add
def scores_by_label() -> Built:
    """ZipMap with strings, as converters of scikit-learn write it."""
    labels = ["setosa", "versicolor", "virginica"]
    return _zip_map(classlabels_strings=labels, key=TensorProto.STRING)


@cases.add
def scores_by_number() -> Built:
    """ZipMap with int64."""
    return _zip_map(classlabels_int64s=[0, 10, 20], key=TensorProto.INT64)


def _zip_map(key: int, **labels) -> Built:
    nodes = [node("Softmax", ["x"], ["p"]), node("ZipMap", ["p"], ["y"], domain=ML, **labels)]
    of = helper.make_map_type_proto(key, tensor_type(FLOAT, []))
    outputs = [helper.make_value_info("y", helper.make_sequence_type_proto(of))]
    model = as_model(nodes, [tensor("x", ["N", 3])], outputs, domains={ML: 3})
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def map_of_strings_as_input() -> Built:
    """DictVectorizer: numbers by word."""
    nodes = [node("DictVectorizer", ["m"], ["y"], domain=ML, string_vocabulary=["a", "b", "c"])]
    kind = helper.make_map_type_proto(TensorProto.STRING, tensor_type(FLOAT, []))
    inputs = [helper.make_value_info("m", kind)]

    def make(rng, items):
        return {"m": {word: float(rng.standard_normal()) for word in "abc"[: 1 + items % 3]}}

    model = as_model(nodes, inputs, [tensor("y", None)], domains={ML: 3})
    return Built(model=model, inputs=make)


@cases.add
def map_of_numbers_as_input() -> Built:
    """CastMap: numbers by number."""
    nodes = [node("CastMap", ["m"], ["y"], domain=ML, map_form="DENSE")]
    kind = helper.make_map_type_proto(TensorProto.INT64, tensor_type(FLOAT, []))
    inputs = [helper.make_value_info("m", kind)]

    def make(rng, items):
        return {"m": {place: float(rng.standard_normal()) for place in range(1 + items % 3)}}

    model = as_model(nodes, inputs, [tensor("y", [1, "n"])], domains={ML: 3})
    return Built(model=model, inputs=make)


@cases.add
def optional_as_input() -> Built:
    """A tensor that is absent in half of the calls: None."""
    nodes = [node("OptionalHasElement", ["o"], ["y"])]
    inputs = [optional("o", tensor_type(FLOAT, ["N"]))]

    def make(rng, items):
        return {"o": floats(rng, items) if rng.random() < 0.5 else None}

    return Built(model=as_model(nodes, inputs, [tensor("y", [], BOOL)]), inputs=make)


@cases.add
def optional_that_is_there() -> Built:
    """OptionalGetElement of a tensor."""
    nodes = [node("OptionalGetElement", ["o"], ["y"])]
    inputs = [optional("o", tensor_type(FLOAT, ["N"]))]
    model = as_model(nodes, inputs, [tensor("y", ["N"])])
    return Built(model=model, inputs=lambda rng, items: {"o": floats(rng, items)})


@cases.add
def optional_sequence_as_input() -> Built:
    """A list that may be absent and is there."""
    of = helper.make_sequence_type_proto(tensor_type())
    nodes = [
        node("OptionalGetElement", ["s"], ["given"]),
        node("ConcatFromSequence", ["given"], ["y"], axis=0),
    ]
    model = as_model(nodes, [optional("s", of)], [tensor("y", None)])
    return Built(model=model, inputs=_pieces)


@cases.add
def optional_as_output() -> Built:
    """A tensor in an optional."""
    nodes = [node("Optional", ["x"], ["y"])]
    outputs = [optional("y", tensor_type(FLOAT, ["N"]))]
    return Built(model=as_model(nodes, [tensor("x", ["N"])], outputs), inputs=rows("x"))


@cases.add
def optional_that_is_absent_as_output() -> Built:
    """None comes out beside a tensor."""
    of = tensor_type(FLOAT, ["N"])
    nodes = [node("Optional", [], ["nothing"], type=of), node("Relu", ["x"], ["y"])]
    outputs = [optional("nothing", of), tensor("y", ["N"])]
    return Built(model=as_model(nodes, [tensor("x", ["N"])], outputs), inputs=rows("x"))
