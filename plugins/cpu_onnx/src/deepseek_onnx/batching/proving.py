"""Whether a model treats the items of a batch independently, and along which axes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from deepseek_onnx.batching.deciding import ways
from deepseek_onnx.batching.faults import Malformed
from deepseek_onnx.batching.program import Program, declared_dims, take_apart
from deepseek_onnx.batching.sizes import ITEMS, Dim, symbol
from deepseek_onnx.batching.states import SINGLE, Fixed, Items, Mixed, Places, State
from deepseek_onnx.protos import ModelProto, ValueInfoProto
from deepseek_onnx.shapes import is_nameless

PROVEN: Final = "proven"


@attrs.frozen(kw_only=True)
class Verdict:
    """What is proven of a model.

    `symbol` is the name of the batch axis as the file has it, None for a model that is not
    batched. `axes` maps each value whose axis is as long as there are items to that axis: inputs,
    outputs and inner values of the main graph. `reason` is "proven", or a clause that says why not.
    """

    symbol: str | None
    axes: Mapping[str, int]
    reason: str


def prove(model: ModelProto, *, fixed: Collection[str] = ()) -> Verdict:
    """Find the axis of the inputs along which a model's items are independent of each other.

    `fixed` are inputs that a caller binds to constants. The data of large initializers need not be
    there. A proof holds for every number of items from one on: what comes of each is the same
    whatever the others are, up to the rounding of floats.
    """
    program = take_apart(model)
    inputs = [value for value in program.inputs if value.name not in fixed]
    reasons: list[str] = []
    for name, axes in _candidates(inputs):
        lacking = next((value.name for value in inputs if len(axes.get(value.name, ())) != 1), None)
        if lacking is not None:
            continue
        verdict = _try(program, name, {value: found[0] for value, found in axes.items()})
        if verdict.symbol is not None:
            return verdict
        reasons.append(verdict.reason)
    return Verdict(symbol=None, axes={}, reason=reasons[0] if reasons else _why_none(inputs))


def dim_names(value: ValueInfoProto) -> list[str | int] | None:
    """The sizes of an input, those that are free by name; None where its rank is not known."""
    dims = declared_dims(value)
    if dims is None:
        return None
    return [_name(dim, f"{value.name}_{axis}") for axis, dim in enumerate(dims)]


def _name(dim: Any, unnamed: str) -> str | int:
    if dim.dim_value > 0:
        return int(dim.dim_value)
    return unnamed if is_nameless(dim.dim_param) else str(dim.dim_param)


def _candidates(
    inputs: Sequence[ValueInfoProto],
) -> Iterator[tuple[str, dict[str, list[int]]]]:
    """Each symbol, in order of appearance, with the axes that have it by input."""
    found: dict[str, dict[str, list[int]]] = {}
    for value in inputs:
        for axis, name in enumerate(dim_names(value) or ()):
            if isinstance(name, str):
                found.setdefault(name, {}).setdefault(value.name, []).append(axis)
    yield from found.items()


def _why_none(inputs: Sequence[ValueInfoProto]) -> str:
    """Why no symbol is on every input."""
    for value in inputs:
        if dim_names(value) is None:
            return f"input {value.name!r} is not a tensor of known rank"
    first = next(_candidates(inputs), None)
    if first is None:
        return "no input has a free dimension"
    name, axes = first
    for value in inputs:
        if value.name not in axes:
            return f"input {value.name!r} does not carry the axis {name}"
    twice = next(value for value, found in axes.items() if len(found) > 1)
    return f"input {twice!r} carries the axis {name} more than once"


def _try(program: Program, name: str, axes: Mapping[str, int]) -> Verdict:
    """The verdict on one symbol that is on one axis of each input."""
    try:
        found = ways(program, name, input_states(program, axes, name))
    except Malformed as fault:
        return Verdict(symbol=None, axes={}, reason=fault.clause("If", name))
    for values in found:
        for output in program.graph.output:
            reason = _flaw(output, values.get(output.name), name)
            if reason is not None:
                return Verdict(symbol=None, axes={}, reason=reason)
    return Verdict(symbol=name, axes=_common([item_axes(way) for way in found]), reason=PROVEN)


def _common(found: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The axes that are the same in every way through the model."""
    first, *others = found
    return {name: axis for name, axis in first.items() if all(x.get(name) == axis for x in others)}


def input_states(program: Program, axes: Mapping[str, int], name: str) -> dict[str, State]:
    """The states of the inputs, `axes` carrying items and all other inputs fixed."""
    return {value.name: _input_state(value, axes.get(value.name), name) for value in program.inputs}


def _input_state(value: ValueInfoProto, axis: int | None, name: str) -> State:
    names = dim_names(value)
    if names is None:
        return Fixed(None) if axis is None else Mixed(f"the rank of {value.name!r} is not known")
    # A constant's size is nothing that a caller keeps to, whatever its name is.
    alone = axis is None
    dims: list[Dim] = [
        symbol(f"{value.name}.{dim}" if alone or dim == name else dim)
        if isinstance(dim, str)
        else dim
        for dim in names
    ]
    if axis is None:
        return Fixed(tuple(dims))
    dims[axis] = ITEMS
    return Items(tuple(dims), axis)


def item_axes(values: Mapping[str, State | None]) -> dict[str, int]:
    """The axis of each value that has exactly one entry for each item."""
    return {
        name: state.axis
        for name, state in values.items()
        if isinstance(state, Items) and state.layout == SINGLE
    }


def _flaw(output: ValueInfoProto, state: State | None, name: str) -> str | None:
    """Why an output can't be cut by items; None if it can."""
    if isinstance(state, Mixed):
        return state.reason
    kind = output.type.WhichOneof("value")
    if kind not in (None, "tensor_type"):
        return f"output {output.name!r} is not a tensor"
    if isinstance(state, Places):
        return f"output {output.name!r} tells items apart along {name} by their place"
    if not isinstance(state, Items):
        return f"output {output.name!r} does not carry the axis {name}"
    if state.layout != SINGLE:
        return f"output {output.name!r} has more than one entry for each item of {name}"
    return _contradiction(output, state, name)


def _contradiction(output: ValueInfoProto, state: Items, name: str) -> str | None:
    """What the file declares of an output against the proof."""
    dims = declared_dims(output)
    if dims is None:
        return None
    if len(dims) != len(state.dims):
        return f"output {output.name!r} is declared with another rank"
    size = dims[state.axis].dim_value
    if size > 0:
        return f"output {output.name!r} is declared with {size} along {name}"
    return None
