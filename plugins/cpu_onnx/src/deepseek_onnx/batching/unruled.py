"""Operators without a rule: of constants alone they make constants, if chance has no part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from deepseek_onnx.attributes import captured_names, subgraphs
from deepseek_onnx.batching.program import Key, plain_domain
from deepseek_onnx.batching.states import Fixed, Mixed, State
from deepseek_onnx.protos import GraphProto, NodeProto

RANDOM: Final = frozenset(
    ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
     "RandomUniformLike")
)  # fmt: skip
# Operators that give another value each time, or do where they train.
_MAY_BE_RANDOM: Final = RANDOM | {"Dropout"}
# All their other operators give equal results for equal inputs.
_STANDARD: Final = ("", "ai.onnx.ml")


def without_rule(
    node: NodeProto,
    domain: str,
    inputs: Iterable[State | None],
    values: Mapping[str, State | None],
    functions: Collection[Key],
) -> State:
    """The state of each output of a node that no rule is for."""
    unknown = Mixed(f"no rule for {domain or 'ai.onnx'}::{node.op_type}")
    if domain not in _STANDARD or not all(_is_fixed(state) for state in inputs):
        return unknown
    graphs = subgraphs(node)
    if not graphs:
        return Fixed(None)
    if not all(_is_fixed(values.get(name)) for name in captured_names(graphs)):
        return unknown
    return Fixed(None) if _are_certain(graphs, functions) else unknown


def _is_fixed(state: State | None) -> bool:
    return state is None or isinstance(state, Fixed)


def _are_certain(graphs: list[GraphProto], functions: Collection[Key]) -> bool:
    """Whether every node of graphs and of those in them gives equal results for equal inputs."""
    waiting = list(graphs)
    while waiting:
        for node in waiting.pop().node:
            domain = plain_domain(node.domain)
            if domain not in _STANDARD or node.op_type in _MAY_BE_RANDOM:
                return False
            if any(key[:2] == (domain, node.op_type) for key in functions):
                return False
            waiting.extend(subgraphs(node))
    return True
