"""First axes of all names along which the items do know of each other: nothing may be cut."""

from __future__ import annotations

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

cases = Cases("items mix")


@cases.add
def softmax_over_seq_len() -> Built:
    """Softmax along the first axis, called seq_len."""
    nodes = [node("Softmax", ["x"], ["y"], axis=0)]
    ends = [tensor("x", ["seq_len", 3])], [tensor("y", ["seq_len", 3])]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 3))


@cases.add
def softmax_over_batch() -> Built:
    """Softmax along the first axis, though it is called batch."""
    nodes = [node("Softmax", ["x"], ["y"], axis=0)]
    ends = [tensor("x", ["batch", 3])], [tensor("y", ["batch", 3])]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 3))


@cases.add
def centered_by_mean_over_tokens() -> Built:
    """The mean of all tokens is taken from each."""
    nodes = [
        node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        node("Sub", ["x", "mean"], ["y"]),
    ]
    ends = [tensor("x", ["tokens", 3])], [tensor("y", ["tokens", 3])]
    return Built(model=as_model(nodes, *ends, opset=13), inputs=rows("x", 3))


@cases.add
def running_sum_over_time() -> Built:
    """CumSum along time."""
    nodes = [node("CumSum", ["x", "axis"], ["y"])]
    ends = [tensor("x", ["time", 3])], [tensor("y", ["time", 3])]
    return Built(model=as_model(nodes, *ends, {"axis": 0}), inputs=rows("x", 3))


@cases.add
def lstm_over_seq() -> Built:
    """An LSTM [seq, batch, 3]: its first axis carries a state along."""
    constants = {"w": weights(0, 1, 8, 3), "r": weights(1, 1, 8, 2)}
    nodes = [node("LSTM", ["x", "w", "r"], ["y"], hidden_size=2)]
    ends = [tensor("x", ["seq", "batch", 3])], [tensor("y", ["seq", 1, "batch", 2])]
    return Built(
        model=as_model(nodes, *ends, constants),
        inputs=lambda rng, items: {"x": floats(rng, items, 2, 3)},
    )


@cases.add
def gru_with_given_state() -> Built:
    """A GRU over time, with its state as an input and an output."""
    constants = {"w": weights(0, 1, 12, 3), "r": weights(1, 1, 12, 4)}
    nodes = [node("GRU", ["x", "w", "r", "", "", "h"], ["y", "hn"], hidden_size=4)]
    inputs = [tensor("x", ["time", 1, 3]), tensor("h", [1, 1, 4])]
    outputs = [tensor("y", ["time", 1, 1, 4]), tensor("hn", [1, 1, 4])]
    return Built(
        model=as_model(nodes, inputs, outputs, constants),
        inputs=lambda rng, items: {"x": floats(rng, items, 1, 3), "h": floats(rng, 1, 1, 4)},
    )


@cases.add
def sorted_along_batch() -> Built:
    """TopK along the first axis with all of its items: a sort, though the axis is called batch."""
    nodes = [
        node("Shape", ["x"], ["k"], start=0, end=1),
        node("TopK", ["x", "k"], ["y", "order"], axis=0),
    ]
    outputs = [tensor("y", ["batch", 3]), tensor("order", ["batch", 3], INT64)]
    return Built(model=as_model(nodes, [tensor("x", ["batch", 3])], outputs), inputs=rows("x", 3))


@cases.add
def convolution_over_frames() -> Built:
    """Conv over the first axis: each row sees its neighbors."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0]),
        node("Unsqueeze", ["t", "zero"], ["u"]),
        node("Conv", ["u", "w"], ["c"], pads=[1, 1]),
        node("Squeeze", ["c", "zero"], ["s"]),
        node("Transpose", ["s"], ["y"], perm=[1, 0]),
    ]
    ends = [tensor("x", ["N", 4])], [tensor("y", ["N", 2])]
    constants = {"w": weights(0, 2, 4, 3), "zero": [0]}
    return Built(model=as_model(nodes, *ends, constants), inputs=rows("x", 4))


@cases.add
def quantized_by_range_of_batch() -> Built:
    """DynamicQuantizeLinear takes one scale from all items."""
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    ends = [tensor("x", ["batch", 4])], [tensor("y", ["batch", 4])]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 4))


@cases.add
def matrix_product_of_quantized_batch() -> Built:
    """A dynamically quantized MatMul, as quantization tools write it: one scale for all items."""
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        node("MatMulInteger", ["q", "w", "zero"], ["whole"]),
        node("Cast", ["whole"], ["float"], to=1),
        node("Mul", ["float", "scale"], ["y"]),
    ]
    ends = [tensor("x", ["batch", 4])], [tensor("y", ["batch", 2])]
    constants = {"w": (weights(0, 4, 2) * 20).astype("int8")}
    return Built(model=as_model(nodes, *ends, constants), inputs=rows("x", 4))


@cases.add
def attention_over_tokens() -> Built:
    """Each token attends to all of its sequence."""
    nodes = [
        node("Transpose", ["x"], ["turned"], perm=[1, 0]),
        node("MatMul", ["x", "turned"], ["scores"]),
        node("Softmax", ["scores"], ["shares"]),
        node("MatMul", ["shares", "x"], ["y"]),
    ]
    ends = [tensor("x", ["tokens", 4])], [tensor("y", ["tokens", 4])]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 4))


@cases.add
def every_item_against_every_item() -> Built:
    """Products of all pairs of items: [batch, batch]."""
    nodes = [
        node("Transpose", ["x"], ["turned"], perm=[1, 0]),
        node("MatMul", ["x", "turned"], ["y"]),
    ]
    ends = [tensor("x", ["batch", 4])], [tensor("y", ["batch", "batch"])]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 4))


@cases.add
def turned_around() -> Built:
    """The items in reverse order."""
    nodes = [node("Slice", ["x", "start", "end", "axis", "step"], ["y"])]
    constants = {"start": [-1], "end": [-(2**31)], "axis": [0], "step": [-1]}
    ends = [tensor("x", ["batch", 3])], [tensor("y", ["batch", 3])]
    return Built(model=as_model(nodes, *ends, constants), inputs=rows("x", 3))


@cases.add
def numbered_items() -> Built:
    """The place of an item among the others is added to it."""
    nodes = [
        node("Shape", ["x"], ["length"], start=0, end=1),
        node("Squeeze", ["length"], ["count"]),
        node("Range", ["zero", "count", "one"], ["places"]),
        node("Cast", ["places"], ["numbers"], to=1),
        node("Unsqueeze", ["numbers", "last"], ["column"]),
        node("Add", ["x", "column"], ["y"]),
    ]
    ends = [tensor("x", ["batch", 3])], [tensor("y", ["batch", 3])]
    constants = {"zero": 0, "one": 1, "last": [1]}
    return Built(model=as_model(nodes, *ends, constants), inputs=rows("x", 3))


@cases.add
def norm_along_batch() -> Built:
    """LpNormalization along the first axis."""
    nodes = [node("LpNormalization", ["x"], ["y"], axis=0, p=2)]
    ends = [tensor("x", ["batch", 3])], [tensor("y", ["batch", 3])]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 3))


@cases.add
def batch_norm_of_training() -> Built:
    """BatchNormalization with training_mode takes mean and variance from all items."""
    nodes = [
        node(
            "BatchNormalization",
            ["x", "scale", "bias", "mean", "var"],
            ["y", "running_mean", "running_var"],
            training_mode=1,
        )
    ]
    constants = {
        "scale": weights(0, 3),
        "bias": weights(1, 3),
        "mean": weights(2, 3),
        "var": abs(weights(3, 3)),
    }
    outputs = [tensor("y", ["batch", 3]), tensor("running_mean", [3]), tensor("running_var", [3])]
    model = as_model(nodes, [tensor("x", ["batch", 3])], outputs, constants)
    return Built(model=model, inputs=rows("x", 3))


@cases.add
def two_lengths() -> Built:
    """Two inputs with a symbol each, and an output with both."""
    nodes = [
        node("Transpose", ["b"], ["turned"], perm=[1, 0]),
        node("MatMul", ["a", "turned"], ["y"]),
    ]
    inputs = [tensor("a", ["N", 3]), tensor("b", ["M", 3])]
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["N", "M"])]),
        inputs=lambda rng, items: {"a": floats(rng, items, 3), "b": floats(rng, items % 3 + 1, 3)},
    )
