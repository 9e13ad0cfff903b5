"""Operators that compute each element from the elements at the same place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule, known_content
from deepseek_onnx.batching.contents import as_integers
from deepseek_onnx.batching.faults import IsRandom, Mixes, TellsPlaces, Unclear
from deepseek_onnx.batching.rules.broadcasting import computed, meet, meet_all
from deepseek_onnx.batching.rules.pointing import reckoned
from deepseek_onnx.batching.states import Data, Fixed, Items, Tensor, like


def unary(call: Call) -> Tensor:
    """The first input alone."""
    return computed(call.data(0))


def binary(call: Call) -> Tensor:
    """Two operands, broadcast as every version since opset 7 does."""
    if call.version < 7:
        return meet(call.data(0), _placed(call))
    try:
        return meet(call.tensor(0), call.tensor(1))
    except TellsPlaces:
        return reckoned(call)


def _placed(call: Call) -> Data:
    """The second operand where the old attribute `axis` puts it."""
    (_, a_dims), (b, b_dims) = call.ranked(0), call.ranked(1)
    if not call.flag("broadcast") or call.attribute("axis") is None:
        return b
    behind = len(a_dims) - call.axis("axis", 0, len(a_dims)) - len(b_dims)
    placed = like(b, b_dims + (1,) * behind, b.axis)
    assert isinstance(placed, Fixed | Items)
    return placed


def prelu(call: Call) -> Tensor:
    """The slope is broadcast; before opset 7 it is one, or one for each channel."""
    x = call.data(0)
    if call.version < 7 and x.axis is not None:
        call.fixed(1)
        if x.axis != 0:
            raise Unclear("its slope may have an entry for each")
        return computed(x)
    return meet(x, call.tensor(1))


def variadic(call: Call) -> Tensor:
    """Any number of operands."""
    try:
        return meet_all(call.tensor(place) for place in range(len(call.inputs)))
    except TellsPlaces:
        return reckoned(call)


def clip(call: Call) -> Tensor:
    """Limits are scalars, so none of them can be an item's own."""
    call.fixed(1, 2)
    return computed(call.data(0))


def dropout(call: Call) -> tuple[Tensor, ...]:
    """Dropout in inference does nothing; its mask has the same shape."""
    if call.version < 7 and not call.flag("is_test"):
        raise IsRandom
    if call.has(2) and not _is_off(call.tensor(2)):
        raise IsRandom
    x = computed(call.data(0))
    return x, x


def _is_off(switch: Tensor) -> bool:
    """Whether a flag is known to be 0."""
    content = known_content(switch)
    return content is not None and as_integers(content) == [0]


def batch_normalization(call: Call) -> Tensor:
    """Scale, shift, mean and variance are constants, one for each channel."""
    trains = call.flag("training_mode") or len([n for n in call.node.output if n]) > 1
    if trains or (call.version < 7 and not call.flag("is_test")):
        raise Mixes("it normalizes by the batch")
    call.fixed(1, 2, 3, 4)
    x, dims = call.ranked(0)
    for_each_place = call.version < 9 and not call.integer("spatial", 1)
    if x.axis == 1 or not dims or (for_each_place and x.axis):
        raise Mixes
    return computed(x)


_UNARY: Final = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitCast", "BitwiseNot", "Ceil",
    "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round",
    "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish",
    "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_BINARY: Final = (
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Mod", "Mul", "Or", "Pow", "Sub", "SwiGLU",
    "Xor",
)  # fmt: skip


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_UNARY, unary),
    **dict.fromkeys(_BINARY, binary),
    **dict.fromkeys(("Max", "Mean", "Min", "Sum", "Where"), variadic),
    # Only the type of its second input counts.
    "CastLike": unary,
    "PRelu": prelu,
    "Clip": clip,
    "Dropout": dropout,
    "BatchNormalization": batch_normalization,
}
