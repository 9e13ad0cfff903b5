"""Outputs whose length is not that of the items: nothing may be cut, or put together by length."""

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

cases = Cases("item counts")


@cases.add
def first_item_only() -> Built:
    """Gather takes the first item: an output without the axis."""
    nodes = [node("Gather", ["x", "first"], ["y"], axis=0)]
    ends = [tensor("x", ["batch", 3])], [tensor("y", [3])]
    return Built(model=as_model(nodes, *ends, {"first": 0}), inputs=rows("x", 3))


@cases.add
def how_many_items() -> Built:
    """Shape: an output that counts the items, and one that has a row for each."""
    nodes = [node("Shape", ["x"], ["shape"]), node("Relu", ["x"], ["y"])]
    outputs = [tensor("shape", [2], INT64), tensor("y", ["batch", 3])]
    return Built(model=as_model(nodes, [tensor("x", ["batch", 3])], outputs), inputs=rows("x", 3))


@cases.add
def sum_over_all_items() -> Built:
    """A total without the axis, beside rows that have it."""
    nodes = [node("ReduceSum", ["x"], ["total"], keepdims=0), node("Relu", ["x"], ["y"])]
    outputs = [tensor("total", []), tensor("y", ["N", 3])]
    return Built(model=as_model(nodes, [tensor("x", ["N", 3])], outputs), inputs=rows("x", 3))


@cases.add
def unique_items() -> Built:
    """Unique along the first axis: how many rows come out depends on their values."""
    nodes = [node("Unique", ["x"], ["y", "", "inverse"], axis=0, sorted=1)]
    inputs = [tensor("x", ["batch", 2], INT64)]
    outputs = [tensor("y", ["unique", 2], INT64), tensor("inverse", ["batch"], INT64)]
    return Built(
        model=as_model(nodes, inputs, outputs),
        inputs=lambda rng, items: {"x": rng.integers(0, 2, (items, 2))},
    )


@cases.add
def places_of_positive_items() -> Built:
    """NonZero: the numbers of the items are values of the output."""
    nodes = [node("Greater", ["x", "zero"], ["p"]), node("NonZero", ["p"], ["y"])]
    ends = [tensor("x", ["batch"])], [tensor("y", [1, "found"], INT64)]
    constants = {"zero": weights(0, 1) * 0}
    return Built(model=as_model(nodes, *ends, constants), inputs=rows("x"))


@cases.add
def kept_items() -> Built:
    """Compress drops items by a mask that comes with them."""
    nodes = [
        node("Greater", ["score", "zero"], ["keep"]),
        node("Compress", ["x", "keep"], ["y"], axis=0),
    ]
    inputs = [tensor("x", ["N", 3]), tensor("score", ["N"])]
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["kept", 3])], {"zero": weights(0, 1) * 0}),
        inputs=lambda rng, items: {"x": floats(rng, items, 3), "score": floats(rng, items)},
    )


@cases.add
def flattened_items() -> Built:
    """Reshape to one axis: its length is three times the items."""
    nodes = [node("Reshape", ["x", "flat"], ["y"])]
    ends = [tensor("x", ["batch", 3])], [tensor("y", ["all"])]
    return Built(model=as_model(nodes, *ends, {"flat": [-1]}), inputs=rows("x", 3))


@cases.add
def items_twice() -> Built:
    """Tile along the first axis: all items, then all of them again."""
    nodes = [node("Tile", ["x", "times"], ["y"])]
    ends = [tensor("x", ["batch", 3])], [tensor("y", ["twice", 3])]
    return Built(model=as_model(nodes, *ends, {"times": [2, 1]}), inputs=rows("x", 3))


@cases.add
def scattered_by_number() -> Built:
    """ScatterND writes into rows whose numbers are an input."""
    nodes = [node("ScatterND", ["x", "rows", "updates"], ["y"])]
    inputs = [
        tensor("x", ["batch", 2]),
        tensor("rows", ["M", 1], INT64),
        tensor("updates", ["M", 2]),
    ]
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["batch", 2])]),
        inputs=lambda rng, items: {
            "x": floats(rng, items, 2),
            "rows": rng.permutation(items)[:1, None],
            "updates": floats(rng, 1, 2),
        },
    )


@cases.add
def boxes_without_overlap() -> Built:
    """NonMaxSuppression: each chosen box is told with the number of its picture."""
    nodes = [node("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["chosen"])]
    inputs = [tensor("boxes", ["batch", "box", 4]), tensor("scores", ["batch", 2, "box"])]
    constants = {"most": [3], "overlap": weights(0, 1) * 0 + 0.3, "least": weights(0, 1) * 0 - 9}

    def make(rng, items):
        return {"boxes": floats(rng, items, 5, 4), "scores": floats(rng, items, 2, 5)}

    outputs = [tensor("chosen", ["found", 3], INT64)]
    return Built(model=as_model(nodes, inputs, outputs, constants), inputs=make)
