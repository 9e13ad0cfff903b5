"""Convolutions and pools: the first axis is the batch, windows slide over the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.rules.moving import same_axis
from deepseek_onnx.batching.rules.windows import slid, spread
from deepseek_onnx.batching.sizes import Dim, over, product, times
from deepseek_onnx.batching.states import Data, Items, Mixed, State, Tensor, like


def first_axis(call: Call, place: int = 0) -> tuple[Data, tuple[Dim, ...]]:
    """An input whose first axis is the batch, and its sizes."""
    x, dims = call.ranked(place)
    if x.axis not in (None, 0):
        raise Mixes
    return x, dims


def conv(weights: int, others: tuple[int, ...]) -> Rule:
    """The rule of a convolution whose weights [M, C/g, k..] are this input; all but x is Fixed."""

    def rule(call: Call) -> Tensor:
        call.fixed(weights, *others)
        x, dims = first_axis(call)
        _, kernel = call.ranked(weights)
        _require_rank(dims, kernel)
        return like(x, (dims[0], kernel[0], *slid(call, dims[2:], kernel[2:])), x.axis)

    return rule


def _require_rank(dims: tuple[Dim, ...], kernel: tuple[Dim, ...]) -> None:
    if len(dims) != len(kernel) or len(dims) < 3:
        raise Contradiction("has weights of another rank")


def conv_transpose(call: Call) -> Tensor:
    """A transposed convolution with weights [C, M/g, k..]."""
    call.fixed(1, 2)
    x, dims = first_axis(call)
    _, kernel = call.ranked(1)
    _require_rank(dims, kernel)
    channels = times(kernel[1], call.integer("group", 1))
    return like(x, (dims[0], channels, *spread(call, dims[2:], kernel[2:])), x.axis)


def deform_conv(call: Call) -> Tensor:
    """A convolution whose offsets and mask are each item's own."""
    call.fixed(1, 3)
    x, dims = first_axis(call)
    same_axis([x, call.data(2), *([call.data(4)] if call.has(4) else [])])
    _, kernel = call.ranked(1)
    _require_rank(dims, kernel)
    return like(x, (dims[0], kernel[0], *slid(call, dims[2:], kernel[2:])), x.axis)


def pool(call: Call) -> tuple[State, ...]:
    """The largest, mean or norm under a window; places, where asked for, count over the batch."""
    x, dims = first_axis(call)
    kernel = call.integers("kernel_shape") or []
    if len(kernel) != len(dims) - 2:
        raise Contradiction("has a window of another rank")
    made = like(x, (*dims[:2], *slid(call, dims[2:], kernel)), x.axis)
    return made, _indices(made)


def _indices(made: Tensor) -> State:
    """The second output of MaxPool."""
    if isinstance(made, Items):
        return Mixed("MaxPool mixes items: its indices count through the batch")
    return made


def global_pool(call: Call) -> Tensor:
    """One number for each channel."""
    x, dims = first_axis(call)
    return like(x, (*dims[:2], *(1 for _ in dims[2:])), x.axis)


def roi_pool(call: Call) -> Tensor:
    """Regions of pictures that other inputs name by number."""
    if any(isinstance(state, Items) for state in call.inputs):
        raise Mixes("its regions choose them by number")
    raise Unclear("its regions are not followed")


def col2im(call: Call) -> Tensor:
    """Columns [N, C * k, L] put together to a picture [N, C, image..]."""
    x, dims = first_axis(call)
    image, block = call.sizes(1), call.sizes(2)
    call.fixed(1, 2)
    channels = over(dims[1], product(block))
    sizes = [size if isinstance(size, int) else call.unknown() for size in image]
    return like(x, (dims[0], call.unknown() if channels is None else channels, *sizes), x.axis)


def depth_to_space(call: Call) -> Tensor:
    """Channels become places: [N, C b b, H, W] to [N, C, H b, W b]."""
    x, dims, b = _blocks(call)
    made = (dims[0], _quotient(call, dims[1], b * b), times(dims[2], b), times(dims[3], b))
    return like(x, made, x.axis)


def space_to_depth(call: Call) -> Tensor:
    """Places become channels: [N, C, H b, W b] to [N, C b b, H, W]."""
    x, dims, b = _blocks(call)
    places = (_quotient(call, dims[2], b), _quotient(call, dims[3], b))
    return like(x, (dims[0], times(dims[1], b * b), *places), x.axis)


def _blocks(call: Call) -> tuple[Data, tuple[Dim, ...], int]:
    x, dims = first_axis(call)
    if len(dims) != 4:
        raise Contradiction("has no four axes")
    return x, dims, call.integer("blocksize", 0)


def _quotient(call: Call, a: Dim, b: Dim) -> Dim:
    found = over(a, b)
    return call.unknown() if found is None else found


def grid_sample(call: Call) -> Tensor:
    """Points of a picture [N, C, D..] where the item's grid [N, P.., r] says."""
    x, dims = first_axis(call)
    grid, points = first_axis(call, 1)
    same_axis((x, grid))
    return like(x, (*dims[:2], *points[1:-1]), x.axis)


RULES: Final[Mapping[str, Rule]] = {
    "Conv": conv(1, (2,)),
    "ConvInteger": conv(1, (2, 3)),
    "QLinearConv": conv(3, (1, 2, 4, 5, 6, 7, 8)),
    "ConvTranspose": conv_transpose,
    "DeformConv": deform_conv,
    "MaxPool": pool,
    "AveragePool": pool,
    "LpPool": pool,
    "GlobalAveragePool": global_pool,
    "GlobalLpPool": global_pool,
    "GlobalMaxPool": global_pool,
    "MaxRoiPool": roi_pool,
    "RoiAlign": roi_pool,
    "Col2Im": col2im,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "GridSample": grid_sample,
}
