"""Operators of ONNX Runtime's own domain, as its optimizers write them."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from small_models.building import (
    MICROSOFT,
    Built,
    Cases,
    as_model,
    floats,
    node,
    rows,
    tensor,
    weights,
)

cases = Cases("microsoft")


def _model(nodes, inputs, outputs, constants=None):
    return as_model(nodes, inputs, outputs, constants, domains={MICROSOFT: 1})


@cases.add
def gelu_with_bias() -> Built:
    """BiasGelu."""
    nodes = [node("BiasGelu", ["x", "b"], ["y"], domain=MICROSOFT)]
    ends = [tensor("x", ["N", 4])], [tensor("y", ["N", 4])]
    model = _model(nodes, *ends, {"b": weights(0, 4)})
    return Built(model=model, inputs=rows("x", 4), axes={"x": 0})


@cases.add
def fused_matrix_product() -> Built:
    """FusedMatMul with one side turned."""
    nodes = [node("FusedMatMul", ["x", "w"], ["y"], domain=MICROSOFT, transB=1, alpha=0.5)]
    ends = [tensor("x", ["N", 4])], [tensor("y", ["N", 3])]
    model = _model(nodes, *ends, {"w": weights(0, 3, 4)})
    return Built(model=model, inputs=rows("x", 4), axes={"x": 0})


@cases.add
def layer_norm_with_skip() -> Built:
    """SkipLayerNormalization, with outputs left out in the middle."""
    nodes = [
        node(
            "SkipLayerNormalization",
            ["x", "skip", "gamma", "beta"],
            ["y", "", "", "sum"],
            domain=MICROSOFT,
        )
    ]
    shape = ["batch", "seq", 4]
    inputs = [tensor("x", shape), tensor("skip", shape)]
    outputs = [tensor("y", shape), tensor("sum", shape)]
    constants = {"gamma": weights(0, 4), "beta": weights(1, 4)}
    return Built(
        model=_model(nodes, inputs, outputs, constants),
        inputs=lambda rng, items: {
            "x": floats(rng, items, 5, 4),
            "skip": floats(rng, items, 5, 4),
        },
        axes={"x": 0, "skip": 0},
    )


@cases.add
def attention_with_a_mask() -> Built:
    """Attention with a mask of int32."""
    nodes = [node("Attention", ["x", "w", "b", "mask"], ["y"], domain=MICROSOFT, num_heads=2)]
    inputs = [
        tensor("x", ["batch", "seq", 4]),
        tensor("mask", ["batch", "seq"], TensorProto.INT32),
    ]
    constants = {"w": weights(0, 4, 12), "b": weights(1, 12)}
    return Built(
        model=_model(nodes, inputs, [tensor("y", ["batch", "seq", 4])], constants),
        inputs=lambda rng, items: {
            "x": floats(rng, items, 5, 4),
            "mask": np.array([[1, 1, 1, 1, 0]] * items, np.int32),
        },
        axes={"x": 0, "mask": 0},
    )


@cases.add
def attention_with_a_cache() -> Built:
    """MultiHeadAttention whose keys and values of the past come in and go out."""
    nodes = [
        node(
            "MultiHeadAttention",
            ["q", "k", "v", "", "", "", "past_k", "past_v"],
            ["y", "present_k", "present_v"],
            domain=MICROSOFT,
            num_heads=2,
        )
    ]
    past = ["batch", 2, "past", 4]
    inputs = [
        *(tensor(name, ["batch", "seq", 8]) for name in "qkv"),
        tensor("past_k", past),
        tensor("past_v", past),
    ]
    outputs = [
        tensor("y", ["batch", "seq", 8]),
        tensor("present_k", ["batch", 2, "all", 4]),
        tensor("present_v", ["batch", 2, "all", 4]),
    ]

    def make(rng, items):
        return {
            **{name: floats(rng, items, 3, 8) for name in "qkv"},
            **{name: floats(rng, items, 2, 5, 4) for name in ("past_k", "past_v")},
        }

    axes = dict.fromkeys(("q", "k", "v", "past_k", "past_v"), 0)
    return Built(model=_model(nodes, inputs, outputs), inputs=make, axes=axes)


@cases.add
def convolution_with_activation() -> Built:
    """FusedConv."""
    nodes = [
        node(
            "FusedConv", ["x", "w"], ["y"], domain=MICROSOFT, activation="Relu", kernel_shape=[3, 3]
        )
    ]
    ends = [tensor("x", ["N", 3, 6, 6])], [tensor("y", ["N", 4, 4, 4])]
    model = _model(nodes, *ends, {"w": weights(0, 4, 3, 3, 3)})
    return Built(model=model, inputs=rows("x", 3, 6, 6), axes={"x": 0})


@cases.add
def inverse_of_matrices() -> Built:
    """Inverse of each item."""
    nodes = [node("Inverse", ["x"], ["y"], domain=MICROSOFT)]
    ends = [tensor("x", ["N", 3, 3])], [tensor("y", ["N", 3, 3])]
    return Built(
        model=_model(nodes, *ends),
        inputs=lambda rng, items: {"x": floats(rng, items, 3, 3) + 4 * np.eye(3, dtype="f")},
        axes={"x": 0},
    )
