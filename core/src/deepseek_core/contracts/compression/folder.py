"""The folder that a compression leaves, and the hashes that tell whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import ArtifactError
from deepseek_core.contracts.files import whole_file

SCHEMA: Final = 1
NAME: Final = "MANIFEST.json"


@attrs.frozen(kw_only=True)
class Manifest:
    """sha256 of each file of a folder, by its path below it; written last, so that it is whole."""

    files: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path) -> Manifest:
        """The files that are there now, but for the manifest itself and hidden ones."""
        return cls(files={_below(path, folder): _digest(path) for path in _visible(folder)})

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder.

        Raises:
            ArtifactError: there is none, so the run did not end; or it can't be read.
        """
        path = folder / NAME
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ArtifactError(
                f"{folder} has no {NAME}: what was to be written there did not end",
                remedy="run the recipe again with --resume",
            ) from error
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} can't be read: {error}", remedy="run it again") from error
        return cls(files=_checked(kept, path))

    def write(self, folder: Path) -> None:
        """Write it whole or not at all.

        Raises:
            WriteError: no space, or no permission.
        """
        text = json.dumps({"schema": SCHEMA, "files": dict(self.files)}, indent=2, sort_keys=True)
        with whole_file(folder / NAME) as partial:
            partial.write_text(text + "\n", encoding="utf-8")

    def faults(self, folder: Path) -> tuple[str, ...]:
        """A sentence for each file that is missing, was changed, or is not in the manifest."""
        found = []
        for name, digest in self.files.items():
            path = folder / name
            if not path.is_file():
                found.append(f"{name} is missing")
            elif _digest(path) != digest:
                found.append(f"{name} was changed or is damaged")
        there = {_below(path, folder) for path in _visible(folder)}
        return (*found, *(f"{name} is not of this run" for name in sorted(there - set(self.files))))


def _checked(kept: Any, path: Path) -> dict[str, str]:
    files = kept.get("files") if isinstance(kept, dict) and kept.get("schema") == SCHEMA else None
    if not isinstance(files, dict):
        raise ArtifactError(f"{path} is no manifest of schema {SCHEMA}", remedy="run it again")
    for name, digest in files.items():
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or not isinstance(digest, str):
            raise ArtifactError(f"{path} names {name!r}", remedy="run it again")
    return files


def _visible(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in below.parts)
        if path.is_file() and not hidden and below.as_posix() != NAME:
            yield path


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _digest(path: Path) -> str:
    from hashlib import file_digest

    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}", remedy="check its permissions") from error
