"""What a caller passes as a model, as an artifact."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.errors import ArtifactError
from deepseek_core.discovery.registry import Registry

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
        return Artifact.from_bytes(bytes(model), format=format or _only_format(registry))
    if callable(getattr(model, "SerializeToString", None)):
        own = type(model).__module__.partition(".")[0]
        known = format or (own if own in _formats(registry) else _only_format(registry))
        return Artifact.from_bytes(_serialized(model), format=known)
    raise ArtifactError(f"a {type(model).__name__} is no model", remedy=_TAKEN)


def _serialized(model: Any) -> bytes:
    try:
        return bytes(model.SerializeToString())
    except Exception as error:  # a library may raise anything, protobuf's 2 GiB limit included
        raise ArtifactError(
            f"the {type(model).__name__} can't be serialized: {error}",
            remedy="save it to a file, large data beside it, and pass the path",
        ) from error


def _formats(registry: Registry) -> set[str]:
    return {name for found in registry.frontends for name in found.record.formats}


def _only_format(registry: Registry) -> str:
    known = sorted(_formats(registry))
    if len(known) != 1:
        raise ArtifactError(
            f"bytes do not tell their format; known formats: {', '.join(known) or 'none'}",
            remedy='name it: load(model, format="...")',
        )
    return known[0]
