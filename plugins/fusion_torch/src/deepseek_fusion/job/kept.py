"""What `prepare` leaves: the parts as arrays, and the form that they have."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_core import console, errors
from deepseek_fusion.job.items import Arrays, Form

FORM: Final = "form.json"


@attrs.frozen(kw_only=True)
class Prepared:
    """The form of all arrays, and the hash of the split that they are of."""

    form: Form
    split_hash: str


def write_parts(
    folder: Path, form: Form, split_hash: str, parts: Mapping[str, tuple[Arrays, Any]]
) -> None:
    """Write parts of (arrays, classes), whole or not at all.

    Raises:
        WriteError: they can't be written.
    """
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    try:
        partial.mkdir(parents=True)
        for part, (arrays, classes) in parts.items():
            np.savez(partial / f"{part}.npz", allow_pickle=False, classes=classes, **arrays)
        facts = {"schema": 1, "form": form.facts(), "split_hash": split_hash}
        (partial / FORM).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError as error:
        raise errors.WriteError(
            f"{folder} can't be written: {error.strerror or error}",
            remedy="free space there, or choose another work folder",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_prepared(folder: Path) -> Prepared:
    """Read the form of the prepared data.

    Raises:
        ArtifactError: there are none, or they are damaged.
    """
    facts = read_facts(folder / FORM, remedy="prepare the data first")
    form = Form.of_facts(facts.get("form", {}), str(folder / FORM))
    return Prepared(form=form, split_hash=str(facts.get("split_hash", "")))


def read_part(folder: Path, part: str) -> tuple[Arrays, npt.NDArray[np.int64]]:
    """Read one part.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    path = folder / f"{part}.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        return arrays, arrays.pop("classes")
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise errors.ArtifactError(
            f"{path} can't be read: {error}", remedy="prepare the data again"
        ) from error


def read_facts(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.ArtifactError(f"{path} can't be read: {error}", remedy=remedy) from error
    if not isinstance(facts, dict) or facts.get("schema") != 1:
        raise errors.ArtifactError(f"{path} is of another version", remedy=remedy)
    return facts


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all.

    Raises:
        WriteError: it can't be written.
    """
    with console.whole_file(path) as partial:
        partial.write_text(json.dumps({"schema": 1, **facts}, indent=1), encoding="utf-8")
