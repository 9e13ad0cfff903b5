"""One value of a user's as a numpy array that a model can be fed."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from deepseek_core import errors

Array = npt.NDArray[Any]

_NUMERIC: Final = "biuf"


def is_arraylike(value: object) -> bool:
    """Whether it is an array or a tensor, without a look at what is in it."""
    return hasattr(value, "__array__") and hasattr(value, "shape")


def as_array(value: Any, where: str) -> Array:
    """The array, in this machine's byte order; float64 becomes float32. Pixels stay as they are.

    Takes numpy arrays, torch tensors of any device, and what numpy makes numbers of.

    Raises:
        InputError: no numbers, or some of them are masked.
    """
    if callable(getattr(value, "detach", None)) and callable(getattr(value, "cpu", None)):
        value = _of_tensor(value, where)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise errors.InputError(f"{where} is masked in places", remedy="give it filled: x.filled()")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise errors.InputError(
            f"{where}: samples of different shapes ({error})", remedy="make them all of one shape"
        ) from error
    if array.dtype.kind not in _NUMERIC:
        raise errors.InputError(f"{where} has dtype {array.dtype}", remedy=_remedy(array))
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        return array.astype(np.float32)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _of_tensor(value: Any, where: str) -> Array:
    try:
        return np.asarray(value.detach().cpu().numpy())
    except TypeError as error:  # bfloat16, which numpy lacks
        raise errors.InputError(
            f"{where}: {error}", remedy="give it as float32: x.float()"
        ) from error


def _remedy(array: Array) -> str:
    if array.dtype.kind in "US":
        return "number the classes: y = np.unique(names, return_inverse=True)[1]"
    if array.dtype.kind == "O":
        return "make all samples of one shape, and give an array of numbers"
    return "give an array of numbers"


def check_finite(array: Array, where: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        InputError: the first sample that has one is named.
    """
    if array.dtype.kind != "f":
        return
    # A sum is a fast test; only where it is not finite are the places looked for.
    if np.isfinite(np.sum(array, dtype=np.float64)):
        return
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if bad.any():
        count = f"all {len(array)} samples have" if bad.all() else f"{int(bad.sum())} samples have"
        raise errors.InputError(
            f"{where}: {count} NaN or infinity, the first is number {int(bad.argmax())}",
            remedy="leave them out, or correct them: np.nan_to_num(x)",
        )
