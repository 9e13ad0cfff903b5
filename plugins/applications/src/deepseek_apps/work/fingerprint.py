"""Fingerprints: what a step rests on, so that a change is seen before it does harm."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from deepseek_core import errors


def of_folder(folder: Path) -> str:
    """A SHA-256 over the names and contents of all files below a folder; hidden ones aside.

    Raises:
        ArtifactError: a file can't be read.
    """
    found = sha256()
    for path in _files(folder):
        found.update(f"{path.relative_to(folder).as_posix()}\0{of_file(path)}\0".encode())
    return found.hexdigest()


def of_file(path: Path) -> str:
    """A SHA-256 over the content of a file.

    Raises:
        ArtifactError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.ArtifactError(
            f"{path} can't be read: {error.strerror or error}", remedy="check the path"
        ) from error


def of_values(values: Mapping[str, Any]) -> str:
    """A SHA-256 over values as JSON has them."""
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path
