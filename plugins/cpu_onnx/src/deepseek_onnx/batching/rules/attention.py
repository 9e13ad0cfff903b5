"""Attention and what goes with it: the batch is the first axis of every input that has one.

Legend: B batch, S steps, T steps of keys and values, P past steps, H heads, D width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.contents import add
from deepseek_onnx.batching.faults import CountsItems, Mixes, Unclear
from deepseek_onnx.batching.rules.broadcasting import require_single
from deepseek_onnx.batching.sizes import Dim, over, power, times
from deepseek_onnx.batching.states import Data, Fixed, Items, Tensor, like


def together(call: Call, places: Sequence[int]) -> Data:
    """The first of several inputs that all, where given, carry the items on axis 0 or all do not.

    Raises:
        Mixes: they do on another axis.
        Unclear: some do and some do not.
    """
    states = [call.data(place) for place in places if call.has(place)]
    first = states[0]
    if first.axis not in (None, 0):
        raise Mixes
    for state in states:
        if state.axis != first.axis or state.layout != first.layout:
            raise Unclear("not all of its inputs carry them")
    return first


def broadcast_to(call: Call, place: int, x: Data, rank: int) -> None:
    """See that a mask or bias, of at most this rank, is the items' own or the same for all."""
    if not call.has(place):
        return
    mask, dims = call.ranked(place)
    if isinstance(mask, Fixed):
        if isinstance(x, Items):
            require_single(mask, rank)
    elif len(dims) != rank or mask.axis != x.axis or mask.layout != x.layout:
        raise Mixes("its mask is not told apart by item")


def attention(call: Call) -> tuple[Tensor, ...]:
    """Q, K, V [B, S, H D] or [B, H, S, D], a mask up to [B, H, S, T], past keys and values."""
    x = together(call, (0, 1, 2, 4, 5, 6))
    broadcast_to(call, 3, x, 4)
    _, q = call.ranked(0)
    _, k = call.ranked(1)
    _, v = call.ranked(2)
    heads, groups = call.integer("q_num_heads", 0), call.integer("kv_num_heads", 0)
    y: tuple[Dim, ...]
    present: list[tuple[Dim, ...]]
    scores: tuple[Dim, ...]
    if len(q) == 3:
        width = times(_quotient(call, v[2], groups), heads)
        y = (q[0], q[1], width)
        present = [(q[0], groups, call.unknown(), _quotient(call, z[2], groups)) for z in (k, v)]
        scores = (q[0], heads, q[1], call.unknown())
    else:
        y = (*q[:3], v[3])
        present = [(q[0], z[1], call.unknown(), z[3]) for z in (k, v)]
        scores = (*q[:3], call.unknown())
    return tuple(like(x, dims, x.axis) for dims in (y, *present, scores))


def _quotient(call: Call, a: Dim, b: Dim) -> Dim:
    found = over(a, b)
    return call.unknown() if found is None else found


def rotary(call: Call) -> Tensor:
    """Pairs turned by the angle of their step; tables [L, D / 2], or [B, S, D / 2] without ids."""
    x, dims = call.ranked(0)
    if call.has(3):
        together(call, (0, 3))
        call.fixed(1, 2)
    else:
        together(call, (0, 1, 2))
    return like(x, dims, x.axis)


def linear_attention(call: Call) -> tuple[Tensor, ...]:
    """A running state [B, H, K, V] instead of past keys and values."""
    x = together(call, range(6))
    _, q = call.ranked(0)
    _, v = call.ranked(2)
    heads, groups = call.integer("q_num_heads", 1), call.integer("kv_num_heads", 1)
    width = times(_quotient(call, v[2], groups), heads)
    state = (q[0], groups, call.unknown(), _quotient(call, v[2], groups))
    return like(x, (q[0], q[1], width), x.axis), like(x, state, x.axis)


def causal_conv(call: Call) -> tuple[Tensor, ...]:
    """A convolution [B, C, S] over past steps, with their state [B, C, k - 1]."""
    call.fixed(1, 2)
    x = together(call, (0, 3))
    _, dims = call.ranked(0)
    _, kernel = call.ranked(1)
    state = (dims[0], dims[1], add(kernel[2], -1))
    return like(x, dims, x.axis), like(x, state, x.axis)


def affine_grid(call: Call) -> Tensor:
    """Points [N, H, W, 2] of a picture [N, C, H, W], or in space, turned by each item's theta."""
    x, dims = call.ranked(0)
    size = call.sizes(1)
    if x.axis not in (None, 0) or (x.axis == 0 and size[0] != dims[0]):
        raise Mixes
    if any(element is None or power(element) for element in size[1:]):
        raise CountsItems
    places = [place if isinstance(place, int) else call.unknown() for place in size[2:]]
    return like(x, (dims[0], *places, len(places)), x.axis)


RULES: Final[Mapping[str, Rule]] = {
    "Attention": attention,
    "RotaryEmbedding": rotary,
    "LinearAttention": linear_attention,
    "CausalConvWithState": causal_conv,
    "AffineGrid": affine_grid,
}
