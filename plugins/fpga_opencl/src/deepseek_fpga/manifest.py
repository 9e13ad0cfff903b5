"""What a compiled kernel is, in a file beside it: `NAME.aocx.json`.

A binary does not say which metric and which shape it was built for. With its manifest both are
known and damage is seen; without one, what the device would build by itself is assumed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from deepseek_core import errors
from deepseek_fpga.files import write_atomically
from deepseek_fpga.variants import Variant

_FORMAT: Final = 1


@frozen(kw_only=True)
class Manifest:
    """A compiled kernel: its variant, the SHA-256 of the file, what built it for what."""

    variant: Variant
    sha256: str
    target: str
    board: str
    tool: str


def path_of(binary: Path) -> Path:
    """Where the manifest of a binary lies."""
    return binary.with_name(f"{binary.name}.json")


def write_manifest(
    binary: Path, *, variant: Variant, target: str, board: str, tool: str
) -> Manifest:
    """Record a binary that was built.

    Raises:
        OSError: the binary can't be read, or the manifest not be written.
    """
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    made = Manifest(variant=variant, sha256=digest, target=target, board=board, tool=tool)
    text = json.dumps({"format": _FORMAT, **asdict(made)}, indent=1)
    write_atomically(path_of(binary), text.encode())
    return made


def read_manifest(binary: Path) -> Manifest | None:
    """The manifest of a binary; None if it has none.

    Raises:
        ArtifactError: it can't be read as one.
    """
    path = path_of(binary)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    try:
        if content.pop("format") != _FORMAT:
            raise ValueError("it is of another format")
        return Manifest(**{**content, "variant": Variant(**content["variant"])})
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(path, error) from error


def check_content(binary: Path, content: bytes, manifest: Manifest) -> None:
    """Compare a binary with its manifest.

    Raises:
        ArtifactError: it is not what was built.
    """
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise errors.ArtifactError(
            f"the binary {binary} is damaged: its checksum is not that of {path_of(binary).name}",
            remedy="copy it again from where it was built, or build it again: ds-sdk fpga build",
        )


def _damaged(path: Path, error: Exception) -> errors.ArtifactError:
    return errors.ArtifactError(
        f"{path} can't be read as the manifest of a binary ({error})",
        remedy="build it again: ds-sdk fpga build (or remove the manifest)",
    )
