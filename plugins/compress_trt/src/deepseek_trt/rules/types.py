"""Element types: what may enter and leave, and what becomes something else on the way in."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import TensorProto, ValueInfoProto

from deepseek_trt.model.facts import Facts
from deepseek_trt.model.read import tensors
from deepseek_trt.problem import Problem
from deepseek_trt.rules.rule import TAKEN, type_name

_CAST = "cast it outside of the model, or export the model with FLOAT, INT32, INT64 or BOOL there"


def of_borders(facts: Facts) -> Iterable[Problem]:
    """Inputs and outputs: dense tensors of types that TensorRT has."""
    for role, values in (("input", facts.inputs), ("output", facts.model.graph.output)):
        for value in values:
            yield from _of_border(role, value)


def _of_border(role: str, value: ValueInfoProto) -> Iterable[Problem]:
    elem_type = value.type.tensor_type.elem_type
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "of no type"
        what = f"{role} {value.name!r} is not a tensor but {kind}"
        yield _of_model("border_type", what, "export the model with tensors at its borders")
    elif elem_type not in TAKEN:
        what = f"{role} {value.name!r} has type {type_name(elem_type)}, which TensorRT has not"
        yield _of_model("border_type", what, _CAST)
    elif elem_type == TensorProto.DOUBLE:
        what = f"{role} {value.name!r} is DOUBLE: the engine has FLOAT there and computes in it"
        yield _of_model("double", what, "cast to FLOAT before the model", warns=True)


def of_weights(facts: Facts) -> Iterable[Problem]:
    """Constants: types that TensorRT has."""
    for tensor in tensors(facts.model):
        kind = tensor.data_type
        if kind not in TAKEN:
            what = f"constant {tensor.name!r} has type {type_name(kind)}, which TensorRT has not"
            yield _of_model("weights_type", what, _CAST)


def _of_model(name: str, what: str, remedy: str, *, warns: bool = False) -> Problem:
    return Problem(
        rule=name,
        node="",
        operator="",
        what=what,
        remedy=remedy,
        level="warning" if warns else "error",
        stage="value" if warns else "parse",
    )
