"""The folder in which a run keeps what is done, so that it can go on after a kill."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_compress.recipe.toml import as_toml
from deepseek_core import compression, errors

NAME: Final = ".run"
LOCK: Final = "recipe.lock.toml"
WEIGHTS: Final = "model.bin"


@attrs.frozen(kw_only=True)
class Done:
    """A step that ended: its plan, and what it said; its model lies in `weights`."""

    plan: compression.StepPlan
    row: compression.StepRow
    provided: Mapping[str, Any]
    weights: Path


class Workspace:
    """Steps of one run, each in a folder of its own that appears when it is whole."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self._folder = output / NAME

    def check(self, locked: Mapping[str, Any], *, resume: bool) -> None:
        """See that the run can begin here, or go on; nothing is made.

        Raises:
            ConfigError: it holds a finished run, files of somebody else, a run that was not asked
                to go on, or one of another recipe.
        """
        if (self.output / "MANIFEST.json").exists():
            raise errors.ConfigError(
                f"{self.output} holds a finished run", remedy="choose another folder with -o"
            )
        if self._folder.is_dir():
            self._go_on(as_toml(locked), resume=resume)
        elif self.output.is_dir() and any(self.output.iterdir()):
            raise errors.ConfigError(
                f"{self.output} is not empty", remedy="choose another folder with -o"
            )

    def begin(self, locked: Mapping[str, Any]) -> None:
        """Make the folder, if it is not there.

        Raises:
            WriteError: it can't be made.
        """
        if self._folder.is_dir():
            return
        with disk_errors(self.output):
            self._folder.mkdir(parents=True)
            (self._folder / LOCK).write_text(as_toml(locked), encoding="utf-8")

    def _go_on(self, text: str, *, resume: bool) -> None:
        if not resume:
            raise errors.ConfigError(
                f"{self.output} holds a run that did not end",
                remedy="go on with --resume, or choose another folder with -o",
            )
        kept = self._folder / LOCK
        if not kept.is_file() or kept.read_text(encoding="utf-8") != text:
            raise errors.ConfigError(
                f"the run in {self.output} was begun with another recipe, other data or versions",
                remedy="choose another folder with -o",
            )

    @contextmanager
    def step(self, number: int, name: str) -> Iterator[Path]:
        """A folder for a step's files; it is there under its name when the block ends well.

        What a killed step had kept is given again, for a step that can go on from it.
        """
        partial = self._folder / f"{number:02d}-{name}.part"
        with disk_errors(self.output):
            partial.mkdir(exist_ok=True)
            yield partial
            _flush(partial)
            partial.rename(self._named(number, name))
            _flush_folder(self._folder)

    def done(self, number: int, name: str) -> Done | None:
        """A step that ended before; None if it did not.

        Raises:
            ArtifactError: what it left is damaged.
        """
        folder = self._named(number, name)
        if not folder.is_dir():
            return None
        try:
            kept = json.loads((folder / "done.json").read_text(encoding="utf-8"))
            _verify(folder, kept["files"])
            row = compression.StepRow(
                step=name,
                profile=compression.ModelProfile(**kept["profile"]),
                accuracy=compression.Interval(**kept["accuracy"]) if kept["accuracy"] else None,
                seconds=kept["seconds"],
                figures=kept["figures"],
                notes=kept["notes"],
            )
            plan = compression.StepPlan.from_json(kept["plan"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise errors.ArtifactError(
                f"{folder} is damaged: {error}", remedy=f"remove {folder} and go on with --resume"
            ) from error
        provided = {
            key: folder / value["file"] if "file" in value else value["value"]
            for key, value in kept["provided"].items()
        }
        return Done(plan=plan, row=row, provided=provided, weights=folder / WEIGHTS)

    def keep(
        self,
        folder: Path,
        plan: compression.StepPlan,
        row: compression.StepRow,
        provided: Mapping[str, Any],
    ) -> None:
        """Note what a step did, in its folder."""
        files = {
            str(p.relative_to(folder)): _digest(p) for p in sorted(folder.rglob("*")) if p.is_file()
        }
        kept = {
            "plan": plan.to_json(),
            "profile": row.profile.to_json(),
            "accuracy": attrs.asdict(row.accuracy) if row.accuracy else None,
            "seconds": row.seconds,
            "figures": dict(row.figures),
            "notes": list(row.notes),
            "provided": {key: _kept(value, folder) for key, value in provided.items()},
            "files": files,
        }
        (folder / "done.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")

    def scratch(self, name: str) -> Path:
        """Where a file lies that only the run needs."""
        return self._folder / name

    @contextmanager
    def whole(self, path: Path) -> Iterator[Path]:
        """A file to write, which is there under its name when the block ends well."""
        partial = path.with_name(f"{path.name}.part")
        with disk_errors(path):
            yield partial
            partial.replace(path)

    def close(self) -> None:
        """Remove what only a run that did not end needs."""
        shutil.rmtree(self._folder)

    def _named(self, number: int, name: str) -> Path:
        return self._folder / f"{number:02d}-{name}"


def _kept(value: Any, folder: Path) -> dict[str, Any]:
    return {"file": str(value.relative_to(folder))} if isinstance(value, Path) else {"value": value}


def _verify(folder: Path, files: Mapping[str, str]) -> None:
    for name, digest in files.items():
        if _digest(folder / name) != digest:
            raise ValueError(f"{name} was changed")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say of a full or closed disk what to do."""
    try:
        yield
    except errors.DeepSeekError:
        raise
    except OSError as error:
        raise errors.WriteError(
            f"{error.filename or folder} can't be written: {error.strerror or error}",
            remedy="make room there and go on with --resume, or choose another folder with -o",
        ) from error
