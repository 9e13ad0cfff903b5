"""Kinds of nodes that join, cut, read and write."""

from __future__ import annotations

import numpy as np
from batch_growing import ITEMS, Growing, array_of, floats, ints, other_operand
from hypothesis import strategies as st


def concat(g: Growing) -> None:
    x = g.pick()
    y = other_operand(g, x)
    g.add("Concat", [x, y] if g.draw(st.booleans()) else [y, x], axis=g.axis(x))


def split(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    size = g.shape(x)[axis]
    if size < 2:
        raise LookupError
    first = g.draw(st.integers(1, size - 1))
    g.add("Split", [x, ints(g, first, size - first)], outputs=2, axis=axis)


def cut(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    start = g.draw(st.integers(-3, 2))
    end = g.draw(st.sampled_from((1, 2, 3, -1, 2**31 - 1, 2**63 - 1)))
    step = g.draw(st.sampled_from((1, 1, 2, -1)))
    g.add("Slice", [x, ints(g, start), ints(g, end), ints(g, axis), ints(g, step)])


def cut_by_shape(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    g.add("Slice", [x, ints(g, 0), g.pick("int64", rank=1), ints(g, axis)])


def gather(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    if g.draw(st.booleans()):
        shape = g.draw(st.sampled_from(((), (1,), (2,), (ITEMS,), (2, ITEMS))))
        indices = g.constant(np.minimum(array_of(g.draw, shape, "int64"), g.shape(x)[axis] - 1))
    else:
        indices = g.pick("int64")
    g.add("Gather", [x, indices], axis=axis)


def embed(g: Growing) -> None:
    table = g.constant(array_of(g.draw, (8, 2), "float32"))
    g.add("Gather", [table, g.pick("int64")], axis=g.draw(st.integers(0, 1)))


def gather_elements(g: Growing) -> None:
    x, i = g.pick("float32"), g.pick("int64")
    if g.draw(st.booleans()):
        x = g.constant(array_of(g.draw, g.shape(i), "float32"))
    elif g.draw(st.booleans()):
        i = g.constant(array_of(g.draw, g.shape(x), "int64"))
    rank = len(g.shape(i))
    g.add("GatherElements", [x, i], axis=g.draw(st.integers(0, max(0, rank - 1))))


def scatter_elements(g: Growing) -> None:
    x, i = g.pick("float32"), g.pick("int64")
    if g.draw(st.booleans()):
        i = g.constant(array_of(g.draw, g.shape(x), "int64"))
    u = (
        g.pick("float32")
        if g.draw(st.booleans())
        else g.constant(array_of(g.draw, g.shape(i), "float32"))
    )
    g.add("ScatterElements", [x, i, u], axis=g.axis(x), reduction="add")


def gather_nd(g: Growing) -> None:
    x, i = g.pick("float32"), g.pick("int64")
    if g.draw(st.booleans()):
        i = g.constant(
            array_of(g.draw, g.draw(st.sampled_from(((1,), (2, 1), (ITEMS, 1), (2, 2)))), "int64")
        )
    g.add("GatherND", [x, i], batch_dims=g.draw(st.integers(0, 1)))


def scatter_nd(g: Growing) -> None:
    x, u = g.pick("float32"), g.pick("float32")
    if g.draw(st.booleans()):
        shape = g.draw(st.sampled_from(((1,), (2, 1), (ITEMS, 1), (2, 2))))
        i = g.constant(np.arange(int(np.prod(shape))).reshape(shape) % 2)
    else:
        i = g.pick("int64")
    if g.draw(st.booleans()):
        needed = g.shape(i)[:-1] + g.shape(x)[g.shape(i)[-1] :] if g.shape(i) else ()
        u = g.constant(array_of(g.draw, needed, "float32"))
    g.add("ScatterND", [x, i, u])


def pad(g: Growing) -> None:
    x = floats(g)
    pads = [g.draw(st.sampled_from((0, 0, 0, 1, -1))) for _ in range(2 * len(g.shape(x)))]
    mode = g.draw(st.sampled_from(("constant", "reflect", "edge")))
    g.add("Pad", [x, ints(g, *pads)], mode=mode)


def compress(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    if g.draw(st.booleans()):
        condition = g.constant(array_of(g.draw, (g.shape(x)[axis],), "bool"))
    else:
        condition = g.pick("bool", rank=1)
    g.add("Compress", [x, condition], **({"axis": axis} if g.draw(st.booleans()) else {}))
