"""Fourier transforms, along one axis of a signal, and the windows and filters for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule, normal
from deepseek_onnx.batching.faults import Contradiction, Mixes
from deepseek_onnx.batching.rules.convolution import first_axis
from deepseek_onnx.batching.rules.moving import replaced
from deepseek_onnx.batching.sizes import is_size
from deepseek_onnx.batching.states import Fixed, Tensor, like


def dft(call: Call) -> Tensor:
    """Along an axis, an attribute before opset 20; the last axis holds the parts of a number."""
    call.fixed(1)
    x, dims = call.ranked(0)
    axis = normal(_axis(call), len(dims))
    if x.axis in (axis, len(dims) - 1):
        raise Mixes
    made = replaced(replaced(dims, axis, call.unknown()), len(dims) - 1, call.unknown())
    return like(x, made, x.axis)


def _axis(call: Call) -> int:
    if call.version < 20:
        return call.integer("axis", 1)
    axes = call.whole(2) if call.has(2) else [-2]
    if len(axes) != 1:
        raise Contradiction("transforms along more than one axis")
    return axes[0]


def stft(call: Call) -> Tensor:
    """Frames of each signal [N, L, parts] to [N, frames, bins, 2]."""
    call.fixed(1, 2, 3)
    x, dims = first_axis(call)
    return like(x, (dims[0], call.unknown(), call.unknown(), 2), x.axis)


def window(call: Call) -> Tensor:
    """So many numbers, whatever the items are."""
    call.fixed(0)
    size = call.sizes(0)[0]
    return Fixed((size if is_size(size) else call.unknown(),))


def filters(call: Call) -> Tensor:
    """A matrix of constants."""
    call.fixed(*range(len(call.inputs)))
    return Fixed((call.unknown(), call.unknown()))


RULES: Final[Mapping[str, Rule]] = {
    "DFT": dft,
    "STFT": stft,
    "HannWindow": window,
    "HammingWindow": window,
    "BlackmanWindow": window,
    "MelWeightMatrix": filters,
}
