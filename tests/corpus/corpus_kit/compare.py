"""Compares what the SDK gave with what ONNX Runtime gave, and names the first difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

# Sums in another order: what a float of an output may be off by, of itself and of the largest.
RELATIVE: Final = 1e-4
OF_LARGEST: Final = 1e-5


def first_difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Compare outputs by name, bit for bit (NaN equals NaN); None if all are equal."""
    if set(expected) != set(found):
        return f"outputs {sorted(expected)} expected, {sorted(found)} found"
    for name, value in expected.items():
        problem = difference(value, found[name])
        if problem:
            return f"output {name!r}: {problem}"
    return None


def difference(expected: Any, found: Any) -> str | None:
    """Compare arrays by dtype, shape and bits; lists, dicts and None by what is in them."""
    if isinstance(expected, list):
        return _of_lists(expected, found)
    if isinstance(expected, dict):
        return _of_dicts(expected, found)
    if isinstance(expected, np.ndarray):
        return _of_kinds(expected, found) or _of_values(expected, np.asarray(found))
    same = type(expected) is type(found) and (expected == found or expected != expected)
    return None if same else f"{expected!r} expected, {found!r} found"


def difference_in_kind(expected: Any, found: Any) -> str | None:
    """Compare dtype and shape only, as is right for random values."""
    if isinstance(expected, np.ndarray):
        return _of_kinds(expected, found)
    return None if type(expected) is type(found) else f"{type(found).__name__} found"


def difference_beyond_rounding(expected: Any, found: Any) -> str | None:
    """Compare floats by `RELATIVE` and `OF_LARGEST`, everything else bit for bit."""
    if not isinstance(expected, np.ndarray) or expected.dtype.kind != "f":
        return difference(expected, found)
    kinds = _of_kinds(expected, found)
    if kinds:
        return kinds
    largest = float(np.nanmax(np.abs(expected), initial=0.0, where=np.isfinite(expected)))
    close = np.isclose(found, expected, RELATIVE, OF_LARGEST * largest, equal_nan=True)
    return None if close.all() else _first(expected, np.asarray(found), close)


def _of_lists(expected: list[Any], found: Any) -> str | None:
    if not isinstance(found, list | tuple) or len(found) != len(expected):
        return f"a list of {len(expected)} expected, {_text(found)} found"
    for index, pair in enumerate(zip(expected, found, strict=True)):
        problem = difference(*pair)
        if problem:
            return f"item {index}: {problem}"
    return None


def _of_dicts(expected: dict[Any, Any], found: Any) -> str | None:
    if not isinstance(found, Mapping) or list(found) != list(expected):
        return f"a dict with the keys {list(expected)} expected, {_text(found)} found"
    for key, value in expected.items():
        problem = difference(value, found[key])
        if problem:
            return f"key {key!r}: {problem}"
    return None


def _of_kinds(expected: np.ndarray, found: Any) -> str | None:
    if not isinstance(found, np.ndarray):
        return f"{_text(expected)} expected, {_text(found)} found"
    text = expected.dtype.kind == found.dtype.kind == "U"  # its width is that of the longest
    same = (text or expected.dtype == found.dtype) and expected.shape == found.shape
    return None if same else f"{_text(expected)} expected, {_text(found)} found"


def _of_values(expected: np.ndarray, found: np.ndarray) -> str | None:
    same = _plain(expected) == _plain(found)
    if expected.dtype.isbuiltin == 1 and expected.dtype.kind in "fc":
        same |= np.isnan(expected) & np.isnan(found)
    return None if np.all(same) else _first(expected, found, np.asarray(same))


def _plain(array: np.ndarray) -> np.ndarray:
    """Dtypes that numpy does not know (bfloat16, int4), and raw bytes, as whole numbers."""
    known = array.dtype.isbuiltin != 2 and array.dtype.kind != "V"
    return array if known else np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def _first(expected: np.ndarray, found: np.ndarray, same: np.ndarray) -> str:
    at = tuple(int(index) for index in np.argwhere(~same)[0])
    return (
        f"at {list(at)} {expected[at]!r} expected, {found[at]!r} found; "
        f"{int((~same).sum())} of {same.size} values differ"
    )


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return f"{type(value).__name__} {str(value)[:60]}"
