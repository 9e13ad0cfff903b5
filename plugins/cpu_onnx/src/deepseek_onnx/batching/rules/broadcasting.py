"""How values meet whose sizes are broadcast against each other.

Legend: an axis is counted from the end (1 the last) where sizes are aligned.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from deepseek_onnx.batching.faults import CountsItems, Mixes, TellsPlaces, Unclear
from deepseek_onnx.batching.sizes import Dim, wider
from deepseek_onnx.batching.states import Data, Fixed, Items, Size, Tensor


def meet(a: Tensor, b: Tensor) -> Data:
    """The result of an elementwise operator on two values.

    Raises:
        Mixes: an axis of items meets another axis.
        Unclear: it may meet one.
    """
    if isinstance(a, Items):
        return _meet_items(a, b)
    if isinstance(b, Items):
        return _meet_items(b, a)
    a, b = computable(a), computable(b)
    if a.dims is None or b.dims is None:
        return Fixed(None)
    return Fixed(wider_dims(a.dims, b.dims))


def meet_all(operands: Iterable[Tensor]) -> Data:
    """The result of an elementwise operator on any number of values."""
    first, *others = operands
    return computed(reduce(meet, others, computable(first)))


def _meet_items(a: Items, b: Tensor) -> Items:
    back = len(a.dims) - a.axis
    if isinstance(b, Items):
        if len(b.dims) - b.axis != back or a.layout != b.layout:
            raise Mixes
    else:
        require_single(b, back)
    dims = wider_dims(a.dims, b.dims or ())
    if dims is a.dims:
        return a if a.below is None else Items(dims, a.axis, a.layout)
    return Items(dims, len(dims) - back, a.layout)


def computable(operand: Tensor) -> Data:
    """An operand whose elements can be computed with.

    Raises:
        TellsPlaces, CountsItems: they depend on the places of items, or on their number.
    """
    if isinstance(operand, Fixed | Items):
        return operand
    raise CountsItems if isinstance(operand, Size) else TellsPlaces


def require_single(operand: Tensor, back: int) -> None:
    """See that a Fixed operand has one entry, or no axis, where the other has items."""
    dims = computable(operand).dims
    if dims is None:
        raise Unclear("the rank of an operand is not known")
    if len(dims) < back or dims[-back] == 1:
        return
    if isinstance(dims[-back], int):
        raise Mixes("a constant has an entry for each")
    raise Unclear("an operand may have an entry for each")


def computed(state: Data) -> Data:
    """A value of the same sizes and other elements."""
    if isinstance(state, Fixed):
        return Fixed(state.dims)
    return state if state.below is None else Items(state.dims, state.axis, state.layout)


def wider_dims(a: tuple[Dim, ...], b: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The sizes of two shapes broadcast against each other; `a` itself where it has them."""
    if len(a) < len(b):
        a = (1,) * (len(b) - len(a)) + a
    front = len(a) - len(b)
    for x, y in zip(a[front:], b, strict=True):
        if y not in (x, 1):
            return a[:front] + tuple(map(wider, a[front:], b))
    return a
