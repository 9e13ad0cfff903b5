"""Where names have a meaning, and what a node hands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping

import attrs

from deepseek_onnx.batching.states import Mixed, State, Tensor
from deepseek_onnx.protos import AttributeProto, NodeProto

Inputs = list[Tensor | None]
# One state is that of the first output.
Outcome = State | tuple[State, ...]


@attrs.frozen(eq=False)
class Scope:
    """A graph, a branch of one, or the body of a function.

    `given` are the attributes that the body was called with; `depth` is 0 for the main graph.
    """

    values: MutableMapping[str, State | None]
    opsets: Mapping[str, int]
    given: Mapping[str, AttributeProto] = attrs.field(factory=dict)
    depth: int = 0


Follow = Callable[[Iterable[NodeProto], Scope], None]


def named(node: NodeProto, outcome: Outcome) -> Iterator[tuple[str, State]]:
    """Each output that a node gives a name, with its state."""
    states = outcome if isinstance(outcome, tuple) else (outcome,)
    for place, name in enumerate(node.output):
        if name:
            yield name, states[place] if place < len(states) else _beyond(node, outcome)


def _beyond(node: NodeProto, outcome: Outcome) -> Mixed:
    """The state of an output that a rule says nothing of."""
    if isinstance(outcome, Mixed):
        return outcome
    return Mixed(f"no rule for all outputs of {node.op_type}")


def state_of(scope: Scope, name: str) -> State:
    """The state of a value that a body or a branch hands on."""
    return scope.values.get(name) or Mixed(f"nothing makes {name!r}")
