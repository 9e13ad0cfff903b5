"""Operators on numbers that are known one by one: what exporters compute shapes with.

Each function gets the contents of the inputs that are given, and answers with the content of the
output; None, or an error of numpy's, leaves the node to the rule of its operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import prod
from typing import Any, Final

import numpy as np

from deepseek_onnx.batching import contents
from deepseek_onnx.batching.calls import Call, known_content, normal
from deepseek_onnx.batching.contents import as_integers, depends_on_n
from deepseek_onnx.batching.slices import part, slices
from deepseek_onnx.batching.states import LARGEST_CONTENT, Content, Fixed, Size, Tensor

Fold = Callable[[Call, list[Content]], "Content | list[Content] | None"]

# What numpy and Python raise where a node contradicts itself.
_FAULTS: Final = (ValueError, IndexError, TypeError, OverflowError)


def fold(call: Call, operator: str) -> tuple[Tensor, ...] | None:
    """The outputs of a node by their elements, None where these can't be told."""
    folds = FOLDS.get(operator)
    if folds is None:
        return None
    known = _inputs(call)
    if known is None:
        return None
    try:
        found = folds(call, known)
    except _FAULTS:
        return None
    if found is None:
        return None
    # Where one element is left numpy hands on the element itself.
    outputs = [
        np.asarray(output, dtype=object)
        for output in (found if isinstance(found, list) else [found])
    ]
    if any(output.size > LARGEST_CONTENT for output in outputs):
        return None
    return tuple(_state(output) for output in outputs)


def _inputs(call: Call) -> list[Content] | None:
    """The contents of all inputs; atoms for unknown ones where another is a Size."""
    invents = any(isinstance(state, Size) for state in call.inputs)
    known = []
    for place, state in enumerate(call.inputs):
        if state is None:
            continue
        content = call.numbered(place) if invents else known_content(state)
        if content is None:
            return None
        known.append(content)
    return known


def _state(content: Content) -> Tensor:
    return Size(content) if depends_on_n(content) else Fixed(content.shape, content)


def _elementwise(function: Callable[..., Any], arguments: int) -> Fold:
    apply = np.frompyfunc(function, arguments, 1)

    def run(call: Call, given: list[Content]) -> Content | None:
        return np.asarray(apply(*given), dtype=object) if len(given) == arguments else None

    return run


def _variadic(function: Callable[..., Any]) -> Fold:
    apply = np.frompyfunc(function, 2, 1)

    def run(call: Call, given: list[Content]) -> Content:
        return np.asarray(reduce(apply, given), dtype=object)

    return run


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b: function(b, a)


def _identity(call: Call, given: list[Content]) -> Content:
    return given[0]


def _cast(call: Call, given: list[Content]) -> Content | None:
    return contents.cast(given[0], call.integer("to", 0))


def _gather(call: Call, given: list[Content]) -> Content | None:
    data, indices = given
    places = as_integers(indices)
    if places is None:
        return None
    chosen = np.asarray(places, dtype=np.int64).reshape(indices.shape)
    return np.take(data, chosen, axis=call.integer("axis", 0))


def _concat(call: Call, given: list[Content]) -> Content:
    return np.concatenate(given, axis=call.integer("axis", 1 if call.version < 4 else 0))


def _slice(call: Call, given: list[Content]) -> Content | None:
    places: list[slice] = [slice(None)] * given[0].ndim
    for axis, start, end, step in slices(call, given[0].ndim):
        taken = part(given[0].shape[axis], start, end, step)
        if taken is None:
            return None
        places[axis] = taken
    return given[0][tuple(places)]


def _split(call: Call, given: list[Content]) -> list[Content]:
    axis = call.integer("axis", 0)
    sizes = call.integers_or_input("split", 1)
    parts = len(call.node.output)
    if sizes is None:
        chunk = -(-given[0].shape[axis] // parts)
        sizes = [chunk] * parts
    return list(np.split(given[0], np.cumsum(sizes)[:-1], axis=axis))


def _unsqueeze(call: Call, given: list[Content]) -> Content:
    axes = call.integers_or_input("axes", 1) or []
    return np.expand_dims(given[0], tuple(axes))


def _squeeze(call: Call, given: list[Content]) -> Content:
    axes = call.integers_or_input("axes", 1)
    return np.squeeze(given[0], tuple(axes) if axes else None)


def _reshape(call: Call, given: list[Content]) -> Content | None:
    shape = call.integers("shape") if call.version < 5 else as_integers(given[1])
    if shape is None or call.flag("allowzero"):
        return None
    kept = given[0].shape
    return given[0].reshape([kept[i] if size == 0 else size for i, size in enumerate(shape)])


def _transpose(call: Call, given: list[Content]) -> Content:
    return np.transpose(given[0], call.integers("perm"))


def _expand(call: Call, given: list[Content]) -> Content | None:
    shape = as_integers(given[1])
    if shape is None or min(shape, default=0) < 0 or prod(shape) > LARGEST_CONTENT:
        return None
    # Of either's sizes the larger one: no more elements than both have together.
    return np.broadcast_to(given[0], np.broadcast_shapes(given[0].shape, tuple(shape))).copy()


def _tile(call: Call, given: list[Content]) -> Content | None:
    repeats = as_integers(given[1])
    if repeats is None or prod(repeats) * given[0].size > LARGEST_CONTENT:
        return None
    return np.tile(given[0], repeats) if len(repeats) == given[0].ndim else None


def _range(call: Call, given: list[Content]) -> Content | None:
    numbers = [as_integers(content) for content in given]
    if any(number is None for number in numbers):
        return None
    places = range(*(number[0] for number in numbers if number))
    return contents.row(list(places)) if len(places) <= LARGEST_CONTENT else None


def _reduce(function: Callable[..., Any], start: int | None) -> Fold:
    apply = np.frompyfunc(function, 2, 1)

    def run(call: Call, given: list[Content]) -> Content | None:
        axes = call.integers_or_input("axes", 1)
        if not axes and call.flag("noop_with_empty_axes"):
            return None
        data = given[0]
        chosen = sorted(normal(a, data.ndim) for a in (axes or range(data.ndim)))
        for axis in reversed(chosen):
            data = np.expand_dims(np.asarray(apply.reduce(data, axis=axis, initial=start)), axis)
        if not call.flag("keepdims", default=True):
            data = np.squeeze(data, tuple(chosen))
        return np.asarray(data, dtype=object)

    return run


FOLDS: Final[Mapping[str, Fold]] = {
    "Identity": _identity,
    "Cast": _cast,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "Add": _elementwise(contents.add, 2),
    "Sub": _elementwise(contents.subtract, 2),
    "Mul": _elementwise(contents.multiply, 2),
    "Div": _elementwise(contents.divide, 2),
    "Mod": _elementwise(contents.modulo, 2),
    "Neg": _elementwise(lambda a: contents.multiply(-1, a), 1),
    "Equal": _elementwise(contents.equal, 2),
    "Less": _elementwise(contents.less, 2),
    "LessOrEqual": _elementwise(contents.less_or_equal, 2),
    "Greater": _elementwise(_swapped(contents.less), 2),
    "GreaterOrEqual": _elementwise(_swapped(contents.less_or_equal), 2),
    "And": _elementwise(contents.both, 2),
    "Or": _elementwise(contents.either, 2),
    "Not": _elementwise(contents.negate, 1),
    "Where": _elementwise(contents.where, 3),
    "Min": _variadic(contents.smaller),
    "Max": _variadic(contents.larger),
    "Sum": _variadic(contents.add),
    "ReduceProd": _reduce(contents.multiply, 1),
    "ReduceSum": _reduce(contents.add, 0),
}
