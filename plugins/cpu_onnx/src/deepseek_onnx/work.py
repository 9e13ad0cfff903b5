"""What a stage must do, counted from shapes: operations, bytes, and the kind they make it.

Legend: B items of a batch, N rows of a gallery, D elements of a row. Sizes are shapes whose free
axes count as 1, unless something tells how large they are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from deepseek_core import Operation, Stage, TensorSpec, Work
from deepseek_onnx.dtypes import DTYPE
from deepseek_onnx.protos import GraphProto, NodeProto

Symbols = Mapping[str, int]
Sizes = tuple[int, ...]

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

Attribute = Callable[[str], Any]
"""An integer attribute by name."""
Count = Callable[[Sequence[Sizes], Sequence[Sizes], Attribute], int]
"""Multiplications and additions, from the sizes of inputs and outputs."""


def graph_kind(graph: GraphProto) -> str:
    """The kind of most of a graph's heavy operators."""
    return _most(Counter(_KINDS[n.op_type] for n in graph.node if n.op_type in _KINDS))


def model_work(graph: GraphProto) -> Work:
    """The work of a whole graph, node by node, from the types that are declared in it."""
    sizes, nbytes = _tensors(graph)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    sizes |= {name: tuple(tensor.dims) for name, tensor in stored.items()}
    flops = 0
    for node in graph.node:
        op, count = node.op_type, 0
        if op in _FLOPS:
            count = _node_flops(node, sizes)
        else:
            for name in node.output:
                count += math.prod(sizes.get(name, ()))
        flops += count
    weights = sum(math.prod(t.dims) * _element_bits(t.data_type) // 8 for t in stored.values())
    return Work(
        flops_per_item=float(flops), bytes_per_item=float(nbytes), fixed_bytes=float(weights)
    )


def _tensors(graph: GraphProto) -> tuple[dict[str, Sizes], int]:
    """Sizes of the tensors that a run makes or is given, and their bytes in all."""
    sizes: dict[str, Sizes] = {}
    nbytes = 0
    for values in (graph.value_info, graph.input, graph.output):
        for value in values:
            tensor = value.type.tensor_type
            made = sizes[value.name] = tuple([max(d.dim_value, 1) for d in tensor.shape.dim])
            nbytes += math.prod(made) * _element_bits(tensor.elem_type) // 8
    return sizes, nbytes


def _node_flops(node: NodeProto, sizes: Mapping[str, Sizes]) -> int:
    def attribute(name: str) -> Any:
        return next((a.i for a in node.attribute if a.name == name), None)

    inputs = [sizes.get(name, ()) for name in node.input]
    outputs = [sizes.get(name, ()) for name in node.output]
    return _counted(_FLOPS[node.op_type], inputs, outputs, attribute)


def stage_work(
    operations: Iterable[Operation], inputs: Iterable[TensorSpec], symbols: Symbols | None = None
) -> Work:
    """The work of operations whose weights are what neither `inputs` nor an operation makes.

    A tensor with a free axis of which `symbols` says nothing counts for each item, others once.
    """
    operations, bound = list(operations), symbols or {}
    made = {spec.name for op in operations for spec in op.outputs}
    given = made | {spec.name for spec in inputs}
    flops = sum(operation_flops(op, bound) for op in operations)
    weights = {s.name: s for op in operations for s in op.inputs if s.name not in given}
    moved = [s for op in operations for s in (*op.inputs, *op.outputs) if s.name in given]
    items = [s for s in moved if any(isinstance(d, str) and d not in bound for d in s.shape or ())]
    return Work(
        flops_per_item=float(flops),
        bytes_per_item=float(sum(_spec_bytes(s, bound) for s in items)),
        fixed_bytes=float(
            sum(_spec_bytes(s, bound) for s in (*weights.values(), *moved))
            - sum(_spec_bytes(s, bound) for s in items)
        ),
    )


def work_with_constants(stage: Stage) -> Work:
    """A stage's work, counted again where constants have told what its symbols stand for."""
    if not stage.constants or not stage.operations:
        return stage.work
    symbols: dict[str, int] = {}
    for operation in stage.operations:
        for spec in operation.inputs:
            value = stage.constants.get(spec.name)
            if value is not None and spec.shape is not None and len(spec.shape) == value.ndim:
                pairs = zip(spec.shape, value.shape, strict=True)
                symbols.update({dim: size for dim, size in pairs if isinstance(dim, str)})
    return stage_work(stage.operations, stage.inputs, symbols)


def stage_kind(operations: Iterable[Operation]) -> str:
    """The kind with the most operations; `elementwise` when none is a heavy one."""
    kinds: Counter[str] = Counter()
    for op in operations:
        kind = _KINDS.get(op.name)
        if kind is not None:
            # Unknown sizes count as 1: a heavy operator is still one.
            kinds[kind] += max(1, operation_flops(op, {}))
    return _most(kinds)


def _most(kinds: Counter[str]) -> str:
    return max(kinds, key=lambda kind: kinds[kind]) if kinds else ELEMENTWISE


def operation_flops(operation: Operation, symbols: Symbols) -> int:
    """Multiplications and additions of one operation; elements made, where none are counted."""
    outputs = [spec.bound(symbols) for spec in operation.outputs]
    count = _FLOPS.get(operation.name)
    if count is None:
        return sum(map(math.prod, outputs))
    inputs = [spec.bound(symbols) for spec in operation.inputs]
    return _counted(count, inputs, outputs, operation.attributes.get)


def _counted(
    count: Count, inputs: Sequence[Sizes], outputs: Sequence[Sizes], attribute: Attribute
) -> int:
    try:
        return count(inputs, outputs, attribute)
    except IndexError:  # a shape that inference did not find
        return sum(map(math.prod, outputs))


def _spec_bytes(spec: TensorSpec, symbols: Symbols) -> int:
    return math.prod(spec.bound(symbols)) * _dtype_bits(spec.dtype) // 8


@cache
def _dtype_bits(dtype: str) -> int:
    return TensorSpec(name="", dtype=dtype, shape=(8,)).nbytes()


@cache
def _element_bits(element: int) -> int:
    return _dtype_bits(DTYPE[element]) if element in DTYPE else 0


def _conv(weights: int) -> Count:
    def count(inputs: Sequence[Sizes], outputs: Sequence[Sizes], _attribute: Attribute) -> int:
        # Each output element sums over the weights of one output channel: W[M, C/g, kh, kw].
        return 2 * math.prod(outputs[0]) * math.prod(inputs[weights][1:])

    return count


def _conv_transpose(
    inputs: Sequence[Sizes], _outputs: Sequence[Sizes], _attribute: Attribute
) -> int:
    # Each input element is spread over the weights of its channel: W[C, M/g, kh, kw].
    return 2 * math.prod(inputs[0]) * math.prod(inputs[1][1:])


def _matmul(inputs: Sequence[Sizes], outputs: Sequence[Sizes], _attribute: Attribute) -> int:
    return 2 * math.prod(outputs[0]) * inputs[0][-1]


def _gemm(inputs: Sequence[Sizes], outputs: Sequence[Sizes], attribute: Attribute) -> int:
    return 2 * math.prod(outputs[0]) * inputs[0][0 if attribute("transA") else 1]


def _attention(inputs: Sequence[Sizes], _outputs: Sequence[Sizes], _attribute: Attribute) -> int:
    # Q K^T and P V: two products of 2 flops each for every query element and every key.
    keys = inputs[1][-2] if len(inputs) > 1 else 1
    return 4 * math.prod(inputs[0]) * keys


def _match(inputs: Sequence[Sizes], _outputs: Sequence[Sizes], _attribute: Attribute) -> int:
    # queries[B, D] against gallery[N, D]: a subtraction and a sum for each pair of elements.
    return 2 * math.prod(inputs[0]) * inputs[1][0]


_FLOPS: Final[Mapping[str, Count]] = {
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
