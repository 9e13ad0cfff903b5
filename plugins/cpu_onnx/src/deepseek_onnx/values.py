"""Tensors on their way to numpy and to ONNX Runtime.

ONNX Runtime takes numpy arrays as they are, except for the dtypes of `ml_dtypes` (bfloat16,
float8, 4 and 2 bit integers): those go through an OrtValue and are packed as ONNX packs them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Final

import attrs
import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from deepseek_core import HostTensor, errors
from deepseek_onnx.ort import ort

Array = NDArray[Any]
_HOST_DLPACK: Final = (1, 3)  # kDLCPU, kDLCUDAHost


@attrs.frozen
class _Exotic:
    """An ONNX element type that numpy lacks: its enum, its `ml_dtypes` name, its bits."""

    element: int
    name: str
    bits: int

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, self.name))
        return dtype


def _exotics() -> dict[str, _Exotic]:
    rows = (
        ("bfloat16", "BFLOAT16", "bfloat16", 16),
        ("float8e4m3fn", "FLOAT8E4M3FN", "float8_e4m3fn", 8),
        ("float8e4m3fnuz", "FLOAT8E4M3FNUZ", "float8_e4m3fnuz", 8),
        ("float8e5m2", "FLOAT8E5M2", "float8_e5m2", 8),
        ("float8e5m2fnuz", "FLOAT8E5M2FNUZ", "float8_e5m2fnuz", 8),
        ("float8e8m0", "FLOAT8E8M0", "float8_e8m0fnu", 8),
        ("float4e2m1", "FLOAT4E2M1", "float4_e2m1fn", 4),
        ("int4", "INT4", "int4", 4),
        ("uint4", "UINT4", "uint4", 4),
        ("int2", "INT2", "int2", 2),
        ("uint2", "UINT2", "uint2", 2),
    )
    # Older onnx or ml_dtypes lack the newest of these.
    return {
        f"tensor({ort_name})": _Exotic(getattr(TensorProto, enum), name, bits)
        for ort_name, enum, name, bits in rows
        if hasattr(TensorProto, enum) and hasattr(ml_dtypes, name)
    }


EXOTIC: Final[Mapping[str, _Exotic]] = _exotics()


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
        f"a {type(value).__name__} is no tensor", remedy="pass numpy arrays or DLPack tensors"
    )


def _view(tensor: HostTensor) -> Array:
    dtype = np.dtype(getattr(ml_dtypes, tensor.dtype, tensor.dtype))
    expected = int(np.prod(tensor.shape, dtype=np.int64)) * dtype.itemsize
    if dtype.hasobject or expected != memoryview(tensor.data).nbytes:
        raise errors.InputError(
            f"a HostTensor of {memoryview(tensor.data).nbytes} bytes has no numpy view as "
            f"{tensor.dtype} {list(tensor.shape)}",
            remedy="pass one element a byte or more, in C order",
        )
    return np.frombuffer(tensor.data, dtype).reshape(tensor.shape)


def _from_dlpack(value: Any) -> Array:
    kind = int(value.__dlpack_device__()[0])
    if kind not in _HOST_DLPACK:
        raise errors.InputError(
            f"the tensor lives on DLPack device type {kind}, not on the host",
            remedy="move it to the host first",
        )
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError) as error:
        raise errors.InputError(
            f"numpy can't view this DLPack tensor: {error}", remedy="pass a numpy array"
        ) from error


def to_ort(value: Any, ort_type: str) -> ort.OrtValue:
    """An array as the OrtValue of an input of `ort_type` (`tensor(bfloat16)`)."""
    array = np.asarray(to_host(value), order="C")
    exotic = EXOTIC.get(ort_type)
    if exotic is None:
        return ort.OrtValue.ortvalue_from_numpy(array)
    if array.dtype != exotic.dtype:
        raise TypeError(f"expected {exotic.name}, given {array.dtype}")
    raw = _pack(array, exotic.bits)
    made = ort.OrtValue.ortvalue_from_shape_and_type(list(array.shape), exotic.element)
    ctypes.memmove(made.data_ptr(), raw, len(raw))
    return made


def from_ort(value: ort.OrtValue) -> Any:
    """What an OrtValue holds: an array, or a list for a sequence."""
    exotic = EXOTIC.get(value.data_type())
    if exotic is None:
        return value.numpy() if value.is_tensor() else value.to_list()
    shape = tuple(value.shape())
    count = int(np.prod(shape, dtype=np.int64))
    raw = ctypes.string_at(value.data_ptr(), (count * exotic.bits + 7) // 8)
    return _unpack(raw, exotic, count).reshape(shape)


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
