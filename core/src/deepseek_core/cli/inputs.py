"""Reads what a user passes as `--input`: NPZ files and folders of pictures."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deepseek_core.contracts.errors import ArtifactError, ConfigError, TensorMismatch


def read_arrays(paths: Iterable[str]) -> dict[str, Any]:
    """Arrays by input name, out of all files among these paths.

    Raises:
        ArtifactError: a file that is missing or can't be read.
        TensorMismatch: a name given twice.
    """
    arrays: dict[str, Any] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            continue
        found = _read_npz(path)
        twice = set(found) & set(arrays)
        if twice:
            raise TensorMismatch(f"input {sorted(twice)[0]!r} is given twice, again in {path}")
        arrays |= found
    return arrays


def folder_of(paths: Iterable[str]) -> Path | None:
    """The one folder among these paths.

    Raises:
        ConfigError: there are several.
    """
    folders = [Path(text) for text in paths if Path(text).is_dir()]
    if len(folders) > 1:
        raise ConfigError(
            f"--input names {len(folders)} folders", remedy="put the pictures into one"
        )
    return folders[0] if folders else None


def constants_of(
    args: argparse.Namespace, arrays: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays that `--constant` fixes, and the others.

    Raises:
        ConfigError: a constant for which no array is given.
    """
    for name in args.constant:
        if name not in arrays:
            raise ConfigError(
                f"--constant {name}: --input gives no array of that name",
                remedy=f"given: {', '.join(arrays) or 'nothing'}",
            )
    fixed = {name: arrays[name] for name in args.constant}
    return fixed, {name: array for name, array in arrays.items() if name not in fixed}


def _read_npz(path: Path) -> dict[str, Any]:
    import numpy as np

    if not path.is_file():
        raise ArtifactError(f"no such file or folder: {path}", remedy="check the path")
    if not zipfile.is_zipfile(path):
        raise ArtifactError(
            f"{path} is no NPZ file, or a truncated one", remedy="write it with numpy.savez"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        # numpy would have the user load them unsafely.
        reason = "an array holds Python objects" if "pickle" in str(error) else error
        raise ArtifactError(
            f"{path} can't be read as NPZ: {reason}",
            remedy="write numbers, or strings as numpy.array([...]), with numpy.savez",
        ) from error
