"""Items that know nothing of each other, wherever their axis stands: these may be cut."""

from __future__ import annotations

import numpy as np

from small_models.building import (
    INT64,
    Built,
    Cases,
    as_model,
    floats,
    node,
    rows,
    tensor,
    weights,
)

cases = Cases("items apart")
_FIRST = {"x": 0}


@cases.add
def relu_of_items() -> Built:
    """The plainest model."""
    ends = [tensor("x", ["batch", 3])], [tensor("y", ["batch", 3])]
    model = as_model([node("Relu", ["x"], ["y"])], *ends)
    return Built(model=model, inputs=rows("x", 3), axes=_FIRST)


@cases.add
def matrix_product_of_items() -> Built:
    """A product, an offset and a Gelu: sums whose order may depend on the number of items."""
    nodes = [
        node("MatMul", ["x", "w"], ["m"]),
        node("Add", ["m", "b"], ["a"]),
        node("Gelu", ["a"], ["y"]),
    ]
    constants = {"w": weights(0, 33, 17), "b": weights(1, 17)}
    ends = [tensor("x", ["N", 33])], [tensor("y", ["N", 17])]
    model = as_model(nodes, *ends, constants, opset=20)
    return Built(model=model, inputs=rows("x", 33), axes=_FIRST)


@cases.add
def pictures() -> Built:
    """A convolution with a normalization on pictures [N, 3, 8, 8]."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["n"]),
        node("GlobalAveragePool", ["n"], ["p"]),
        node("Flatten", ["p"], ["y"]),
    ]
    constants = {
        "w": weights(0, 5, 3, 3, 3),
        "scale": weights(1, 5),
        "bias": weights(2, 5),
        "mean": weights(3, 5),
        "var": abs(weights(4, 5)),
    }
    ends = [tensor("x", ["N", 3, 8, 8])], [tensor("y", ["N", 5])]
    return Built(model=as_model(nodes, *ends, constants), inputs=rows("x", 3, 8, 8), axes=_FIRST)


@cases.add
def batch_on_second_axis() -> Built:
    """Items on the second axis, [time, batch, 3]; time mixes."""
    nodes = [node("Softmax", ["x"], ["y"], axis=0)]
    shape = ["time", "batch", 3]
    return Built(
        model=as_model(nodes, [tensor("x", shape)], [tensor("y", shape)]),
        inputs=lambda rng, items: {"x": floats(rng, 5, items, 3)},
        axes={"x": 1},
    )


@cases.add
def batch_on_last_axis() -> Built:
    """Items as columns, [4, batch]."""
    nodes = [node("MatMul", ["w", "x"], ["y"])]
    ends = [tensor("x", [4, "batch"])], [tensor("y", [2, "batch"])]
    return Built(
        model=as_model(nodes, *ends, {"w": weights(0, 2, 4)}),
        inputs=lambda rng, items: {"x": floats(rng, 4, items)},
        axes={"x": 1},
    )


@cases.add
def batch_on_other_axes_of_output() -> Built:
    """Items first in the input and last in the output."""
    nodes = [node("Transpose", ["x"], ["y"], perm=[1, 2, 0])]
    ends = [tensor("x", ["batch", 2, 3])], [tensor("y", [2, 3, "batch"])]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 2, 3), axes=_FIRST)


@cases.add
def state_with_items_in_the_middle() -> Built:
    """A state [2, N, 128] that comes in and goes out, as voice detectors have it."""
    nodes = [
        node("ReduceMean", ["x", "last"], ["mean"], keepdims=1),
        node("Add", ["state", "mean"], ["new_state"]),
        node("ReduceSum", ["new_state", "ends"], ["sum"], keepdims=0),
        node("Unsqueeze", ["sum", "last"], ["y"]),
    ]
    inputs = [tensor("x", ["N", 128]), tensor("state", [2, "N", 128])]
    outputs = [tensor("y", ["N", 1]), tensor("new_state", [2, "N", 128])]
    constants = {"last": [1], "ends": [0, 2]}
    return Built(
        model=as_model(nodes, inputs, outputs, constants),
        inputs=lambda rng, items: {
            "x": floats(rng, items, 128),
            "state": floats(rng, 2, items, 128),
        },
        axes={"x": 0, "state": 1},
    )


@cases.add
def two_inputs_of_items() -> Built:
    """Two inputs that go together item by item."""
    nodes = [node("Mul", ["x", "z"], ["y"])]
    inputs = [tensor("x", ["batch", 3]), tensor("z", ["batch", 3])]
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["batch", 3])]),
        inputs=lambda rng, items: {"x": floats(rng, items, 3), "z": floats(rng, items, 3)},
        axes={"x": 0, "z": 0},
    )


@cases.add
def input_without_the_axis() -> Built:
    """A matrix that is an input and has no items, beside rows that do."""
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    inputs = [tensor("x", ["batch", 4]), tensor("w", [4, 2])]
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["batch", 2])]),
        inputs=lambda rng, items: {"x": floats(rng, items, 4), "w": floats(rng, 4, 2)},
        axes=_FIRST,
    )


@cases.add
def output_without_the_axis() -> Built:
    """An output that comes from an input without items alone."""
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["w"], ["z"])]
    inputs = [tensor("x", ["batch", 4]), tensor("w", [2])]
    outputs = [tensor("y", ["batch", 4]), tensor("z", [2])]
    return Built(
        model=as_model(nodes, inputs, outputs),
        inputs=lambda rng, items: {"x": floats(rng, items, 4), "w": floats(rng, 2)},
        axes=_FIRST,
    )


@cases.add
def constants_by_their_names() -> Built:
    """Inputs that look like constants: weight, bias, axes, shape; none of them is one."""
    nodes = [
        node("MatMul", ["x", "weight"], ["m"]),
        node("Add", ["m", "bias"], ["a"]),
        node("ReduceSum", ["a", "axes"], ["s"], keepdims=1),
        node("Reshape", ["s", "shape"], ["y"]),
    ]
    inputs = [
        tensor("x", ["batch", 4]),
        tensor("weight", [4, 2]),
        tensor("bias", [2]),
        tensor("axes", [1], INT64),
        tensor("shape", [2], INT64),
    ]
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["batch", 1])]),
        inputs=lambda rng, items: {
            "x": floats(rng, items, 4),
            "weight": floats(rng, 4, 2),
            "bias": floats(rng, 2),
            "axes": np.array([1]),
            "shape": np.array([-1, 1]),
        },
        axes=_FIRST,
    )


@cases.add
def best_of_each_item() -> Built:
    """TopK along the last axis with `k` as an input."""
    nodes = [node("TopK", ["x", "k"], ["best", "places"])]
    inputs = [tensor("x", ["N", 8]), tensor("k", [1], INT64)]
    outputs = [tensor("best", ["N", "k"]), tensor("places", ["N", "k"], INT64)]
    return Built(
        model=as_model(nodes, inputs, outputs),
        inputs=lambda rng, items: {"x": floats(rng, items, 8), "k": np.array([3])},
        axes=_FIRST,
    )


@cases.add
def embedding_of_ids() -> Built:
    """Token ids [batch, seq] to vectors and their mean."""
    nodes = [
        node("Gather", ["table", "ids"], ["e"]),
        node("ReduceMean", ["e", "one"], ["y"], keepdims=0),
    ]
    ends = [tensor("ids", ["batch", "seq"], INT64)], [tensor("y", ["batch", 4])]
    constants = {"table": weights(0, 50, 4), "one": [1]}
    return Built(
        model=as_model(nodes, *ends, constants),
        inputs=lambda rng, items: {"ids": rng.integers(0, 50, (items, 6))},
        axes={"ids": 0},
    )


@cases.add
def masked_mean_of_tokens() -> Built:
    """A mask of int64 that goes with the tokens."""
    nodes = [
        node("Cast", ["mask"], ["kept"], to=1),
        node("Unsqueeze", ["kept", "last"], ["column"]),
        node("Mul", ["x", "column"], ["m"]),
        node("ReduceSum", ["m", "one"], ["sum"], keepdims=0),
        node("ReduceSum", ["column", "one"], ["count"], keepdims=0),
        node("Div", ["sum", "count"], ["y"]),
    ]
    inputs = [tensor("x", ["batch", "seq", 4]), tensor("mask", ["batch", "seq"], INT64)]
    constants = {"last": [2], "one": [1]}
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["batch", 4])], constants),
        inputs=lambda rng, items: {
            "x": floats(rng, items, 5, 4),
            "mask": np.array([[1, 1, 1, 0, 0]] * items),
        },
        axes={"x": 0, "mask": 0},
    )


@cases.add
def bidirectional_lstm_over_the_second_axis() -> Built:
    """An LSTM whose batch stands second, [seq, batch, 3]: only that axis is one of items."""
    constants = {"w": weights(0, 2, 8, 3), "r": weights(1, 2, 8, 2)}
    nodes = [
        node("LSTM", ["x", "w", "r"], ["y", "h", "c"], hidden_size=2, direction="bidirectional")
    ]
    outputs = [
        tensor("y", ["seq", 2, "batch", 2]),
        tensor("h", [2, "batch", 2]),
        tensor("c", [2, "batch", 2]),
    ]
    return Built(
        model=as_model(nodes, [tensor("x", ["seq", "batch", 3])], outputs, constants),
        inputs=lambda rng, items: {"x": floats(rng, 4, items, 3)},
        axes={"x": 1},
    )


@cases.add
def output_declared_as_one_row() -> Built:
    """The file declares the output as [1, 3] though it has a row for each item."""
    ends = [tensor("x", ["N", 3])], [tensor("y", [1, 3])]
    model = as_model([node("Relu", ["x"], ["y"])], *ends)
    return Built(model=model, inputs=rows("x", 3), axes=_FIRST)


@cases.add
def output_declared_with_a_foreign_symbol() -> Built:
    """The file calls the items otherwise at the output."""
    ends = [tensor("x", ["batch", 3])], [tensor("y", ["unk__17", 3])]
    model = as_model([node("Relu", ["x"], ["y"])], *ends)
    return Built(model=model, inputs=rows("x", 3), axes=_FIRST)


@cases.add
def items_without_a_name() -> Built:
    """The axis of the items has neither a number nor a name."""
    ends = [tensor("x", [None, 3])], [tensor("y", [None, 3])]
    model = as_model([node("Relu", ["x"], ["y"])], *ends)
    return Built(model=model, inputs=rows("x", 3), axes=_FIRST)
