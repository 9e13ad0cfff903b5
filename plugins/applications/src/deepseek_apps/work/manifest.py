"""Exported files and what they are: `application.json` beside them, with a hash of each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_apps.work import fingerprint
from deepseek_apps.work.state import now, plain_options, read_json, write_json
from deepseek_core import Artifact, applications, errors

NAME: Final = "application.json"
SCHEMA: Final = 1
_KEYS: Final = {"application", "options", "seed", "files"}


def export(
    opened: applications.OpenedApplication,
    seed: int,
    target: Path,
    context: applications.ApplicationContext,
) -> Sequence[Artifact]:
    """Let an application export into a new folder, which appears whole or not at all.

    Raises:
        ConfigError: the folder is there and not empty.
        PluginError: a file that it names is not in the folder.
        DeepSeekError: what the application raises.
    """  # fmt: skip
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise errors.ConfigError(f"{target} is not empty", remedy="choose another folder with -o")
    partial = target.with_name(f".{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        made = opened.application.export(seed, partial, context)
        moved = [_moved(artifact, partial, target) for artifact in made]
        _write(opened, seed, partial)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        if isinstance(error, errors.DeepSeekError):
            raise
        raise errors.WriteError(
            f"{target} can't be written: {error.strerror or error}", remedy="choose another folder"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return moved


def read(target: Path) -> Mapping[str, Any]:
    """What the files in a folder are; each was seen to be the one that was exported.

    Raises:
        ArtifactError: no export, or a file that is missing, changed or of another export.
    """
    kept = read_json(target / NAME)
    if not isinstance(kept, Mapping) or kept.get("schema") != SCHEMA or not set(kept) >= _KEYS:
        raise errors.ArtifactError(
            f"{target / NAME} is none of this version", remedy="export again"
        )
    for name, digest in kept["files"].items():
        path = target / name
        if not path.is_file():
            raise errors.ArtifactError(f"{path} is missing", remedy="export again")
        if fingerprint.of_file(path) != digest:
            raise errors.ArtifactError(
                f"{path} is not the file that was exported with the others: changed, or of "
                "another run",
                remedy="export again",
            )
    return kept


def _write(opened: applications.OpenedApplication, seed: int, folder: Path) -> None:
    files = {
        path.relative_to(folder).as_posix(): fingerprint.of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    about = {
        "application": opened.spec.name,
        "version": opened.version,
        "options": plain_options(opened.options),
        "seed": seed,
    }
    write_json(folder / NAME, {"schema": SCHEMA, **about, "made": now(), "files": files})


def _moved(artifact: Artifact, partial: Path, target: Path) -> Artifact:
    path = artifact.path
    if path is None or not Path(path).is_relative_to(partial) or not Path(path).is_file():
        raise errors.PluginError(
            f"an exported artifact is {path}, which is not in the folder to export to"
        )
    return attrs.evolve(artifact, path=target / Path(path).relative_to(partial))
