"""What callers pass for a tensor, as numpy arrays that fit its spec."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np

from deepseek_core.contracts.errors import TensorMismatch
from deepseek_core.contracts.tensor import HostTensor, TensorSpec, dtype_name, shape_text

_HOST_DLPACK: Final = (1, 3)  # kDLCPU, kDLCUDAHost
_RANK: Final = {"b": 0, "i": 0, "u": 0, "f": 1, "c": 2}  # no number loses its fraction
_PLAIN: Final = (list, tuple, int, float, complex, bool, str, np.generic)


def as_array(spec: TensorSpec, value: Any) -> Any:
    """What a caller passed for a tensor, as an array that fits, copied only where it must be.

    Takes arrays, numbers and nested lists of them, strings, and tensors with DLPack on the host.
    A `HostTensor` and what is not a tensor (a list for a sequence) stay as they are.

    Raises:
        TensorMismatch: it does not fit, or is not a tensor on the host.
    """
    if spec.container:
        return value
    array = _array(spec, value)
    spec.check(array)
    return array


def _array(spec: TensorSpec, value: Any) -> Any:
    if isinstance(value, HostTensor):
        return value
    if isinstance(value, np.ndarray):
        array = _unmasked(spec, value)
    elif isinstance(value, _PLAIN):
        array = _of_numbers(spec, value)
    elif hasattr(value, "__dlpack_device__"):
        array = _from_dlpack(spec, value)
    elif callable(getattr(value, "numpy", None)):  # strings of an OrtValue have no DLPack
        array = np.asarray(value.numpy())
    else:
        raise _mismatch(spec, f"given a {type(value).__name__}", "pass a numpy array")
    if spec.dtype == "string":
        return _strings(spec, array)
    if array.dtype.kind == "V" and dtype_name(array.dtype) != spec.dtype:
        return _of_bytes(spec, array)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _of_bytes(spec: TensorSpec, array: Any) -> Any:
    """Raw bytes, as a file holds elements of a dtype that numpy lacks."""
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        return array
    fits = array.dtype.names is None and dtype.itemsize == array.dtype.itemsize
    return array.view(dtype) if fits else array


def _unmasked(spec: TensorSpec, array: Any) -> Any:
    ma = sys.modules.get("numpy.ma")  # not imported, there is no masked array
    if ma is not None and ma.isMaskedArray(array) and ma.is_masked(array):
        raise _mismatch(spec, "given an array with masked values", "fill them: array.filled(0)")
    return np.asarray(array)


def _of_numbers(spec: TensorSpec, value: Any) -> Any:
    """Numbers that have no dtype of their own yet, in the one that is wanted."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of unequal length
        raise _mismatch(spec, f"given lists that are no array ({error})", "pad them") from error
    if isinstance(value, np.generic) or array.dtype.kind in "OUSV" or spec.dtype == "string":
        return array
    dtype = _numpy_dtype(spec)
    if _RANK[array.dtype.kind] > _RANK.get(dtype.kind, _RANK["f"]):
        raise _mismatch(spec, f"given {array.dtype} numbers", "pass numbers of its kind")
    with np.errstate(over="ignore"):
        made = array.astype(dtype)
    if made.dtype.kind in "biu" and not np.array_equal(made, array):
        raise _mismatch(spec, "given numbers beyond its range", "check them")
    return made


def _numpy_dtype(spec: TensorSpec) -> Any:
    try:
        return np.dtype(spec.dtype)
    except TypeError:
        raise _mismatch(
            spec, "given numbers without a dtype", "pass an array of the dtype (ml_dtypes has it)"
        ) from None


def _from_dlpack(spec: TensorSpec, value: Any) -> Any:
    try:
        kind = int(value.__dlpack_device__()[0])
        if kind in _HOST_DLPACK:
            return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        told = f"numpy can't view this {type(value).__name__}: {error}"
        raise _mismatch(spec, told, "pass a numpy array") from error
    raise _mismatch(spec, f"it lives on DLPack device type {kind}", "move it to the host first")


def _strings(spec: TensorSpec, array: Any) -> Any:
    """Text as the runtimes read it: bytes are UTF-8."""
    if array.dtype.kind == "U":
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "SOT":
        return array
    texts = [_text(spec, item) for item in array.reshape(-1).tolist()]
    made = np.empty(array.shape, object)
    made.reshape(-1)[:] = texts
    return made


def _text(spec: TensorSpec, item: object) -> str:
    if isinstance(item, str):
        return item
    try:
        if isinstance(item, bytes):
            return item.decode()
    except UnicodeDecodeError:
        raise _mismatch(spec, "given bytes that are no UTF-8", "decode them first") from None
    raise _mismatch(spec, f"given a {type(item).__name__} among the strings", "pass strings only")


def _mismatch(spec: TensorSpec, told: str, remedy: str) -> TensorMismatch:
    held = spec.container or f"{spec.dtype} {shape_text(spec.shape)}"
    return TensorMismatch(f"tensor {spec.name!r}: expected {held}, {told}", remedy=remedy)


def constant(spec: TensorSpec, value: Any) -> Any:
    """A copy of an array that fits, in C order, which nobody can change.

    Raises:
        TensorMismatch: it does not fit, or is not a tensor.
    """
    array = as_array(spec, value)
    if not isinstance(array, np.ndarray):
        raise _mismatch(spec, "only arrays can be fixed", "pass it with each run")
    made = np.array(array, order="C")
    made.flags.writeable = False
    return made
