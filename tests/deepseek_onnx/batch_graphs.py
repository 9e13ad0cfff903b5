"""Random graphs of known operators, some of which mix items and some of which do not.

A graph grows node by node; a node that the runtime refuses is left out. Sizes are small and often
equal to the number of items, so that what fits by chance is not told from what belongs together.
"""

from __future__ import annotations

from collections.abc import Callable

import batch_kinds_moves as moves
import batch_kinds_networks as networks
import batch_kinds_shapes as shapes
import batch_kinds_values as values
from batch_growing import ITEMS, Draw, Growing, array_of
from batch_runs import Refused
from hypothesis import strategies as st

KINDS = (
    values.unary,
    values.binary,
    values.binary,
    values.integer_arithmetic,
    values.where,
    values.cast,
    values.compare,
    values.matmul,
    values.matmul,
    values.gemm,
    values.einsum,
    shapes.reshape,
    shapes.reshape,
    shapes.reshape,
    shapes.reshape_by_shape,
    shapes.reshape_by_shape,
    shapes.reshape_to_value,
    shapes.expand,
    shapes.constant_of_shape,
    shapes.number_range,
    shapes.places,
    shapes.places,
    shapes.tuples,
    shapes.tuples,
    shapes.shape_part,
    shapes.transpose,
    shapes.transpose,
    shapes.flatten,
    shapes.squeeze,
    shapes.unsqueeze,
    moves.concat,
    moves.concat,
    moves.split,
    moves.cut,
    moves.cut_by_shape,
    moves.gather,
    moves.embed,
    moves.gather_elements,
    moves.scatter_elements,
    moves.gather_nd,
    moves.scatter_nd,
    values.reduce,
    values.reduce_sizes,
    values.along,
    values.cumulate,
    values.top_k,
    shapes.tile,
    moves.pad,
    moves.compress,
    values.place_bound,
    values.one_hot,
    networks.layer_normalization,
    networks.normalization,
    networks.mean_variance,
    networks.conv,
    networks.pool,
    networks.blocks,
    networks.recurrent,
    networks.reverse,
    networks.resize,
    networks.quantize,
    values.clip,
)


def _sizes(draw: Draw, place: int) -> tuple[list[int], int | None]:
    """The sizes of an input and the axis of its items, which the first input has."""
    rank = draw(st.integers(1, 4))
    sizes = [draw(st.sampled_from((1, 2, ITEMS, 4))) for _ in range(rank)]
    if place and not draw(st.integers(0, 3)):
        return sizes, None
    axis = draw(st.integers(0, rank - 1)) if draw(st.booleans()) else 0
    sizes[axis] = ITEMS
    return sizes, axis


@st.composite
def graphs(draw: Draw, kinds: tuple[Callable[[Growing], None], ...] = KINDS) -> Growing:
    """A graph of up to 12 nodes with at least one input that carries items."""
    g = Growing(draw, opset=draw(st.sampled_from((18, 21))))
    for place in range(draw(st.integers(1, 3))):
        sizes, axis = _sizes(draw, place)
        if place and draw(st.booleans()):
            first, axis = g.inputs["x0"]
            sizes = list(first.shape)
        dtype = draw(st.sampled_from(("float32", "float32", "int64", "bool")))
        array = array_of(draw, tuple(sizes), dtype)
        g.inputs[f"x{place}"] = (array, axis)
        g.values[f"x{place}"] = array
        if draw(st.booleans()):
            g.free.add(f"x{place}")
    for _ in range(draw(st.integers(2, 12))):
        try:
            draw(st.sampled_from(kinds))(g)
        except (Refused, LookupError):
            continue
    return g
