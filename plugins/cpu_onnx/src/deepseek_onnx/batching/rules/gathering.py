"""Operators that read or write at places that another input gives.

Legend: g the axis along which places count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.rules.broadcasting import computed
from deepseek_onnx.batching.rules.moving import same_axis
from deepseek_onnx.batching.rules.pointing import all_agree, own_rows, own_tuples
from deepseek_onnx.batching.sizes import Dim
from deepseek_onnx.batching.states import Fixed, Items, Places, Tensor, like


def gather(call: Call) -> Tensor:
    """Whole slices of the data, in the places of the indices."""
    (data, data_dims), (indices, dims) = call.ranked(0), call.movable(1)
    g = call.axis("axis", 0, len(data_dims))
    new = data_dims[:g] + dims + data_dims[g + 1 :]
    if isinstance(indices, Places):
        own_rows(data, indices, g)
        return Items(new, g + indices.axis, indices.layout)
    if isinstance(data, Fixed):
        return like(indices, new, None if indices.axis is None else g + indices.axis)
    if isinstance(indices, Items):
        raise Mixes("its indices are not told apart by item")
    if data.axis == g:
        raise Mixes("it chooses some by their place")
    return Items(new, data.axis if data.axis < g else data.axis - 1 + len(dims), data.layout)


def gather_elements(call: Call) -> Tensor:
    """Elements of the data, at the place of the index but along g."""
    (data, data_dims), (indices, dims) = call.ranked(0), call.ranked(1)
    g = call.axis("axis", 0, len(data_dims))
    if isinstance(data, Fixed) and (indices.axis is None or indices.axis == g):
        return like(indices, dims, indices.axis)
    same_axis((data, indices))
    if data.axis == g:
        raise Mixes
    return like(data, dims, data.axis)


def scatter_elements(call: Call) -> Tensor:
    """The data with updates at the place of the index but along g."""
    data, dims = call.ranked(0)
    same_axis((data, call.data(1), call.data(2)))
    if data.axis == call.axis("axis", 0, len(dims)):
        raise Mixes
    return like(data, dims, data.axis)


def gather_nd(call: Call) -> Tensor:
    """Slices of the data where tuples of indices point, apart for each of the batch axes.

    Data [batch.., D.., rest..] and indices [batch.., places.., depth] give
    [batch.., places.., rest..], the tuple counting along the depth axes D.
    """
    (data, data_dims), (indices, dims) = call.ranked(0), call.movable(1)
    batch, depth = call.integer("batch_dims", 0), _depth(dims)
    new = dims[:-1] + data_dims[batch + depth :]
    if isinstance(indices, Places):
        own_tuples(data, indices, 0 if batch else depth)
        return Items(new, indices.axis, indices.layout)
    if isinstance(data, Items) and data.axis < batch:
        same_axis((data, indices))
        return Items(new, data.axis, data.layout)
    if isinstance(data, Items):
        if isinstance(indices, Items) or data.axis < batch + depth:
            raise Mixes("its indices are not told apart by item")
        return Items(new, len(dims) - 1 + data.axis - batch - depth, data.layout)
    if indices.axis is not None and (indices.axis < batch or indices.axis == len(dims) - 1):
        raise Mixes
    return like(indices, new, indices.axis)


def _depth(dims: tuple[Dim, ...]) -> int:
    """How many axes a tuple of indices counts along."""
    if not dims:
        raise Contradiction("has a scalar for indices")
    if not isinstance(dims[-1], int):
        raise Unclear("the length of its indices is not known")
    return dims[-1]


def scatter_nd(call: Call) -> Tensor:
    """The data with slices written where tuples of indices point, the same in each item.

    Data [D.., rest..], indices [places.., depth], updates [places.., rest..].
    """
    (data, data_dims), (indices, dims) = call.ranked(0), call.movable(1)
    updates, depth = call.data(2), _depth(dims)
    if isinstance(indices, Places):
        own_tuples(data, indices, depth)
        all_agree(indices, [updates])
        return computed(data)
    if data.axis is None and indices.axis is None and updates.axis is None:
        return Fixed(data_dims)
    if not isinstance(data, Items) or isinstance(indices, Items) or data.axis < depth:
        raise Mixes("it writes to some by their place")
    if updates.axis != len(dims) - 1 + data.axis - depth or updates.layout != data.layout:
        raise Mixes("its updates are not told apart by item")
    return computed(data)


def tensor_scatter(call: Call) -> Tensor:
    """A cache with new steps written from each item's own index on."""
    cache, dims = call.ranked(0)
    states = [cache, call.data(1), *([call.data(2)] if call.has(2) else [])]
    same_axis(states)
    if cache.axis not in (None, 0):
        raise Unclear("its first axis is not theirs")
    return like(cache, dims, cache.axis)


RULES: Final[Mapping[str, Rule]] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "TensorScatter": tensor_scatter,
}
