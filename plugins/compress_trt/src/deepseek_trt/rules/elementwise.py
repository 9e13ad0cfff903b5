"""Element types of arithmetic, comparisons, logic, casts and reductions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from onnx import TensorProto

from deepseek_trt.model.facts import Node
from deepseek_trt.problem import Problem
from deepseek_trt.rules.rule import QUANTIZED, TAKEN, WHOLE, problem, rule, type_name, warning

_OLD_BROADCAST: Final = "convert the model to opset 13 or newer (onnx.version_converter)"
_OLDEST: Final = 7

_REDUCED: Final = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip


@rule("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")
def old_broadcast(node: Node) -> Iterable[Problem]:
    """Before opset 7, broadcasting was asked for by an attribute."""
    if node.opset < _OLDEST:
        what = (
            f"broadcasts by the rules of opset {node.opset}; those since opset {_OLDEST} are known"
        )
        yield problem(node, "opset", what, _OLD_BROADCAST)


@rule("Cast")
def cast(node: Node) -> Iterable[Problem]:
    """Casts lead to types that TensorRT has."""
    to = int(node.attribute("to", 0))
    if to not in TAKEN:
        what = f"casts to {type_name(to)}, which TensorRT has not"
        yield problem(node, "cast", what, "cast to FLOAT, FLOAT16, BFLOAT16, INT32, INT64 or BOOL")


@rule("Mod")
def mod(node: Node) -> Iterable[Problem]:
    """With `fmod=0` it is for INT32 and INT64 only."""
    kind = node.elem_type(0)
    if not node.attribute("fmod", 0) and kind and kind not in WHOLE:
        what = f"is computed with fmod=0 on {type_name(kind)}; INT32 and INT64 are taken"
        yield problem(node, "mod", what, "set fmod=1, or cast to INT32")


@rule("Cast", "CastLike")
def quantizing_cast(node: Node) -> Iterable[Problem]:
    """What quantizes is QuantizeLinear, not a cast."""
    for name in node.outputs:
        kind = node.scope.elem_type(name)
        if kind in QUANTIZED - {TensorProto.INT8}:
            what = f"casts to {type_name(kind)}: parsed, and then not built"
            yield problem(node, "cast", what, "quantize by QuantizeLinear", "build")


@rule("Cast", "CastLike")
def uint8_inside(node: Node) -> Iterable[Problem]:
    """UINT8 is made only for an output of the model."""
    for name in node.outputs:
        if node.scope.elem_type(name) == TensorProto.UINT8 and not node.scope.is_output(name):
            what = "casts to UINT8 inside of the network; only inputs and outputs have that type"
            yield problem(node, "uint8", what, "cast to INT32 or FLOAT")


@rule("Range")
def range_type(node: Node) -> Iterable[Problem]:
    """Counts in INT32, INT64 or FLOAT; no input of the model is a FLOAT bound."""
    kind = node.elem_type(0)
    floats = {TensorProto.FLOAT, TensorProto.DOUBLE}
    if kind and kind not in WHOLE | floats:
        yield problem(node, "range", f"counts in {type_name(kind)}", "count in INT64, then cast")
    elif kind in floats and any(_is_given(node, i) for i in range(3)):
        what = "counts by FLOAT values that come in from outside"
        yield problem(node, "range", what, "count in INT64, then cast and multiply")


def _is_given(node: Node, index: int) -> bool:
    return not node.is_weights(index) and node.scope.comes_from_float_input(node.input(index))


@rule(*_REDUCED)
def reduced_axes(node: Node) -> Iterable[Problem]:
    """Axes are known before the build."""
    if node.input(1) and not node.is_resolved(1):
        what = f"reduces over axes {node.input(1)!r} that are no initializer"
        yield problem(node, "axes", what, "make the axes an initializer")


@rule("Squeeze", "Unsqueeze")
def squeezed_axes(node: Node) -> Iterable[Problem]:
    """Axes are known before the build."""
    if node.input(1) and not node.is_foldable(1):
        what = f"has axes {node.input(1)!r} that are known only when it runs"
        yield problem(node, "axes", what, "make the axes an initializer")


@rule("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
def random(node: Node) -> Iterable[Problem]:
    """Random numbers come as FLOAT or FLOAT16, and from seeds of its own."""
    dtype = node.attribute("dtype")
    if dtype not in (None, TensorProto.FLOAT, TensorProto.FLOAT16):
        what = f"makes random numbers of type {type_name(int(dtype))}"
        yield problem(node, "random", what, "make FLOAT, then cast")
    if node.attribute("seed") is not None:
        what = "has a seed, which TensorRT ignores: other numbers in each run"
        remedy = "pass the random numbers in as an input"
        yield warning(node, "random_seed", what, remedy)
