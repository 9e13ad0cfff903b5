"""Kinds of nodes that compute and change shapes."""

from __future__ import annotations

import numpy as np
from batch_growing import ITEMS, Growing, ints
from hypothesis import strategies as st


def reshape(g: Growing) -> None:
    """To a regrouping of the sizes, some written as 0 or -1."""
    x = g.pick()
    shape = list(g.shape(x))
    target = _regrouped(g, shape)
    written = [
        0 if i < len(shape) and size == shape[i] and g.draw(st.booleans()) else size
        for i, size in enumerate(target)
    ]
    if written and g.draw(st.booleans()):
        written[g.draw(st.integers(0, len(written) - 1))] = -1
    g.add("Reshape", [x, ints(g, *written)])


def _regrouped(g: Growing, shape: list[int]) -> list[int]:
    """The sizes with neighbors joined, or split, or quite others with the same product."""
    sizes = list(shape)
    for _ in range(g.draw(st.integers(0, 2))):
        if len(sizes) > 1 and g.draw(st.booleans()):
            i = g.draw(st.integers(0, len(sizes) - 2))
            sizes[i : i + 2] = [sizes[i] * sizes[i + 1]]
        elif sizes:
            i = g.draw(st.integers(0, len(sizes) - 1))
            divisors = [d for d in range(1, sizes[i] + 1) if sizes[i] % d == 0]
            d = g.draw(st.sampled_from(divisors))
            sizes[i : i + 1] = [d, sizes[i] // d]
    return g.draw(st.permutations(sizes)) if g.draw(st.integers(0, 4)) == 0 else sizes


def reshape_by_shape(g: Growing) -> None:
    """To sizes that the graph computes."""
    x = g.pick()
    shape = list(g.shape(x))
    if not shape:
        raise LookupError
    (sizes,) = g.add("Shape", [x])
    parts: list[str] = []
    i = 0
    while i < len(shape):
        (part,) = g.add("Gather", [sizes, ints(g, i)], axis=0)
        i += 1
        if i < len(shape) and g.draw(st.booleans()):
            (more,) = g.add("Gather", [sizes, ints(g, i)], axis=0)
            (part,) = g.add("Mul", [part, more])
            i += 1
        divisor = g.draw(st.sampled_from((1, 1, 2, 3)))
        if divisor > 1 and int(g.values[part][0]) % divisor == 0:
            (rest,) = g.add("Div", [part, ints(g, divisor)])
            parts.append(rest)
            part = ints(g, divisor)
        parts.append(part)
    if g.draw(st.booleans()):
        parts[g.draw(st.integers(0, len(parts) - 1))] = ints(g, -1)
    (target,) = g.add("Concat", parts, axis=0)
    g.add("Reshape", [x, target])


def reshape_to_value(g: Growing) -> None:
    """To whatever numbers a value holds."""
    g.add("Reshape", [g.pick(), g.pick("int64", rank=1)])


def expand(g: Growing) -> None:
    x = g.pick()
    if g.draw(st.booleans()):
        (target,) = g.add("Shape", [g.pick()])
    else:
        target = ints(g, *(g.draw(st.sampled_from((1, size, ITEMS))) for size in g.shape(x)))
    g.add("Expand", [x, target])


def constant_of_shape(g: Growing) -> None:
    g.add("ConstantOfShape", [g.pick("int64", rank=1)])


def number_range(g: Growing) -> None:
    (size,) = g.add("Size", [g.pick()])
    zero, one = g.constant(np.int64(0)), g.constant(np.int64(1))
    g.add("Range", [zero, size if g.draw(st.booleans()) else g.pick("int64", rank=0), one])


def places(g: Growing) -> None:
    """Numbers of the entries of an axis, perhaps with an axis behind them or a factor."""
    x = g.pick()
    axis = g.axis(x)
    (sizes,) = g.add("Shape", [x])
    (size,) = g.add("Gather", [sizes, g.constant(np.int64(axis))])
    (made,) = g.add("Range", [g.constant(np.int64(0)), size, g.constant(np.int64(1))])
    if g.draw(st.booleans()):
        (factor,) = g.add("Gather", [sizes, ints(g, g.axis(x))])
        (made,) = g.add("Mul", [made, factor])
    if g.draw(st.booleans()):
        g.add("Unsqueeze", [made, ints(g, *range(1, g.draw(st.integers(2, 3))))])


def tuples(g: Growing) -> None:
    """Indices joined to tuples, to read or write by."""
    a, b = g.pick("int64"), g.pick("int64")
    (a,) = g.add("Unsqueeze", [a, ints(g, -1)])
    (b,) = g.add("Unsqueeze", [b, ints(g, -1)])
    (both,) = g.add("Concat", [a, b] if g.draw(st.booleans()) else [b, a], axis=-1)
    x = g.pick("float32")
    if g.draw(st.booleans()):
        g.add("GatherND", [x, both])
    else:
        (updates,) = g.add("GatherND", [g.pick("float32"), both])
        g.add("ScatterND", [x, both, updates])


def shape_part(g: Growing) -> None:
    x = g.pick()
    rank = len(g.shape(x))
    if g.draw(st.booleans()):
        start = g.draw(st.integers(-rank, rank))
        g.add("Shape", [x], start=start, end=g.draw(st.integers(start, rank)))
        return
    (sizes,) = g.add("Shape", [x])
    place = g.draw(st.integers(0, max(0, rank - 1)))
    g.add(
        "Gather", [sizes, g.constant(np.int64(place)) if g.draw(st.booleans()) else ints(g, place)]
    )


def transpose(g: Growing) -> None:
    x = g.pick()
    if not g.shape(x):
        raise LookupError
    g.add("Transpose", [x], perm=g.draw(st.permutations(range(len(g.shape(x))))))


def flatten(g: Growing) -> None:
    x = g.pick()
    g.add("Flatten", [x], axis=g.draw(st.integers(0, len(g.shape(x)))))


def squeeze(g: Growing) -> None:
    x = g.pick()
    ones = [i for i, size in enumerate(g.shape(x)) if size == 1]
    if g.draw(st.integers(0, 5)) == 0:
        g.add("Squeeze", [x])
    elif ones:
        g.add("Squeeze", [x, ints(g, g.draw(st.sampled_from(ones)))])


def unsqueeze(g: Growing) -> None:
    x = g.pick()
    g.add("Unsqueeze", [x, ints(g, g.draw(st.integers(-len(g.shape(x)) - 1, len(g.shape(x)))))])


def tile(g: Growing) -> None:
    x = g.pick()
    if g.draw(st.booleans()):
        g.add("Tile", [x, ints(g, *(g.draw(st.integers(1, 2)) for _ in g.shape(x)))])
    else:
        g.add("Tile", [x, g.pick("int64", rank=1)])
