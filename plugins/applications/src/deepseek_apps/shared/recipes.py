"""Trainings and compressions as recipes, each run by `ds-sdk` in a process of its own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deepseek_core import applications, console, errors

_EXPORT_S: Final = 300.0  # without a word
_OVER_BUDGET: Final = 1


def write_recipe(path: Path, tables: Mapping[str, Any]) -> Path:
    """Write tables as TOML, whole or not at all; None is left out.

    Raises:
        WriteError: it can't be written.
    """
    text = console.as_toml(tables)
    tomllib.loads(text)  # what is written can be read
    with console.whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def train(
    recipe: Path,
    context: applications.ApplicationContext,
    *,
    changes: Sequence[str] = (),
    nproc: int = 1,
) -> dict[str, Any]:
    """Train a recipe, or go on from its checkpoint; gives the trainer's report.

    Its `[log] folder` tells the progress; it and the checkpoints lie beside the recipe where their
    names are relative. `changes` are those of `--set`.

    Raises:
        Interrupted: it was stopped; what was saved is gone on from by the next call.
        DeepSeekError: it failed; has its last words.
    """
    recipe = recipe.resolve()
    words = ["train", "run", str(recipe), "--resume", "--json"]
    words += ["--nproc", str(nproc)] if nproc > 1 else []
    words += [word for change in changes for word in ("--set", change)]
    ended = console.run_child(
        words, recipe.parent, f"{recipe.stem}.train",
        look=_follow(recipe, context), threads=max(1, context.threads // nproc),
    )  # fmt: skip
    report: dict[str, Any] = ended.answer
    return report


def export_weights(checkpoints: Path, file: Path, *, step: int | None = None) -> Path:
    """Write weights of a checkpoint, the latest or that of a step, as safetensors; gives `file`.

    Raises:
        Interrupted: it was stopped.
        DeepSeekError: it failed; has its last words.
    """
    words = ["ckpt", "export", str(checkpoints), str(file), "--json"]
    words += [] if step is None else ["--step", str(step)]
    console.run_child(words, file.parent, "export", silent_s=_EXPORT_S)
    return file


def compress(
    recipe: Path,
    output: Path,
    context: applications.ApplicationContext,
) -> dict[str, Any]:
    """Compress by a recipe into a folder, or go on there; gives its report as report.json has it.

    A budget that does not hold is no error: see `holds`.

    Raises:
        Interrupted: it was stopped; the next call goes on.
        DeepSeekError: it failed; has its last words.
    """
    recipe, output = recipe.resolve(), output.resolve()
    report = output / "report.json"
    if not (output / "MANIFEST.json").is_file():
        words = ["compress", "run", str(recipe), "-o", str(output), "--json"]
        words += ["--resume"] if (output / ".run").is_dir() else []
        context.progress(0, 1, "compressing")
        name = f"{recipe.stem}.compress"
        console.run_child(
            words, recipe.parent, name, threads=context.threads, fine=(0, _OVER_BUDGET)
        )
    if not report.is_file():
        raise errors.DeepSeekError(
            f"the compression by {recipe} left no {report}", remedy=f"ds-sdk compress run {recipe}"
        )
    context.progress(1, 1, "compressed")
    kept: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return kept


def _follow(recipe: Path, context: applications.ApplicationContext) -> Callable[[], int]:
    """What passes new lines of the log on as progress, and gives how long it is."""
    tables = tomllib.loads(recipe.read_text(encoding="utf-8"))
    folder = tables.get("log", {}).get("folder")
    steps = tables.get("train", {}).get("steps", 0)
    if folder is None:
        return lambda: 0
    log = _Log(recipe.parent / folder / "log.jsonl")

    def look() -> int:
        for event in log.news():
            if event.get("kind") == "step":
                text = f"step {event['step']}, loss {event.get('loss', '?')}"
                context.progress(event["step"], max(steps, event["step"]), text)
        return log.position

    return look


class _Log:
    """New lines of a file that another process writes; `position` is up to where it was read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = path.stat().st_size if path.is_file() else 0  # a resumed run appends

    def news(self) -> list[dict[str, Any]]:
        """Whole lines since the last call."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            if file.seek(0, 2) < self.position:  # it was begun again
                self.position = 0
            file.seek(self.position)
            whole, _, _ = file.read().rpartition(b"\n")
        self.position += len(whole) + 1 if whole else 0
        return [json.loads(line) for line in whole.splitlines()]
