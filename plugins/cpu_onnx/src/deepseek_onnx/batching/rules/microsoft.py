"""The operators of com.microsoft that exporters and optimizers write: fused and plain ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.rules.attention import broadcast_to, together
from deepseek_onnx.batching.rules.broadcasting import computed, meet, meet_all
from deepseek_onnx.batching.rules.convolution import conv, grid_sample
from deepseek_onnx.batching.rules.moving import replaced, trilu
from deepseek_onnx.batching.rules.products import distances, fused_matmul, gemm
from deepseek_onnx.batching.rules.quantizing import single
from deepseek_onnx.batching.rules.trees import elementwise
from deepseek_onnx.batching.sizes import Dim, over
from deepseek_onnx.batching.states import Data, Fixed, Items, Tensor, like


def biased(call: Call) -> Tensor:
    """An activation of a sum, the addends broadcast."""
    return meet_all(call.data(place) for place in range(len(call.inputs)) if call.has(place))


def skip_layer(call: Call) -> tuple[Tensor, ...]:
    """The last axis of a sum normalized; also its mean, its deviation, and the sum itself."""
    call.fixed(2, 3, 4)
    return _skipped(call)


def skip_simplified(call: Call) -> tuple[Tensor, ...]:
    """The same without a mean taken off, and so without a shift."""
    call.fixed(2, 3)
    return _skipped(call)


def _skipped(call: Call) -> tuple[Tensor, ...]:
    total = meet(call.tensor(0), call.tensor(1))
    if total.dims is None:
        raise Unclear("the rank of an operand is not known")
    if total.axis == len(total.dims) - 1:
        raise Mixes
    kept = like(total, replaced(total.dims, len(total.dims) - 1, 1), total.axis)
    return total, kept, kept, total


def embed_layer(call: Call) -> tuple[Tensor, ...]:
    """Words, segments and positions [B, S] looked up, added, normalized; and a mask's counts."""
    call.fixed(2, 3, 4, 5, 6)
    x = together(call, (0, 1, 7))
    broadcast_to(call, 8, x, 2)
    _, dims = call.ranked(0)
    _, table = call.ranked(2)
    made = like(x, (*dims, table[-1]), x.axis)
    return made, like(x, dims[:1], x.axis), made


def attention(call: Call) -> tuple[Tensor, ...]:
    """Input [B, S, C] projected and attended to; past and present are [2, B, H, P, D]."""
    call.fixed(1, 2, 6)
    x = together(call, (0, 3))
    broadcast_to(call, 5, x, 4)
    return _projected(call, x, 4)


def quantized_attention(call: Call) -> tuple[Tensor, ...]:
    """The same on integers, with one constant scale for the input."""
    call.fixed(1, 2, 4, 7)
    single(call, 3, 6)
    return _projected(call, together(call, (0, 5)), 8)


def _projected(call: Call, x: Data, past: int) -> tuple[Tensor, ...]:
    if call.has(past):
        state = call.data(past)
        if (state.axis, state.layout) != (1 if x.axis == 0 else None, x.layout):
            raise Unclear("its past does not carry them")
    _, dims = call.ranked(0)
    _, weights = call.ranked(1)
    made = like(x, (*dims[:2], _value_width(call, weights[-1])), x.axis)
    sizes = (2, dims[0], *(call.unknown() for _ in range(3)))
    return made, like(x, sizes, None if x.axis is None else 1)


def _value_width(call: Call, projected: Dim) -> Dim:
    sizes = call.integers("qkv_hidden_sizes")
    width = sizes[2] if sizes else over(projected, 3)
    return call.unknown() if width is None else width


def multi_head(call: Call) -> tuple[Tensor, ...]:
    """Query [B, S, H D] or [B, S, H, 3, D] with its keys and values, a mask, a bias, a past."""
    call.fixed(3, 8)
    if call.has(9):
        raise Unclear("its cache is not followed")
    x = together(call, (0, 1, 2, 4, 6, 7))
    broadcast_to(call, 5, x, 4)
    _, query = call.ranked(0)
    width: Dim = call.unknown()
    if call.has(2):
        _, value = call.ranked(2)
        width = value[2] if len(value) == 3 else width
    heads = call.integer("num_heads", 1)
    present = like(x, (query[0], heads, call.unknown(), call.unknown()), x.axis)
    scores = like(x, (query[0], heads, query[1], call.unknown()), x.axis)
    return like(x, (query[0], query[1], width), x.axis), present, present, scores


def rotary(call: Call) -> Tensor:
    """Pairs turned by the angle of their step: ids [B, S], or [1] for where all begin."""
    call.fixed(2, 3)
    if call.flag("is_packed_batching"):
        raise Unclear("its batches are packed")
    x, dims = call.ranked(0)
    _, ids = call.ranked(1)
    if ids == (1,):
        call.fixed(1)
    else:
        together(call, (0, 1))
    if x.axis not in (None, 0):
        raise Mixes
    return like(x, dims, x.axis)


def fused_conv(call: Call) -> Tensor:
    """A convolution plus a tensor of the result's shape."""
    made = conv(1, (2,))(call)
    assert isinstance(made, Fixed | Items)
    return meet(made, call.tensor(3)) if call.has(3) else made


def matmul_bits(call: Call) -> Tensor:
    """A product with weights of few bits; where the rows are quantized, each is by itself."""
    call.fixed(1, 2, 3, 4, 5)
    x, dims = call.ranked(0)
    if not dims:
        raise Contradiction("multiplies a scalar")
    if x.axis == len(dims) - 1:
        raise Mixes("it sums over them")
    return like(x, replaced(dims, len(dims) - 1, call.integer("N", 0)), x.axis)


def inverse(call: Call) -> Tensor:
    """Each matrix of a stack inverted."""
    x, dims = call.ranked(0)
    if x.axis is not None and x.axis >= len(dims) - 2:
        raise Mixes
    if dims[-1] != dims[-2]:
        # Given others, a runtime reads past the end of each.
        raise Unclear("its matrices may not be square")
    return computed(x)


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("Gelu", "QuickGelu", "MurmurHash3"), elementwise),
    **dict.fromkeys(("BiasGelu", "FastGelu", "BiasAdd"), biased),
    **dict.fromkeys(("FusedMatMul", "TransposeMatMul"), fused_matmul),
    "SkipLayerNormalization": skip_layer,
    "SkipSimplifiedLayerNormalization": skip_simplified,
    "EmbedLayerNormalization": embed_layer,
    "Attention": attention,
    "QAttention": quantized_attention,
    "MultiHeadAttention": multi_head,
    "RotaryEmbedding": rotary,
    "FusedGemm": gemm,
    "FusedConv": fused_conv,
    "MatMulNBits": matmul_bits,
    "Inverse": inverse,
    "CDist": distances,
    "GridSample": grid_sample,
    "Trilu": trilu,
}
