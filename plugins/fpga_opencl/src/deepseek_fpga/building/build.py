"""Writes what builds a kernel into a folder and runs it there, if its tool is here."""

from __future__ import annotations

import fcntl
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

from deepseek_core import errors
from deepseek_fpga.building.emulate import emulators
from deepseek_fpga.building.recipe import SOURCE, Recipe
from deepseek_fpga.manifest import path_of, write_manifest
from deepseek_fpga.process import ToolFailed, run_tool
from deepseek_fpga.proof.runtimes import EMULATOR_REMEDY
from deepseek_fpga.variants import kernel_source

SCRIPT: Final = "build.sh"
LOG: Final = "build.log"
_VERSION_S: Final = 120.0


@frozen(kw_only=True)
class Built:
    """What came of it: the binary, or what is missing and what to do about it."""

    binary: Path | None = None
    missing: str = ""
    remedy: str = ""


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Put the kernel's source and the commands into a folder.

    Raises:
        WriteError: it can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SOURCE).write_text(kernel_source(), encoding="utf-8")
        script = folder / SCRIPT
        script.write_text(recipe.script, encoding="utf-8")
        script.chmod(0o755)
    except OSError as error:
        raise _unwritten(folder, error) from error


def build(
    recipe: Recipe, folder: Path, *, limit_s: float, progress: Callable[[str], None]
) -> Built:
    """Run the commands; each step takes `limit_s` seconds at most.

    What a build that fails leaves has no manifest, so that nobody takes it for a binary.

    Raises:
        ToolFailed: a step fails or does not end in time; all that it said is in `build.log`.
        WriteError: the folder can't be written.
        ConfigError: another build works in this folder.
    """
    lacks = _lacks(recipe)
    if lacks is not None:
        return lacks
    with _alone(folder):
        binary = folder / recipe.binary
        path_of(binary).unlink(missing_ok=True)
        log = ""
        for step in recipe.steps:
            progress(" ".join(step)[:60])
            try:
                log += f"$ {shlex.join(step)}\n{run_tool(step, limit_s=limit_s, folder=folder)}\n"
            except ToolFailed as error:
                _log(folder, f"{log}$ {shlex.join(step)}\n{error.log}\n{error.message}\n")
                raise
        _log(folder, log)
        if recipe.report_only:
            return Built()
        if not binary.is_file():
            raise ToolFailed(
                f"{step[0]} ended well and made no {binary}",
                log=log,
                remedy=f"see {folder / LOG}",
            )
        _record(recipe, binary)
        return Built(binary=binary)


def _record(recipe: Recipe, binary: Path) -> None:
    try:
        write_manifest(
            binary,
            variant=recipe.variant,
            target=recipe.target,
            board=recipe.board,
            tool=_version(recipe),
        )
    except OSError as error:
        raise _unwritten(binary.parent, error) from error


def _lacks(recipe: Recipe) -> Built | None:
    if recipe.target == "emulator":
        if emulators():
            return None
        return Built(missing="no FPGA emulator with channels is visible", remedy=EMULATOR_REMEDY)
    if shutil.which(recipe.tool):
        return None
    return Built(missing=f"{recipe.tool} is not on the path", remedy=recipe.missing)


def _version(recipe: Recipe) -> str:
    """What built it, as it names itself; a build that worked does not fail over that."""
    if not recipe.tool:
        return emulators()[0].driver_version
    try:
        said = run_tool([recipe.tool, "-version"], limit_s=_VERSION_S)
    except ToolFailed:
        return recipe.tool
    return next((line.strip() for line in said.splitlines() if line.strip()), recipe.tool)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One build a folder: two would write the same files."""
    try:
        file = (folder / ".lock").open("w", encoding="utf-8")
    except OSError as error:
        raise _unwritten(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise errors.ConfigError(
                f"another build works in {folder}", remedy="wait for it, or choose another --output"
            ) from error
        yield


def _log(folder: Path, text: str) -> None:
    try:
        (folder / LOG).write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritten(folder, error) from error


def _unwritten(folder: Path, error: OSError) -> errors.WriteError:
    return errors.WriteError(
        f"{folder} can't be written: {error.strerror}", remedy="choose another --output"
    )
