"""What crosses a border: described by `TensorSpec`, held as numpy or `HostTensor`.

Shapes are tuples of ints and symbols, the symbols as the model's file has them; a shape of None
is an unknown rank. Nothing follows from a symbol's name: `batch_axis` says where the items are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import InputError, TensorMismatch

Dim = int | str
Shape = tuple[Dim, ...] | None
NO_TENSOR: Final = "any"
"""The dtype of what is not a tensor: a sequence, a map, an optional."""

_BITS: Final = {
    "bool": 8, "int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8,
    "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64,
    "float4_e2m1fn": 4, "float8_e4m3fn": 8, "float8_e4m3fnuz": 8, "float8_e5m2": 8,
    "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8, "float16": 16, "bfloat16": 16, "float32": 32,
    "float64": 64, "complex64": 64, "complex128": 128, "string": 64, NO_TENSOR: 0,
}  # fmt: skip


def dtype_bits(dtype: str) -> int:
    """Bits of one element.

    Raises:
        InputError: the dtype is not known.
    """
    try:
        return _BITS[dtype]
    except KeyError:
        raise InputError(f"unknown dtype {dtype!r}; known are {', '.join(_BITS)}") from None


def _dims(shape: Any) -> Shape:
    return None if shape is None else tuple(shape)


def _check_shape(spec: TensorSpec, _field: attrs.Attribute[Any], shape: Shape) -> None:
    for dim in shape or ():
        if isinstance(dim, bool) or not isinstance(dim, int | str) or dim == "":
            raise InputError(
                f"tensor {spec.name!r}: a dimension must be a size or a name, got {dim!r}"
            )
        if isinstance(dim, int) and dim < 0:
            raise InputError(f"tensor {spec.name!r}: dimension {dim} is negative")


@attrs.frozen(kw_only=True)
class TensorSpec:
    """Name, dtype and shape of a tensor.

    `batch_axis` carries the items of a batch: entries along it are independent of each other.
    None: not batched. `optional` inputs may be left out: the model has a default for them.
    `container` is empty for a tensor; for anything else it says what it is, such as
    `sequence(tensor(float32))`, and `dtype` is `NO_TENSOR`.
    """

    name: str
    dtype: str = attrs.field()
    shape: Shape = attrs.field(converter=_dims, validator=_check_shape)
    batch_axis: int | None = attrs.field(default=None)
    optional: bool = False
    container: str = ""

    @dtype.validator
    def _known_dtype(self, _field: attrs.Attribute[str], value: str) -> None:
        dtype_bits(value)

    @batch_axis.validator
    def _within_the_rank(self, _field: attrs.Attribute[Any], value: int | None) -> None:
        if value is not None and (value < 0 or not self._has_axis(value)):
            raise InputError(f"tensor {self} has no axis {value}")

    def _has_axis(self, axis: int) -> bool:
        return self.shape is None or axis < len(self.shape)

    def bound(self, symbols: Mapping[str, int]) -> tuple[int, ...]:
        """Shape with its symbols replaced; a symbol that is not given counts as 1."""
        shape = self.shape or ()
        return tuple(dim if isinstance(dim, int) else symbols.get(dim, 1) for dim in shape)

    def sizes(self, batch: int = 1) -> tuple[int, ...]:
        """Shape with `batch` items on the batch axis; symbols elsewhere count as 1."""
        dims = list(self.bound({}))
        if self.batch_axis is not None and self.shape is not None:
            dims[self.batch_axis] = batch
        return tuple(dims)

    def with_batch_axis(self, axis: int | None, symbol: str = "") -> TensorSpec:
        """The same tensor with this batch axis or none; an unnamed size there becomes `symbol`."""
        if axis is not None and not self._has_axis(axis):
            axis = None
        shape = self.shape
        if axis is not None and shape is not None and shape[axis] == f"{self.name}_{axis}":
            shape = (*shape[:axis], symbol or shape[axis], *shape[axis + 1 :])
        return attrs.evolve(self, batch_axis=axis, shape=shape)

    def nbytes(self, batch: int = 1) -> int:
        """Bytes of one tensor with `batch` items; other symbols count as 1."""
        return (math.prod(self.sizes(batch)) * dtype_bits(self.dtype) + 7) // 8

    def check(self, value: Any) -> None:
        """Check an array against dtype, rank and fixed sizes; what a symbol stands for is free.

        Raises:
            TensorMismatch: one of them differs; names tensor, expected and given.
        """
        dtype, shape = dtype_name(value.dtype), value.shape
        if not (dtype == self.dtype and self.has_shape(shape)):
            raise TensorMismatch(
                f"tensor {self.name!r}: expected {self.dtype} {shape_text(self.shape)}, "
                f"given {dtype} {shape_text(shape)}",
                remedy="cast or reshape it before the call",
            )

    def has_shape(self, shape: tuple[int, ...]) -> bool:
        """Whether rank and fixed sizes are these; what a symbol stands for is free."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            isinstance(want, str) or want == have
            for want, have in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        if self.container:
            return f"{self.name}: {self.container}"
        return f"{self.name}: {self.dtype} {shape_text(self.shape)}"


def axes_alike(specs: Iterable[TensorSpec]) -> tuple[tuple[tuple[str, int], ...], ...]:
    """For each symbol that several axes have, these axes, as names of tensors with positions."""
    places: dict[str, list[tuple[str, int]]] = {}
    for spec in specs:
        for axis, dim in enumerate(spec.shape or ()):
            if isinstance(dim, str):
                places.setdefault(dim, []).append((spec.name, axis))
    return tuple(tuple(found) for found in places.values() if len(found) > 1)


_NAMES: dict[Any, str] = {}


def dtype_name(dtype: Any) -> str:
    """An array's dtype by the name that `TensorSpec` has for it, else as it calls itself."""
    name = _NAMES.get(dtype)
    if name is None:  # making the text takes microseconds
        strings = getattr(dtype, "kind", "?") in "OUT"
        name = _NAMES[dtype] = "string" if strings else str(dtype)
    return name


def shape_text(shape: Shape) -> str:
    """`[N, 3]`, or `of any rank`."""
    return "of any rank" if shape is None else "[" + ", ".join(map(str, shape)) + "]"


# A bare `tuple` would cost attrs milliseconds: it looks for the signature of converters.
def _sizes(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True, eq=False)
class HostTensor:
    """Bytes with a dtype that numpy may not know (bfloat16, float8, int4).

    `data` is C-ordered; `dtype` one of the names of `TensorSpec`.
    """

    data: bytes | bytearray | memoryview
    dtype: str
    shape: tuple[int, ...] = attrs.field(converter=_sizes)
