"""Rewrites the float32 graph with uint8 activations and int8 weights.

The result is in QDQ form: standard operators between DequantizeLinear and QuantizeLinear, which
ONNX Runtime fuses into QLinearConv and QLinearAdd. Activations are uint8 because its x86 kernels
for int8 activations are some 30 times slower; weights are int8, one scale a channel.

Three places are exact by construction. A picture needs no scaling: its bytes are already
(pixel - 127) / 128 with zero point 127. ReLU6 needs no node: an output quantized from 0 to at
most 6 saturates there. The embedding is centered on the gallery's mean, which leaves distances as
they are and fills the range of int8.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

import network
from deepseek_onnx.ort import ort

Array = npt.NDArray[np.float32]
Range = tuple[float, float]

BATCH = 64  # pictures a calibration step
RELU6_MAX = 6.0
UINT8_MAX, INT8_MAX = 255, 127


def activation_ranges(
    model: onnx.ModelProto, images: npt.NDArray[np.uint8], percentile: float
) -> dict[str, Range]:
    """Return {tensor: (low, high)} over pictures [N, 64, 64].

    For each batch the given percentile (50 to 100) and its mirror are taken, then the widest of
    all batches. The tensors are those that are quantized: what convolutions and sums leave.
    """
    names = [output for _, output in _quantized_nodes(model)]
    session = _session_with_outputs(model, names)
    ranges = dict.fromkeys(names, (0.0, 0.0))
    for start in range(0, len(images), BATCH):
        values = session.run(names, {"images": images[start : start + BATCH]})
        for name, value in zip(names, values, strict=True):
            low, high = np.percentile(value, [100 - percentile, percentile])
            ranges[name] = min(ranges[name][0], float(low)), max(ranges[name][1], float(high))
    return ranges


def quantize(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    embeddings: Array,
    percentile: float,
) -> onnx.ModelProto:
    """Return the int8 model: images uint8 -> embedding int8 [batch, 1280].

    `embeddings` [N, 1280] are the gallery's, in float32; their mean is taken off and `percentile`
    of the absolute rest is the largest value an int8 can hold.
    """
    writer = _Writer(model, ranges)
    pooled = writer.write_convolutions()
    mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.percentile(np.abs(embeddings - mean), percentile) / INT8_MAX
    writer.write_embedding(pooled, mean, np.float32(scale))
    return network.finish(writer.builder, "embedding", TensorProto.INT8)


def rounded_with_sum(values: Array) -> Array:
    """Return whole numbers [C, ...] near the values whose sum over each channel is near too.

    Where pixels are equal an output is the sum of the weights times that pixel, and edge filters
    have large weights that cancel. Plain rounding leaves up to several steps of sum, times 6: in
    the first depthwise layer it caused most of the error of the whole network.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    steps = np.rint(flat)
    rest = flat - steps
    excess = np.rint(rest.sum(axis=1, keepdims=True))
    # Move those that were nearest to the other side, as many as the sum is off.
    rank = np.argsort(np.argsort(-rest * np.sign(excess), axis=1, kind="stable"), axis=1)
    steps += np.where(rank < np.abs(excess), np.sign(excess), 0)
    return np.clip(steps, -INT8_MAX, INT8_MAX).reshape(values.shape).astype(np.float32)


def _quantized_nodes(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, str]]:
    """Yield each convolution and sum with the name of its output after ReLU6."""
    clipped = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "Clip"}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Add"):
            yield node, clipped.get(node.output[0], node.output[0])


def _session_with_outputs(model: onnx.ModelProto, names: list[str]) -> ort.InferenceSession:
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    opened = onnx.shape_inference.infer_shapes(opened)
    return ort.InferenceSession(opened.SerializeToString(), providers=["CPUExecutionProvider"])


class _Writer:
    """Writes the quantized twin of a graph, node by node."""

    def __init__(self, model: onnx.ModelProto, ranges: Mapping[str, Range]) -> None:
        self.builder = network.GraphBuilder()
        self._model = model
        self._ranges = ranges
        self._weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self._scales: dict[str, np.float32] = {}

    def write_convolutions(self) -> str:
        """Write all up to the head; return the head's dequantized output."""
        renamed = {"pixels": self._write_input()}
        name = ""
        for node, output in _quantized_nodes(self._model):
            inputs = [renamed[value] for value in node.input[: 1 if node.op_type == "Conv" else 2]]
            if node.op_type == "Conv":
                inputs += self._write_weights(node, self._scales[inputs[0]])
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            self.builder.add(node.op_type, inputs, node.name, **attributes)
            name = renamed[output] = self._write_requantized(node.name, self._ranges[output])
        return name

    def write_embedding(self, x: str, mean: Array, scale: np.float32) -> None:
        """Write pooling, unit length, centering, rounding to int8."""
        add, constant = self.builder.add, self.builder.constant
        x = add("GlobalAveragePool", [x], "pooled_4d")
        x = add(
            "Reshape",
            [x, constant("pooled_shape", np.array([-1, network.WIDTH], np.int64))],
            "pooled",
        )
        x = add("LpNormalization", [x], "unit", axis=1, p=2)
        x = add("Sub", [x, constant("gallery_mean", mean)], "centered")
        parameters = [constant("embedding_scale", scale), constant("embedding_zero", np.int8(0))]
        add("QuantizeLinear", [x, *parameters], "embedding")

    def _write_input(self) -> str:
        add, constant = self.builder.add, self.builder.constant
        x = network.add_resize(self.builder, add("Cast", ["images"], "images_float", to=1))
        step, zero = np.float32(1), np.uint8(network.MEAN)
        parameters = [constant("pixel_step", step), constant("pixel_zero", np.uint8(0))]
        x = add("QuantizeLinear", [x, *parameters], "resized_u8")
        x = add("Unsqueeze", [x, constant("channel_axis", np.array([1], np.int64))], "resized_4d")
        x = add("SpaceToDepth", [x], "pixels_u8", blocksize=2)
        # The stem's weights are divided by the spread already: a step of a pixel counts 1.
        return self._dequantized(x, step, zero)

    def _write_weights(self, node: onnx.NodeProto, x_scale: np.float32) -> list[str]:
        weight, bias = self._weights[node.input[1]], self._weights[node.input[2]]
        largest = np.abs(weight).max(axis=(1, 2, 3))
        # A channel that has died has a bias only, and its scale must let that fit an int32.
        floor = np.abs(bias) / x_scale / np.float32(2**30)
        scale = np.maximum(largest / np.float32(INT8_MAX), np.maximum(floor, np.float32(1e-12)))
        steps = rounded_with_sum(weight / scale[:, None, None, None]).astype(np.int8)
        bias_scale = (scale * x_scale).astype(np.float32)
        bias_steps = np.rint(bias / bias_scale.astype(np.float64)).astype(np.int32)
        return [
            self._constant_dequantized(f"{node.name}_weight", steps, scale),
            self._constant_dequantized(f"{node.name}_bias", bias_steps, bias_scale),
        ]

    def _constant_dequantized(self, name: str, steps: npt.NDArray[Any], scale: Array) -> str:
        constant = self.builder.constant
        inputs = [constant(f"{name}_steps", steps), constant(f"{name}_scale", scale)]
        return self.builder.add("DequantizeLinear", inputs, name, axis=0)

    def _write_requantized(self, name: str, limits: Range) -> str:
        low, high = min(limits[0], 0.0), max(limits[1], 1e-6)
        scale = np.float32((high - low) / UINT8_MAX)
        zero = np.uint8(np.rint(-low / scale))
        constant = self.builder.constant
        parameters = [constant(f"{name}_scale", scale), constant(f"{name}_zero", zero)]
        x = self.builder.add("QuantizeLinear", [name, *parameters], f"{name}_u8")
        return self._dequantized(x, scale, zero)

    def _dequantized(self, x: str, scale: np.float32, zero: np.uint8) -> str:
        parameters = [f"{x}_scale", f"{x}_zero"]
        self.builder.constant(parameters[0], scale)
        self.builder.constant(parameters[1], zero)
        output = self.builder.add("DequantizeLinear", [x, *parameters], f"{x}_float")
        self._scales[output] = scale
        return output
