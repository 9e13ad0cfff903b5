"""What crosses a border: described by `TensorSpec`, held as numpy or `HostTensor`.

Shapes are tuples of ints and symbols; a symbol (`"batch"`) is bound when data arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core.contracts.errors import InputError, TensorMismatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Dim = int | str
BATCH: Final = "batch"

_BITS: Final = {
    "bool": 8, "int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8,
    "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64,
    "float4_e2m1fn": 4, "float8_e4m3fn": 8, "float8_e4m3fnuz": 8, "float8_e5m2": 8,
    "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8, "float16": 16, "bfloat16": 16, "float32": 32,
    "float64": 64, "complex64": 64, "complex128": 128, "string": 64,
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


def _dims(shape: Any) -> tuple[Dim, ...]:
    return tuple(shape)


def _check_shape(spec: TensorSpec, _field: attrs.Attribute[Any], shape: tuple[Dim, ...]) -> None:
    for dim in shape:
        if isinstance(dim, bool) or not isinstance(dim, int | str) or dim == "":
            raise InputError(f"tensor {spec.name!r}: {dim!r} is no dimension")
        if isinstance(dim, int) and dim < 0:
            raise InputError(f"tensor {spec.name!r}: dimension {dim} is negative")


@attrs.frozen(kw_only=True)
class TensorSpec:
    """Name, dtype and shape of a tensor."""

    name: str
    dtype: str = attrs.field()
    shape: tuple[Dim, ...] = attrs.field(converter=_dims, validator=_check_shape)

    @dtype.validator
    def _known_dtype(self, _field: attrs.Attribute[str], value: str) -> None:
        dtype_bits(value)

    def bound(self, symbols: Mapping[str, int]) -> tuple[int, ...]:
        """Shape with its symbols replaced; a symbol that is not given counts as 1."""
        return tuple(dim if isinstance(dim, int) else symbols.get(dim, 1) for dim in self.shape)

    def nbytes(self, batch: int = 1) -> int:
        """Bytes of one tensor with `batch` items; other symbols count as 1."""
        count = 1
        for dim in self.bound({BATCH: batch}):
            count *= dim
        return (count * dtype_bits(self.dtype) + 7) // 8

    def bind(self, value: Any, symbols: dict[str, int]) -> None:
        """Check an array-like against this spec and note what its symbols stand for.

        Raises:
            TensorMismatch: dtype, rank or a dimension differs; names tensor, expected and given.
        """
        dtype, shape = str(value.dtype), tuple(value.shape)
        tried = dict(symbols)
        if not self._fits(dtype, shape, tried):
            known = tuple(symbols.get(d, d) if isinstance(d, str) else d for d in self.shape)
            raise TensorMismatch(
                f"tensor {self.name!r}: expected {self.dtype} {_text(known)}, "
                f"given {dtype} {_text(shape)}",
                remedy="cast or reshape it before the call",
            )
        symbols.update(tried)

    def _fits(self, dtype: str, shape: tuple[int, ...], symbols: dict[str, int]) -> bool:
        if dtype != self.dtype and not (self.dtype == "string" and dtype == "object"):
            return False
        if len(shape) != len(self.shape):
            return False
        return all(
            (want if isinstance(want, int) else symbols.setdefault(want, have)) == have
            for want, have in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {_text(self.shape)}"


def _text(shape: tuple[Dim, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


@attrs.frozen(kw_only=True, eq=False)
class HostTensor:
    """Bytes with a dtype that numpy may not know (bfloat16, float8, int4).

    `data` is C-ordered; `dtype` one of the names of `TensorSpec`.
    """

    data: bytes | bytearray | memoryview
    dtype: str
    shape: tuple[int, ...] = attrs.field(converter=tuple)


def empty_aligned(
    shape: tuple[int, ...], dtype: str, *, alignment: int = 64
) -> NDArray[np.generic[Any]]:
    """Uninitialized C-ordered array whose first byte is aligned.

    64 suits vector units; OpenCL maps host memory without a copy from 4096 on.

    Raises:
        InputError: `alignment` is no power of two.
    """
    import numpy as np

    if alignment < 1 or alignment & (alignment - 1):
        raise InputError(f"alignment {alignment} is no power of two")
    kind = np.dtype(dtype)
    nbytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    raw = np.empty(nbytes + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes].view(kind).reshape(shape)
