"""What training, tools and people leave in a file; and random operators."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from small_models.building import (
    BOOL,
    Built,
    Cases,
    as_constant,
    as_model,
    floats,
    node,
    rows,
    tensor,
    weights,
)

cases = Cases("leftovers")

_SEED: Final = "the numbers go on from run to run of a session, and each session has its own"


def _relu(*constants: onnx.TensorProto) -> onnx.ModelProto:
    model = as_model([node("Relu", ["x"], ["y"])], [tensor("x", ["N", 3])], [tensor("y", ["N", 3])])
    model.graph.initializer.extend(constants)
    return model


@cases.add
def metadata() -> Built:
    """Properties of the model, its producer, its version."""
    model = _relu()
    model.producer_name, model.producer_version = "tool", "1.0"
    model.domain, model.model_version = "org.example", 7
    helper.set_model_props(model, {"author": "né", "labels": '{"0": "cat"}', "empty": ""})
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def doc_strings() -> Built:
    """Texts everywhere, with line breaks and without an end."""
    model = _relu()
    text = "line\n" * 500
    for part in (model, model.graph, model.graph.node[0], model.graph.input[0]):
        part.doc_string = text
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def metadata_of_nodes() -> Built:
    """Properties of nodes and the graph, as exporters of PyTorch write since IR version 10."""
    model = _relu()
    model.ir_version = 10
    for part in (model.graph.node[0], model.graph, model.graph.input[0]):
        part.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File ...")
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def quantization_annotations() -> Built:
    """The graph tells of scales that nobody reads."""
    model = _relu(as_constant("s", np.float32(0.1)))
    note = model.graph.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="s")
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def denotations_of_axes() -> Built:
    """Axes with a meaning beside their names."""
    model = _relu()
    model.graph.input[0].type.denotation = "TENSOR"
    model.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def initializer_that_nobody_reads() -> Built:
    """A weight that was forgotten."""
    model = _relu(as_constant("forgotten", weights(0, 100)))
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def initializer_by_values() -> Built:
    """Numbers as a list in place of raw bytes."""
    w = helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    model = as_model([node("Mul", ["x", "w"], ["y"])], *ends, {"w": w})
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def sparse_initializer() -> Built:
    """A weight of which only some values are stored."""
    values = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.5, -2.0])
    places = helper.make_tensor("places", TensorProto.INT64, [2], [1, 5])
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 2])]
    model = as_model([node("MatMul", ["x", "w"], ["y"])], *ends)
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [3, 2]))
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def sparse_constant() -> Built:
    """A Constant node with a sparse value."""
    values = helper.make_tensor("v", TensorProto.FLOAT, [2], [1.5, -2.0])
    places = helper.make_tensor("places", TensorProto.INT64, [2], [1, 5])
    sparse = helper.make_sparse_tensor(values, places, [3, 2])
    nodes = [node("Constant", [], ["w"], sparse_value=sparse), node("MatMul", ["x", "w"], ["y"])]
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 2])]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 3), axes={"x": 0})


@cases.add
def dropout_at_rest() -> Built:
    """Dropout that does nothing, with its mask as an output."""
    nodes = [node("Dropout", ["x"], ["y", "mask"])]
    outputs = [tensor("y", ["N", 3]), tensor("mask", ["N", 3], BOOL)]
    model = as_model(nodes, [tensor("x", ["N", 3])], outputs)
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def dropout_in_training() -> Built:
    """Dropout with training_mode, which is an input."""
    nodes = [node("Dropout", ["x", "ratio", "training"], ["y"])]
    inputs = [tensor("x", ["N", 3]), tensor("training", [], BOOL)]
    model = as_model(nodes, inputs, [tensor("y", ["N", 3])], {"ratio": np.float32(0.5)})

    def make(rng, items):
        return {"x": floats(rng, items, 3), "training": np.array(True)}

    return Built(model=model, inputs=make, random=_SEED)


@cases.add
def information_for_training() -> Built:
    """The file has a part for training beside the one that is run."""
    model = _relu()
    step = helper.make_graph([], "step", [], [])
    model.training_info.append(helper.make_training_info(step, [], step, []))
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


# -- random operators -------------------------------------------------------------------------


@cases.add
def random_numbers() -> Built:
    """RandomUniform without a seed."""
    nodes = [node("RandomUniform", [], ["noise"], shape=[3]), node("Add", ["x", "noise"], ["y"])]
    return _noisy(nodes)


@cases.add
def random_numbers_with_a_seed() -> Built:
    """RandomNormalLike with a seed: each session begins with the same numbers and goes on."""
    return _noisy([node("RandomNormalLike", ["x"], ["y"], seed=7.0)])


@cases.add
def random_choices() -> Built:
    """Multinomial: numbers of classes by chance."""
    return _noisy([node("Multinomial", ["x"], ["y"], sample_size=3)], TensorProto.INT32)


@cases.add
def random_bits() -> Built:
    """Bernoulli of probabilities."""
    return _noisy([node("Sigmoid", ["x"], ["p"]), node("Bernoulli", ["p"], ["y"])])


def _noisy(nodes: list[onnx.NodeProto], element: int = TensorProto.FLOAT) -> Built:
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3], element)]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 3), random=_SEED)
