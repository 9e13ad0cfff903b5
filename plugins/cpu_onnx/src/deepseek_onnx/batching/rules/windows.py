"""Sizes of what slides a window over the spatial axes: convolutions and pools.

The first axis is the batch, the second the channels, unless the channels come last.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from deepseek_onnx.batching.calls import Call
from deepseek_onnx.batching.sizes import Dim


@attrs.frozen
class Window:
    """One spatial axis of a window; `before` and `after` are pads."""

    kernel: Dim
    stride: int
    dilation: int
    before: int
    after: int


def windows(call: Call, kernel: Sequence[Dim]) -> list[Window]:
    """The attributes of a window, axis by axis."""
    rank = len(kernel)
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    pads = call.integers("pads") or [0] * (2 * rank)
    return [
        Window(kernel[i], strides[i], dilations[i], pads[i], pads[i + rank]) for i in range(rank)
    ]


def slid(call: Call, sizes: Sequence[Dim], kernel: Sequence[Dim]) -> list[Dim]:
    """How many places a window has along each axis."""
    padding = call.text("auto_pad", "NOTSET")
    rounds_up = call.flag("ceil_mode")
    found: list[Dim] = []
    for size, window in zip(sizes, windows(call, kernel), strict=True):
        places = _places(size, window, padding, rounds_up)
        found.append(call.unknown() if places is None else places)
    return found


def _places(size: Dim, window: Window, padding: str, rounds_up: bool) -> Dim | None:
    if padding.startswith("SAME"):
        return _padded_places(size, window)
    if not isinstance(window.kernel, int):
        return None
    reach = (window.kernel - 1) * window.dilation
    pads = 0 if padding == "VALID" else window.before + window.after
    if not isinstance(size, int):
        return size if window.stride == 1 and pads == reach else None
    if padding == "VALID" and rounds_up:
        return None  # read in two ways
    return _count(size + pads - reach - 1, window, size, rounds_up)


def _padded_places(size: Dim, window: Window) -> Dim | None:
    """Count places: one per stride of the elements; dilated pools have fewer."""
    if window.dilation != 1:
        return None
    if isinstance(size, int):
        return -(-size // window.stride)
    return size if window.stride == 1 else None


def _count(room: int, window: Window, size: int, rounds_up: bool) -> int | None:
    """1 + space / stride; None where implementations differ in how they round."""
    if room < 0:
        return None
    if rounds_up and room % window.stride:
        places = room // window.stride + 2
        # A last window that begins in the padding is left out by some versions.
        return None if (places - 1) * window.stride >= size + window.before else places
    return room // window.stride + 1


def spread(call: Call, sizes: Sequence[Dim], kernel: Sequence[Dim]) -> list[Dim]:
    """How many elements a transposed convolution makes along each axis."""
    asked = call.integers("output_shape")
    if asked:
        return list(asked[-len(sizes) :])
    extra = call.integers("output_padding") or [0] * len(sizes)
    padding = call.text("auto_pad", "NOTSET")
    found: list[Dim] = []
    for size, window, more in zip(sizes, windows(call, kernel), extra, strict=True):
        made = _made(size, window, more, padding)
        found.append(call.unknown() if made is None else made)
    return found


def _made(size: Dim, window: Window, more: int, padding: str) -> int | None:
    if not isinstance(size, int) or not isinstance(window.kernel, int):
        return None
    reach = (window.kernel - 1) * window.dilation + 1
    if padding.startswith("SAME"):
        return size * window.stride if reach >= window.stride else None
    pads = 0 if padding == "VALID" else window.before + window.after
    return window.stride * (size - 1) + more + reach - pads
