"""Every way through a model whose branches have nothing in common.

Exporters write an If where an axis goes in case it has one entry: its branches differ in rank, and
what follows fits one of them alone. So both are followed to the end; that in which a node meets
what no runtime takes is never run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.faults import Malformed, Undecided
from deepseek_onnx.batching.program import Program
from deepseek_onnx.batching.states import Mixed, State
from deepseek_onnx.batching.walk import Walk

Values = Mapping[str, State | None]

# 2^4 ways at most.
_MOST_DECISIONS: Final = 4


def ways(program: Program, symbol: str, inputs: Mapping[str, State]) -> list[Values]:
    """The states of all values, by each choice of branches that a run may take.

    Raises:
        Malformed: there are too many.
    """
    waiting: list[tuple[bool, ...]] = [()]
    found: list[Values] = []
    while waiting:
        decisions = waiting.pop()
        try:
            walk = Walk(program, symbol, decisions=iter(decisions))
            found.append(walk.through_graph(inputs))
        except Undecided:
            if len(decisions) == _MOST_DECISIONS:
                raise Malformed("has too many branches that differ") from None
            waiting += [(*decisions, False), (*decisions, True)]
    outputs = [output.name for output in program.graph.output]
    return [values for values in found if not _is_never(values, outputs)] or found


def _is_never(values: Values, outputs: list[str]) -> bool:
    """Whether an output can't be made."""
    states = [values.get(name) for name in outputs]
    return any(isinstance(state, Mixed) and state.never for state in states)
