"""Operators that make or repeat entries: as many as a shape or a number says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.contents import as_integers, filled, read_content, row
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.rules.broadcasting import wider_dims
from deepseek_onnx.batching.sizes import Dim, is_size, per_item, power, product
from deepseek_onnx.batching.states import (
    LARGEST_CONTENT,
    Content,
    Element,
    Fixed,
    Items,
    Moving,
    Places,
    Tensor,
    moved,
)


def expand(call: Call) -> Tensor:
    """Axes of size one are repeated."""
    x, dims = call.movable(0)
    return stretched(x, dims, call.sizes(1))


def stretched(x: Moving, dims: tuple[Dim, ...], target: Sequence[Element]) -> Tensor:
    """A value broadcast to a shape, which may bring the items' axis."""
    if any(isinstance(element, int) and element < 0 for element in target):
        raise Unclear("its shape has a negative size")
    rank = max(len(dims), len(target))
    target = (1,) * (rank - len(target)) + tuple(target)
    ones: tuple[Dim, ...] = (1,) * (rank - len(dims))
    if isinstance(x, Fixed):
        return uniform(ones + dims, target, x.below)
    axis = x.axis + len(ones)
    if target[axis] not in (1, x.dims[x.axis]) or counted(target) not in (None, axis):
        raise Unclear("its shape may repeat or cut them")
    return moved(x, wider_dims(ones + dims, target), axis)


def uniform(dims: tuple[Dim, ...], target: Sequence[Element], below: Dim | None) -> Tensor:
    """A Fixed value broadcast to a shape with n on one axis at most: equal entries there."""
    place = counted(target)
    if place is None:
        return Fixed(wider_dims(dims, tuple(target)), below=below)
    if dims[place] != 1:
        raise Unclear("a constant may have an entry for each")
    return Items(wider_dims(dims, tuple(target)), place, (1, per_item(target[place])), below)


def counted(sizes: Sequence[Element]) -> int | None:
    """Which of several sizes has n in it, None if none has.

    Raises:
        Unclear: one is not known, or may stand for another.
        Mixes: more than one has, or one more than once.
    """
    places = [place for place, size in enumerate(sizes) if size is None or power(size)]
    if any(sizes[place] is None or not is_size(sizes[place]) for place in places):
        raise Unclear("its shape is not known")
    if len(places) > 1 or any(power(sizes[place]) > 1 for place in places):
        raise Mixes("its shape has their number more than once")
    return places[0] if places else None


def constant_of_shape(call: Call) -> Tensor:
    """One number in any shape."""
    target = call.sizes(0)
    sizes = as_integers(row(target))
    if sizes is not None and product(sizes) in range(LARGEST_CONTENT + 1):
        return Fixed(tuple(sizes), _repeated(call, tuple(sizes)))
    return uniform((1,) * len(target), target, None)


def _repeated(call: Call, sizes: tuple[int, ...]) -> Content | None:
    """The content of a small constant."""
    attribute = call.attribute("value")
    value = filled((1,), 0) if attribute is None else read_content(attribute.t)
    return None if value is None else filled(sizes, value.reshape(-1)[0])


def tile(call: Call) -> Tensor:
    """Axes are repeated as a whole."""
    x, dims = call.ranked(0)
    repeats = _repeats(call, len(dims))
    if isinstance(x, Items):
        if repeats[x.axis] != 1 or any(element is None or power(element) for element in repeats):
            raise Mixes("it repeats them")
        return Items(_repeat(dims, repeats), x.axis, x.layout)
    place = counted(repeats)
    if place is None:
        return Fixed(_repeat(dims, repeats))
    sizes = _repeat(dims, repeats)
    # Each item gets the whole of the axis.
    return Items(sizes, place, (1, per_item(sizes[place])))


def _repeats(call: Call, rank: int) -> list[Element]:
    if call.version < 6:
        raise Unclear("its first version is not followed")
    repeats = call.sizes(1)
    if len(repeats) != rank:
        raise Contradiction("has not one repeat for each axis")
    return repeats


def _repeat(dims: tuple[Dim, ...], repeats: list[Element]) -> tuple[Dim, ...]:
    return tuple(product((dim, count)) for dim, count in zip(dims, repeats, strict=True))


def number_range(call: Call) -> Tensor:
    """Numbers from a start to a limit; from 0 to as many as there are entries, their places."""
    start, limit, step = (call.content_or_atoms(place).reshape(-1)[0] for place in range(3))
    limit = int(limit) if isinstance(limit, float) else limit
    counts = start == 0 and step == 1 and limit is not None and is_size(limit)
    if counts and power(limit) == 1:
        inner = per_item(limit)
        return Places((limit,), 0, (1, inner), stride=inner, below=inner)
    if any(element is None or power(element) for element in (start, limit, step)):
        raise Mixes("it counts them")
    return Fixed((limit,), below=limit) if counts else Fixed((call.unknown(),))


RULES: Final[Mapping[str, Rule]] = {
    "Expand": expand,
    "ConstantOfShape": constant_of_shape,
    "Tile": tile,
    "Range": number_range,
}
