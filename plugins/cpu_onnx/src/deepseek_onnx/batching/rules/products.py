"""Matrix products: MatMul, Gemm, Einsum and what is built like them.

Legend: M rows, K the summed axis, N columns. Axes are counted from the end where sizes are
aligned: the rows of a product are axis 2 and its columns axis 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.rules.broadcasting import meet, require_single, wider_dims
from deepseek_onnx.batching.sizes import Dim
from deepseek_onnx.batching.states import Data, Fixed, Items, Tensor, like

_SUMMED: Final = "it sums over them"


def matmul(call: Call) -> Tensor:
    """The product of matrices, or of stacks of them."""
    return product_of(call.data(0), call.data(1))


def product_of(a: Data, b: Data) -> Tensor:
    """[.., M, K] times [.., K, N], the leading axes broadcast; a vector lends M or N of 1."""
    if a.dims is None or b.dims is None:
        raise Unclear("the rank of an operand is not known")
    if len(a.dims) > 1 and len(b.dims) > 1:
        return stacked(a, a.dims, b, b.dims)
    return _with_vector(a, a.dims, b, b.dims)


def stacked(a: Data, a_dims: tuple[Dim, ...], b: Data, b_dims: tuple[Dim, ...]) -> Data:
    """The product of two stacks of matrices."""
    back = _items_axis(a, len(a_dims), b, len(b_dims))
    front = a_dims[:-2] if len(b_dims) == 2 else wider_dims(a_dims[:-2], b_dims[:-2])
    dims = (*front, a_dims[-2], b_dims[-1])
    if back is None:
        return Fixed(dims)
    return Items(dims, len(dims) - back, (b if a.axis is None else a).layout)


def _items_axis(a: Data, a_rank: int, b: Data, b_rank: int) -> int | None:
    """Where a product carries the items."""
    a_back = None if a.axis is None else a_rank - a.axis
    b_back = None if b.axis is None else b_rank - b.axis
    if a_back == 1 or b_back == 2:
        raise Mixes(_SUMMED)
    if a_back is None:
        if b_back is not None and b_back > 2:
            require_single(a, b_back)
        return b_back
    if b_back is not None:
        if a_back != b_back or a_back == 2 or a.layout != b.layout:
            raise Mixes("each meets all others")
    elif a_back > 2:
        require_single(b, a_back)
    return a_back


def _with_vector(a: Data, a_dims: tuple[Dim, ...], b: Data, b_dims: tuple[Dim, ...]) -> Tensor:
    """A product with a vector, whose axis is summed over."""
    if not a_dims or not b_dims:
        raise Contradiction("multiplies a scalar")
    if (len(a_dims) == 1 and a.axis is not None) or (len(b_dims) == 1 and b.axis is not None):
        raise Mixes(_SUMMED)
    full = stacked(a, _as_matrix(a_dims, 0), b, _as_matrix(b_dims, 1))
    assert full.dims is not None
    columns = full.dims[-1:] if len(b_dims) > 1 else ()
    rows = full.dims[-2:-1] if len(a_dims) > 1 else ()
    axis = full.axis
    if axis == len(full.dims) - 1 and not rows:
        axis -= 1
    return like(full, full.dims[:-2] + rows + columns, axis)


def _as_matrix(dims: tuple[Dim, ...], place: int) -> tuple[Dim, ...]:
    if len(dims) > 1:
        return dims
    return (1, *dims) if place == 0 else (*dims, 1)


def swapped(x: Data) -> Data:
    """A stack of matrices, each transposed."""
    if x.dims is None or len(x.dims) < 2:
        raise Unclear("the rank of an operand is not known")
    dims = (*x.dims[:-2], x.dims[-1], x.dims[-2])
    if x.axis is None:
        return Fixed(dims)
    last = len(dims) - 1
    return Items(dims, {last: last - 1, last - 1: last}.get(x.axis, x.axis), x.layout)


def gemm(call: Call) -> Tensor:
    """A product of two matrices, either transposed, plus a third one broadcast to it."""
    a = swapped(call.data(0)) if call.flag("transA") else call.data(0)
    b = swapped(call.data(1)) if call.flag("transB") else call.data(1)
    result = product_of(a, b)
    return meet(result, call.tensor(2)) if call.has(2) else result


def fused_matmul(call: Call) -> Tensor:
    """A product of stacks of matrices, either transposed; those of the batch axes stay."""
    if call.flag("transBatchA") or call.flag("transBatchB"):
        raise Unclear("it moves the axes of its stack")
    a = swapped(call.data(0)) if call.flag("transA") else call.data(0)
    b = swapped(call.data(1)) if call.flag("transB") else call.data(1)
    return product_of(a, b)


def distances(call: Call) -> Tensor:
    """The distance of each row of one matrix from each of another."""
    (a, a_dims), (b, b_dims) = call.ranked(0), call.ranked(1)
    if not len(a_dims) == len(b_dims) == 2:
        raise Contradiction("measures no matrices")
    return stacked(a, a_dims, swapped(b), (b_dims[1], b_dims[0]))


RULES: Final[Mapping[str, Rule]] = {"MatMul": matmul, "Gemm": gemm}
