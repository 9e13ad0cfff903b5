"""A seed's training: a recipe of `ds-sdk train run` for the joined model and late fusion.

A seed's folder has `recipe.toml`, checkpoints and a log, and at its end `model.safetensors` and
`trained.json`, which says what it was trained on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import applications, console, errors
from deepseek_fusion.job.kept import read_facts, read_part, read_prepared, write_facts
from deepseek_fusion.job.options import Options

WEIGHTS: Final = "model.safetensors"
TRAINED: Final = "trained.json"
_RISING: Final = 0.3  # share of the steps in which the rate rises
_WEIGHT_DECAY: Final = 0.02
_SAVED_EVERY: Final = 200  # steps


@attrs.frozen(kw_only=True)
class Training:
    """The training of one seed; what is done is left as it is."""

    seed: int
    context: applications.ApplicationContext
    options: Options

    @property
    def folder(self) -> Path:
        """Where it lives."""
        return self.context.seed(self.seed)

    def run(self) -> None:
        """Train, or go on, or leave what is done.

        Raises:
            Interrupted: it was stopped; the next call goes on.
            ArtifactError: no prepared data, or a training of other data is in its place.
        """
        wanted = self._wanted()
        if self._is_done(wanted):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        recipe, steps = self._write_recipe()
        write_facts(self.folder / "begun.json", wanted)
        words = ["train", "run", str(recipe.resolve()), "--resume", "--json"]
        trained = console.run_child(
            words, self.folder, "train", look=self._follow(steps), threads=self.context.threads
        )
        self._export(wanted, trained.cpu_s)

    def _wanted(self) -> dict[str, Any]:
        """What decides the result, as JSON gives it back."""
        names = (
            "join",
            "epochs",
            "batch",
            "learning_rate",
            "width",
            "modality_dropout",
            "contrast",
            "sort",
        )
        told = {name: getattr(self.options, name) for name in names}
        return {"split_hash": read_prepared(self.context.data).split_hash} | told

    def _is_done(self, wanted: dict[str, Any]) -> bool:
        for name in (TRAINED, "begun.json"):
            path = self.folder / name
            if not path.exists():
                continue
            kept = read_facts(path, remedy=f"remove {self.folder}")
            if {key: kept.get(key) for key in wanted} != wanted:
                raise errors.ArtifactError(
                    f"{self.folder} holds a training on other data or with other options",
                    remedy=f"rm -r {self.folder}, or take another work folder",
                )
            if name == TRAINED:
                return True
        return False

    def _write_recipe(self) -> tuple[Path, int]:
        _, classes = read_part(self.context.data, "train")
        options, batch = self.options, batch_for(len(classes), self.options.batch)
        steps = options.epochs * -(-len(classes) // batch)
        data = str(self.context.data.resolve())
        weights = {
            name: getattr(options, name) for name in ("modality_dropout", "contrast", "sort")
        }
        model = {"folder": data, "join": options.join, "width": options.width, "weights": weights}
        rising = {
            "max_lr": options.learning_rate, "total_steps": steps + 1, "pct_start": _RISING,
        }  # fmt: skip
        tables = {
            "model": {"factory": "deepseek_fusion.job.recipe_parts:make_model", "kwargs": model},
            "data": {
                "factory": "deepseek_fusion.job.recipe_parts:make_data",
                "kwargs": {"folder": data, "part": "train", "batch": batch},
            },
            "loss": {"function": "deepseek_fusion.job.recipe_parts:loss_of"},
            "optimizer": {
                "name": "AdamW",
                "kwargs": {"lr": options.learning_rate, "weight_decay": _WEIGHT_DECAY},
            },
            "scheduler": {"name": "OneCycleLR", "kwargs": rising},
            "train": {"epochs": options.epochs, "batch": batch, "seed": self.seed},
            "checkpoint": {"url": str((self.folder / "saved").resolve()), "every": _SAVED_EVERY},
            "log": {"folder": str((self.folder / "log").resolve())},
        }
        path = self.folder / "recipe.toml"
        with console.whole_file(path) as partial:
            partial.write_text(console.as_toml(tables), encoding="utf-8")
        return path, steps

    def _follow(self, steps: int) -> Callable[[], int]:
        log, told = self.folder / "log" / "log.jsonl", [-1]

        def look() -> int:
            done = min(_last_step(log), steps)
            if done != told[0]:
                told[0] = done
                self.context.progress(done, steps, f"step {done}")
            return done

        return look

    def _export(self, wanted: dict[str, Any], cpu_s: float) -> None:
        folder = self.folder.resolve()
        words = ["ckpt", "export", str(folder / "saved"), str(folder / WEIGHTS), "--json"]
        console.run_child(words, folder, "export")
        write_facts(self.folder / TRAINED, {**wanted, "cpu_s": cpu_s, "seed": self.seed})
        shutil.rmtree(self.folder / "saved", ignore_errors=True)


def batch_for(rows: int, wanted: int) -> int:
    """Return a batch that leaves no step with one row: batch normalization needs two.

    Raises:
        InputError: there is but one row.
    """
    if rows < 2:
        raise errors.InputError(
            f"the training part has {rows} rows", remedy="give 2 or more; hundreds to learn much"
        )
    batch = min(rows, wanted)
    while batch > 2 and rows % batch == 1:
        batch -= 1
    return rows if rows % batch == 1 else batch


def _last_step(log: Path) -> int:
    try:
        lines = log.read_bytes().splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except ValueError:  # it is being written
            continue
        if isinstance(found, dict) and "step" in found:
            return int(found["step"])
    return 0
