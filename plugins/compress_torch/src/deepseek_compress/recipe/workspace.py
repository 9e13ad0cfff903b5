"""The folder in which a run keeps what is done, so that it can go on after a kill."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import compression, console, errors

NAME: Final = ".run"
LOCK: Final = "recipe.lock.toml"
WEIGHTS: Final = "model.bin"
_WEIGHTS: Final = "locked.model_sha256.weights"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
_UNSEEDED: Final = (
    "choose another folder with -o; if the entry trains, or draws weights, let it begin with "
    "torch.manual_seed(0)"
)


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
        self._kept = self._folder / LOCK

    def check(self, locked: Mapping[str, Any], *, resume: bool) -> bool:
        """See that the run can begin here, or go on, and whether it does go on; nothing is made.

        Raises:
            ConfigError: it holds a finished run, files of somebody else, a run that goes on or was
                not asked to, or one of another recipe, model or data.
            WriteError: it can't be made there.
        """
        self._refuse_finished()
        if self._folder.is_dir():
            with _alone(self._folder):
                return self._go_on(console.as_toml(locked), resume=resume)
        if self.output.is_dir() and any(self.output.iterdir()):
            raise errors.ConfigError(
                f"{self.output} is not empty", remedy="choose another folder with -o"
            )
        _check_place(self.output)
        return False

    @contextmanager
    def begun(self, locked: Mapping[str, Any], *, resume: bool) -> Iterator[None]:
        """Make the folder, or go on in it; no other process does so while the block runs.

        Raises:
            ConfigError: as `check` says: another process may have been faster.
            WriteError: it can't be made.
        """
        with disk_errors(self.output):
            self._folder.mkdir(parents=True, exist_ok=True)
        with _alone(self._folder):
            self._refuse_finished()
            self._go_on(console.as_toml(locked), resume=resume)
            if not self._kept.is_file():
                with self.whole(self._kept) as partial:
                    partial.write_text(console.as_toml(locked), encoding="utf-8")
            yield

    def _refuse_finished(self) -> None:
        if (self.output / "MANIFEST.json").exists():
            raise errors.ConfigError(
                f"{self.output} holds a finished run", remedy="choose another folder with -o"
            )

    def _go_on(self, text: str, *, resume: bool) -> bool:
        """Whether something was begun there; refuse what may not be gone on with."""
        if not self._kept.is_file() and not any(p.is_dir() for p in self._folder.iterdir()):
            return False
        if not resume:
            raise errors.ConfigError(
                f"{self.output} holds a run that did not end",
                remedy="go on with --resume, or choose another folder with -o",
            )
        kept = self._kept
        before = (
            _tables(kept.read_text(encoding="utf-8", errors="replace")) if kept.is_file() else {}
        )
        now = _tables(text)
        other = [name for name in sorted(before | now) if before.get(name) != now.get(name)]
        if other:
            raise errors.ConfigError(
                f"the run in {self.output} was begun with another recipe, other data or versions: "
                f"{', '.join(other[:4])} changed",
                remedy=_UNSEEDED if other == [_WEIGHTS] else "choose another folder with -o",
            )
        return True

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
                warnings=kept["warnings"],
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
            "warnings": list(row.warnings),
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


def _check_place(output: Path) -> None:
    """Refuse a folder that can't be made, before any work."""
    there = next(place for place in (output, *output.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "can't be written to" if there.is_dir() else "is not a folder"
        raise errors.WriteError(f"{there} {why}", remedy="choose another folder with -o")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the kernel lets go of it when the process dies.

    Raises:
        ConfigError: another process holds it.
    """
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise errors.ConfigError(
            f"another process is running a recipe in {folder.parent}",
            remedy="wait for it, or choose another folder with -o",
        ) from error
    except OSError as error:  # a file system without locks
        logging.getLogger(__name__).debug("%s can't be locked: %s", folder, error)
    try:
        yield
    finally:
        os.close(descriptor)


def _tables(text: str) -> dict[str, Any]:
    """The values of a TOML text by their dotted names; none if it is damaged."""
    try:
        return dict(_dotted(tomllib.loads(text), ""))
    except tomllib.TOMLDecodeError:
        return {}


def _dotted(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _dotted(part, f"{name}.{key}" if name else key)
    else:
        yield name, value


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
    """Say of a full or closed disk what to do; other errors of a step are its own."""
    try:
        yield
    except errors.DeepSeekError:
        raise
    except OSError as error:
        if error.errno not in _FULL and not _is_below(error.filename, folder):
            raise
        raise errors.WriteError(
            f"{error.filename or folder} can't be written: {error.strerror or error}",
            remedy="free space there and go on with --resume, or choose another folder with -o",
        ) from error


def _is_below(name: Any, folder: Path) -> bool:
    """Whether a file that an error names, or names none, is one of the run's."""
    if not isinstance(name, str | os.PathLike):
        return name is None
    return Path(name).absolute().is_relative_to(folder.absolute())
