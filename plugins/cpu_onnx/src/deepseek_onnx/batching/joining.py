"""One state for a value that is one of two: from either branch, or by either meaning of a node."""

from __future__ import annotations

from collections.abc import Callable

from deepseek_onnx.batching.faults import Unclear
from deepseek_onnx.batching.sizes import Dim, Term
from deepseek_onnx.batching.states import Fixed, Items, Mixed, Size, State, Tensor


def join(a: State, b: State, unknown: Callable[[], Term]) -> State:
    """What holds of both.

    Raises:
        Unclear: they depend on the items in different ways.
    """
    if a is b or isinstance(a, Mixed):
        return a
    if isinstance(b, Mixed):
        return b
    if not isinstance(a, Fixed | Items) or not isinstance(b, Fixed | Items):
        return _same_size(a, b)
    if (a.axis, a.layout) != (b.axis, b.layout):
        raise Unclear("its results differ")
    dims = _either(a.dims, b.dims, unknown)
    if isinstance(a, Items):
        if dims is None:
            raise Unclear("its results differ in rank")
        return Items(dims, a.axis, a.layout)
    return Fixed(dims)


def _same_size(a: Tensor, b: Tensor) -> Size:
    if isinstance(a, Size) and isinstance(b, Size) and a.dims == b.dims:
        pairs = zip(a.content.reshape(-1), b.content.reshape(-1), strict=True)
        if all(x is not None and x == y for x, y in pairs):
            return a
    raise Unclear("its results differ")


def _either(
    a: tuple[Dim, ...] | None, b: tuple[Dim, ...] | None, unknown: Callable[[], Term]
) -> tuple[Dim, ...] | None:
    """Sizes that hold of both; None for different ranks."""
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(x if x == y else unknown() for x, y in zip(a, b, strict=True))
