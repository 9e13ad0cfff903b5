"""EfficientNet-Lite0's features as an ONNX graph, from the weights.

The graph is written node by node instead of traced, which keeps it free of what a tracer leaves
behind: batch normalization sits in the convolutions, one channel replaces three equal ones, the
padding is an attribute.

Legend: N pictures, C channels, S pixels a side.
Sources: Tan and Le 2019 (arXiv 1905.11946); EfficientNet-Lite, TensorFlow TPU models (Apache-2.0).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 19  # the first whose QuantizeLinear the reference evaluator has
IR_VERSION = 9
PICTURE_SIDE = 64  # pixels of the pictures that come in
NETWORK_SIDE = 96  # pixels the network sees; 224 in training, 96 suffices for these pictures
WIDTH = 1280  # of the embedding
MEAN, SPREAD = 127.0, 128.0  # EfficientNet-Lite sees (pixel - 127) / 128 in every channel

Array = npt.NDArray[np.float32]


@dataclass
class GraphBuilder:
    """Nodes and constants in the order they are added."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Add a constant and return its name; numpy's own dtypes are kept."""
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node named as its output and return that name."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output


def embedding_model(network: Any) -> onnx.ModelProto:
    """Return the features of a pretrained network: images -> embedding.

    `network` is an `efficientnet_lite_pytorch.EfficientNet` in evaluation mode. The model maps
    `images` uint8 [batch, 64, 64] to `embedding` float32 [batch, 1280] of unit length.
    """
    builder = GraphBuilder()
    x = _add_input(builder)
    x = _add_convolutions(builder, network, x)
    x = builder.add("GlobalAveragePool", [x], "pooled_4d")
    flat = builder.constant("pooled_shape", np.array([-1, WIDTH], np.int64))
    x = builder.add("Reshape", [x, flat], "pooled")
    builder.add("LpNormalization", [x], "embedding", axis=1, p=2)
    return finish(builder, "embedding", TensorProto.FLOAT)


def finish(builder: GraphBuilder, output: str, elem_type: int) -> onnx.ModelProto:
    """Return the model from images to one output [batch, 1280]."""
    images = helper.make_tensor_value_info(
        "images", TensorProto.UINT8, ["batch", PICTURE_SIDE, PICTURE_SIDE]
    )
    result = helper.make_tensor_value_info(output, elem_type, ["batch", WIDTH])
    graph = helper.make_graph(
        builder.nodes, "visual_search", [images], [result], builder.initializers
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    model.producer_name = "visual_search"
    return model


def _add_input(builder: GraphBuilder) -> str:
    """Scale uint8 [N, 64, 64] to float32 [N, 1, 96, 96], centered at 0."""
    x = builder.add("Cast", ["images"], "images_float", to=TensorProto.FLOAT)
    x = builder.add("Sub", [x, builder.constant("mean", np.float32(MEAN))], "images_centered")
    x = add_resize(builder, x)
    axis = builder.constant("channel_axis", np.array([1], np.int64))
    x = builder.add("Unsqueeze", [x, axis], "resized_4d")
    return builder.add("SpaceToDepth", [x], "pixels", blocksize=2)


def add_resize(builder: GraphBuilder, x: str) -> str:
    """Scale float32 [N, 64, 64] to [N, 96, 96], bilinear.

    Two products with the interpolation matrix say the same as Resize and run faster.
    """
    matrix = interpolation(PICTURE_SIDE, NETWORK_SIDE)
    rows = builder.constant("interpolate_rows", matrix)
    columns = builder.constant("interpolate_columns", np.ascontiguousarray(matrix.T))
    x = builder.add("MatMul", [rows, x], "resized_rows")
    return builder.add("MatMul", [x, columns], "resized")


def interpolation(side: int, new_side: int) -> Array:
    """Return the matrix [new_side, side] of linear interpolation.

    Pixel centers are aligned (half_pixel in ONNX, align_corners=False in PyTorch).
    """
    place = (np.arange(new_side) + 0.5) * side / new_side - 0.5
    place = np.clip(place, 0, side - 1)
    distance = np.abs(place[:, None] - np.arange(side))
    matrix: Array = np.maximum(0, 1 - distance).astype(np.float32)
    return matrix


def by_phase(stem: Array) -> Array:
    """Return weights [C, 4, 2, 2] that see on 2 x 2 pixel blocks what [C, 1, 3, 3] see.

    SpaceToDepth makes four channels of the blocks, and the step of 2 a step of 1. With one input
    channel ONNX Runtime gathers the pixels byte by byte; with four, in half the time.
    """
    phased = np.zeros((len(stem), 4, 2, 2), np.float32)
    for row in range(3):
        for column in range(3):
            channel = 2 * (row % 2) + column % 2
            phased[:, channel, row // 2, column // 2] = stem[:, 0, row, column]
    return phased


def _add_convolutions(builder: GraphBuilder, network: Any, x: str) -> str:
    stem, bias = folded(network._conv_stem, network._bn0)
    # All three channels are equal: one channel with their summed weights sees the same.
    stem = stem.sum(axis=1, keepdims=True) / np.float32(SPREAD)
    x = _add_conv(builder, "stem", x, by_phase(stem), bias, relu6=True)
    for number, block in enumerate(network._blocks):
        x = _add_block(builder, f"block{number}", block, x)
    head, bias = folded(network._conv_head, network._bn1)
    return _add_conv(builder, "head", x, head, bias, relu6=True)


def _add_block(builder: GraphBuilder, name: str, block: Any, x: str) -> str:
    """Add an inverted bottleneck: expand, filter by channel, project, add."""
    args, start = block._block_args, x
    stride = int(args.stride[0] if isinstance(args.stride, list) else args.stride)
    if args.expand_ratio != 1:
        expand = folded(block._expand_conv, block._bn0)
        x = _add_conv(builder, f"{name}_expand", x, *expand, relu6=True)
    depthwise = folded(block._depthwise_conv, block._bn1)
    x = _add_conv(builder, f"{name}_depthwise", x, *depthwise, stride=stride, relu6=True)
    x = _add_conv(builder, f"{name}_project", x, *folded(block._project_conv, block._bn2))
    if args.id_skip and stride == 1 and args.input_filters == args.output_filters:
        x = builder.add("Add", [x, start], f"{name}_sum")
    return x


def folded(conv: Any, norm: Any) -> tuple[Array, Array]:
    """Return weights and bias of a convolution with its normalization.

    Worked out in float64, so that the same weights give the same bytes on any machine.
    """
    weight, gain, shift, mean, variance = (
        tensor.detach().numpy().astype(np.float64)
        for tensor in (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    factor = gain / np.sqrt(variance + norm.eps)
    return (
        (weight * factor[:, None, None, None]).astype(np.float32),
        (shift - mean * factor).astype(np.float32),
    )


def _add_conv(
    builder: GraphBuilder,
    name: str,
    x: str,
    weight: Array,
    bias: Array,
    *,
    stride: int = 1,
    relu6: bool = False,
) -> str:
    side = weight.shape[2]
    inputs = [
        x,
        builder.constant(f"{name}_weight", weight),
        builder.constant(f"{name}_bias", bias),
    ]
    total = side - stride  # "same" padding of an even side, the odd pixel at the end
    before, after = total // 2, total - total // 2
    depthwise = weight.shape[1] == 1
    x = builder.add(
        "Conv",
        inputs,
        name,
        kernel_shape=[side, side],
        strides=[stride, stride],
        pads=[before, before, after, after],
        group=weight.shape[0] if depthwise else 1,
    )
    if not relu6:
        return x
    if "relu6_low" not in {tensor.name for tensor in builder.initializers}:
        builder.constant("relu6_low", np.float32(0))
        builder.constant("relu6_high", np.float32(6))
    return builder.add("Clip", [x, "relu6_low", "relu6_high"], f"{name}_relu6")
