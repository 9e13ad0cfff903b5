"""Runs a session on dtypes that numpy lacks: ONNX Runtime takes and gives them as packed bytes."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Final

import attrs
import ml_dtypes
import numpy as np
import onnxruntime as ort
from onnx import TensorProto


@attrs.frozen
class _Odd:
    """An element type: its number in ONNX, its dtype in `ml_dtypes`, its bits."""

    element: int
    dtype: Any
    bits: int


_ODD: Final = {
    "tensor(bfloat16)": _Odd(TensorProto.BFLOAT16, ml_dtypes.bfloat16, 16),
    "tensor(float8e4m3fn)": _Odd(TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn, 8),
    "tensor(float8e5m2)": _Odd(TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2, 8),
    "tensor(int4)": _Odd(TensorProto.INT4, ml_dtypes.int4, 4),
    "tensor(uint4)": _Odd(TensorProto.UINT4, ml_dtypes.uint4, 4),
}


def needed_by(session: ort.InferenceSession) -> bool:
    """Whether an input or an output has such a dtype."""
    return any(v.type in _ODD for v in (*session.get_inputs(), *session.get_outputs()))


def run(session: ort.InferenceSession, inputs: Mapping[str, Any]) -> list[Any]:
    """The outputs in the session's order."""
    types = {value.name: value.type for value in session.get_inputs()}
    given = {name: _to_ort(array, types[name]) for name, array in inputs.items()}
    names = [value.name for value in session.get_outputs()]
    return [_from_ort(value) for value in session.run_with_ort_values(names, given)]


def _to_ort(array: np.ndarray, type_text: str) -> ort.OrtValue:
    odd = _ODD.get(type_text)
    if odd is None:
        return ort.OrtValue.ortvalue_from_numpy(array)
    made = ort.OrtValue.ortvalue_from_shape_and_type(list(array.shape), odd.element)
    raw = _pairs(array) if odd.bits == 4 else np.ascontiguousarray(array).tobytes()
    ctypes.memmove(made.data_ptr(), raw, len(raw))
    return made


def _from_ort(value: ort.OrtValue) -> np.ndarray:
    odd = _ODD.get(value.data_type())
    if odd is None:
        return value.numpy()
    count = int(np.prod(value.shape(), dtype=np.int64))
    raw = np.frombuffer(ctypes.string_at(value.data_ptr(), (count * odd.bits + 7) // 8), np.uint8)
    codes = _halves(raw, odd.dtype)[:count] if odd.bits == 4 else raw.view(odd.dtype)
    return codes.reshape(value.shape())


def _pairs(array: np.ndarray) -> bytes:
    """Two values a byte, the first one in the low bits."""
    codes = array.reshape(-1).astype(np.int8).view(np.uint8) & 15
    codes = np.pad(codes, (0, codes.size % 2))
    return (codes[::2] | codes[1::2] << 4).tobytes()


def _halves(raw: np.ndarray, dtype: Any) -> np.ndarray:
    codes = np.stack([raw & 15, raw >> 4], axis=1).reshape(-1)
    signed = codes.astype(np.int8) - 16 * (codes > 7) if dtype == ml_dtypes.int4 else codes
    return signed.astype(dtype)
