"""Trains a seed: a recipe of `ds-sdk train run` in a process of its own, and what it leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_apps.defects.kept import Kept
from deepseek_apps.defects.options import Options
from deepseek_apps.defects.trained import TRAINED, WEIGHTS, check_same, expected, read_trained
from deepseek_apps.shared import recipes
from deepseek_apps.shared.spent import counted, read_spent
from deepseek_core import applications, console

RECIPE: Final = "recipe.toml"
CHECKPOINTS: Final = "checkpoints"
_LOG: Final = "log"
_CPU: Final = "cpu_s.json"
_WEIGHT_DECAY: Final = 0.05
_CLIP: Final = 2.0
_SAVES: Final = 8  # of a training
_MODULE: Final = "deepseek_apps.defects.learning"


def train(seed: int, options: Options, context: applications.ApplicationContext) -> None:
    """Leave the weights of a seed; goes on where it was stopped, and is done at once if it ended.

    Raises:
        InputError: no prepared data, or a folder with a training of other data or options.
        Interrupted: it was stopped.
    """
    kept, folder = Kept(context.data), context.seed(seed)
    wanted = expected(kept, options)
    done = read_trained(folder)
    if done is not None:
        check_same(done, wanted, folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    _begin(folder, recipe(seed, options, context), wanted.split_hash)
    with counted(folder / _CPU):
        recipes.train(folder / RECIPE, context, nproc=options.processes)
    _export(folder)
    _whole(folder / TRAINED, attrs.asdict(attrs.evolve(wanted, cpu_s=read_spent(folder / _CPU))))


def _begin(folder: Path, tables: dict[str, Any], split_hash: str) -> None:
    """Write the recipe; what another one, or other data, left half-trained here begins again."""
    path, mark = folder / RECIPE, folder / "split.json"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    same = mark.exists() and mark.read_text(encoding="utf-8") == f'"{split_hash}"\n'
    recipes.write_recipe(path, tables)
    if before is not None and (before != path.read_text(encoding="utf-8") or not same):
        for name in (CHECKPOINTS, _LOG):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / _CPU).unlink(missing_ok=True)
    _whole(mark, split_hash)


def recipe(seed: int, options: Options, context: applications.ApplicationContext) -> dict[str, Any]:
    """The tables of a training's recipe."""
    data, folder = str(context.data.resolve()), context.seed(seed).resolve()
    drawn = {
        "data": data, "length": options.steps * options.batch, "batch": options.batch,
        "seed": seed, "flips": options.flips, "light": options.light,
    }  # fmt: skip
    return {
        "model": {
            "factory": f"{_MODULE}:network",
            "kwargs": {"data": data, "kind": options.network, "width": options.width},
        },
        "data": {"factory": f"{_MODULE}:draws", "kwargs": drawn},
        "optimizer": {
            "name": "AdamW",
            "kwargs": {"lr": options.learning_rate, "weight_decay": _WEIGHT_DECAY},
        },
        "scheduler": {"factory": f"{_MODULE}:rate", "kwargs": {"steps": options.steps}},
        "loss": {"function": f"{_MODULE}:loss_of"},
        "train": {
            "steps": options.steps, "batch": options.batch, "seed": seed, "clip": _CLIP,
            "precision": precision_of(options),
        },
        "checkpoint": {
            "url": str(folder / CHECKPOINTS), "every": max(1, options.steps // _SAVES),
        },
        "log": {"folder": str(folder / _LOG)},
    }  # fmt: skip


def precision_of(options: Options) -> str:
    """What forward passes are computed in; bf16 where the processor multiplies it."""
    if options.precision != "auto":
        return options.precision
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "fp32"
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"


def _export(folder: Path) -> None:
    """The latest checkpoint's weights as a file of safetensors."""
    (folder / WEIGHTS).unlink(missing_ok=True)
    recipes.export_weights(folder / CHECKPOINTS, folder / WEIGHTS)


def _whole(path: Path, value: Any) -> None:
    with console.whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
