"""What a caller passes as a model, as an artifact."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.errors import ArtifactError
from deepseek_core.contracts.frontend import FrontendSpec
from deepseek_core.discovery.registry import Registered, Registry

_TAKEN = "pass a path, the bytes of a file, or an object of its library"


def as_artifact(model: Any, format: str | None, registry: Registry) -> Artifact:
    """A path, an artifact, bytes, or an object that serializes itself.

    Raises:
        ArtifactError: none of these, or its format can't be told.
    """
    if isinstance(model, Artifact):
        return model
    if isinstance(model, str | os.PathLike):
        return Artifact.from_path(Path(model), format=format)
    if isinstance(model, bytes | bytearray | memoryview):
        content = bytes(model)
        return Artifact.from_bytes(content, format=format or _format_of(content, registry))
    if callable(getattr(model, "SerializeToString", None)):
        own = type(model).__module__.partition(".")[0]
        content = _serialized(model)
        known = own if own in _formats(registry.frontends) else ""
        known = format or known or _format_of(content, registry)
        return Artifact.from_bytes(content, format=known)
    raise ArtifactError(f"a {type(model).__name__} is not a model", remedy=_TAKEN)


def _serialized(model: Any) -> bytes:
    try:
        return bytes(model.SerializeToString())
    except Exception as error:  # a library may raise anything, protobuf's 2 GiB limit included
        raise ArtifactError(
            f"the {type(model).__name__} can't be serialized: {error}",
            remedy="save it to a file, large data beside it, and pass the path",
        ) from error


def _formats(frontends: Iterable[Registered[FrontendSpec]]) -> set[str]:
    return {name for found in frontends for name in found.record.formats}


def _format_of(content: bytes, registry: Registry) -> str:
    """The format whose magic the bytes begin with, else the only one without a magic."""
    usable = [found for found in registry.frontends if not found.record.needs_file]
    fitting = [f for f in usable if f.record.magic and content.startswith(f.record.magic)]
    known = _formats(fitting or [found for found in usable if not found.record.magic])
    if len(known) != 1:
        told = ", ".join(sorted(known or _formats(registry.frontends))) or "none"
        raise ArtifactError(
            f"bytes do not tell their format; known formats: {told}",
            remedy='name it: load(model, format="...")',
        )
    return known.pop()
