"""What single GPUs lack: types without hardware, products that Turing does not do in FP32."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from onnx import TensorProto

from deepseek_trt.model.facts import Facts, Node
from deepseek_trt.problem import Problem
from deepseek_trt.rules.rule import problem, type_name
from deepseek_trt.target import number

_NEWER: Final = "leave that GPU out, or use FLOAT16"
# type -> the first compute capability that has it
_FIRST: Final = {
    TensorProto.BFLOAT16: (8, 0),
    TensorProto.FLOAT8E4M3FN: (8, 9),
    TensorProto.FLOAT4E2M1: (12, 0),
}
_PRODUCTS: Final = frozenset({"Gemm", "MatMul", "Einsum", "LSTM", "GRU", "RNN", "Attention"})
_TURING: Final = "7.5"
_WIDE: Final = (TensorProto.FLOAT, TensorProto.DOUBLE)


def of_targets(facts: Facts, targets: Sequence[str]) -> Iterable[Problem]:
    """Each node runs on each of the GPUs."""
    for node in facts.nodes:
        yield from _of_types(node, targets)
        if _TURING in targets and _is_wide_product(node):
            what = f"is a matrix product in FP32, which is not built for {_TURING}"
            yield problem(node, "turing_gemm", what, "convert the model to FLOAT16", "build")


def _is_wide_product(node: Node) -> bool:
    if node.proto.op_type == "Einsum" and len(node.proto.input) < 2:
        return False
    return node.proto.op_type in _PRODUCTS and node.elem_type(0) in _WIDE


def _of_types(node: Node, targets: Sequence[str]) -> Iterable[Problem]:
    kinds = {node.scope.elem_type(name) for name in (*node.proto.input, *node.proto.output) if name}
    for kind in sorted(kinds & _FIRST.keys()):
        lacking = [target for target in targets if number(target) < _FIRST[kind]]
        if lacking:
            what = f"computes with {type_name(kind)}, which {', '.join(lacking)} lacks"
            yield problem(node, "target_type", what, _NEWER, "build")
