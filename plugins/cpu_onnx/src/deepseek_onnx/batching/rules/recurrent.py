"""LSTM, GRU and RNN: the batch is the second axis, or the first with layout 1.

Legend: X [steps, batch, width], states [directions, batch, hidden], Y [steps, directions, batch,
hidden]; with layout 1 X [batch, steps, width], states [batch, directions, hidden], Y [batch,
steps, directions, hidden].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.sizes import Dim
from deepseek_onnx.batching.states import Fixed, Items, Tensor

_LENGTHS: Final = 4


def recurrent(constants: Sequence[int], initial: Sequence[int]) -> Rule:
    """The rule of an operator with these inputs Fixed, and these as initial states."""

    def rule(call: Call) -> tuple[Tensor, ...]:
        call.fixed(*constants)
        x, dims = call.ranked(0)
        _, weights = call.ranked(2)
        if len(dims) != 3 or len(weights) != 3:
            raise Contradiction("has no three axes")
        layout = call.flag("layout")
        hidden, directions = weights[2], weights[0]
        if not isinstance(x, Items):
            return _fixed(call, initial)
        _require(call, x, 0 if layout else 1, initial)
        return _results(x, dims, layout, directions, hidden)

    return rule


def _fixed(call: Call, initial: Sequence[int]) -> tuple[Tensor, ...]:
    call.fixed(_LENGTHS, *initial)
    return Fixed(None), Fixed(None), Fixed(None)


def _require(call: Call, x: Items, batch: int, initial: Sequence[int]) -> None:
    """See that each item has a row of its own in every input."""
    if x.axis != batch:
        raise Mixes
    for place, axis in ((_LENGTHS, 0), *((place, batch) for place in initial)):
        if not call.has(place):
            continue
        state = call.data(place)
        if state.axis != axis or state.layout != x.layout:
            raise Unclear(f"its input {place} does not carry them")


def _results(
    x: Items, dims: tuple[Dim, ...], layout: int, directions: Dim, hidden: Dim
) -> tuple[Tensor, ...]:
    if layout:
        batch, steps, _ = dims
        y = Items((batch, steps, directions, hidden), 0, x.layout)
        last = Items((batch, directions, hidden), 0, x.layout)
    else:
        steps, batch, _ = dims
        y = Items((steps, directions, batch, hidden), 2, x.layout)
        last = Items((directions, batch, hidden), 1, x.layout)
    return y, last, last


RULES: Final[Mapping[str, Rule]] = {
    "RNN": recurrent((1, 2, 3), (5,)),
    "GRU": recurrent((1, 2, 3), (5,)),
    "LSTM": recurrent((1, 2, 3, 7), (5, 6)),
}
