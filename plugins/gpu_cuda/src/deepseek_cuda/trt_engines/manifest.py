"""The manifest beside an engine, as deepseek-trt writes it: for whom the engine is.

`NAME.engine.json` of the form "deepseek-trt engine 1". The hash in it decides whether the bytes
are those that were built.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final

import attrs

from deepseek_core import Artifact, TensorSpec, errors

_FORM: Final = "deepseek-trt engine 1"
_BESIDE: Final = ".json"
_LARGEST: Final = 64 << 20
_AGAIN: Final = "build it again: ds-sdk trt build MODEL -o FOLDER --compute 8.6 (your GPU's)"
# TensorRT's words, and ONNX's, which a simulated engine has.
_DTYPES: Final = {
    "FLOAT": "float32", "HALF": "float16", "FLOAT16": "float16", "INT8": "int8",
    "INT32": "int32", "INT64": "int64", "UINT8": "uint8", "BOOL": "bool",
}  # fmt: skip


@attrs.frozen(kw_only=True)
class EngineFile:
    """What a manifest says; `ranges` are least and largest shapes of inputs of free length."""

    where: str
    flavor: str
    version: str
    targets: tuple[str, ...]
    device: str
    simulated: bool
    sha256: str
    nbytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    ranges: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]


def read_manifest(artifact: Artifact) -> EngineFile:
    """What lies beside an engine.

    Raises:
        ArtifactError: nothing does, or it is not a manifest.
    """
    path = artifact.path and artifact.beside(artifact.path.name + _BESIDE)
    if path is None:
        raise errors.ArtifactError(
            "an engine without a file beside it does not say for whom it is",
            remedy=f"give the path of NAME.engine, beside NAME.engine{_BESIDE}",
        )
    try:
        if path.stat().st_size > _LARGEST:
            raise errors.ArtifactError(f"{path} is too large for a manifest", remedy=_AGAIN)
        given = json.loads(path.read_bytes())
        return _read(given, str(path))
    except OSError as error:
        raise errors.ArtifactError(f"{path}: {error.strerror or error}", remedy=_AGAIN) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, errors.ArtifactError):
            raise
        raise errors.ArtifactError(f"{path} is not a manifest: {error!r}", remedy=_AGAIN) from error


def _read(given: Any, where: str) -> EngineFile:
    if given["format"] != _FORM:
        told = f"{where} has form {given['format']!r}, not {_FORM!r}"
        raise errors.ArtifactError(told, remedy=_AGAIN)
    return EngineFile(
        where=where,
        flavor=str(given["flavor"]),
        version=str(given["version"]),
        targets=tuple(map(str, given["targets"])),
        device=str(given["device"]),
        simulated=given["simulated"] is not False,
        sha256=str(given["sha256"]),
        nbytes=int(given["nbytes"]),
        inputs=tuple(_spec(row) for row in given["inputs"]),
        outputs=tuple(_spec(row) for row in given["outputs"]),
        ranges={
            str(row["input"]): (tuple(map(int, row["min"])), tuple(map(int, row["max"])))
            for row in given["options"].get("profiles", ())
            if row["of"] == "shape"
        },
    )


def _spec(row: Any) -> TensorSpec:
    name, dtype = str(row["name"]), str(row["dtype"])
    if dtype not in _DTYPES or row["shape"] is None:
        raise errors.ArtifactError(
            f"tensor {name!r} is {dtype} of shape {row['shape']}, which is not run here",
            remedy=f"build it with borders of {', '.join(sorted(set(_DTYPES.values())))}",
        )
    lengths = [int(length) for length in row["shape"]]
    shape = [f"{name}_{i}" if length < 0 else length for i, length in enumerate(lengths)]
    return TensorSpec(name=name, dtype=_DTYPES[dtype], shape=shape)


def read_engine(artifact: Artifact, file: EngineFile) -> bytes:
    """The engine, whole.

    Raises:
        ArtifactError: it is not what was built.
    """
    content = artifact.read()
    if len(content) != file.nbytes or sha256(content).hexdigest() != file.sha256:
        told = f"{artifact.path} is damaged: its bytes are not those of {file.where}"
        raise errors.ArtifactError(told, remedy=_AGAIN)
    return content
