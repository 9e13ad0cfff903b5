"""Inputs and outputs as a parser reads them, beside those that the model declares.

Where they differ, the parser understood the model otherwise; it says nothing about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from onnx import ModelProto

from deepseek_trt.backends.backend import Border
from deepseek_trt.model.scope import shape_of
from deepseek_trt.problem import Problem, printable
from deepseek_trt.rules.rule import type_name

_CALLED: Final = {"HALF": "FLOAT16", "BF16": "BFLOAT16", "FP8": "FLOAT8E4M3FN", "FP4": "FLOAT4E2M1"}
_LOOK: Final = "compare its results with those of ONNX Runtime before you trust them"


def differing(model: ModelProto, borders: Iterable[Border]) -> tuple[Problem, ...]:
    """A warning for each border with another type, rank or fixed length than the model declares."""
    declared = {value.name: value for value in (*model.graph.input, *model.graph.output)}
    found = []
    for border in borders:
        value = declared.get(border.name)
        if value is None:
            continue
        kind = type_name(value.type.tensor_type.elem_type)
        expected = shape_of(value)
        if not (_same_type(kind, border) and _same_shape(expected, border)):
            shown = "?" if expected is None else list(expected)
            what = (
                f"{printable(border.name)!r} is {kind} {shown} in the model, "
                f"and {border.dtype} {list(border.shape or ())} in the engine"
            )
            found.append(
                Problem(
                    rule="border_differs",
                    node="",
                    operator="",
                    what=what,
                    remedy=_LOOK,
                    level="warning",
                    stage="value",
                )
            )
    return tuple(found)


def _same_type(kind: str, border: Border) -> bool:
    return kind.replace("DOUBLE", "FLOAT") == _CALLED.get(border.dtype, border.dtype)


def _same_shape(expected: tuple[int | str | None, ...] | None, border: Border) -> bool:
    if expected is None or border.shape is None:
        return True
    pairs = zip(expected, border.shape, strict=False)
    same = all(not isinstance(a, int) or b in (-1, a) for a, b in pairs)
    return same and len(expected) == len(border.shape)
