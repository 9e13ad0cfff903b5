"""Resize and Upsample: the items' axis keeps its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from deepseek_onnx.batching.calls import Call, Rule, normal
from deepseek_onnx.batching.contents import as_content
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.rules.moving import replaced
from deepseek_onnx.batching.sizes import Dim, power
from deepseek_onnx.batching.states import Data, Element, Items, Tensor, like

_WHOLE: Final = 3  # up to this rank all axes are interpolated
# These move the points of an axis even where it keeps its size.
_MOVING: Final = ("tf_crop_and_resize", "tf_half_pixel_for_nn")


def upsample(call: Call) -> Tensor:
    """Scales for all axes: an attribute, an input from opset 9 on."""
    x, dims = call.ranked(0)
    _require_apart(call, x, dims)
    if call.version >= 9:
        return _scaled(call, x, dims, list(call.content(1).reshape(-1)), range(len(dims)))
    attribute = call.attribute("scales")
    if attribute is None:
        raise Unclear("its first version is not followed")
    scales = as_content(np.array(attribute.floats, dtype=np.float64))
    if scales is None:
        raise Contradiction("has a scale that is not finite")
    return _scaled(call, x, dims, list(scales), range(len(dims)))


def resize(call: Call) -> Tensor:
    """Scales or sizes, for all axes or for some."""
    x, dims = call.ranked(0)
    _require_apart(call, x, dims)
    call.fixed(1)
    if call.version < 11:
        return _scaled(call, x, dims, list(call.content(1).reshape(-1)), range(len(dims)))
    axes = [normal(axis, len(dims)) for axis in call.integers("axes") or range(len(dims))]
    if isinstance(x, Items) and x.axis in axes:
        _require_still(call)
    scales = _numbers(call, 2)
    if scales is not None:
        return _scaled(call, x, dims, scales, axes)
    sizes = _numbers(call, 3)
    if sizes is None or len(sizes) != len(axes):
        raise Unclear("its sizes are not known")
    return _sized(call, x, dims, sizes, axes)


def _require_apart(call: Call, x: Data, dims: tuple[Dim, ...]) -> None:
    """See that the axis is none of those between whose points is interpolated.

    At a scale of 1 the next point counts 0 times, which is NaN where it is infinite.
    """
    plain = call.text("mode", "nearest") == "nearest"
    if isinstance(x, Items) and not plain and (len(dims) <= _WHOLE or x.axis):
        raise Mixes("the points next to each count, if only 0 times")


def _require_still(call: Call) -> None:
    """See that no point of an axis moves that keeps its size."""
    if call.text("coordinate_transformation_mode", "half_pixel") in _MOVING:
        raise Unclear("it moves points along all axes")
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unclear("it fits all axes to one scale")


def _numbers(call: Call, place: int) -> list[Element] | None:
    """Scales or sizes; None where they are left out, or empty."""
    if not call.has(place):
        return None
    content = call.content_or_atoms(place)
    return list(content.reshape(-1)) if content.size else None


def _scaled(
    call: Call, x: Data, dims: tuple[Dim, ...], scales: list[Element], axes: range | list[int]
) -> Tensor:
    for axis, scale in zip(axes, scales, strict=True):
        if scale == 1:
            continue
        if axis == x.axis or scale is None or power(scale):
            raise Mixes
        dims = replaced(dims, axis, _product(call, dims[axis], scale))
    return like(x, dims, x.axis)


def _product(call: Call, dim: Dim, scale: Element) -> Dim:
    # A plain number among elements is a whole one.
    if isinstance(dim, int) and isinstance(scale, int | float):
        return dim * int(scale)
    return call.unknown()


def _sized(
    call: Call, x: Data, dims: tuple[Dim, ...], sizes: list[Element], axes: list[int]
) -> Tensor:
    stretches = call.text("keep_aspect_ratio_policy", "stretch") == "stretch"
    for axis, size in zip(axes, sizes, strict=True):
        if size == dims[axis] and stretches:
            continue
        if axis == x.axis or size is None or power(size):
            raise Mixes
        known = isinstance(size, int) and stretches
        dims = replaced(dims, axis, size if known else call.unknown())
    return like(x, dims, x.axis)


RULES: Final[Mapping[str, Rule]] = {"Resize": resize, "Upsample": upsample}
