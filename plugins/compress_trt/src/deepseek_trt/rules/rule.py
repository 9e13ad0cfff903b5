"""Rules by operator, and the words that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from onnx import TensorProto

from deepseek_trt.model.facts import Node
from deepseek_trt.problem import Problem, Stage

NodeRule = Callable[[Node], Iterable[Problem]]

RULES: Final[dict[str, list[NodeRule]]] = {}
"""Rules of an operator of ONNX's own domain, by its name."""


def rule(*operators: str) -> Callable[[NodeRule], NodeRule]:
    """Mark a function as a rule of these operators."""

    def mark(function: NodeRule) -> NodeRule:
        for operator in operators:
            RULES.setdefault(operator, []).append(function)
        return function

    return mark


def problem(node: Node, name: str, what: str, remedy: str, stage: Stage = "parse") -> Problem:
    """An error about a node."""
    return Problem(
        rule=name, node=node.name, operator=node.operator, what=what, remedy=remedy, stage=stage
    )


def warning(node: Node, name: str, what: str, remedy: str) -> Problem:
    """What is worth knowing about a node that is taken."""
    return Problem(
        rule=name,
        node=node.name,
        operator=node.operator,
        what=what,
        remedy=remedy,
        level="warning",
        stage="value",
    )


FLOATS: Final = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
)
WHOLE: Final = frozenset({TensorProto.INT32, TensorProto.INT64})
QUANTIZED: Final = frozenset(
    {TensorProto.INT8, TensorProto.INT4, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT4E2M1}
)
TAKEN: Final = FLOATS | WHOLE | QUANTIZED | {TensorProto.UINT8, TensorProto.BOOL}


def type_name(elem_type: int) -> str:
    """`FLOAT`, `UINT8`; as ONNX has them."""
    try:
        return str(TensorProto.DataType.Name(elem_type))
    except ValueError:
        return f"type {elem_type}"
