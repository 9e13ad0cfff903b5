"""Indices that point at items: what exporters make of `x[arange(n), i]`.

Legend: j an item, s its stride, r what is added to j s.

Such indices differ with the place of an item, so a piece of a batch has other ones; but where each
item points at its own entries alone, what is read there, or written, is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepseek_onnx.batching.calls import Call, known_content
from deepseek_onnx.batching.contents import as_integers
from deepseek_onnx.batching.faults import CountsItems, Mixes, TellsPlaces
from deepseek_onnx.batching.rules.broadcasting import meet_all
from deepseek_onnx.batching.sizes import Dim, is_size, power, times
from deepseek_onnx.batching.states import SINGLE, Data, Items, Places, Size, Tensor


def reckoned(call: Call) -> Places:
    """What an elementwise operator makes of indices: known for a sum and a product."""
    states = [state for state in call.inputs if state is not None]
    sizes = meet_all(_as_items(state) for state in states)
    assert isinstance(sizes, Items)
    found: tuple[Dim | None, Dim | None] = (None, None)
    if len(states) == 2 and call.node.op_type in ("Add", "Mul"):
        pointing, other = states if isinstance(states[0], Places) else states[::-1]
        if isinstance(pointing, Places) and pointing.column is None:
            combine = _sum if call.node.op_type == "Add" else _product
            found = combine(pointing, other)
    return Places(sizes.dims, sizes.axis, sizes.layout, *found)


def _as_items(state: Tensor) -> Data:
    """A value as far as its sizes go."""
    if isinstance(state, Size):
        raise CountsItems
    if isinstance(state, Places):
        return Items(state.dims, state.axis, state.layout)
    return state


def _sum(pointing: Places, other: Tensor) -> tuple[Dim | None, Dim | None]:
    """Stride and bound of j s + r + r'."""
    a, b = pointing.below, bound(other)
    if a is None or b is None:
        return None, None
    if isinstance(a, int) and isinstance(b, int):
        return pointing.stride, a + b - 1
    return (pointing.stride, b if a == 1 else a) if 1 in (a, b) else (None, None)


def _product(pointing: Places, other: Tensor) -> tuple[Dim | None, Dim | None]:
    """Stride and bound of (j s) f, where there is no rest."""
    content = None if isinstance(other, Places) else known_content(other)
    if pointing.stride is None or pointing.below != 1 or content is None or content.size != 1:
        return None, None
    factor = content.reshape(-1)[0]
    if factor is None or isinstance(factor, float) or power(factor) or not is_size(factor):
        return None, None
    return times(pointing.stride, factor), 1


def bound(state: Tensor) -> Dim | None:
    """A number that whole numbers from 0 on are less than, None where none is known."""
    if isinstance(state, Places | Size):
        return None
    if state.below is not None or isinstance(state, Items):
        return state.below
    content = known_content(state)
    numbers = None if content is None else as_integers(content)
    return max(numbers) + 1 if numbers and min(numbers) >= 0 else None


def beside(call: Call, axis: int) -> Places:
    """Indices joined to tuples along the last axis: one column points at items."""
    states = [call.tensor(place) for place in range(len(call.inputs))]
    first, *others = [state for state in states if isinstance(state, Places)]
    if others or not points(first) or axis not in (-1, len(first.dims) - 1):
        raise TellsPlaces
    widths = [_width(state, first) for state in states]
    dims = (*first.dims[:-1], sum(widths))
    column = sum(widths[: states.index(first)])
    return Places(dims, first.axis, first.layout, 1, 1, column)


def _width(state: Tensor, first: Places) -> int:
    """How many columns an input has that carries the items as the first does."""
    if not isinstance(state, Items | Places) or state.axis != first.axis:
        raise TellsPlaces
    if state.layout != first.layout or len(state.dims) != len(first.dims):
        raise TellsPlaces
    width = state.dims[-1]
    if not isinstance(width, int):
        raise TellsPlaces
    return width


def points(indices: Places) -> bool:
    """Whether they are the numbers of the items themselves, in a single column."""
    single = indices.dims[-1:] == (1,) and indices.axis != len(indices.dims) - 1
    return indices.stride == indices.below == 1 and indices.column is None and single


def own_rows(data: Tensor, indices: Places, g: int) -> None:
    """See that each item's indices along g are those of its own entries, n s of them.

    Raises:
        TellsPlaces: they may not be.
    """
    if not isinstance(data, Items) or data.axis != g or data.layout[0] != 1:
        raise TellsPlaces
    if indices.column is not None or not indices.stride == indices.below == data.layout[1]:
        raise TellsPlaces


def own_tuples(data: Tensor, indices: Places, depth: int) -> None:
    """See that the tuples of each item point into that item.

    Raises:
        TellsPlaces: they may not.
    """
    column = 0 if points(indices) else indices.column
    if not isinstance(data, Items) or data.layout != SINGLE:
        raise TellsPlaces
    if column != data.axis or column >= depth:
        raise TellsPlaces


def all_agree(first: Items | Places, others: Sequence[Tensor]) -> None:
    """See that values carry the items on one axis, in one layout."""
    for state in others:
        if state.axis != first.axis or state.layout != first.layout:
            raise Mixes("not all of its inputs carry them on one axis")
