"""Reads what a user passes as `--input`: NPZ files and folders of pictures."""

from __future__ import annotations

import argparse
import shlex
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from deepseek_core.contracts.errors import ArtifactError, ConfigError, TensorMismatch

_PATH: Final = "check the path and its permissions"


def read_arrays(paths: Iterable[str]) -> dict[str, Any]:
    """Arrays by input name, out of all files among these paths.

    Raises:
        ArtifactError: a file that is missing or can't be read.
        TensorMismatch: a name given twice.
    """
    arrays: dict[str, Any] = {}
    for text in paths:
        path = Path(text)
        if _is_folder(path):
            continue
        found = _read_npz(path)
        twice = set(found) & set(arrays)
        if twice:
            raise TensorMismatch(
                f"input {sorted(twice)[0]!r} is given twice, again in {path}",
                remedy="give each input in one file",
            )
        arrays |= found
    return arrays


def folder_of(paths: Iterable[str]) -> Path | None:
    """The one folder among these paths.

    Raises:
        ConfigError: there are several.
    """
    folders = [path for path in map(Path, paths) if _is_folder(path)]
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


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # reading it as a file says why
        return False


def _read_npz(path: Path) -> dict[str, Any]:
    import numpy as np

    _check_file(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"it holds {twice!r} twice")
            return {name: np.asarray(archive[name]) for name in names}
    except Exception as error:  # decoders of foreign files raise anything
        # numpy would have the user load objects unsafely.
        reason = "an array holds Python objects" if "pickle" in str(error) else error
        raise ArtifactError(
            f"{path} can't be read as NPZ: {reason}",
            remedy="write numbers, or strings as numpy.array([...]), with numpy.savez",
        ) from error


def _check_file(path: Path) -> None:
    """See that there is an archive, before numpy guesses what it may be.

    Raises:
        ArtifactError: there is none.
    """
    try:
        if not path.is_file():
            is_there = path.exists()
            what = (
                f"{path} is not a regular file" if is_there else f"no such file or folder: {path}"
            )
            raise ArtifactError(what, remedy=_PATH)
        with path.open("rb") as file:
            is_archive = zipfile.is_zipfile(file)
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}", remedy=_PATH) from error
    if not is_archive:
        raise ArtifactError(
            f"{path} is not an NPZ file, or a truncated one", remedy=_instead_of(path)
        )


def _instead_of(path: Path) -> str:
    from mimetypes import guess_type

    if (guess_type(path.name)[0] or "").startswith("image/"):
        return f"pictures are given as a folder: --input {shlex.quote(str(path.parent))}"
    return "write it with numpy.savez"
