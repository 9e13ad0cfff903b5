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
    *,
    again: bool = False,
) -> Sequence[Artifact]:
    """Let an application export into a new folder, which appears whole or not at all.

    With `again` it takes the place of an export that is there, damaged or not.

    Raises:
        ConfigError: the folder is there and not empty; with `again`, it holds more than an export.
        PluginError: a file that it names is not in the folder.
        DeepSeekError: what the application raises.
    """  # fmt: skip
    _check_place(target, again)
    partial, old = (target.with_name(f".{target.name}.{word}") for word in ("part", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        made = opened.application.export(seed, partial, context)
        moved = [_moved(artifact, partial, target) for artifact in made]
        _write(opened, seed, partial)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if isinstance(error, errors.DeepSeekError):
            raise
        raise errors.WriteError(
            f"{target} can't be written: {error.strerror or error}", remedy="choose another folder"
        ) from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(partial, ignore_errors=True)
    return moved


def read(target: Path) -> Mapping[str, Any]:
    """What the files in a folder are; each was seen to be the one that was exported.

    Raises:
        ArtifactError: no export, or a file that is missing, changed or of another export.
    """
    kept = _about(target)
    for name, digest in kept["files"].items():
        path = target / name
        if not path.is_file():
            raise errors.ArtifactError(f"{path} is missing", remedy="export again, with --again")
        if fingerprint.of_file(path) != digest:
            raise errors.ArtifactError(
                f"{path} is not the file that was exported with the others: changed, or of "
                "another run",
                remedy="export again, with --again",
            )
    return kept


def _check_place(target: Path, again: bool) -> None:
    """Refuse to write over what is not an export of ours."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not again or not (target / NAME).is_file():
        raise errors.ConfigError(f"{target} is not empty", remedy="choose another folder with -o")
    known = {NAME, *_about(target)["files"]}
    foreign = [path for path in _files(target) if path.relative_to(target).as_posix() not in known]
    if foreign:
        raise errors.ConfigError(
            f"{foreign[0]} was not exported, and would go with what is replaced",
            remedy="take it elsewhere, or choose another folder with -o",
        )


def _about(target: Path) -> Mapping[str, Any]:
    kept = read_json(target / NAME)
    if not isinstance(kept, Mapping) or kept.get("schema") != SCHEMA or not set(kept) >= _KEYS:
        raise errors.ArtifactError(
            f"{target / NAME} is none of this version", remedy="export to another folder with -o"
        )
    return kept


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if not path.is_dir()]


def _write(opened: applications.OpenedApplication, seed: int, folder: Path) -> None:
    files = {
        path.relative_to(folder).as_posix(): fingerprint.of_file(path) for path in _files(folder)
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
