"""Quantized models in each of the forms that tools write."""

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

cases = Cases("quantized")


def _int8(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, shape, np.int8)


_SCALES = {
    "scale": np.float32(0.05),
    "zero": np.uint8(128),
    "w_scale": np.float32(0.01),
    "w_zero": np.int8(0),
    "y_scale": np.float32(0.1),
    "y_zero": np.uint8(120),
}


@cases.add
def qdq_matrix_product() -> Built:
    """QuantizeLinear and DequantizeLinear around a MatMul."""
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["dw"]),
        node("MatMul", ["d", "dw"], ["m"]),
        node("QuantizeLinear", ["m", "y_scale", "y_zero"], ["qm"]),
        node("DequantizeLinear", ["qm", "y_scale", "y_zero"], ["y"]),
    ]
    ends = [tensor("x", ["N", 8])], [tensor("y", ["N", 4])]
    constants = {"w": _int8(0, 8, 4), **_SCALES}
    return Built(model=as_model(nodes, *ends, constants), inputs=rows("x", 8), axes={"x": 0})


@cases.add
def qdq_convolution_by_channel() -> Built:
    """A scale for each channel of a Conv's weights."""
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        node("DequantizeLinear", ["w", "scales", "zeros"], ["dw"], axis=0),
        node("Conv", ["d", "dw"], ["c"], pads=[1, 1, 1, 1]),
        node("QuantizeLinear", ["c", "y_scale", "y_zero"], ["qc"]),
        node("DequantizeLinear", ["qc", "y_scale", "y_zero"], ["y"]),
    ]
    constants = {
        "w": _int8(0, 4, 3, 3, 3),
        "scales": abs(weights(1, 4)) / 50 + np.float32(0.001),
        "zeros": np.zeros(4, np.int8),
        **_SCALES,
    }
    ends = [tensor("x", ["N", 3, 6, 6])], [tensor("y", ["N", 4, 6, 6])]
    model = as_model(nodes, *ends, constants)
    return Built(model=model, inputs=rows("x", 3, 6, 6), axes={"x": 0})


@cases.add
def qlinear_matrix_product() -> Built:
    """QLinearMatMul, the older form."""
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node(
            "QLinearMatMul",
            ["q", "scale", "zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"],
            ["qy"],
        ),
        node("DequantizeLinear", ["qy", "y_scale", "y_zero"], ["y"]),
    ]
    ends = [tensor("x", ["N", 8])], [tensor("y", ["N", 4])]
    constants = {"w": _int8(0, 8, 4), **_SCALES}
    return Built(model=as_model(nodes, *ends, constants), inputs=rows("x", 8), axes={"x": 0})


@cases.add
def qlinear_convolution() -> Built:
    """QLinearConv: uint8 goes in and comes out."""
    conv = node(
        "QLinearConv",
        ["x", "scale", "zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"],
        ["y"],
    )
    ends = (
        [tensor("x", ["N", 3, 6, 6], TensorProto.UINT8)],
        [tensor("y", ["N", 4, 4, 4], TensorProto.UINT8)],
    )
    constants = {"w": _int8(0, 4, 3, 3, 3), **_SCALES}
    return Built(
        model=as_model([conv], *ends, constants),
        inputs=lambda rng, items: {"x": rng.integers(0, 256, (items, 3, 6, 6), np.uint8)},
        axes={"x": 0},
    )


@cases.add
def integer_convolution() -> Built:
    """ConvInteger: int32 comes out."""
    nodes = [node("ConvInteger", ["x", "w", "zero"], ["y"])]
    ends = (
        [tensor("x", ["N", 3, 6, 6], TensorProto.UINT8)],
        [tensor("y", ["N", 4, 4, 4], TensorProto.INT32)],
    )
    constants = {"w": _int8(0, 4, 3, 3, 3).view(np.uint8), "zero": np.uint8(128)}
    return Built(
        model=as_model(nodes, *ends, constants),
        inputs=lambda rng, items: {"x": rng.integers(0, 256, (items, 3, 6, 6), np.uint8)},
        axes={"x": 0},
    )


@cases.add
def dynamic_matrix_product_of_microsoft() -> Built:
    """DynamicQuantizeMatMul: one range for all items, in one operator."""
    nodes = [node("DynamicQuantizeMatMul", ["x", "w", "w_scale"], ["y"], domain=MICROSOFT)]
    ends = [tensor("x", ["batch", 8])], [tensor("y", ["batch", 4])]
    constants = {"w": _int8(0, 8, 4), "w_scale": np.array([0.01], "f")}
    model = as_model(nodes, *ends, constants, domains={MICROSOFT: 1})
    return Built(model=model, inputs=rows("x", 8))


@cases.add
def dynamic_lstm_of_microsoft() -> Built:
    """DynamicQuantizeLSTM: the batch stands second, and one range is taken from all of it."""
    constants = {
        "w": _int8(0, 1, 3, 8),
        "r": _int8(1, 1, 2, 8),
        "ws": np.array([0.01], "f"),
        "wz": np.zeros(1, np.int8),
        "rs": np.array([0.01], "f"),
        "rz": np.zeros(1, np.int8),
    }
    given = ["x", "w", "r", "", "", "", "", "", "ws", "wz", "rs", "rz"]
    nodes = [node("DynamicQuantizeLSTM", given, ["y"], domain=MICROSOFT, hidden_size=2)]
    ends = [tensor("x", ["seq", "batch", 3])], [tensor("y", ["seq", 1, "batch", 2])]
    return Built(
        model=as_model(nodes, *ends, constants, domains={MICROSOFT: 1}),
        inputs=lambda rng, items: {"x": floats(rng, 4, items, 3)},
    )


@cases.add
def four_bits_in_blocks_of_microsoft() -> Built:
    """MatMulNBits: weights of 4 bits with a scale for each block."""
    attributes = {"K": 32, "N": 4, "bits": 4, "block_size": 32}
    nodes = [node("MatMulNBits", ["x", "w", "s"], ["y"], domain=MICROSOFT, **attributes)]
    constants = {
        "w": np.random.default_rng(0).integers(0, 256, (4, 1, 16), np.uint8),
        "s": abs(weights(1, 4)) / 10,
    }
    ends = [tensor("x", ["N", 32])], [tensor("y", ["N", 4])]
    model = as_model(nodes, *ends, constants, domains={MICROSOFT: 1})
    return Built(model=model, inputs=rows("x", 32), axes={"x": 0})


@cases.add
def sixteen_bits_of_activations() -> Built:
    """QDQ with uint16, which the standard knows since opset 21."""
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    constants = {"scale": np.float32(1e-4), "zero": np.uint16(32768)}
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    model = as_model(nodes, *ends, constants, opset=21, ir_version=10)
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def float8_in_qdq() -> Built:
    """QDQ through float8."""
    zero = TensorProto(data_type=TensorProto.FLOAT8E4M3FN, raw_data=b"\0")
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale"], ["y"]),
    ]
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    constants = {"scale": np.float32(0.1), "zero": zero}
    model = as_model(nodes, *ends, constants, opset=21, ir_version=10)
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})
