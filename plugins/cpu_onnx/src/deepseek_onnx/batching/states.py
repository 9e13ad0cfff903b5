"""What is known of a value: how it depends on the items of a batch.

Legend: n the number of items, j one of them.

- `Fixed`: the same whatever the items are and however many.
- `Items`: an axis has outer * n * inner entries; entry (o * n + j) * inner + k depends on item j
  alone, and on Fixed values. No other size depends on n. Mostly outer and inner are 1; joining
  axes, [T, N, D] to [T N, D], makes them others.
- `Size`: whole numbers computed from sizes, n among them.
- `Mixed`: none of these, or not known to be.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import attrs
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deepseek_onnx.batching.sizes import Dim

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
    """

    dims: tuple[Dim, ...] | None
    content: Content | None = None
    source: TensorProto | None = None
    axis: ClassVar[None] = None
    layout: ClassVar[Layout] = SINGLE


@attrs.frozen(eq=False)
class Items:
    """A value whose entries along `axis` are the items', `layout` being outer and inner."""

    dims: tuple[Dim, ...]
    axis: int
    layout: Layout = SINGLE


@attrs.frozen(eq=False)
class Size:
    """Numbers that depend on n but not on what the items are."""

    content: Content
    axis: ClassVar[None] = None
    layout: ClassVar[Layout] = SINGLE

    @property
    def dims(self) -> tuple[Dim, ...]:
        """Its sizes, all of them known."""
        return self.content.shape


@attrs.frozen(eq=False)
class Mixed:
    """A value that may not be cut by items, and why; `never` if no run can make it."""

    reason: str
    never: bool = False


Tensor = Fixed | Items | Size
State = Tensor | Mixed


def like(source: Tensor, dims: tuple[Dim, ...], axis: int | None) -> Tensor:
    """A value of other sizes that depends on the items as `source` does, along `axis`."""
    return Fixed(dims) if axis is None else Items(dims, axis, source.layout)
