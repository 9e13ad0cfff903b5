"""Operators that join, cut and pad along axes that are not the items'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule, normal
from deepseek_onnx.batching.contents import add
from deepseek_onnx.batching.faults import Contradiction, CountsItems, Mixes, Unclear
from deepseek_onnx.batching.rules.broadcasting import computed
from deepseek_onnx.batching.rules.pointing import beside
from deepseek_onnx.batching.sizes import Dim, Term, capped, is_size, power
from deepseek_onnx.batching.slices import is_whole, part, slices
from deepseek_onnx.batching.states import Data, Element, Fixed, Items, Places, Tensor, like


def concat(call: Call) -> Tensor:
    """Values one after the other along an axis."""
    axis = call.integer("axis", 1 if call.version < 4 else 0)
    if any(isinstance(state, Places) for state in call.inputs):
        return beside(call, axis)
    return joined(call, range(len(call.inputs)), axis)


def joined(call: Call, places: Sequence[int], axis: int) -> Tensor:
    """Inputs one after the other along an axis; they agree on all others."""
    ranked = [call.ranked(place) for place in places]
    states, shapes = [state for state, _ in ranked], [dims for _, dims in ranked]
    axis = normal(axis, len(shapes[0]))
    first = same_axis(states)
    if first.axis == axis:
        raise Mixes
    if any(len(dims) != len(shapes[0]) for dims in shapes):
        raise Contradiction("joins values of different ranks")
    total: Element = 0
    for dims in shapes:
        total = add(total, dims[axis])
    return like(first, replaced(agreed(shapes), axis, total), first.axis)


def agreed(shapes: Sequence[tuple[Dim, ...]]) -> tuple[Dim, ...]:
    """Sizes of values that must have the same: a plain number where one of them has it."""
    columns = zip(*shapes, strict=True)
    return tuple(next((d for d in column if isinstance(d, int)), column[0]) for column in columns)


def same_axis(states: Sequence[Data]) -> Data:
    """The first of several values that all carry the items on one axis, or all do not."""
    first = states[0]
    for state in states[1:]:
        if state.axis != first.axis or state.layout != first.layout:
            raise Mixes("not all of its inputs carry them on one axis")
    return first


def replaced(dims: tuple[Dim, ...], axis: int, dim: Dim) -> tuple[Dim, ...]:
    """Sizes with another one in one place."""
    return (*dims[:axis], dim, *dims[axis + 1 :])


def split(call: Call) -> tuple[Tensor, ...]:
    """Parts along an axis."""
    x, dims = call.ranked(0)
    axis = call.axis("axis", 0, len(dims))
    if x.axis == axis:
        raise Mixes
    sizes = _parts(call, dims[axis])
    return tuple(like(x, replaced(dims, axis, size), x.axis) for size in sizes)


def _parts(call: Call, dim: Dim) -> list[Dim]:
    count = len(call.node.output)
    sizes = call.sizes(1) if call.has(1) else list(call.integers("split") or [])
    if sizes:
        if any(size is None or power(size) for size in sizes) or len(sizes) != count:
            raise Unclear("its parts are not known")
        return sizes
    if not isinstance(dim, int):
        return [call.unknown() for _ in range(count)]
    chunk = -(-dim // count)
    return [*[chunk] * (count - 1), dim - chunk * (count - 1)]


def cut(call: Call) -> Tensor:
    """A part along some axes, from a start to an end in steps."""
    x, dims = call.ranked(0)
    for axis, start, end, step in slices(call, len(dims)):
        if is_whole(start, end, step, dims[axis]):
            continue
        if axis == x.axis:
            raise Mixes
        if any(number is None or power(_whole(number)) for number in (start, end, step)):
            raise CountsItems
        dims = replaced(dims, axis, _length(call, dims[axis], start, end, step))
    return like(x, dims, x.axis)


def _length(call: Call, dim: Dim, start: Element, end: Element, step: Element) -> Dim:
    taken = part(dim, start, end, step) if isinstance(dim, int) else None
    if taken is None or not isinstance(dim, int):
        return _capped(call, dim, start, end, step)
    return len(range(dim)[taken])


def _capped(call: Call, dim: Dim, start: Element, end: Element, step: Element) -> Dim:
    """What a size of the file leaves of an axis."""
    if isinstance(dim, int) and dim > 0 and start == 0 and step == 1:
        return capped(end, dim) if isinstance(end, Term) and is_size(end) else call.unknown()
    return call.unknown()


def _whole(number: Element) -> Dim:
    return int(number) if isinstance(number, float) else number


def pad(call: Call) -> Tensor:
    """Entries before and after an axis; negative numbers cut."""
    x, dims = call.ranked(0)
    call.fixed(2)
    pads = _pads(call)
    axes = call.whole(3) if call.has(3) else list(range(len(dims)))
    if len(pads) != 2 * len(axes):
        raise Contradiction("has not two numbers of pads for each axis")
    for place, named in enumerate(axes):
        before, after = pads[place], pads[place + len(axes)]
        if before == after == 0:
            continue
        axis = normal(named, len(dims))
        if axis == x.axis:
            raise Mixes
        dims = replaced(dims, axis, _padded(call, dims[axis], before, after))
    return like(x, dims, x.axis)


def _padded(call: Call, dim: Dim, before: Element, after: Element) -> Dim:
    size: Element = add(add(dim, before), after)
    if size is None or power(size):
        raise CountsItems
    padded: Dim = size if is_size(size) else call.unknown()
    return padded


def _pads(call: Call) -> list[Element]:
    if call.version >= 11:
        return call.sizes(1)
    pads = call.integers("pads" if call.version >= 2 else "paddings")
    return list(pads or [])


def compress(call: Call) -> Tensor:
    """The entries of an axis that a Fixed condition chooses."""
    x, dims = call.ranked(0)
    if not isinstance(call.data(1), Fixed):
        raise Mixes("it drops some")
    if call.attribute("axis") is None:
        if isinstance(x, Items):
            raise Mixes("it flattens them")
        return Fixed((call.unknown(),))
    axis = call.axis("axis", 0, len(dims))
    if axis == x.axis:
        raise Mixes("it drops some")
    return like(x, replaced(dims, axis, call.unknown()), x.axis)


def center_crop_pad(call: Call) -> Tensor:
    """Axes cut or padded to sizes."""
    x, dims = call.ranked(0)
    axes = call.integers("axes") or list(range(len(dims)))
    sizes = call.sizes(1)
    for axis, size in zip((normal(axis, len(dims)) for axis in axes), sizes, strict=True):
        if size == dims[axis]:
            continue
        if axis == x.axis:
            raise Mixes
        if size is None or power(size):
            raise CountsItems
        dims = replaced(dims, axis, size)
    return like(x, dims, x.axis)


def reverse_sequence(call: Call) -> Tensor:
    """Each item's steps in reverse, as many as its own length says."""
    x, lengths = call.data(0), call.data(1)
    time, batch = call.integer("time_axis", 0), call.integer("batch_axis", 1)
    if isinstance(x, Items):
        if x.axis == time:
            raise Mixes
        if x.axis != batch or not isinstance(lengths, Items) or lengths.layout != x.layout:
            raise Unclear("its lengths are not one for each")
        return computed(x)
    if isinstance(lengths, Items):
        raise Unclear("its lengths are not one for each")
    return Fixed(x.dims)


def trilu(call: Call) -> Tensor:
    """A triangle of the last two axes."""
    call.fixed(1)
    x, dims = call.ranked(0)
    if x.axis is not None and x.axis >= len(dims) - 2:
        raise Mixes("what is kept depends on the place")
    return like(x, dims, x.axis)


def eye_like(call: Call) -> Tensor:
    """A diagonal in the shape of a matrix."""
    x = call.tensor(0)
    if not isinstance(x, Fixed):
        raise Mixes("what it makes depends on the place")
    return Fixed(x.dims)


def one_hot(call: Call) -> Tensor:
    """A new axis with as many entries as there are classes."""
    x, dims = call.ranked(0)
    call.fixed(1, 2)
    depth = call.content_or_atoms(1).reshape(-1)[0]
    axis = call.axis("axis", -1, len(dims) + 1)
    new = (*dims[:axis], depth if isinstance(depth, int) else call.unknown(), *dims[axis:])
    return like(x, new, x.axis if x.axis is None or x.axis < axis else x.axis + 1)


RULES: Final[Mapping[str, Rule]] = {
    "Concat": concat,
    "Split": split,
    "Slice": cut,
    "Pad": pad,
    "Compress": compress,
    "CenterCropPad": center_crop_pad,
    "ReverseSequence": reverse_sequence,
    "Trilu": trilu,
    "EyeLike": eye_like,
    "OneHot": one_hot,
}
