"""What a stage must do, counted from shapes: operations, bytes, and the kind they make it.

Legend: B items of a batch, N rows of a gallery, D elements of a row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from deepseek_core import Operation, Stage, TensorSpec, Work

_BATCH: Final = "batch"
Symbols = Mapping[str, int]

_KINDS: Final = {
    **dict.fromkeys(
        ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "FusedConv"),
        "convolution",
    ),
    **dict.fromkeys(
        ("MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "QGemm", "FusedMatMul",
         "MatMulNBits", "Einsum"),
        "gemm",
    ),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "GroupQueryAttention"), "attention"),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "recurrent"),
    **dict.fromkeys(("MatchL2", "MatchHamming"), "matching"),
}  # fmt: skip
ELEMENTWISE: Final = "elementwise"


def stage_work(
    operations: Iterable[Operation], inputs: Iterable[TensorSpec], symbols: Symbols | None = None
) -> Work:
    """The work of operations whose weights are what neither `inputs` nor an operation makes.

    A tensor with the batch's symbol counts for each item, any other once. Symbols other than the
    batch count as `symbols` says, or as 1.
    """
    operations, bound = list(operations), {**(symbols or {}), _BATCH: 1}
    made = {spec.name for op in operations for spec in op.outputs}
    given = made | {spec.name for spec in inputs}
    flops = sum(operation_flops(op, bound) for op in operations)
    weights = {s.name: s for op in operations for s in op.inputs if s.name not in given}
    moved = [s for op in operations for s in (*op.inputs, *op.outputs) if s.name in given]
    return Work(
        flops_per_item=float(flops),
        bytes_per_item=float(sum(_nbytes(s, bound) for s in moved if _BATCH in s.shape)),
        fixed_bytes=float(
            sum(_nbytes(s, bound) for s in (*weights.values(),))
            + sum(_nbytes(s, bound) for s in moved if _BATCH not in s.shape)
        ),
    )


def work_with_constants(stage: Stage) -> Work:
    """A stage's work, counted anew where constants have told what its symbols stand for."""
    if not stage.constants or not stage.operations:
        return stage.work
    symbols: dict[str, int] = {}
    for operation in stage.operations:
        for spec in operation.inputs:
            value = stage.constants.get(spec.name)
            if value is not None and len(spec.shape) == value.ndim:
                pairs = zip(spec.shape, value.shape, strict=True)
                symbols.update({dim: size for dim, size in pairs if isinstance(dim, str)})
    return stage_work(stage.operations, stage.inputs, symbols)


def stage_kind(operations: Iterable[Operation]) -> str:
    """The kind with the most operations; `elementwise` when none is a heavy one."""
    flops: Counter[str] = Counter()
    for op in operations:
        kind = _KINDS.get(op.name)
        if kind is not None:
            # Unknown sizes count as 1: a heavy operator is still one.
            flops[kind] += max(1, operation_flops(op, {_BATCH: 1}))
    return max(flops, key=lambda kind: flops[kind]) if flops else ELEMENTWISE


def operation_flops(operation: Operation, symbols: Symbols) -> int:
    """Multiplications and additions of one operation; elements made, where none are counted."""
    count = _FLOPS.get(operation.name)
    try:
        if count is not None:
            return count(operation, symbols)
    except IndexError:
        # A shape that inference did not find: fall through to what is known.
        pass
    return sum(_elements(spec, symbols) for spec in operation.outputs)


def _elements(spec: TensorSpec, symbols: Symbols) -> int:
    return math.prod(spec.bound(symbols))


def _nbytes(spec: TensorSpec, symbols: Symbols) -> int:
    unit = TensorSpec(name=spec.name, dtype=spec.dtype, shape=(8,)).nbytes()
    return _elements(spec, symbols) * unit // 8


def _conv(weights: int) -> Callable[[Operation, Symbols], int]:
    def count(op: Operation, symbols: Symbols) -> int:
        # Each output element sums over the weights of one output channel: W[M, C/g, kh, kw].
        taps = math.prod(op.inputs[weights].bound(symbols)[1:])
        return 2 * _elements(op.outputs[0], symbols) * taps

    return count


def _conv_transpose(op: Operation, symbols: Symbols) -> int:
    # Each input element is spread over the weights of its channel: W[C, M/g, kh, kw].
    taps = math.prod(op.inputs[1].bound(symbols)[1:])
    return 2 * _elements(op.inputs[0], symbols) * taps


def _matmul(op: Operation, symbols: Symbols) -> int:
    return 2 * _elements(op.outputs[0], symbols) * op.inputs[0].bound(symbols)[-1]


def _gemm(op: Operation, symbols: Symbols) -> int:
    summed = 0 if op.attributes.get("transA") else 1
    return 2 * _elements(op.outputs[0], symbols) * op.inputs[0].bound(symbols)[summed]


def _attention(op: Operation, symbols: Symbols) -> int:
    # Q K^T and P V: two products of 2 flops each for every query element and every key.
    keys = op.inputs[1].bound(symbols)[-2] if len(op.inputs) > 1 else 1
    return 4 * _elements(op.inputs[0], symbols) * keys


def _match(op: Operation, symbols: Symbols) -> int:
    # queries[B, D] against gallery[N, D]: a subtraction and a sum for each pair of elements.
    return 2 * _elements(op.inputs[0], symbols) * op.inputs[1].bound(symbols)[0]


_FLOPS: Final[Mapping[str, Callable[[Operation, Symbols], int]]] = {
    "Conv": _conv(1),
    "FusedConv": _conv(1),
    "ConvInteger": _conv(1),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "FusedMatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
    "Attention": _attention,
    "MultiHeadAttention": _attention,
    "MatchL2": _match,
    "MatchHamming": _match,
}
