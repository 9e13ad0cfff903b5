"""ONNX's Attention: what TensorRT's layer of that name lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from deepseek_trt.model.facts import Node
from deepseek_trt.problem import Problem
from deepseek_trt.rules.rule import problem, rule, warning

_APART: Final = "export attention as MatMul and Softmax (opset 22 or older)"


@rule("Attention")
def attention(node: Node) -> Iterable[Problem]:
    """One output, one mask, no cap, no cache."""
    for what in _lacks(node):
        yield problem(node, "attention", what, _APART)
    what = "is built where a kernel is: as a rule, FLOAT16 or BFLOAT16 and heads of 32 or more"
    yield warning(node, "attention_kernel", what, _APART)


def _lacks(node: Node) -> Iterable[str]:
    if len(node.proto.output) > 1:
        yield f"gives {len(node.proto.output)} outputs; only the first is taken"
    if float(node.attribute("softcap", 0.0)) != 0.0:
        yield "caps its scores (softcap)"
    if node.attribute("softmax_precision") is not None:
        yield "sets the precision of its softmax"
    if node.input(4) or node.input(5):
        yield "takes keys and values of the past"
    if node.input(3) and node.attribute("is_causal", 0):
        yield "is causal and has a mask"
    key, value, mask = node.shape(1), node.shape(2), node.shape(3)
    if key is not None and value is not None and key != value:
        yield f"keys and values differ in shape: {list(key)} and {list(value)}"
    if node.input(3) and key and mask and mask[-1] not in (1, key[-2]):
        yield f"its mask has {mask[-1]} columns for {key[-2]} keys"
