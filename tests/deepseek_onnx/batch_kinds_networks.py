"""Kinds of nodes that networks are made of."""

from __future__ import annotations

import numpy as np
from batch_growing import Growing, array_of, floats, ints
from hypothesis import strategies as st


def layer_normalization(g: Growing) -> None:
    x = floats(g)
    axis = g.axis(x)
    scale = g.constant(array_of(g.draw, g.shape(x)[axis:], "float32"))
    g.add("LayerNormalization", [x, scale], outputs=g.draw(st.sampled_from((1, 3))), axis=axis)


def normalization(g: Growing) -> None:
    x = g.pick("float32", rank=g.draw(st.sampled_from((3, 4))))
    channels = g.constant(array_of(g.draw, (g.shape(x)[1],), "float32"))
    if g.draw(st.booleans()):
        g.add("InstanceNormalization", [x, channels, channels])
    else:
        positive = g.constant(np.abs(g.constants[channels]) + 1)
        g.add("BatchNormalization", [x, channels, channels, channels, positive])


def mean_variance(g: Growing) -> None:
    x = g.pick("float32", rank=4)
    axes = g.draw(st.sampled_from(([0, 2, 3], [2, 3], [1, 2, 3])))
    g.add("MeanVarianceNormalization", [x], axes=axes)


def conv(g: Growing) -> None:
    x = g.pick("float32", rank=g.draw(st.sampled_from((3, 4))))
    shape = g.shape(x)
    w = g.constant(array_of(g.draw, (2, shape[1], *(1 for _ in shape[2:])), "float32"))
    if g.draw(st.booleans()):
        g.add("Conv", [x, w], pads=[g.draw(st.integers(0, 1))] * (2 * (len(shape) - 2)))
    else:
        op = g.draw(st.sampled_from(("GlobalAveragePool", "GlobalMaxPool", "LRN")))
        g.add(op, [x], **({"size": 3} if op == "LRN" else {}))


def pool(g: Growing) -> None:
    x = g.pick("float32", rank=g.draw(st.sampled_from((3, 4))))
    rank = len(g.shape(x)) - 2
    if g.draw(st.booleans()):
        g.add("MaxPool", [x], outputs=2, kernel_shape=[1] * rank, strides=[2] * rank)
    else:
        g.add("AveragePool", [x], kernel_shape=[2] * rank, pads=[1] * (2 * rank), ceil_mode=1)


def blocks(g: Growing) -> None:
    op = g.draw(st.sampled_from(("DepthToSpace", "SpaceToDepth")))
    g.add(op, [g.pick("float32", rank=4)], blocksize=g.draw(st.integers(1, 2)))


def recurrent(g: Growing) -> None:
    x = g.pick("float32", rank=3)
    op, gates = g.draw(st.sampled_from((("GRU", 3), ("LSTM", 4), ("RNN", 1))))
    width = g.shape(x)[2]
    w = g.constant(array_of(g.draw, (1, gates * 2, width), "float32"))
    r = g.constant(array_of(g.draw, (1, gates * 2, 2), "float32"))
    inputs = [x, w, r]
    if g.draw(st.booleans()):
        inputs += ["", "", g.pick("float32", rank=3)]
    g.add(op, inputs, outputs=2, hidden_size=2)


def reverse(g: Growing) -> None:
    x = floats(g)
    time = g.draw(st.integers(0, 1))
    if g.draw(st.booleans()):
        lengths = g.pick("int64", rank=1)
    else:
        lengths = g.constant(np.ones(g.shape(x)[1 - time], dtype=np.int64) * 2)
    g.add("ReverseSequence", [x, lengths], time_axis=time, batch_axis=1 - time)


def resize(g: Growing) -> None:
    x = floats(g)
    mode = g.draw(st.sampled_from(("nearest", "linear")))
    if g.draw(st.booleans()):
        scales = [g.draw(st.sampled_from((1.0, 1.0, 2.0, 0.5))) for _ in g.shape(x)]
        g.add("Resize", [x, "", g.constant(np.array(scales, dtype=np.float32))], mode=mode)
        return
    (sizes,) = g.add("Shape", [x])
    factors = [g.draw(st.sampled_from((1, 1, 2))) for _ in g.shape(x)]
    (sizes,) = g.add("Mul", [sizes, ints(g, *factors)])
    g.add("Resize", [x, "", "", sizes], mode=mode)


def quantize(g: Growing) -> None:
    x = floats(g)
    kind = g.draw(st.integers(0, 2))
    if kind == 0:
        g.add("DynamicQuantizeLinear", [x], outputs=3)
        return
    axis = g.axis(x)
    size = () if kind == 1 else (g.shape(x)[axis],)
    scale = g.constant(np.abs(array_of(g.draw, size, "float32")) + np.float32(0.1))
    zero = g.constant(np.zeros(size, dtype=np.uint8))
    (q,) = g.add("QuantizeLinear", [x, scale, zero], axis=axis)
    g.add("DequantizeLinear", [q, scale, zero], axis=axis)
