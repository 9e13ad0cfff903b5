"""Single layers as ONNX models, in float and in integers, with channel counts of one's choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper


@attrs.frozen(kw_only=True)
class LayerShape:
    """A convolution; with an empty `kernel` a matrix product of rows.

    `image` is the size of its input without batch and channels.
    """

    in_channels: int
    out_channels: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    groups: int = 1
    image: tuple[int, ...] = ()

    def with_channels(self, in_channels: int, out_channels: int) -> LayerShape:
        """The same layer, narrower; a depthwise one keeps a group for each channel."""
        depthwise = self.is_depthwise
        return attrs.evolve(
            self,
            in_channels=in_channels,
            out_channels=self.out_channels * in_channels // self.in_channels
            if depthwise
            else out_channels,
            groups=in_channels if depthwise else self.groups,
        )

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel is a group of its own."""
        return self.groups == self.in_channels > 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample, as if no edge were cut."""
        places = [size // step for size, step in zip(self.image, self.stride, strict=False)]
        return math.prod(self.weight_shape) * math.prod(places)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weights; for a matrix product (in, out)."""
        if not self.kernel:
            return self.in_channels, self.out_channels
        return self.out_channels, self.in_channels // self.groups, *self.kernel


def float_layer(shape: LayerShape) -> onnx.ModelProto:
    """The layer alone, with a ReLU as it mostly has."""
    weight = np.random.default_rng(0).standard_normal(shape.weight_shape).astype(np.float32)
    nodes = [_node(shape, "x", "w"), helper.make_node("Relu", ["h"], ["y"])]
    x = _input(TensorProto.FLOAT, (shape.in_channels, *shape.image))
    return _model(nodes, x, {"w": weight})


def int8_layer(shape: LayerShape) -> onnx.ModelProto:
    """The layer alone as ONNX Runtime on x86 runs it in a lowered file: uint8 in and out.

    Weights are int8 for each output channel. What stands at the borders of a model and not at each
    layer is not a part of this: no float is quantized, and channels lie last, as kernels have them.
    """
    axis = 0 if shape.kernel else 1
    draw = np.random.default_rng(0)
    out = shape.weight_shape[axis]
    tensors: dict[str, np.ndarray | np.generic] = {
        "w": draw.integers(-127, 128, shape.weight_shape).astype(np.int8),
        "ws": np.full(out, 0.01, np.float32),
        "wz": np.zeros(out, np.int8),
        "s": np.float32(0.05),
        "z": np.uint8(0),
    }
    first, last = ("t", "q") if shape.image else ("x", "y")
    nodes = [
        helper.make_node("DequantizeLinear", [first, "s", "z"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=axis),
        _node(shape, "xf", "wf"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], [last]),
    ]
    if shape.image:
        rank = len(shape.image) + 2
        there, back = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["t"], perm=there))
        nodes.append(helper.make_node("Transpose", ["q"], ["y"], perm=back))
    return _model(nodes, _input(TensorProto.UINT8, (*shape.image, shape.in_channels)), tensors)


def _node(shape: LayerShape, x: str, w: str) -> NodeProto:
    if not shape.kernel:
        return helper.make_node("MatMul", [x, w], ["h"])
    return helper.make_node(
        "Conv", [x, w], ["h"], strides=list(shape.stride), group=shape.groups,
        pads=[*shape.padding, *shape.padding],
    )  # fmt: skip


def _input(dtype: int, sizes: Sequence[int]) -> ValueInfoProto:
    return helper.make_tensor_value_info("x", dtype, ["N", *sizes])


def _model(
    nodes: Sequence[NodeProto],
    x: ValueInfoProto,
    tensors: Mapping[str, np.ndarray | np.generic],
) -> onnx.ModelProto:
    y = helper.make_tensor_value_info("y", x.type.tensor_type.elem_type, None)
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "layer", [x], [y], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
