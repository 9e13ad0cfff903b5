"""A training: features, networks, trees, their combination, and calibration, one after another.

Each leaves a file when it is done, so that a training that was stopped goes on behind it.
Legend: N rows of the training part, V rows of the validation part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from deepseek_apps.ctr.arrays import load_arrays, save_arrays
from deepseek_apps.ctr.baselines import tuned_trees
from deepseek_apps.ctr.data.parts import Parts
from deepseek_apps.ctr.fitted import (
    FEATURES,
    STACK,
    TOOK,
    TREES,
    Stack,
    encoded_samples,
    read_network,
    read_trees,
    stack_to_json,
    tree_arrays,
)
from deepseek_apps.ctr.measures import Reals
from deepseek_apps.ctr.network.samples import NO_FOLD, Samples, write_samples
from deepseek_apps.ctr.network.training import SAMPLES, Network, best_step, recipe_of, sizes_of
from deepseek_apps.ctr.options import Options
from deepseek_apps.ctr.stack.calibration import fit_calibration
from deepseek_apps.ctr.stack.combination import fit_combination
from deepseek_apps.ctr.table import Ints
from deepseek_apps.ctr.trees.members import TreeFit, fit_members
from deepseek_apps.shared import recipes
from deepseek_apps.shared.spent import counted, cpu_seconds, read_spent
from deepseek_core import applications, console

_CPU: Final = "cpu_s.json"


@attrs.frozen(kw_only=True, eq=False)
class Job:
    """What a training works on: its folder, seed and parts, and the fold (N) of each row."""

    folder: Path
    seed: int
    parts: Parts
    folds: Ints
    options: Options
    context: applications.ApplicationContext


def train_stack(job: Job) -> Stack:
    """Train all models, combine and calibrate them; writes the folder.

    Raises:
        Interrupted: it was stopped; the next call goes on.
    """
    took: dict[str, float] = {}
    with console.whole_file(job.folder / FEATURES) as partial:
        partial.write_text(job.parts.features.to_json(), encoding="utf-8")
    samples = _samples(job)
    kinds = [name for name in job.options.chosen if name != "trees"]
    networks = {kind: _network(job, kind, samples, took) for kind in kinds}
    trees = _trees(job, took) if "trees" in job.options.chosen else None
    stack = _combined(job, networks, trees, samples, took)
    with console.whole_file(job.folder / STACK) as partial:
        partial.write_text(stack_to_json(stack), encoding="utf-8")
    return stack


def _samples(job: Job) -> Samples:
    """Rows of the training part with their folds, then those of the validation part."""
    both = [
        encoded_samples(job.parts.features, table.inputs)
        for table in (job.parts.train, job.parts.validation)
    ]
    joined = attrs.evolve(
        both[0],
        ids=np.concatenate([one.ids for one in both]),
        numbers=np.concatenate([one.numbers for one in both]),
        target=np.concatenate([job.parts.train.target, job.parts.validation.target]),
        fold=np.concatenate([job.folds, np.full(len(job.parts.validation), NO_FOLD)]),
    )
    write_samples(joined, job.folder / SAMPLES)
    return joined


def _network(job: Job, kind: str, samples: Samples, took: dict[str, float]) -> Network:
    """Train a network by its recipe, unless its file is there."""
    path = job.folder / f"{kind}.npz"
    sizes = sizes_of(samples, job.options, job.seed)
    if not path.is_file():
        folder = job.folder.resolve() / kind  # paths in a recipe are those of its process
        folder.mkdir(exist_ok=True)
        recipe = recipes.write_recipe(
            folder / "recipe.toml", recipe_of(kind, folder, samples, job.options, job.seed)
        )
        with counted(folder / _CPU):
            recipes.train(recipe, _named(job.context, kind))
            weights = _exported(folder, best_step(folder / "log" / "log.jsonl"))
        save_arrays(path, {**weights, TOOK: np.array(read_spent(folder / _CPU))})
    took[kind] = float(load_arrays(path)[TOOK])
    return read_network(path, kind, sizes)


def _named(context: applications.ApplicationContext, kind: str) -> applications.ApplicationContext:
    """The same, its progress told of one model."""

    def progress(done: int, of: int, text: str) -> None:
        context.progress(done, of, f"{kind}: {text}")

    return attrs.evolve(context, progress=progress)


def _exported(folder: Path, step: int) -> dict[str, Any]:
    """The weights of a checkpoint, by name."""
    from safetensors.numpy import load_file

    file = recipes.export_weights(folder / "saved", folder / "model.safetensors", step=step)
    found: dict[str, Any] = load_file(file)
    file.unlink()
    return found


def _trees(job: Job, took: dict[str, float]) -> TreeFit:
    """Fit the trees of all folds, unless their file is there."""
    path = job.folder / TREES
    if not path.is_file():
        job.context.progress(0, 2, "trees: choosing settings")
        begin_s = cpu_seconds()
        settings = tuned_trees(job.parts, job.folds, job.options.tuning)
        job.context.progress(1, 2, "trees: fitting members")
        fit = fit_members(job.parts.features, job.parts.train, job.folds, settings, job.seed)
        save_arrays(path, {**tree_arrays(fit), TOOK: np.array(cpu_seconds() - begin_s)})
    took["trees"] = float(load_arrays(path)[TOOK])
    return read_trees(path)


def _combined(
    job: Job, networks: dict[str, Network], trees: TreeFit | None, samples: Samples,
    took: dict[str, float],
) -> Stack:  # fmt: skip
    """Weights from out-of-fold log odds, and a calibration from those of the validation part."""
    rows = np.arange(len(job.folds))
    fitted = samples.part(fitted=True)
    found: dict[str, Reals] = {
        kind: one.member_logits(fitted)[rows, job.folds] for kind, one in networks.items()
    }
    if trees is not None:
        found["trees"] = trees.out_of_fold
    begin_s = cpu_seconds()
    stack = Stack(
        features=job.parts.features, networks=networks,
        trees=None if trees is None else trees.members,
        combination=fit_combination(found, job.parts.train.target),
        split_hash=job.parts.split_hash, cpu_s=took,
    )  # fmt: skip
    validation = job.parts.validation
    logits = stack.logits(stack.model_logits(validation.inputs))
    calibration = fit_calibration(logits, validation.target, job.options.calibration)
    took["combination"] = cpu_seconds() - begin_s
    return attrs.evolve(stack, calibration=calibration)
