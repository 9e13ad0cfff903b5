"""Paired digits, trained and answered; each result is kept, and a run goes on from there.

What is kept knows pairs, passes, seed and the row's name, not the code: after a change, take another
folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from _paired_digits import FULL, LETTERS, QUICK, SAMPLES, paired

MODALITIES = ("text", "picture", "sound")
EPOCHS, BATCH, RATE = 4, 64, 5e-3


class Recipe(NamedTuple):
    """How one row of the table is trained."""

    join: str
    contrast: float = 0.0
    epochs: int = EPOCHS


RECIPES = {
    "late": Recipe("late"),
    "concatenation": Recipe("concatenation"),
    "gate": Recipe("gate"),
    "gate over late fusion": Recipe("gate_over_late"),
    "gate + supervised InfoNCE": Recipe("gate", contrast=0.1),
    "softmax attention": Recipe("attention"),
}


class Kept(NamedTuple):
    """Probabilities of a part by subset of modalities, the classes, and what training took."""

    answers: dict[str, Any]
    classes: Any
    cpu_s: float
    parameters: int


def result(arguments: argparse.Namespace, name: str, seed: int) -> Kept:
    """Return what is kept, or train and keep it."""
    pairs = (QUICK if arguments.quick else FULL).train
    drawn = f"{pairs}x{RECIPES[name].epochs}-{name.replace(' ', '_')}-{seed}"
    path = Path(arguments.kept) / f"{drawn}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        answers, classes, facts = _trained(arguments, RECIPES[name], seed)
        partial = path.with_suffix(".part.npz")
        np.savez(partial, classes=classes, facts=facts, **answers)
        partial.replace(path)
    with np.load(path) as found:
        answers = {key: found[key] for key in found.files if key not in ("classes", "facts")}
        cpu_s, parameters = found["facts"]
        return Kept(answers, found["classes"], float(cpu_s), int(parameters))


def _trained(
    arguments: argparse.Namespace, recipe: Recipe, seed: int
) -> tuple[dict[str, Any], Any, Any]:
    import torch

    from deepseek_fusion.job.items import Form
    from deepseek_fusion.job.network import Network
    from deepseek_fusion.model import FusionShape

    parts = paired(arguments.data, seed, QUICK if arguments.quick else FULL)
    torch.manual_seed(seed)
    form = Form(
        modalities=MODALITIES, labels=tuple("0123456789"), characters="abcdefghijklmnopqrstuvwxyz",
        longest_text=LETTERS, picture_size=28, color=False, rate=8000, longest_sound=SAMPLES,
    )  # fmt: skip
    network = Network(form, FusionShape(classes=10, join=recipe.join, modality_dropout=0.0))
    start_s = time.process_time()
    fit(network, parts["train"], recipe)
    cpu_s = time.process_time() - start_s
    arrays, classes = parts["test"]
    answers = answered(network, arrays, recipe.join)
    validation, wanted = parts["validation"]
    some = answered(network, validation, recipe.join)["all"].argmax(1)
    print(f"  seed {seed} {recipe}: validation {np.mean(some == wanted):.3f}, {cpu_s:.0f} CPU s",
          flush=True)  # fmt: skip
    count = sum(each.numel() for each in network.parameters())
    return answers, classes, np.array([cpu_s, count])


def fit(network: Any, part: tuple[dict[str, Any], Any], recipe: Recipe) -> None:
    """Train with the rate going up and down once."""
    import torch

    from deepseek_fusion.losses import JointLoss, single_loss

    network.loss = JointLoss(contrast=recipe.contrast)
    arrays = {name: torch.from_numpy(values) for name, values in part[0].items()}
    classes = torch.from_numpy(part[1])
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    steps = recipe.epochs * (len(classes) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    network.train()
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(classes)).split(BATCH):
            if len(rows) < BATCH:
                continue
            answer = network({name: values[rows] for name, values in arrays.items()})
            if recipe.join == "late":  # nothing of one modality reaches another
                loss = single_loss(answer, classes[rows])
            else:
                loss = network.loss_of(answer, classes[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()


def answered(network: Any, arrays: dict[str, Any], join: str) -> dict[str, Any]:
    """Answer with all modalities, and with each subset: logits by `text+sound`."""
    from itertools import combinations

    from deepseek_fusion.job.answering import said_of
    from deepseek_fusion.job.items import without

    network.eval()
    found = {}
    for size in (3, 2, 1):
        for chosen in combinations(MODALITIES, size):
            gone = [name for name in MODALITIES if name not in chosen]
            found["all" if size == 3 else "+".join(chosen)] = said_of(
                network, without(arrays, gone)
            ).logits
    return found
