"""NPZ files with any names in them: numpy.savez keeps `file` for itself."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from corpus_kit.case import Inputs

_ADDED: Final = 2  # `dtype.isbuiltin` of those that ml_dtypes adds to numpy's own


def can_hold(values: Mapping[str, Any]) -> bool:
    """Whether all are arrays of numpy's own dtypes; strings count."""
    return all(isinstance(v, np.ndarray) and v.dtype.isbuiltin != _ADDED for v in values.values())


def write(path: Path, inputs: Inputs) -> None:
    """One entry an array; strings as numpy's `<U`, as numpy.savez writes them unpickled."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in inputs.items():
            plain = array.astype(str) if array.dtype.hasobject else array
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, plain, allow_pickle=False)


def read(path: Path) -> dict[str, Any]:
    """Arrays by name.

    Raises:
        AssertionError: numpy can't read what was written.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, TypeError) as error:
        raise AssertionError(f"numpy can't read the file of outputs: {error}") from error


def as_stored(outputs: dict[str, Any]) -> dict[str, Any]:
    """What an NPZ keeps of outputs: strings as `<U`, unknown dtypes as bytes, tensors only."""
    return {name: _stored(v) for name, v in outputs.items() if isinstance(v, np.ndarray)}


def _stored(array: np.ndarray) -> np.ndarray:
    if array.dtype.hasobject:
        return array.astype(str)
    added = array.dtype.isbuiltin == _ADDED
    return array.view(f"V{array.dtype.itemsize}") if added else array
