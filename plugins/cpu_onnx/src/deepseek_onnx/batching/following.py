"""Where axes lead that a user has declared to carry the items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deepseek_onnx.batching.program import declared_dims, take_apart
from deepseek_onnx.batching.proving import input_states, item_axes
from deepseek_onnx.batching.sizes import ITEMS, Dim, expression
from deepseek_onnx.batching.states import Items
from deepseek_onnx.batching.walk import Walk
from deepseek_onnx.protos import ModelProto, ValueInfoProto


def follow(
    model: ModelProto, axes: Mapping[str, int], *, symbol: str | None = None
) -> Mapping[str, int]:
    """Map each value to the axis that carries the items, as far as that can be followed.

    `axes` are those of inputs, declared by a user and trusted; all other inputs are fixed. Where
    an operator stops the way, it goes on from values that the file declares with `symbol` on
    exactly one axis.
    """
    program = take_apart(model)
    declared = _declared(program.declared.values(), symbol) if symbol else {}
    walk = Walk(program, symbol or "the batch", declared)
    valid = {value.name: value for value in program.inputs if value.name in axes}
    usable = {name: axis for name, axis in axes.items() if _has_axis(valid.get(name), axis)}
    values = walk.through_graph(input_states(program, usable, symbol or ""))
    return {**item_axes(values), **axes}


def _has_axis(value: ValueInfoProto | None, axis: int) -> bool:
    """Whether an input is known to have an axis."""
    dims = None if value is None else declared_dims(value)
    return dims is not None and 0 <= axis < len(dims)


def _declared(values: Iterable[ValueInfoProto], symbol: str) -> dict[str, Items]:
    """The values that have the symbol on exactly one axis."""
    found: dict[str, Items] = {}
    for value in values:
        dims = declared_dims(value) or ()
        places = [axis for axis, dim in enumerate(dims) if dim.dim_param == symbol]
        if len(places) == 1:
            sizes: list[Dim] = [
                dim.dim_value
                if dim.dim_value > 0
                else expression(f"{value.name}.{i}", is_size=True)
                for i, dim in enumerate(dims)
            ]
            sizes[places[0]] = ITEMS
            found[value.name] = Items(tuple(sizes), places[0])
    return found
