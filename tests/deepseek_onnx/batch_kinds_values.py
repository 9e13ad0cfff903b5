"""Kinds of nodes that compute: elementwise, products, reductions."""

from __future__ import annotations

import numpy as np
from batch_growing import ITEMS, Growing, array_of, floats, ints, other_operand
from hypothesis import strategies as st
from onnx import TensorProto


def unary(g: Growing) -> None:
    op = g.draw(st.sampled_from(("Relu", "Sigmoid", "Neg", "Abs", "Identity", "Tanh", "Erf")))
    g.add(op, [floats(g)])


def binary(g: Growing) -> None:
    x = g.pick("float32", "int64", "int64")
    op = g.draw(st.sampled_from(("Add", "Sub", "Mul", "Max", "Min")))
    pair = [x, other_operand(g, x)]
    g.add(op, pair if g.draw(st.booleans()) else pair[::-1])


def integer_arithmetic(g: Growing) -> None:
    x = g.pick("int64")
    op = g.draw(st.sampled_from(("Add", "Sub", "Mul", "Div", "Equal", "Less")))
    number = ints(g, g.draw(st.integers(1, 4)))
    g.add(op, [x, number] if g.draw(st.booleans()) else [number, x])


def where(g: Growing) -> None:
    c = g.pick("bool")
    x = g.pick("float32", "int64")
    g.add("Where", [c, x, other_operand(g, x)])


def cast(g: Growing) -> None:
    to = g.draw(st.sampled_from((TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL)))
    g.add("Cast", [g.pick()], to=to)


def compare(g: Growing) -> None:
    x = floats(g)
    g.add(g.draw(st.sampled_from(("Less", "Greater", "Equal"))), [x, other_operand(g, x)])


def matmul(g: Growing) -> None:
    x = floats(g)
    shape = g.shape(x)
    if not shape:
        raise LookupError
    if g.draw(st.booleans()):
        y = floats(g)
        g.add("MatMul", [x, y])
        return
    width = g.draw(st.sampled_from((1, 2, ITEMS)))
    if g.draw(st.booleans()) or len(shape) < 2:
        g.add("MatMul", [x, g.constant(array_of(g.draw, (shape[-1], width), "float32"))])
    else:
        g.add("MatMul", [g.constant(array_of(g.draw, (width, shape[-2]), "float32")), x])


def gemm(g: Growing) -> None:
    x = g.pick("float32", rank=2)
    turned = g.draw(st.booleans())
    rows, summed = g.shape(x)[::-1] if turned else g.shape(x)
    width = g.draw(st.sampled_from((1, 2, ITEMS)))
    w = g.constant(array_of(g.draw, (summed, width), "float32"))
    c_shape = g.draw(st.sampled_from(((width,), (1, width), (rows, 1), (rows, width), ())))
    c = g.constant(array_of(g.draw, c_shape, "float32"))
    g.add("Gemm", [x, w, c], transA=int(turned))


def einsum(g: Growing) -> None:
    x = floats(g)
    rank = len(g.shape(x))
    letters = "abcd"[:rank]
    y = floats(g)
    other = "".join(g.draw(st.permutations("abcd"))[: len(g.shape(y))])
    kept = [c for c in sorted(set(letters + other)) if g.draw(st.booleans())]
    g.add("Einsum", [x, y], equation=f"{letters},{other}->{''.join(kept)}")


def reduce(g: Growing) -> None:
    x = floats(g)
    op = g.draw(st.sampled_from(("ReduceMax", "ReduceMean", "ReduceSum", "ReduceL2")))
    keepdims = g.draw(st.integers(0, 1))
    if g.draw(st.integers(0, 4)) == 0:
        g.add(op, [x], keepdims=keepdims, noop_with_empty_axes=g.draw(st.integers(0, 1)))
    else:
        g.add(op, [x, ints(g, g.axis(x))], keepdims=keepdims)


def reduce_sizes(g: Growing) -> None:
    g.add("ReduceProd", [g.pick("int64", rank=1), ints(g, 0)], keepdims=g.draw(st.integers(0, 1)))


def along(g: Growing) -> None:
    x = floats(g)
    op = g.draw(
        st.sampled_from(("Softmax", "LogSoftmax", "Hardmax", "ArgMax", "ArgMin", "LpNormalization"))
    )
    g.add(op, [x], axis=g.axis(x))


def cumulate(g: Growing) -> None:
    x = floats(g)
    g.add("CumSum", [x, g.constant(np.int64(g.axis(x)))])


def top_k(g: Growing) -> None:
    x = floats(g)
    g.add("TopK", [x, ints(g, g.draw(st.integers(1, 2)))], outputs=2, axis=g.axis(x))


def place_bound(g: Growing) -> None:
    op = g.draw(st.sampled_from(("Trilu", "EyeLike", "NonZero")))
    g.add(op, [floats(g)])


def one_hot(g: Growing) -> None:
    i = g.pick("int64")
    depth, values = g.constant(np.int64(2)), g.constant(np.array([0.0, 1.0], dtype=np.float32))
    g.add("OneHot", [i, depth, values], axis=g.draw(st.integers(-1, len(g.shape(i)))))


def clip(g: Growing) -> None:
    x = floats(g)
    limit = g.pick("float32", rank=0) if g.draw(st.booleans()) else g.constant(np.float32(0.5))
    g.add("Clip", [x, "", limit])
