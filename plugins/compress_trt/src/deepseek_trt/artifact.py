"""Engines as files: `NAME.engine` and its manifest beside it, and who may run them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_trt.building.engine import Engine
from deepseek_trt.errors import EngineDamaged, EngineMismatch
from deepseek_trt.manifest import Manifest, read_manifest

SUFFIX: Final = ".engine"
_BESIDE: Final = ".json"
_BUILD: Final = "build it again: ds-sdk trt build MODEL -o FOLDER --compute {}"


@attrs.frozen(kw_only=True)
class Runner:
    """What is to run an engine: flavor, version, and the GPU's compute capability and name."""

    flavor: str
    version: str
    target: str
    device: str = ""


def save(engine: Engine, folder: str | Path, name: str = "model") -> Path:
    """Write `NAME.engine` and `NAME.engine.json` and return the path of the engine.

    The manifest comes last: an engine without one is not taken for whole.

    Raises:
        WriteError: there is no space, or no right to write.
    """
    path = Path(folder) / f"{name}{SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _beside(path).unlink(missing_ok=True)
        _write(path, engine.content)
        _write(_beside(path), engine.manifest.text().encode())
    except OSError as error:
        raise errors.WriteError(
            f"{error.filename or path} can't be written: {error.strerror or error}",
            remedy="free space there, or choose another place",
        ) from error
    return path


def load(path: str | Path, runner: Runner | None = None) -> tuple[Manifest, bytes]:
    """An engine from a file, verified, and for `runner` if one is given.

    Raises:
        EngineDamaged: a file is missing, cut short or changed.
        EngineMismatch: it is for another flavor, version or GPU; names both.
    """
    path = Path(path)
    manifest = read_manifest(_content(_beside(path)), str(_beside(path)))
    if runner is not None:
        check_runner(manifest, runner)
    content = _content(path)
    manifest.check_content(content, str(path))
    return manifest, content


def check_runner(manifest: Manifest, runner: Runner) -> None:
    """See that an engine runs there.

    Raises:
        EngineMismatch: it does not; names both.
    """
    remedy = _BUILD.format(runner.target)
    if manifest.simulated:
        what = "this is a simulation in the place of an engine"
        raise EngineMismatch(what, wanted=runner.flavor, found=manifest.flavor, remedy=remedy)
    pairs = [
        ("flavor", runner.flavor, manifest.flavor),
        ("version", runner.version, manifest.version),
        ("GPU", runner.device or manifest.device, manifest.device or runner.device),
    ]
    for what, wanted, found in pairs:
        if wanted != found:
            raise _mismatch(what, wanted, found, remedy)
    if runner.target not in manifest.targets:
        found = ", ".join(manifest.targets)
        raise _mismatch("compute capability", runner.target, found, remedy)


def _mismatch(what: str, wanted: str, found: str, remedy: str) -> EngineMismatch:
    text = f"the engine is for {what} {found}, and here is {wanted}"
    return EngineMismatch(text, wanted=wanted, found=found, remedy=remedy)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _BESIDE)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineDamaged(
            f"{path}: {error.strerror or error}", remedy="check the path, or build the engine again"
        ) from error


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name[:50]}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
