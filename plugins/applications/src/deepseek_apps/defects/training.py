"""Trains a seed: a recipe of `ds-sdk train run` in a process of its own, and what it leaves."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_apps.defects.kept import Kept
from deepseek_apps.defects.options import Options
from deepseek_apps.defects.trained import (
    TRAINED,
    WEIGHTS,
    Trained,
    check_same,
    expected,
    read_trained,
)
from deepseek_core import errors
from deepseek_core.applications import ApplicationContext

RECIPE: Final = "recipe.toml"
CHECKPOINTS: Final = "checkpoints"
_WEIGHT_DECAY: Final = 0.02
_CLIP: Final = 2.0
_SAVES: Final = 8  # of a training
_MODULE: Final = "deepseek_apps.defects.learning"


def train(seed: int, options: Options, context: ApplicationContext) -> None:
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
    text = recipe(seed, options, kept, context)
    _begin(folder, text)
    before_s = _children_s()
    run_recipe(folder / RECIPE, options, context)
    export(folder)
    _write(folder, attrs.evolve(wanted, cpu_s=_children_s() - before_s))


def _begin(folder: Path, text: str) -> None:
    """Write the recipe; a training of another recipe that was stopped here begins anew."""
    path = folder / RECIPE
    if path.exists() and path.read_text(encoding="utf-8") != text:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    path.write_text(text, encoding="utf-8")


def _write(folder: Path, trained: Trained) -> None:
    part = folder / f"{TRAINED}.part"
    part.write_text(json.dumps(attrs.asdict(trained), indent=1) + "\n", encoding="utf-8")
    part.replace(folder / TRAINED)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def recipe(seed: int, options: Options, kept: Kept, context: ApplicationContext) -> str:
    """The recipe of a training, as TOML."""
    data = str(context.data.resolve())
    tables: dict[str, dict[str, Any]] = {
        "model": {
            "factory": f"{_MODULE}:network",
            "kwargs": {"data": data, "kind": options.network, "width": options.width},
        },
        "data": {
            "factory": f"{_MODULE}:draws",
            "kwargs": {
                "data": data, "length": options.steps * options.batch, "batch": options.batch,
                "seed": seed, "flips": options.flips,
            },
        },
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
        "checkpoint": {"url": CHECKPOINTS, "every": max(1, options.steps // _SAVES)},
    }  # fmt: skip
    return _as_toml(tables)


def precision_of(options: Options) -> str:
    """What forward passes are computed in; bf16 where the processor multiplies it."""
    if options.precision != "auto":
        return options.precision
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "fp32"
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"


def _as_toml(tables: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        for key, value in table.items():
            lines.append(f"{key} = {_value(value)}")
        lines.append("")
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
