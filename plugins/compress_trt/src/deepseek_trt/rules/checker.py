"""All rules over one model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from onnx import ModelProto

from deepseek_core import errors
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
from deepseek_trt.rules.rule import RULES, NodeRule, problem
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
    yield from quantization.quantized_constants(node)
    if not is_foreign(node.proto.domain) or node.proto.op_type in _SAME_THERE:
        for check in RULES.get(node.proto.op_type, ()):
            yield from _asked(check, node)


def _asked(check: NodeRule, node: Node) -> list[Problem]:
    """What a rule says; a node whose attributes no rule can read is refused for that."""
    try:
        return list(check(node))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        what = f"has attributes that do not fit its operator: {error}"
        return [problem(node, "malformed", what, "export the model again")]


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

    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # onnx has no one class of errors here
        raise errors.ArtifactError(
            f"the functions of the model can't be put in the place of their calls: {error}",
            remedy="export the model without functions of its own",
        ) from error
