"""What is known of a value: how it depends on the items of a batch.

Legend: n the number of items, j an index along the axis that carries them.

- `Fixed`: the same whatever the items are and however many.
- `Items`: the axis has n * inner entries; entry j depends on item j // inner alone, and on Fixed
  values. No other size depends on n.
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


@attrs.frozen(eq=False)
class Fixed:
    """A value that no item has a part in; `dims` is None where its rank is not known.

    `content` is what is known of its elements; `source` holds them where it has not been read.
    """

    dims: tuple[Dim, ...] | None
    content: Content | None = None
    source: TensorProto | None = None
    axis: ClassVar[None] = None
    inner: ClassVar[int] = 1


@attrs.frozen(eq=False)
class Items:
    """A value with `inner` entries for each item, one item after the other, along `axis`."""

    dims: tuple[Dim, ...]
    axis: int
    inner: Dim = 1


@attrs.frozen(eq=False)
class Size:
    """Numbers that depend on n but not on what the items are."""

    content: Content
    axis: ClassVar[None] = None
    inner: ClassVar[int] = 1

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
    return Fixed(dims) if axis is None else Items(dims, axis, source.inner)
