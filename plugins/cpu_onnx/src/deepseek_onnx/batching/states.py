"""What is known of a value: how it depends on the items of a batch.

Legend: n the number of items, j one of them.

- `Fixed`: the same whatever the items are and however many.
- `Items`: an axis has outer * n * inner entries; entry (o * n + j) * inner + k depends on item j
  alone, and on Fixed values. No other size depends on n. Mostly outer and inner are 1; joining
  axes, [T, N, D] to [T N, D], makes them others.
- `Size`: whole numbers computed from sizes, n among them.
- `Places`: whole numbers that tell the entries of `Items` by their place, as indices do.
- `Mixed`: none of these, or not known to be.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_onnx.batching.sizes import Dim
from deepseek_onnx.protos import TensorProto

# Elements are int, float (a whole number in a float tensor), Term, or None where it is not known.
Content = NDArray[np.object_]
Element = Any

LARGEST_CONTENT: Final = 256

# Outer and inner of the axis that carries the items.
Layout = tuple[Dim, Dim]
SINGLE: Final[Layout] = (1, 1)


@attrs.frozen(eq=False)
class Fixed:
    """A value that no item has a part in; `dims` is None where its rank is not known.

    `content` is what is known of its elements; `source` holds them where it has not been read.
    Where `below` is known they are whole numbers from 0 on, less than that.
    """

    dims: tuple[Dim, ...] | None
    content: Content | None = None
    source: TensorProto | None = None
    below: Dim | None = None
    axis: ClassVar[None] = None
    layout: ClassVar[Layout] = SINGLE


@attrs.frozen(eq=False)
class Items:
    """A value whose entries along `axis` are the items', `layout` being outer and inner.

    Where `below` is known, its elements are whole numbers from 0 on, less than that.
    """

    dims: tuple[Dim, ...]
    axis: int
    layout: Layout = SINGLE
    below: Dim | None = None


@attrs.frozen(eq=False)
class Places:
    """Numbers that point at items, laid out like `Items` along `axis`.

    An element of item j is j * `stride` + rest, where 0 <= rest < `below` and the rest depends on
    that item alone; both are None where only the sizes are known. With a `column`, that holds of
    this column of the last axis, and the others are the item's own.
    """

    dims: tuple[Dim, ...]
    axis: int
    layout: Layout
    stride: Dim | None = None
    below: Dim | None = None
    column: int | None = None


@attrs.frozen(eq=False)
class Size:
    """Numbers that depend on n but not on what the items are."""

    content: Content
    axis: ClassVar[None] = None
    layout: ClassVar[Layout] = SINGLE

    @property
    def dims(self) -> tuple[Dim, ...]:
        """Sizes, all of them known."""
        return self.content.shape


@attrs.frozen(eq=False)
class Mixed:
    """A value that may not be cut by items, and why; `never` if no run can make it."""

    reason: str
    never: bool = False


Tensor = Fixed | Items | Size | Places
State = Tensor | Mixed
# What can be computed with.
Data = Fixed | Items
# What can be moved about without a look at its elements.
Moving = Fixed | Items | Places


def moved(source: Moving, dims: tuple[Dim, ...], axis: int | None) -> Moving:
    """The same elements, or some of them, in another shape."""
    if isinstance(source, Fixed):
        return Fixed(dims, below=source.below)
    assert axis is not None
    return laid_out(source, dims, axis, source.layout)


def laid_out(
    source: Items | Places, dims: tuple[Dim, ...], axis: int, layout: Layout
) -> Items | Places:
    """The same elements with the items along another axis."""
    if isinstance(source, Items):
        return Items(dims, axis, layout, source.below)
    if source.column is not None:
        return Places(dims, axis, layout)
    return Places(dims, axis, layout, source.stride, source.below)


def like(source: Data, dims: tuple[Dim, ...], axis: int | None) -> Data:
    """A value of other sizes that depends on the items as `source` does, along `axis`."""
    return Fixed(dims) if axis is None else Items(dims, axis, source.layout)
