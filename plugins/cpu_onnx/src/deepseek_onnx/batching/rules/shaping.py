"""Operators that tell, make or change shapes and leave the order of the elements alone.

Legend: P entries before the axis of the items, o, n and k outer, items and inner along it, S
entries behind it; Q, o', k', R the same in a new shape.

A row-major tensor [P, o n k, S] is P o blocks of n chunks, each of k S elements and one item's. In
another shape [Q, o' n k', R] the chunks lie along one axis again if it has as many blocks, Q o' =
P o, which goes with k' R = k S since both have all elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule, normal
from deepseek_onnx.batching.contents import depends_on_n, filled, row
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.sizes import Dim, Term, is_size, over, per_item, power, product, times
from deepseek_onnx.batching.states import (
    Content,
    Element,
    Fixed,
    Items,
    Layout,
    Moving,
    Places,
    Size,
    Tensor,
    laid_out,
    like,
    moved,
)
from deepseek_onnx.protos import TensorProto

_WIDE: Final = (TensorProto.INT32, TensorProto.INT64)


def shape(call: Call) -> Tensor:
    """The sizes, from `start` to `end` where these are given."""
    x = call.tensor(0)
    if x.dims is None:
        return Fixed(None)
    chosen = x.dims[slice(call.integer("start", 0), _end(call))]
    return numbers(row(list(chosen)))


def _end(call: Call) -> int | None:
    attribute = call.attribute("end")
    return None if attribute is None else attribute.i


def numbers(content: Content) -> Tensor:
    """Known elements as a state."""
    return Size(content) if depends_on_n(content) else Fixed(content.shape, content)


def size(call: Call) -> Tensor:
    """The number of elements."""
    x = call.tensor(0)
    return Fixed(()) if x.dims is None else numbers(filled((), product(x.dims)))


def reshape(call: Call) -> Tensor:
    """Any shape with as many elements."""
    x, dims = call.movable(0)
    target = _target(call)
    return regrouped(x, _resolved(call, dims, target))


def _target(call: Call) -> list[Element]:
    if call.version < 5:
        return list(call.integers("shape") or [])
    return call.sizes(1)


def _resolved(call: Call, dims: tuple[Dim, ...], target: list[Element]) -> tuple[Dim, ...]:
    """The new sizes, with what 0 and -1 stand for.

    An atom may be 0 or -1 itself, or a size that does not fit: it counts as known only if the
    numbers of elements are equal as monomials.
    """
    if any(element is None or (power(element) and not is_size(element)) for element in target):
        # A multiple of n that is negative stands for another size when there is one item.
        raise Unclear("its shape is not known")
    if not call.flag("allowzero"):
        target = [_copied(dims, i) if size == 0 else size for i, size in enumerate(target)]
    total = product(dims)
    rest = product(size for size in target if size != -1)
    if -1 not in target:
        if rest != total and sum(not isinstance(size, int) for size in target) == 1:
            # ONNX Runtime makes it -1, and what does not fit is no error any more.
            raise Unclear("a new axis may join parts of different items")
        return tuple(target) if rest == total else _doubted(call, target)
    missing = over(total, rest)
    if missing is not None:
        return tuple(missing if size == -1 else size for size in target)
    if power(total) != power(rest):
        raise Unclear("a new axis may join parts of different items")
    return _doubted(call, [call.unknown() if size == -1 else size for size in target])


def _copied(dims: tuple[Dim, ...], place: int) -> Dim:
    if place >= len(dims):
        raise Contradiction(f"copies the size of axis {place}, which is not there")
    return dims[place]


def _doubted(call: Call, target: list[Element]) -> tuple[Dim, ...]:
    """Sizes that may be others than they seem: what is neither a number nor has n is unknown."""
    for size in target:
        # Were an atom 0, the whole size would be, and stand for another.
        if isinstance(size, Term) and size.power and size.atoms:
            raise Unclear("its shape is not known")
    return tuple(
        call.unknown() if isinstance(size, Term) and not size.power else size for size in target
    )


def regrouped(x: Moving, dims: tuple[Dim, ...]) -> Tensor:
    """The same elements in the same order, in another shape."""
    places = [place for place, dim in enumerate(dims) if power(dim)]
    if isinstance(x, Fixed):
        if places:
            raise Unclear("a constant may have an entry for each")
        return moved(x, dims, None)
    if not places:
        raise Mixes("its shape has no axis for them")
    if len(places) > 1 or power(dims[places[0]]) > 1:
        raise Mixes("its shape has their number more than once")
    return laid_out(x, dims, places[0], _layout(x, dims, places[0]))


def _layout(x: Items | Places, dims: tuple[Dim, ...], place: int) -> Layout:
    """Outer and inner of the new axis, by the number of blocks or by the size of a chunk."""
    outer, inner = x.layout
    share = per_item(dims[place])
    blocks = over(times(product(x.dims[: x.axis]), outer), product(dims[:place]))
    if blocks is not None and (rest := over(share, blocks)) is not None:
        return blocks, rest
    chunk = over(times(inner, product(x.dims[x.axis + 1 :])), product(dims[place + 1 :]))
    if chunk is not None and (rest := over(share, chunk)) is not None:
        return rest, chunk
    raise Unclear("a new axis may join parts of different items")


def flatten(call: Call) -> Tensor:
    """Two axes: what is before `axis`, and the rest."""
    x, dims = call.movable(0)
    axis = call.integer("axis", 1)
    axis = axis + len(dims) if axis < 0 else axis
    return regrouped(x, (product(dims[:axis]), product(dims[axis:])))


def squeeze(call: Call) -> Tensor:
    """Axes of size one go."""
    x, dims = call.movable(0)
    axes = call.integers_or_input("axes", 1)
    if not axes:  # none is all of them
        return _squeeze_all(x, dims)
    gone = {normal(axis, len(dims)) for axis in axes}
    if x.axis in gone:
        raise Mixes("it asks for a single one")
    return _without(x, dims, gone)


def _squeeze_all(x: Moving, dims: tuple[Dim, ...]) -> Tensor:
    """Each axis of size one goes; the items' axis too when there is but one item."""
    if not isinstance(x, Fixed):
        raise Mixes("the axis goes where there is a single one")
    if not all(isinstance(dim, int) for dim in dims):
        return Fixed(None)
    return _without(x, dims, {place for place, dim in enumerate(dims) if dim == 1})


def _without(x: Moving, dims: tuple[Dim, ...], gone: set[int]) -> Tensor:
    kept = tuple(dim for place, dim in enumerate(dims) if place not in gone)
    axis = None if x.axis is None else x.axis - sum(place < x.axis for place in gone)
    return moved(x, kept, axis)


def unsqueeze(call: Call) -> Tensor:
    """New axes of size one."""
    x, dims = call.movable(0)
    axes = call.integers_or_input("axes", 1) or []
    rank = len(dims) + len(axes)
    new = {normal(axis, rank) for axis in axes}
    old = [place for place in range(rank) if place not in new]
    if len(old) != len(dims):
        raise Contradiction("has an axis twice")
    sizes = dict(zip(old, dims, strict=True))
    axis = None if x.axis is None else old[x.axis]
    return moved(x, tuple(sizes.get(place, 1) for place in range(rank)), axis)


def transpose(call: Call) -> Tensor:
    """Axes change places."""
    x, dims = call.movable(0)
    order = call.integers("perm") or list(range(len(dims)))[::-1]
    if sorted(order) != list(range(len(dims))):
        raise Contradiction("has an order that names an axis twice or not at all")
    axis = None if x.axis is None else order.index(x.axis)
    return moved(x, tuple(dims[place] for place in order), axis)


def identity(call: Call) -> Tensor:
    """The elements as they are."""
    x, dims = call.movable(0)
    return moved(x, dims, x.axis)


def cast(call: Call) -> Tensor:
    """The elements in another type; in a narrow one no longer the numbers they were."""
    x, dims = call.movable(0)
    if call.integer("to", 0) in _WIDE:
        return moved(x, dims, x.axis)
    if isinstance(x, Places):
        return Places(dims, x.axis, x.layout)
    return like(x, dims, x.axis)


RULES: Final[Mapping[str, Rule]] = {
    "Shape": shape,
    "Size": size,
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Identity": identity,
    "Cast": cast,
}
