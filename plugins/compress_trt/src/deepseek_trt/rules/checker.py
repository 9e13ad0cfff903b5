"""All rules over one model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from onnx import ModelProto

from deepseek_trt.model.facts import Node, facts_of, is_foreign
from deepseek_trt.problem import Problem
from deepseek_trt.profile import Profile
from deepseek_trt.rules import (  # noqa: F401 - they fill RULES
    attention,
    element_types,
    elementwise,
    ignored,
    layers,
    quantization,
    types,
)
from deepseek_trt.rules.dynamic import of_profiles
from deepseek_trt.rules.graph import of_graph
from deepseek_trt.rules.operators import ITS_OWN, KNOWN, LACKS_PLUGIN
from deepseek_trt.rules.rule import RULES, problem
from deepseek_trt.rules.targets import of_targets

_SAME_THERE: Final = frozenset({"Gelu", "QuantizeLinear", "DequantizeLinear"})
"""Operators of com.microsoft that mean what those of ONNX mean."""


def problems_of(
    model: ModelProto, targets: Sequence[str] = (), profiles: Sequence[Profile] = ()
) -> tuple[Problem, ...]:
    """What keeps a model, whose data was read in, from being built for these GPUs."""
    facts = facts_of(_inlined(model))
    found = [*of_graph(facts), *types.of_borders(facts), *types.of_weights(facts)]
    for node in facts.nodes:
        found += _of_node(node)
    return (*found, *of_profiles(facts, profiles), *of_targets(facts, targets))


def _of_node(node: Node) -> Iterable[Problem]:
    yield from _of_operator(node)
    if not is_foreign(node.proto.domain) or node.proto.op_type in _SAME_THERE:
        for check in RULES.get(node.proto.op_type, ()):
            yield from check(node)


def _of_operator(node: Node) -> Iterable[Problem]:
    name, domain = node.proto.op_type, node.proto.domain
    if name not in KNOWN | ITS_OWN:
        what = f"there is no operator {node.operator} in TensorRT"
        yield problem(node, "operator", what, "replace it by operators of ONNX, or write a plugin")
    elif name in LACKS_PLUGIN:
        what = f"TensorRT-RTX lacks the plugin for {node.operator}"
        yield problem(node, "plugin", what, "build with full TensorRT, or replace the operator")
    elif is_foreign(domain) and not _is_same_there(domain, name):
        what = f"{node.operator} is read as ONNX's own {name}: the parser does not look at domains"
        yield problem(node, "domain", what, f"rename it, unless it is {name}", "value")


def _is_same_there(domain: str, name: str) -> bool:
    if name in ITS_OWN:
        return True
    return domain == "com.microsoft" and name in _SAME_THERE


def _inlined(model: ModelProto) -> ModelProto:
    """The model with its own functions in the place of their calls."""
    if not model.functions:
        return model
    from onnx import inliner

    return inliner.inline_local_functions(model)
