"""Tensors on their way to numpy and to ONNX Runtime.

ONNX Runtime takes numpy arrays as they are, except for the dtypes of `ml_dtypes` (bfloat16,
float8, 4 and 2 bit integers): those go through an OrtValue and are packed as ONNX packs them.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepseek_core import HostTensor, errors
from deepseek_onnx.dtypes import NOT_OF_NUMPY
from deepseek_onnx.ort import ort
from deepseek_onnx.protos import TensorProto

Array = NDArray[Any]
_HOST_DLPACK: Final = (1, 3)  # kDLCPU, kDLCUDAHost


class _Exotic(NamedTuple):
    """An ONNX element type that numpy lacks: its enum, its `ml_dtypes` name, its bits."""

    enum: str
    name: str
    bits: int

    @property
    def element(self) -> int:
        return int(getattr(TensorProto, self.enum))

    @property
    def dtype(self) -> np.dtype[Any]:
        import ml_dtypes  # most models need none of it

        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, self.name))
        return dtype


_EXOTIC: Final = {
    "tensor(bfloat16)": _Exotic("BFLOAT16", "bfloat16", 16),
    "tensor(float8e4m3fn)": _Exotic("FLOAT8E4M3FN", "float8_e4m3fn", 8),
    "tensor(float8e4m3fnuz)": _Exotic("FLOAT8E4M3FNUZ", "float8_e4m3fnuz", 8),
    "tensor(float8e5m2)": _Exotic("FLOAT8E5M2", "float8_e5m2", 8),
    "tensor(float8e5m2fnuz)": _Exotic("FLOAT8E5M2FNUZ", "float8_e5m2fnuz", 8),
    "tensor(float8e8m0)": _Exotic("FLOAT8E8M0", "float8_e8m0fnu", 8),
    "tensor(float4e2m1)": _Exotic("FLOAT4E2M1", "float4_e2m1fn", 4),
    "tensor(int4)": _Exotic("INT4", "int4", 4),
    "tensor(uint4)": _Exotic("UINT4", "uint4", 4),
    "tensor(int2)": _Exotic("INT2", "int2", 2),
    "tensor(uint2)": _Exotic("UINT2", "uint2", 2),
}


@cache
def exotic(ort_type: str) -> _Exotic | None:
    """The row of a type that numpy lacks; None for others, and for what is too new for us."""
    row = _EXOTIC.get(ort_type)
    if row is None:
        return None
    import ml_dtypes

    # Older onnx or ml_dtypes lack the newest of these.
    return row if hasattr(TensorProto, row.enum) and hasattr(ml_dtypes, row.name) else None


def to_host(value: Any) -> Array:
    """A host tensor as a numpy array, without a copy where its bytes can be viewed.

    Takes numpy arrays and scalars, `HostTensor`, and anything with DLPack on the host.

    Raises:
        InputError: not a tensor, not on the host, or of a dtype without a view.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.generic):
        return np.asarray(value)
    if isinstance(value, HostTensor):
        return _view(value)
    if hasattr(value, "__dlpack_device__"):
        return _from_dlpack(value)
    raise errors.InputError(
        f"a {type(value).__name__} is not a tensor", remedy="pass numpy arrays or DLPack tensors"
    )


def _view(tensor: HostTensor) -> Array:
    dtype = _numpy_dtype(tensor.dtype)
    expected = int(np.prod(tensor.shape, dtype=np.int64)) * dtype.itemsize
    if dtype.hasobject or expected != memoryview(tensor.data).nbytes:
        raise errors.InputError(
            f"a HostTensor of {memoryview(tensor.data).nbytes} bytes has no numpy view as "
            f"{tensor.dtype} {list(tensor.shape)}",
            remedy="pass one element a byte or more, in C order",
        )
    return np.frombuffer(tensor.data, dtype).reshape(tensor.shape)


def _numpy_dtype(name: str) -> np.dtype[Any]:
    if name not in NOT_OF_NUMPY:
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name, name))


def _from_dlpack(value: Any) -> Array:
    try:
        kind = int(value.__dlpack_device__()[0])
        if kind in _HOST_DLPACK:
            return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise errors.InputError(
            f"numpy can't view this DLPack tensor: {error}", remedy="pass a numpy array"
        ) from error
    raise errors.InputError(
        f"the tensor lives on DLPack device type {kind}, not on the host",
        remedy="move it to the host first",
    )


def nested(value: Any) -> Any:
    """What was passed for a sequence, map or optional, its tensors as a session reads them."""
    if isinstance(value, list | tuple):
        return [nested(item) for item in value]
    if isinstance(value, np.ndarray):
        return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    return to_host(value) if hasattr(value, "__dlpack_device__") else value


def to_ort(value: Any, ort_type: str) -> ort.OrtValue:
    """An array as the OrtValue of an input of `ort_type` (`tensor(bfloat16)`)."""
    array = np.asarray(to_host(value), order="C")
    row = exotic(ort_type)
    if row is None:
        return ort.OrtValue.ortvalue_from_numpy(array)
    if array.dtype != row.dtype:
        raise TypeError(f"expected {row.name}, given {array.dtype}")
    raw = _pack(array, row.bits)
    made = ort.OrtValue.ortvalue_from_shape_and_type(list(array.shape), row.element)
    ctypes.memmove(made.data_ptr(), raw, len(raw))
    return made


def from_ort(value: ort.OrtValue) -> Any:
    """The array that an OrtValue holds."""
    row = exotic(value.data_type())
    if row is None:
        return value.numpy()
    shape = tuple(value.shape())
    count = int(np.prod(shape, dtype=np.int64))
    raw = ctypes.string_at(value.data_ptr(), (count * row.bits + 7) // 8)
    return _unpack(raw, row, count).reshape(shape)


def _pack(array: Array, bits: int) -> bytes:
    if bits >= 8:
        return array.tobytes()
    per_byte = 8 // bits
    codes = array.reshape(-1).view(np.uint8) & ((1 << bits) - 1)
    codes = np.pad(codes, (0, -codes.size % per_byte)).reshape(-1, per_byte)
    shifts = np.arange(per_byte, dtype=np.uint8) * bits
    packed: Array = np.bitwise_or.reduce(codes << shifts, axis=1)
    return packed.astype(np.uint8).tobytes()


def _unpack(raw: bytes, exotic: _Exotic, count: int) -> Array:
    if exotic.bits >= 8:
        return np.frombuffer(raw, exotic.dtype).copy()
    shifts = np.arange(8 // exotic.bits, dtype=np.uint8) * exotic.bits
    codes = (np.frombuffer(raw, np.uint8)[:, None] >> shifts) & ((1 << exotic.bits) - 1)
    codes = codes.reshape(-1)[:count].astype(np.uint8)
    if exotic.name.startswith("int"):
        # Sign-extend: the view below reads the whole byte.
        sign = 1 << (exotic.bits - 1)
        return ((codes.astype(np.int8) ^ sign) - sign).astype(exotic.dtype)
    return codes.view(exotic.dtype)
