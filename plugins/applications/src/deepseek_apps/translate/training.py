"""Trains one seed by a recipe of `ds-sdk train run`, and keeps the update that translates best."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from deepseek_apps.translate.run_folder import Run, begin_run

WEIGHTS: Final = "model.safetensors"
CHOICES: Final = 5
"""Checkpoints of which the best on the validation part is kept."""

_RECIPE: Final = """\
[model]
factory = "deepseek_apps.translate.recipe:make_model"
kwargs = {{ folder = {folder} }}

[data]
factory = "deepseek_apps.translate.recipe:make_data"
kwargs = {{ folder = {folder} }}

[optimizer]
name = "AdamW"
kwargs = {{ lr = {rate}, betas = [0.9, 0.98], weight_decay = 0.01, fused = true }}

[loss]
function = "deepseek_apps.translate.recipe:loss_of"

[scheduler]
factory = "deepseek_apps.translate.recipe:make_rates"
kwargs = {{ folder = {folder} }}

[evaluate]
factory = "deepseek_apps.translate.recipe:make_dev"
kwargs = {{ folder = {folder} }}
every = {every}

[train]
steps = {updates}
batch = 1
seed = {seed}
precision = "{precision}"
clip = 1.0

[checkpoint]
url = {checkpoints}
every = {every}

[log]
folder = {log}
"""


def recipe_of(run: Run) -> str:
    """The recipe of a run, as TOML."""
    options = run.options
    return _RECIPE.format(
        folder=json.dumps(str(run.folder.resolve())),
        checkpoints=json.dumps(str(run.folder.resolve() / "checkpoints")),
        log=json.dumps(str(run.folder.resolve() / "log")),
        rate=options.rate,
        every=max(1, options.updates // (2 * CHOICES)),
        updates=options.updates,
        seed=run.seed,
        precision=options.precision,
    )
